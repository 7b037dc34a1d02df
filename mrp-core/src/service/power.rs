//! Power and boot device, through the BMC in front of a machine.
//!
//! A sequence of BMC commands is exclusive to a machine and goes on when its caller goes away.

use std::time::Duration;

use serde_json::json;

use crate::actor::Actor;
use crate::bmc::{Bmc, BmcError, BootDevice, BootOverride, Node, Power, PowerAction};
use crate::bmc_entry::BmcSightings;
use crate::error::Error;
use crate::event::EventKind;
use crate::machine::{Machine, MachineId, SeenPower};
use crate::peer::{PeerAct, PeerActor, PeerAnswer};
use crate::run::Observation;
use crate::service::{Provisioner, lock};

/// How long giving a machine back waits for its BMC.
const RESET_PATIENCE: Duration = Duration::from_secs(5);

/// What people do to a machine's power. The first seven words are mr-provisioner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerRequest {
    /// On.
    On,
    /// Off, hard.
    Off,
    /// Reset; on if off.
    Reboot,
    /// Boot the network next, then reset or on.
    PxeReboot,
    /// Boot the disk next, then reset or on.
    DiskReboot,
    /// Enter the firmware's set-up next, then reset or on.
    BiosReboot,
    /// Off, a pause, on.
    Cycle,
    /// Ask the operating system to shut down.
    Soft,
}

impl PowerRequest {
    /// All requests by their names in the API.
    pub const ALL: [(&'static str, PowerRequest); 8] = [
        ("on", PowerRequest::On),
        ("off", PowerRequest::Off),
        ("reboot", PowerRequest::Reboot),
        ("pxe_reboot", PowerRequest::PxeReboot),
        ("disk_reboot", PowerRequest::DiskReboot),
        ("bios_reboot", PowerRequest::BiosReboot),
        ("cycle", PowerRequest::Cycle),
        ("soft", PowerRequest::Soft),
    ];

    /// By its name in the API.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, request)| *request)
    }

    /// The name in the API.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, request)| *request == self).map_or("", |(name, _)| name)
    }

    /// The state that the command leads to.
    fn wanted(self) -> Power {
        if matches!(self, PowerRequest::Off | PowerRequest::Soft) { Power::Off } else { Power::On }
    }

    fn device(self) -> Option<BootDevice> {
        match self {
            PowerRequest::PxeReboot => Some(BootDevice::Pxe),
            PowerRequest::DiskReboot => Some(BootDevice::Disk),
            PowerRequest::BiosReboot => Some(BootDevice::Bios),
            _ => None,
        }
    }
}

/// The power state as far as it could be learned.
#[derive(Debug)]
pub enum PowerStatus {
    /// The BMC's answer.
    Known(Power),
    /// The machine has no BMC.
    NoBmc,
    /// The BMC did not tell.
    Failed(Error),
}

/// Who is at a machine's BMC; gone when dropped.
#[derive(Debug)]
pub(crate) struct BusyGuard {
    service: Provisioner,
    machine: MachineId,
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        lock(&self.service.0.busy).remove(&self.machine);
    }
}

/// The power of one machine.
#[derive(Debug)]
pub struct PowerControl<'a> {
    service: &'a Provisioner,
    actor: &'a Actor,
    machine: MachineId,
}

impl Provisioner {
    /// The power of one machine.
    pub fn power<'a>(&'a self, actor: &'a Actor, machine: MachineId) -> PowerControl<'a> {
        PowerControl { service: self, actor, machine }
    }

    /// Claims a machine's BMC for a sequence of commands; told who is at it if somebody is.
    pub(crate) fn claim_bmc(&self, machine: &Machine, who: &str, what: &str) -> Result<BusyGuard, Error> {
        let mut busy = lock(&self.0.busy);
        if let Some(holder) = busy.get(&machine.id) {
            return Err(Error::Conflict(format!(
                "machine {} is busy: {holder}; try again in a moment",
                machine.name
            )));
        }
        busy.insert(machine.id, format!("{who} is at {what}"));
        Ok(BusyGuard { service: self.clone(), machine: machine.id })
    }

    /// Sets the boot device and reads it back. What the BMC does not take, or does not report back, is no error but a
    /// warning in the event.
    pub(crate) async fn set_boot(
        &self,
        machine: &Machine,
        actor: &str,
        bmc: &dyn Bmc,
        node: &Node,
        device: BootDevice,
    ) -> Result<(), Error> {
        let efi = self.subarch_of(machine).await?.is_some_and(|subarch| subarch.efi_boot);
        let wanted = BootOverride { device, efi, persistent: false };
        let warning = set_and_verify(bmc, node, wanted).await?;
        let mode = if efi { " (EFI)" } else { "" };
        let text = match &warning {
            None => format!("boot device set to {device}{mode}"),
            Some(warning) => format!("boot device set to {device}{mode}; warning: {warning}"),
        };
        let data = json!({"device": device, "efi": efi, "warning": warning});
        let draft = self.draft_by(actor).event(Some(machine.id), None, EventKind::BootDevice, text, data);
        self.store().record(&draft.done()).await?;
        self.announce();
        Ok(())
    }

