//! `mrp dhcp`.

use anyhow::Result;
use mrp_core::event::EventKind;

use crate::commands::Session;
use crate::commands::event::Shown;

/// What is heard of DHCP on the network.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum DhcpCommand {
    Watch(Watch),
}

/// Watch who asks for addresses, which servers answer, and what is wrong with it
///
/// The server hears it on the interfaces of dhcp.observe. What lasts is told ever more
/// rarely. With -o json one event a line. Ctrl-C ends it.
///
/// Examples:
///   mrp dhcp watch
///   mrp dhcp watch --machine node-01 --last 100
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Watch {
    /// That of one machine
    #[arg(long)]
    machine: Option<String>,
    /// How many of the last events to begin with
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    last: u32,
}

impl DhcpCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let DhcpCommand::Watch(Watch { machine, last }) = self;
        let kind = Some(EventKind::Dhcp);
        Shown { machine, run: None, kind, last, follow: true }.run(session).await
    }
}
