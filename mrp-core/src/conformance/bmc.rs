//! What every [`Bmc`] has to pass.
//!
//! The suite switches the node on and off and changes its boot device, so it wants a node that nobody uses. It gives
//! hardware time: a command is accepted long before the node has reached the state.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Failure, Report, Verdict, ensure};
use crate::bmc::{Bmc, BmcError, BootDevice, BootOverride, Capabilities, Node, Power, PowerAction};

mod console;

/// How long a node may take to reach a power state, unless [`run_within`] says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a node is watched that must not change.
const WATCH: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(100);

tokio::task_local! {
    static GIVEN: Duration;
}

type Outcome<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// One property of a BMC.
pub struct Case {
    /// What holds, in words.
    pub name: &'static str,
    /// Whether the case applies to a driver with these capabilities.
    pub applies: fn(Capabilities) -> bool,
    /// The capability that `applies` asks for, for the report.
    pub capability: &'static str,
    /// Checks it on a node.
    pub run: for<'a> fn(&'a dyn Bmc, &'a Node) -> Outcome<'a>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("capability", &self.capability).finish()
    }
}

macro_rules! cases {
    ($($name:literal if $capability:literal ($applies:expr) => $run:path,)*) => {
        &[$(Case {
            name: $name,
            applies: $applies,
            capability: $capability,
            run: |bmc, node| Box::pin($run(bmc, node)),
        },)*]
    };
}

/// All cases, in the order in which they run.
pub const BMC: &[Case] = cases! {
    "the power state can be read" if "power" (|_| true) => status,
    "on switches on" if "power" (|_| true) => on,
    "on when on is no error" if "power" (|_| true) => on_when_on,
    "off switches off" if "power" (|_| true) => off,
    "off when off is no error" if "power" (|_| true) => off_when_off,
    "cycle ends with the node on" if "power" (|_| true) => cycle,
    "cycle when off switches on" if "power" (|_| true) => cycle_when_off,
    "reset leaves the node on" if "reset" (|it| it.reset) => reset,
    "reset when off switches on" if "reset" (|it| it.reset) => reset_when_off,
    "soft shutdown is accepted" if "soft_power" (|it| it.soft_power) => soft,
    "soft shutdown is unsupported unless declared" if "the lack of soft_power" (|it| !it.soft_power) => soft_undeclared,
    "each boot device is read back, EFI and legacy" if "set_boot with read_boot" (reads_back) => boot_devices,
    "a persistent boot device is read back as such" if "set_boot with read_boot" (reads_back) => boot_persistent,
    "the boot device can be cleared" if "set_boot with read_boot" (reads_back) => boot_cleared,
    "setting the boot device is accepted" if "set_boot" (|it| it.set_boot) => boot_accepted,
    "setting the boot device is unsupported unless declared" if "the lack of set_boot" (|it| !it.set_boot) => set_boot_undeclared,
    "reading the boot device is unsupported unless declared" if "the lack of read_boot" (|it| !it.read_boot) => boot_undeclared,
    "the console shows what is typed" if "console" (|it| it.console) => console::echoes,
    "the console takes a break and goes on" if "console" (|it| it.console) => console::takes_breaks,
    "a second console is told that it is taken" if "console" (|it| it.console) => console::second_is_refused,
    "resetting the console frees it and tells its holder" if "console" (|it| it.console) => console::reset_frees,
    "resetting a closed console is no error" if "console" (|it| it.console) => console::reset_when_closed,
    "a console that is dropped is closed" if "console" (|it| it.console) => console::drop_closes,
    "close ends consoles" if "console" (|it| it.console) => console::close_ends,
    "the console is unsupported unless declared" if "the lack of console" (|it| !it.console) => console_undeclared,
    "concurrent calls all succeed" if "power" (|_| true) => concurrent,
    "a call after close opens a session anew" if "power" (|_| true) => after_close,
};

/// Runs all cases that apply and leaves the node off.
pub async fn run(bmc: &dyn Bmc, node: &Node) -> Report {
    run_within(PATIENCE, bmc, node).await
}

/// The same for a node that reaches each power state within so much time.
pub async fn run_within(patience: Duration, bmc: &dyn Bmc, node: &Node) -> Report {
    GIVEN.scope(patience, run_cases(bmc, node)).await
}

async fn run_cases(bmc: &dyn Bmc, node: &Node) -> Report {
    let capabilities = bmc.capabilities();
    let mut report = Report::default();
    for case in BMC {
        let verdict = if !(case.applies)(capabilities) {
            Verdict::Skipped(case.capability)
        } else {
            match (case.run)(bmc, node).await {
                Ok(()) => Verdict::Passed,
                Err(failure) => Verdict::Failed(failure),
            }
        };
        report.0.push((case.name, verdict));
    }
    // What it was asked to leave behind is no case; the cases above have told if it cannot switch off.
    let _ = bmc.set_power(node, PowerAction::Off).await;
    bmc.close().await;
    report
}

fn reads_back(capabilities: Capabilities) -> bool {
    capabilities.set_boot && capabilities.read_boot
}

async fn status(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    bmc.power(node).await?;
    Ok(())
}

async fn on(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::Off, Power::Off).await?;
    reach(bmc, node, PowerAction::On, Power::On).await
}

async fn on_when_on(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::On, Power::On).await?;
    reach(bmc, node, PowerAction::On, Power::On).await?;
    stays(bmc, node, Power::On, "on when on").await
}

async fn off(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::On, Power::On).await?;
    reach(bmc, node, PowerAction::Off, Power::Off).await
}

async fn off_when_off(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::Off, Power::Off).await?;
    reach(bmc, node, PowerAction::Off, Power::Off).await?;
    stays(bmc, node, Power::Off, "off when off").await
}

