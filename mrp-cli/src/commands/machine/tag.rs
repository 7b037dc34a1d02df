//! `mrp machine tag` and `mrp machine console-ticket`.

use anyhow::Result;
use mrp_core::api;
use serde_json::json;

use crate::commands::Session;
use crate::commands::machine::not_held;
use crate::output::or_none;
use crate::resolve;

/// Show the tags of a machine, add some (admins) or remove some (admins)
///
/// Machines are found by tag with mrp machine list --tag and mrp reserve --query.
///
/// Examples:
///   mrp machine tag node-01
///   mrp machine tag node-01 --add ssd --add rack=3
///   mrp machine tag node-01 --remove broken
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Tag {
    /// Name or id
    machine: String,
    /// Tag to add; may be repeated
    #[arg(long, value_name = "TAG")]
    add: Vec<String>,
    /// Tag to remove; may be repeated
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,
}

impl Tag {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let path = format!("/machine/{}/tags", machine.id);
        let tags: api::Tags = if self.add.is_empty() && self.remove.is_empty() {
            session.client.get(&path).await?
        } else {
            session.client.patch(&path, &api::TagChange { add: self.add, remove: self.remove }).await?
        };
        let told = if tags.tags.is_empty() { "no tags".to_owned() } else { tags.tags.join(" ") };
        session.output.done(&tags, format!("{}: {told}", machine.name))
    }
}

/// Get a ticket for the console's WebSocket: good once, within five minutes
///
/// Example:
///   mrp machine console-ticket node-01 -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ConsoleTicket {
    /// Name or id
    machine: String,
}

impl ConsoleTicket {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let ticket = session.client.post(&format!("/machine/{}/console", machine.id), &json!({})).await;
        let ticket: api::ConsoleTicket = ticket.map_err(|error| not_held(error, &machine.name))?;
        let facts = [
            ("host", or_none(ticket.host.as_ref())),
            ("port", ticket.port.to_string()),
            ("ticket", ticket.token.clone()),
        ];
        session.output.object(&ticket, &facts)
    }
}
