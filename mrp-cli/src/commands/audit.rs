//! `mrp audit`.

use anyhow::Result;
use mrp_core::event::AuditEntry;

use crate::commands::Session;
use crate::output::when;

/// Who changed what (admins)
///
/// Examples:
///   mrp audit
///   mrp audit --after 120 --limit 10 -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Audit {
    /// Those after this number
    #[arg(long, default_value_t = 0)]
    after: i64,
    /// How many at most
    #[arg(long, default_value_t = 1000)]
    limit: u32,
}

impl Audit {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let parameters = [("after", self.after.to_string()), ("limit", self.limit.to_string())];
        let entries: Vec<AuditEntry> = session.client.query("/audit", &parameters).await?;
        session.output.list(
            &entries,
            &[
                ("ID", &|entry| entry.id.to_string()),
                ("AT", &|entry| when(entry.at)),
                ("WHO", &|entry| entry.actor.clone()),
                ("ACTION", &|entry| entry.action.clone()),
                ("OBJECT", &|entry| format!("{} {}", entry.object, entry.name)),
                ("CHANGES", &|entry| {
                    if entry.changes.is_null() { String::new() } else { entry.changes.to_string() }
                }),
            ],
        )
    }
}
