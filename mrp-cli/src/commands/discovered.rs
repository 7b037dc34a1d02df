//! `mrp discovered`.

use anyhow::Result;
use mrp_core::api;

use crate::commands::Session;
use crate::output::{or_none, when};

/// DHCP clients that belong to no machine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum DiscoveredCommand {
    List(List),
}

/// List them, the newest first
///
/// Example:
///   mrp discovered list
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {}

impl DiscoveredCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let DiscoveredCommand::List(List {}) = self;
        let found: Vec<api::Discovered> = session.client.get("/discovered").await?;
        session.output.list(
            &found,
            &[
                ("MAC", &|client| client.mac.clone()),
                ("HOSTNAME", &|client| or_none(client.hostname.as_ref())),
                ("CLIENT ARCH", &|client| or_none(client.client_arch)),
                ("LAST SEEN", &|client| when(client.last_seen)),
            ],
        )
    }
}
