//! The drivers `plain` and `moonshot`: BMCs that speak IPMI 2.0 over RMCP+.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mrp_core::bmc::{
    Bmc, BmcConfig, BmcError, BootDevice, BootOverride, Capabilities, Console, Node, OpenBmc, Power,
    PowerAction,
};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use super::options::{self, MOONSHOT, Options, PLAIN, Quirks};
use super::wire::chassis_control::ChassisControl;
use super::wire::get_chassis_status::GetChassisStatus;
use super::wire::set_session_privilege::level;
use super::wire::system_boot_options::{
    BOOT_INFO_FOR_BIOS, BootFlags, GetSystemBootOptions, NO_EXPIRY, SET_COMPLETE, SET_IN_PROGRESS,
    SetSystemBootOptions, parameter,
};
use super::wire::{Message, completion_code};

mod console;
mod failure;
mod link;

use failure::CallError;
use link::{Link, Repeat, Target};

/// A node that the BMC is just cycling may still report "off"; so long it is given to come on by itself.
const CYCLE_PAUSE: Duration = Duration::from_millis(500);

/// A kind of IPMI BMC, as it is named in a BMC's configuration. What is different about it is data.
pub trait IpmiKind: fmt::Debug + Send + Sync + 'static {
    /// The driver's name.
    const DRIVER: &'static str;
    /// What is different.
    const QUIRKS: Quirks;
}

/// A BMC with one machine, or with one that its option `bridge` leads to.
#[derive(Debug)]
pub enum Plain {}

impl IpmiKind for Plain {
    const DRIVER: &'static str = "plain";
    const QUIRKS: Quirks = PLAIN;
}

/// An HP Moonshot chassis.
#[derive(Debug)]
pub enum Moonshot {}

impl IpmiKind for Moonshot {
    const DRIVER: &'static str = "moonshot";
    const QUIRKS: Quirks = MOONSHOT;
}

/// The driver `plain`. The node's own address is not used, since there is only one node.
pub type IpmiBmc = Ipmi<Plain>;
/// The driver `moonshot`. The node's address is the cartridge's number.
pub type MoonshotBmc = Ipmi<Moonshot>;

/// An IPMI 2.0 BMC. One session is kept and shared; concurrent calls queue for it. Each open console has a session beside it.
#[derive(Debug)]
pub struct Ipmi<M> {
    kind: PhantomData<M>,
    target: Arc<Target>,
    link: Mutex<Link>,
    consoles: std::sync::Mutex<JoinSet<()>>,
    /// Ends the consoles: when it changes, and when the driver is dropped.
    closing: watch::Sender<()>,
}

#[async_trait]
impl<M: IpmiKind> OpenBmc for Ipmi<M> {
    const DRIVER: &'static str = M::DRIVER;

    fn options() -> serde_json::Value {
        options::schema(M::QUIRKS)
    }

    async fn open(config: BmcConfig) -> Result<Self, BmcError> {
        let (options, login) = options::read(&config, M::QUIRKS)?;
        let address = options::address(&config.address)?;
        let target = Arc::new(Target { address, login: Arc::new(login), options });
        let link = Mutex::new(Link::new(target.clone()));
        let (consoles, closing) = (std::sync::Mutex::default(), watch::Sender::default());
        Ok(Self { kind: PhantomData, target, link, consoles, closing })
    }
}

#[async_trait]
impl<M: IpmiKind> Bmc for Ipmi<M> {
    fn capabilities(&self) -> Capabilities {
        let reset = !M::QUIRKS.reset_is_cycle;
        Capabilities { reset, soft_power: true, set_boot: true, read_boot: true, console: true }
    }

    fn check_node(&self, node: &Node) -> Result<(), BmcError> {
        self.target.options.route(&node.0).map(|_| ())
    }

    async fn power(&self, node: &Node) -> Result<Power, BmcError> {
        const OPERATION: &str = "reading the power state";
        self.bounded(node, OPERATION, async |link| read_power(link).await).await
    }

    async fn set_power(&self, node: &Node, action: PowerAction) -> Result<(), BmcError> {
        let action = match action {
            PowerAction::Reset if M::QUIRKS.reset_is_cycle => PowerAction::Cycle,
            action => action,
        };
        self.bounded(node, action.operation(), async |link| change_power(link, action).await).await
    }

    async fn set_boot(&self, node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        let options = &self.target.options;
        let flags = boot.map_or_else(BootFlags::default, |boot| flags_of(boot, options.efi_disk_selector));
        let write = async |link: &mut Link| write_boot(link, flags, options).await;
        self.bounded(node, "setting the boot device", write).await
    }