    /// Removes the boot override of a machine whose last holder gives it back. A BMC that cannot, that is away or that
    /// takes its time keeps it until the machine's next start.
    pub(crate) async fn reset_boot_device(&self, machine: &Machine) {
        let act = PeerAct::ResetBoot { machine: machine.id };
        match tokio::time::timeout(RESET_PATIENCE, self.pass_on(machine.bmc, &act)).await {
            Ok(Ok(None)) => self.reset_boot_device_here(machine).await,
            Ok(Ok(Some(_))) => {}
            Ok(Err(error)) => {
                tracing::info!(machine = machine.name, %error, "the boot device could not be reset");
            }
            Err(_) => tracing::info!(machine = machine.name, "the boot device was not reset in time"),
        }
    }

    /// The same by this server, which drives the BMC.
    pub(crate) async fn reset_boot_device_here(&self, machine: &Machine) {
        let reset = async {
            let Some((bmc, node)) = self.bmc_of(machine).await? else { return Ok(()) };
            if !bmc.capabilities().set_boot {
                return Ok(());
            }
            let _guard = self.claim_bmc(machine, "mrp", "resetting the boot device")?;
            Ok::<_, Error>(bmc.set_boot(&node, None).await?)
        };
        match tokio::time::timeout(RESET_PATIENCE, reset).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::info!(machine = machine.name, %error, "the boot device could not be reset");
            }
            Err(_) => tracing::info!(machine = machine.name, "the boot device was not reset in time"),
        }
    }

    /// Writes down a power command or its failure.
    pub(crate) async fn note_power(
        &self,
        machine: MachineId,
        actor: &str,
        what: &str,
        outcome: &Result<Power, Error>,
    ) -> Result<(), Error> {
        let (text, data) = match outcome {
            Ok(power) => (format!("power {what}: now {power}"), json!({"power": what, "state": power})),
            Err(error) => {
                (format!("power {what} failed: {error}"), json!({"power": what, "error": error.to_string()}))
            }
        };
        let draft = self.draft_by(actor).event(Some(machine), None, EventKind::Power, text, data);
        self.store().record(&draft.done()).await?;
        self.announce();
        if let Ok(power) = outcome {
            self.saw_power(machine, *power).await?;
        }
        Ok(())
    }

    /// Keeps a machine's power as last seen.
    pub(crate) async fn saw_power(&self, machine: MachineId, power: Power) -> Result<(), Error> {
        let seen = SeenPower { power, at: self.now() };
        let power = vec![(machine, seen)];
        Ok(self.store().put_bmc_sightings(&BmcSightings { power, ..BmcSightings::default() }).await?)
    }
}

