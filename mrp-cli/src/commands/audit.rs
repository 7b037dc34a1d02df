//! `mrp audit`.

use anyhow::Result;
use mrp_core::event::AuditEntry;

use crate::commands::{Session, time};
use crate::event_stream::EventStream;
use crate::output::{Format, clean, json_line, line, when};

/// Who changed what (admins)
///
/// Examples:
///   mrp audit
///   mrp audit --actor alice --object machine --since 2d
///   mrp audit --follow -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Audit {
    /// Only what this user did
    #[arg(long, value_name = "USER")]
    actor: Option<String>,
    /// Only what was done to this noun: machine, interface, user, token, session, image, …
    #[arg(long, value_name = "NOUN")]
    object: Option<String>,
    /// Only what was done to objects of this name
    #[arg(long)]
    name: Option<String>,
    /// Only from this time on: 2026-01-31, 2026-01-31T12:00:00Z, or so long ago: 2d, 12h
    #[arg(long, value_name = "TIME", value_parser = time::past)]
    since: Option<time::Time>,
    /// Only those after this number
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    /// How many of the last ones
    #[arg(long, default_value_t = 50, value_name = "COUNT", visible_alias = "limit")]
    last: u32,
    /// Go on as they are written; in JSON one a line
    #[arg(short, long)]
    follow: bool,
}

impl Audit {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let mut parameters = Vec::new();
        parameters.extend(self.actor.map(|actor| ("actor", actor)));
        parameters.extend(self.object.map(|object| ("object", object)));
        parameters.extend(self.name.map(|name| ("name", name)));
        parameters.extend(self.since.map(|since| ("since", since.to_string())));
        let mut past = parameters.clone();
        past.extend(self.after.map(|after| ("after", after.to_string())));
        // One at least: a stream begins after the last one.
        past.push(("last", self.last.max(1).to_string()));
        let entries: Vec<AuditEntry> = session.client.query("/audit", &past).await?;
        let shown = if self.last == 0 { &[] } else { &*entries };
        if !self.follow {
            return list(session, shown);
        }
        shown.iter().try_for_each(|entry| show(session, entry))?;
        let mut stream = EventStream::open(&session.client, parameters, entries.last());
        loop {
            show(session, &stream.next().await?)?;
        }
    }
}

fn list(session: &Session, entries: &[AuditEntry]) -> Result<()> {
    session.output.list(
        entries,
        &[
            ("ID", &|entry| entry.id.to_string()),
            ("AT", &|entry| when(entry.at)),
            ("WHO", &|entry| entry.actor.clone()),
            ("ACTION", &|entry| entry.action.clone()),
            ("OBJECT", &|entry| format!("{} {}", entry.object, entry.name)),
            ("CHANGES", &changes),
        ],
    )
}

fn show(session: &Session, entry: &AuditEntry) -> Result<()> {
    if session.output == Format::Json {
        return json_line(entry);
    }
    let AuditEntry { at, actor, action, object, name, .. } = entry;
    let what = format!("{}  {actor:<10} {action:<8} {object} {name}  {}", when(*at), changes(entry));
    line(clean(&what, ' '))
}

/// What changed, on one line: `key: old → new`.
fn changes(entry: &AuditEntry) -> String {
    let Some(changes) = entry.changes.as_object() else {
        return if entry.changes.is_null() { String::new() } else { entry.changes.to_string() };
    };
    let word = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let told = changes.iter().map(|(key, value)| match value.as_array().map(Vec::as_slice) {
        Some([old, new]) => format!("{key}: {} → {}", word(old), word(new)),
        _ => format!("{key}: {}", word(value)),
    });
    told.collect::<Vec<_>>().join(", ")
}
