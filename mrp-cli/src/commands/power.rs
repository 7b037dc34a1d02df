//! `mrp power`.

use anyhow::Result;
use clap::ValueEnum;
use mrp_core::api;

use crate::commands::Session;
use crate::commands::machine::not_held;
use crate::exit::Exit;
use crate::resolve;

/// See or switch a machine's power
///
/// Examples:
///   mrp power node-01 status
///   mrp power node-01 pxe-reboot
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct PowerCommand {
    /// Name or id
    machine: String,
    /// What to do
    #[arg(value_enum)]
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Ask the BMC
    Status,
    /// Switch on
    On,
    /// Switch off, hard; ends a run
    Off,
    /// Reset, or on if it is off
    Reboot,
    /// Reset, and boot the network next
    PxeReboot,
    /// Reset, and boot the disk next
    DiskReboot,
    /// Reset, and enter the firmware's set-up
    BiosReboot,
    /// Off, a pause, on
    Cycle,
    /// Ask the operating system to shut down
    Soft,
}

impl PowerCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let path = format!("/machine/{}/power", machine.id);
        if self.action == Action::Status {
            let state: api::State = session.client.get(&path).await?;
            session.output.done(&state, format!("{}: {}", machine.name, state.state))?;
            return if matches!(state.state.as_str(), "on" | "off") {
                Ok(())
            } else {
                Err(Exit::FAILED.into())
            };
        }
        let name = self.action.to_possible_value().map(|value| value.get_name().replace('-', "_"));
        let wanted = api::State { state: name.unwrap_or_default() };
        let state = session.client.post(&path, &wanted).await;
        let state: api::State = state.map_err(|error| not_held(error, &machine.name))?;
        session.output.done(&state, format!("{}: {}", machine.name, state.state))
    }
}