async fn cycle(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::On, Power::On).await?;
    bmc.set_power(node, PowerAction::Cycle).await?;
    settles(bmc, node, "cycle").await
}

async fn cycle_when_off(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::Off, Power::Off).await?;
    reach(bmc, node, PowerAction::Cycle, Power::On).await
}

async fn reset(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::On, Power::On).await?;
    bmc.set_power(node, PowerAction::Reset).await?;
    settles(bmc, node, "reset").await
}

async fn reset_when_off(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::Off, Power::Off).await?;
    reach(bmc, node, PowerAction::Reset, Power::On).await
}

/// Whether the node goes off is its operating system's affair, so only the two answers are checked.
async fn soft(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::On, Power::On).await?;
    bmc.set_power(node, PowerAction::Soft).await?;
    reach(bmc, node, PowerAction::Off, Power::Off).await?;
    bmc.set_power(node, PowerAction::Soft).await?;
    Ok(())
}

async fn soft_undeclared(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::On, Power::On).await?;
    unsupported("soft shutdown", bmc.set_power(node, PowerAction::Soft).await)
}

async fn boot_devices(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    for device in [BootDevice::Pxe, BootDevice::Disk, BootDevice::Bios] {
        for efi in [true, false] {
            read_back(bmc, node, Some(BootOverride { device, efi, persistent: false })).await?;
        }
    }
    Ok(())
}

async fn boot_persistent(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    let device = BootDevice::Disk;
    read_back(bmc, node, Some(BootOverride { device, efi: true, persistent: true })).await?;
    read_back(bmc, node, Some(BootOverride { device, efi: true, persistent: false })).await
}

async fn boot_cleared(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    let pxe = BootOverride { device: BootDevice::Pxe, efi: true, persistent: true };
    read_back(bmc, node, Some(pxe)).await?;
    read_back(bmc, node, None).await
}

async fn boot_accepted(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    let pxe = BootOverride { device: BootDevice::Pxe, efi: false, persistent: false };
    bmc.set_boot(node, Some(pxe)).await?;
    bmc.set_boot(node, None).await?;
    Ok(())
}

async fn set_boot_undeclared(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    unsupported("setting the boot device", bmc.set_boot(node, None).await)
}

async fn boot_undeclared(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    unsupported("reading the boot device", bmc.boot(node).await)
}

async fn console_undeclared(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    unsupported("opening the console", bmc.open_console(node).await)?;
    unsupported("resetting the console", bmc.reset_console(node).await)
}

async fn concurrent(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    reach(bmc, node, PowerAction::On, Power::On).await?;
    for power in join_all((0..8).map(|_| bmc.power(node))).await {
        let power = power?;
        ensure(power == Power::On, || {
            format!("one of 8 concurrent calls reports {power} for a node that is on")
        })?;
    }
    Ok(())
}

async fn after_close(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    bmc.power(node).await?;
    bmc.close().await;
    bmc.close().await;
    bmc.power(node).await?;
    Ok(())
}

/// Does something to the power and waits for the state that it leads to.
async fn reach(bmc: &dyn Bmc, node: &Node, action: PowerAction, wanted: Power) -> Result<(), Failure> {
    bmc.set_power(node, action).await?;
    let patience = patience();
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let power = bmc.power(node).await?;
        if power == wanted {
            return Ok(());
        }
        ensure(tokio::time::Instant::now() < deadline, || {
            let seconds = patience.as_secs();
            format!(
                "{action:?} was accepted, but after {seconds} s the node is {power} where {wanted} is expected"
            )
        })?;
        tokio::time::sleep(POLL).await;
    }
}

/// The node does not change for a while.
async fn stays(bmc: &dyn Bmc, node: &Node, wanted: Power, after: &str) -> Result<(), Failure> {
    let deadline = tokio::time::Instant::now() + WATCH;
    while tokio::time::Instant::now() < deadline {
        let power = bmc.power(node).await?;
        ensure(power == wanted, || format!("after {after} the node is {power} where {wanted} is expected"))?;
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The node is on, and still is a while later: a state "on" right after the command may be that before it.
async fn settles(bmc: &dyn Bmc, node: &Node, after: &str) -> Result<(), Failure> {
    let patience = patience();
    let deadline = tokio::time::Instant::now() + patience;
    let mut on_since = None;
    loop {
        let now = tokio::time::Instant::now();
        let power = bmc.power(node).await?;
        on_since = if power == Power::On { on_since.or(Some(now)) } else { None };
        if on_since.is_some_and(|since| now - since >= WATCH) {
            return Ok(());
        }
        ensure(now < deadline, || {
            format!("{after} was accepted, but {} s later the node is {power}", patience.as_secs())
        })?;
        tokio::time::sleep(POLL).await;
    }
}

/// What the run was given; a case that is run alone has the default.
fn patience() -> Duration {
    GIVEN.try_with(|given| *given).unwrap_or(PATIENCE)
}

async fn read_back(bmc: &dyn Bmc, node: &Node, wanted: Option<BootOverride>) -> Result<(), Failure> {
    bmc.set_boot(node, wanted).await?;
    let found = bmc.boot(node).await?;
    ensure(found == wanted, || format!("set {wanted:?}, read back {found:?}"))
}

fn unsupported<T>(what: &str, outcome: Result<T, BmcError>) -> Result<(), Failure> {
    match outcome {
        Err(BmcError::Unsupported(_)) => Ok(()),
        Ok(_) => Err(Failure(format!("{what} is not declared, but is answered with success"))),
        Err(error) => Err(Failure(format!("{what} is not declared, but fails with: {error}"))),
    }
}