    async fn boot(&self, node: &Node) -> Result<Option<BootOverride>, BmcError> {
        let flags = self.bounded(node, "reading the boot device", async |link| read_boot(link).await).await?;
        if !flags.is_valid() || flags.device() == 0 {
            return Ok(None);
        }
        let unknown = BmcError::Unsupported("reading back a boot device other than pxe, disk and bios");
        override_of(self.by_the_specification(flags)).map(Some).ok_or(unknown)
    }

    async fn open_console(&self, node: &Node) -> Result<Console, BmcError> {
        const OPERATION: &str = "opening the serial console";
        let open = async |link: &mut Link| Ok(link.for_console());
        let link = self.bounded(node, OPERATION, open).await?;
        let opening = console::open(link, self.target.clone(), self.closing.subscribe());
        let (console, carrier) = self.in_time(OPERATION, opening).await?;
        let mut consoles = self.consoles();
        while consoles.try_join_next().is_some() {}
        consoles.spawn(carrier);
        drop(consoles);
        Ok(console)
    }

    async fn reset_console(&self, node: &Node) -> Result<(), BmcError> {
        let privilege = self.target.login.privilege;
        self.bounded(node, "resetting the serial console", async |link| console::reset(link, privilege).await)
            .await
    }

    async fn close(&self) {
        self.closing.send_replace(());
        let close = async {
            let mut consoles = std::mem::take(&mut *self.consoles());
            while consoles.join_next().await.is_some() {}
            self.link.lock().await.close().await;
        };
        // Behind a call that hangs: the BMC ends the session by itself when it is idle.
        let _ = tokio::time::timeout(self.target.options.limit, close).await;
    }
}

impl<M> Drop for Ipmi<M> {
    fn drop(&mut self) {
        // They end by themselves, and tell the BMC so.
        self.consoles().detach_all();
    }
}

impl<M> Ipmi<M> {
    /// Boot flags with the specification's selector in the place of the BMC's own.
    fn by_the_specification(&self, flags: BootFlags) -> BootFlags {
        let is_efi = flags.data1 & BootFlags::EFI != 0;
        if is_efi && flags.device() == self.target.options.efi_disk_selector {
            return BootFlags { data2: BootFlags::DISK, ..flags };
        }
        flags
    }