impl PowerControl<'_> {
    /// Reads the power state; everybody may. A BMC that fails is an answer, not an error.
    pub async fn status(&self) -> Result<PowerStatus, Error> {
        if !self.service.is_clustered() {
            return self.status_here().await;
        }
        let machine = self.service.load_machine(self.machine).await?;
        match self.service.pass_on(machine.bmc, &PeerAct::ReadPower { machine: machine.id }).await {
            Ok(None) => self.status_here().await,
            Ok(Some(PeerAnswer::Power { power })) => Ok(PowerStatus::Known(power)),
            Ok(Some(_)) => Ok(PowerStatus::NoBmc),
            Err(error) => Ok(PowerStatus::Failed(error)),
        }
    }

    /// The same by this server, which drives the BMC.
    pub(crate) async fn status_here(&self) -> Result<PowerStatus, Error> {
        let machine = self.service.load_machine(self.machine).await?;
        let (bmc, node) = match self.service.bmc_of(&machine).await {
            Ok(None) => return Ok(PowerStatus::NoBmc),
            Ok(Some(bmc)) => bmc,
            Err(error) => return Ok(PowerStatus::Failed(error)),
        };
        match bmc.poll(&node).await {
            Ok(power) => {
                self.service.saw_power(machine.id, power).await?;
                Ok(PowerStatus::Known(power))
            }
            Err(error) => Ok(PowerStatus::Failed(error.into())),
        }
    }

    /// Changes the power and answers the new state; holders and admins. `Off` ends a run that is under way.
    pub async fn set(&self, request: PowerRequest) -> Result<Power, Error> {
        if !self.service.is_clustered() {
            return self.set_here(request).await;
        }
        let machine = self.service.held_machine(self.actor, self.machine).await?;
        let (actor, name) = (PeerActor::from(self.actor), request.name().to_owned());
        let act = PeerAct::SetPower { actor, machine: machine.id, request: name };
        match self.service.pass_on(machine.bmc, &act).await? {
            None => self.set_here(request).await,
            Some(PeerAnswer::Power { power }) => Ok(power),
            Some(_) => Err(Error::Internal("a peer's answer tells no power state".into())),
        }
    }

    /// The same by this server, which drives the BMC.
    pub(crate) async fn set_here(&self, request: PowerRequest) -> Result<Power, Error> {
        let machine = self.service.held_machine(self.actor, self.machine).await?;
        let Some((bmc, node)) = self.service.bmc_of(&machine).await? else {
            return Err(Error::Refused("power state changes require a BMC".into()));
        };
        // Who asked for what; the event tells what came of it.
        let asked = json!({"power": request.name()});
        let asked = self.service.draft(self.actor)?.audit("power", "machine", &machine.name, asked);
        self.service.store().record(&asked.done()).await?;
        let guard =
            self.service.claim_bmc(&machine, &self.actor.name, &format!("power {}", request.name()))?;
        let (service, actor) = (self.service.clone(), self.actor.clone());
        let sequence = async move {
            let _guard = guard;
            if let Err(error) = service.change_power(&machine, &actor, &bmc, &node, request).await {
                let outcome = Err(error);
                service.note_power(machine.id, &actor.name, request.name(), &outcome).await?;
                return outcome;
            }
            if request == PowerRequest::Off
                && let Some(run) = service.store().active_run(machine.id).await?
            {
                let seen = Observation::SwitchedOff { by: actor.name.clone() };
                service.observe(run.id, seen, &actor, None).await?;
            }
            // The command was taken; a BMC that is too busy to tell the state is no failure of it.
            match bmc.power(&node).await {
                Ok(power) => {
                    service.note_power(machine.id, &actor.name, request.name(), &Ok(power)).await?;
                    Ok(power)
                }
                Err(error) => {
                    let text = format!("power {}: taken, but the state is not told: {error}", request.name());
                    let data = json!({"power": request.name(), "warning": error.to_string()});
                    let draft =
                        service.draft(&actor)?.event(Some(machine.id), None, EventKind::Power, text, data);
                    service.store().record(&draft.done()).await?;
                    service.announce();
                    Ok(request.wanted())
                }
            }
        };
        self.service.run_to_end(sequence).await
    }

    /// Switches on.
    pub async fn on(&self) -> Result<Power, Error> {
        self.set(PowerRequest::On).await
    }

    /// Switches off.
    pub async fn off(&self) -> Result<Power, Error> {
        self.set(PowerRequest::Off).await
    }

    /// Boots the network next: reset, or on.
    pub async fn pxe_reboot(&self) -> Result<Power, Error> {
        self.set(PowerRequest::PxeReboot).await
    }
}

impl Provisioner {
    async fn change_power(
        &self,
        machine: &Machine,
        actor: &Actor,
        bmc: &dyn Bmc,
        node: &Node,
        request: PowerRequest,
    ) -> Result<(), Error> {
        if let Some(device) = request.device() {
            self.set_boot(machine, &actor.name, bmc, node, device).await?;
        }
        let action = match request {
            PowerRequest::On => PowerAction::On,
            PowerRequest::Off => PowerAction::Off,
            PowerRequest::Cycle => PowerAction::Cycle,
            PowerRequest::Soft => PowerAction::Soft,
            _ => PowerAction::Reset,
        };
        Ok(bmc.set_power(node, action).await?)
    }
}

/// Sets, reads back, and repeats once. `Some` is the warning.
async fn set_and_verify(
    bmc: &dyn Bmc,
    node: &Node,
    wanted: BootOverride,
) -> Result<Option<String>, BmcError> {
    let capabilities = bmc.capabilities();
    if !capabilities.set_boot {
        return Ok(Some(format!(
            "this BMC cannot set it; the firmware's own order has to begin with {}",
            wanted.device
        )));
    }
    let mut found = None;
    for attempt in 0..2 {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bmc.set_boot(node, Some(wanted)).await?;
        if !capabilities.read_boot {
            return Ok(None);
        }
        found = match bmc.boot(node).await {
            Ok(found) => found,
            Err(error @ (BmcError::Unauthorized { .. } | BmcError::Unreachable { .. })) => return Err(error),
            Err(error) => return Ok(Some(format!("it could not be read back: {error}"))),
        };
        if found.is_some_and(|found| found.device == wanted.device && found.efi == wanted.efi) {
            return Ok(None);
        }
    }
    Ok(Some(match found {
        None => "the BMC accepted it, but reports no boot device in force".into(),
        Some(found) => {
            let mode = if found.efi { "EFI" } else { "legacy" };
            format!("the BMC accepted it, but reports {} in {mode} mode", found.device)
        }
    }))
}