    fn consoles(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.consoles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the session, does something with it, and puts a bound on both.
    async fn bounded<T>(
        &self,
        node: &Node,
        operation: &'static str,
        act: impl AsyncFnOnce(&mut Link) -> Result<T, CallError>,
    ) -> Result<T, BmcError> {
        let route = self.target.options.route(&node.0)?;
        let call = async {
            let mut link = self.link.lock().await;
            link.set_route(route);
            act(&mut link).await
        };
        self.in_time(operation, call).await
    }

    /// Puts a bound on a call and says what it was.
    async fn in_time<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, BmcError> {
        let address = &self.target.address;
        match tokio::time::timeout(self.target.options.limit, call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => match error.into_error(address, operation) {
                BmcError::Timeout { address, .. } => Err(BmcError::Timeout { address, operation }),
                error => Err(error),
            },
            Err(_) => Err(BmcError::Timeout { address: address.clone(), operation }),
        }
    }
}

async fn read_power(link: &mut Link) -> Result<Power, CallError> {
    let status = link.execute(&GetChassisStatus, level::USER, Repeat::Harmless).await?;
    Ok(if status.is_on() { Power::On } else { Power::Off })
}

async fn change_power(link: &mut Link, action: PowerAction) -> Result<(), CallError> {
    match action {
        PowerAction::On => reach(link, ChassisControl::PowerUp, Power::On).await,
        PowerAction::Off => reach(link, ChassisControl::PowerDown, Power::Off).await,
        PowerAction::Cycle => restart(link, ChassisControl::PowerCycle).await,
        PowerAction::Reset => restart(link, ChassisControl::HardReset).await,
        PowerAction::Soft if read_power(link).await? == Power::Off => Ok(()),
        PowerAction::Soft => {
            link.execute(&ChassisControl::SoftShutdown, level::OPERATOR, Repeat::Never).await.map(|_| ())
        }
    }
}

/// Switches on or off. Some BMCs refuse what is the case already.
async fn reach(link: &mut Link, control: ChassisControl, wanted: Power) -> Result<(), CallError> {
    match link.execute(&control, level::OPERATOR, Repeat::Harmless).await {
        Ok(_) => Ok(()),
        Err(CallError::Completion(code @ (completion_code::NOT_IN_PRESENT_STATE | 0xff))) => {
            let reached = read_power(link).await? == wanted;
            if reached { Ok(()) } else { Err(CallError::Completion(code)) }
        }
        Err(error) => Err(error),
    }
}

/// Cycle or reset: never sent twice, since the second one would come in the middle of the boot that the first one began.
async fn restart(link: &mut Link, control: ChassisControl) -> Result<(), CallError> {
    if read_power(link).await? == Power::Off {
        return reach(link, ChassisControl::PowerUp, Power::On).await;
    }
    match link.execute(&control, level::OPERATOR, Repeat::Never).await {
        Ok(_) => Ok(()),
        Err(CallError::Bmc(lost @ BmcError::Timeout { .. })) => {
            if read_power(link).await? == Power::On {
                return Err(lost.into());
            }
            tokio::time::sleep(CYCLE_PAUSE).await;
            reach(link, ChassisControl::PowerUp, Power::On).await
        }
        Err(error) => Err(error),
    }
}

/// Parameter 5, with what should go along with it. Many BMCs lack parameters 0, 3 and 4, which does no harm.
async fn write_boot(link: &mut Link, flags: BootFlags, options: &Options) -> Result<(), CallError> {
    if options.boot_expiry_off {
        best_effort(link, parameter::BOOT_FLAG_VALID_BIT_CLEARING, &NO_EXPIRY).await?;
    }
    let mut begun = false;
    if options.boot_handshake {
        begun = best_effort(link, parameter::SET_IN_PROGRESS, &SET_IN_PROGRESS).await?;
        best_effort(link, parameter::BOOT_INFO_ACKNOWLEDGE, &BOOT_INFO_FOR_BIOS).await?;
    }
    let set = SetSystemBootOptions::new(parameter::BOOT_FLAGS, flags.to_bytes());
    let outcome = link.execute(&set, level::OPERATOR, Repeat::Harmless).await;
    if begun {
        best_effort(link, parameter::SET_IN_PROGRESS, &SET_COMPLETE).await?;
    }
    outcome.map(|_| ())
}

/// True if the BMC took the parameter.
async fn best_effort(link: &mut Link, parameter: u8, data: &[u8]) -> Result<bool, CallError> {
    let set = SetSystemBootOptions::new(parameter, data);
    match link.execute(&set, level::OPERATOR, Repeat::Harmless).await {
        Ok(_) => Ok(true),
        Err(CallError::Completion(completion_code::INSUFFICIENT_PRIVILEGE)) => {
            Err(CallError::Completion(completion_code::INSUFFICIENT_PRIVILEGE))
        }
        Err(CallError::Completion(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn read_boot(link: &mut Link) -> Result<BootFlags, CallError> {
    let get = GetSystemBootOptions::new(parameter::BOOT_FLAGS);
    let option = link.execute(&get, level::OPERATOR, Repeat::Harmless).await?;
    if option.parameter_invalid {
        return Ok(BootFlags::default());
    }
    let mut data = option.data;
    // Some BMCs leave out the bytes at the end, which say nothing of the device.
    data.resize(data.len().max(5), 0);
    Ok(BootFlags::decode(&data).expect("five bytes are boot flags"))
}

fn flags_of(boot: BootOverride, efi_disk_selector: u8) -> BootFlags {
    let persistent = if boot.persistent { BootFlags::PERSISTENT } else { 0 };
    let efi = if boot.efi { BootFlags::EFI } else { 0 };
    let data2 = match boot.device {
        BootDevice::Pxe => BootFlags::PXE,
        BootDevice::Disk if boot.efi => efi_disk_selector,
        BootDevice::Disk => BootFlags::DISK,
        BootDevice::Bios => BootFlags::BIOS,
    };
    BootFlags { data1: BootFlags::VALID | persistent | efi, data2, ..BootFlags::default() }
}

/// The override that flags mean. `None` for a device that mrp has no name for.
pub(crate) fn override_of(flags: BootFlags) -> Option<BootOverride> {
    let device = match flags.device() {
        BootFlags::PXE => BootDevice::Pxe,
        BootFlags::DISK => BootDevice::Disk,
        BootFlags::BIOS => BootDevice::Bios,
        _ => return None,
    };
    let efi = flags.data1 & BootFlags::EFI != 0;
    Some(BootOverride { device, efi, persistent: flags.data1 & BootFlags::PERSISTENT != 0 })
}
