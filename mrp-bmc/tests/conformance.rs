//! The drivers pass the suite of the core, and the suite notices a driver that does not.

mod support;

use std::time::Duration;

use async_trait::async_trait;
use mrp_bmc::decorators::TimeoutBmc;
use mrp_bmc::sim::SimConfig;
use mrp_core::bmc::{Bmc, BmcError, BootOverride, Capabilities, Console, Node, Power, PowerAction};
use mrp_core::conformance::{Verdict, bmc};
use serde_json::json;
use support::{driver, driver_with, moonshot, simulator};

#[tokio::test]
async fn ipmi_passes_with_each_cipher_suite() {
    let suites = [1, 2, 3, 15, 16, 17];
    for suite in suites {
        let simulator = simulator(SimConfig { cipher_suites: suites.to_vec(), ..SimConfig::default() }).await;
        let driver = driver_with(simulator.local_addr(), json!({"cipher_suites": [suite]})).await;
        let report = bmc::run(&driver, &Node::default()).await;
        assert!(report.passed(), "suite {suite}\n{report}");
        assert_eq!(simulator.sessions(), 0, "the session was closed");
    }
}

#[tokio::test]
async fn ipmi_passes_with_slow_hardware() {
    let config = SimConfig {
        power_delay: Duration::from_millis(200),
        cycle_pause: Duration::from_millis(200),
        soft_delay: Duration::from_millis(200),
        ..SimConfig::default()
    };
    let simulator = simulator(config).await;
    let report = bmc::run(&driver(simulator.local_addr()).await, &Node::default()).await;
    assert!(report.passed(), "{report}");
}

/// A chassis whose cartridges do not disturb each other.
#[tokio::test]
async fn moonshot_passes_with_each_cartridge() {
    let simulator = simulator(SimConfig { cartridges: 3, ..SimConfig::default() }).await;
    let driver = moonshot(simulator.local_addr()).await;
    for number in 1..=3 {
        let report = bmc::run(&driver, &Node(number.to_string())).await;
        assert!(report.passed(), "cartridge {number}\n{report}");
        assert!(
            report.to_string().contains("skipped reset leaves the node on"),
            "a reset is a cycle: {report}"
        );
    }
    assert_eq!(simulator.sessions(), 0, "the sessions were closed");
}

/// A machine behind one step, as of a blade chassis.
#[tokio::test]
async fn a_bridge_of_one_step_passes() {
    let simulator = simulator(SimConfig { cartridges: 2, ..SimConfig::default() }).await;
    let mut events = simulator.cartridge(0).events();
    let steps = json!({"bridge": [{"channel": 0, "address": 0x84}], "retry_ms": 1000, "tries": 4});
    let report = bmc::run(&driver_with(simulator.local_addr(), steps).await, &Node::default()).await;
    assert!(report.passed(), "{report}");
    assert!(events.try_recv().is_err(), "nothing happens to the chassis itself");
}

#[tokio::test]
async fn the_timeout_decorator_passes() {
    let simulator = simulator(SimConfig::default()).await;
    let address = simulator.local_addr();
    let driver = TimeoutBmc::new(driver(address).await, address.to_string(), Duration::from_secs(30));
    let report = bmc::run(&driver, &Node::default()).await;
    assert!(report.passed(), "{report}");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    PowerIgnored,
    RefusesOff,
    BootNotStored,
    DropsEfi,
    NeverClears,
    SoftUndeclared,
    BootUndeclared,
    StaysClosed,
    ConsoleShared,
    ConsoleKept,
}

/// The driver with one thing broken.
#[derive(Debug)]
struct Broken {
    inner: Box<dyn Bmc>,
    defect: Defect,
    closed: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Bmc for Broken {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.soft_power &= self.defect != Defect::SoftUndeclared;
        if self.defect == Defect::BootUndeclared {
            capabilities.set_boot = false;
            capabilities.read_boot = false;
        }
        capabilities
    }

    async fn power(&self, node: &Node) -> Result<Power, BmcError> {
        if self.closed.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(BmcError::Unreachable { address: "closed".into() });
        }
        let power = self.inner.power(node).await?;
        if self.defect == Defect::PowerIgnored {
            // The suite waits a minute for hardware, which nobody has to do here.
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::time::resume();
        }
        Ok(power)
    }

    async fn set_power(&self, node: &Node, action: PowerAction) -> Result<(), BmcError> {
        match (self.defect, action) {
            (Defect::PowerIgnored, _) => Ok(()),
            (Defect::RefusesOff, PowerAction::Off) if self.inner.power(node).await? == Power::Off => {
                Err(BmcError::Busy { address: "bmc".into(), reason: "it is off already".into() })
            }
            _ => self.inner.set_power(node, action).await,
        }
    }

    async fn set_boot(&self, node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        match (self.defect, boot) {
            (Defect::BootNotStored, _) => Ok(()),
            (Defect::DropsEfi, Some(boot)) => {
                self.inner.set_boot(node, Some(BootOverride { efi: false, ..boot })).await
            }
            (Defect::NeverClears, None) => Ok(()),
            _ => self.inner.set_boot(node, boot).await,
        }
    }

    async fn boot(&self, node: &Node) -> Result<Option<BootOverride>, BmcError> {
        self.inner.boot(node).await
    }

    async fn open_console(&self, node: &Node) -> Result<Console, BmcError> {
        if self.defect == Defect::ConsoleShared {
            self.inner.reset_console(node).await?;
        }
        self.inner.open_console(node).await
    }

    async fn reset_console(&self, node: &Node) -> Result<(), BmcError> {
        if self.defect == Defect::ConsoleKept { Ok(()) } else { self.inner.reset_console(node).await }
    }

    async fn close(&self) {
        self.inner.close().await;
        self.closed.store(self.defect == Defect::StaysClosed, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Each defect with the case that has to find it.
const EXPECTED: &[(Defect, &str)] = &[
    (Defect::PowerIgnored, "on switches on"),
    (Defect::RefusesOff, "off when off is no error"),
    (Defect::BootNotStored, "each boot device is read back, EFI and legacy"),
    (Defect::DropsEfi, "each boot device is read back, EFI and legacy"),
    (Defect::NeverClears, "the boot device can be cleared"),
    (Defect::SoftUndeclared, "soft shutdown is unsupported unless declared"),
    (Defect::BootUndeclared, "setting the boot device is unsupported unless declared"),
    (Defect::StaysClosed, "a call after close opens a session anew"),
    (Defect::ConsoleShared, "a second console is told that it is taken"),
    (Defect::ConsoleKept, "resetting the console frees it and tells its holder"),
];

#[tokio::test]
async fn a_broken_plain_driver_fails_the_case_that_names_its_defect() {
    for (defect, name) in EXPECTED {
        let simulator = simulator(SimConfig::default()).await;
        let [broken, sound] = [driver(simulator.local_addr()).await, driver(simulator.local_addr()).await];
        finds(*defect, name, [Box::new(broken), Box::new(sound)], &Node::default()).await;
    }
}

#[tokio::test]
async fn a_broken_moonshot_driver_fails_the_case_that_names_its_defect() {
    for (defect, name) in EXPECTED {
        let simulator = simulator(SimConfig { cartridges: 2, ..SimConfig::default() }).await;
        let [broken, sound] =
            [moonshot(simulator.local_addr()).await, moonshot(simulator.local_addr()).await];
        finds(*defect, name, [Box::new(broken), Box::new(sound)], &Node("2".into())).await;
    }
}

/// The case fails with the defect and passes without it.
async fn finds(defect: Defect, name: &str, [inner, sound]: [Box<dyn Bmc>; 2], node: &Node) {
    let broken = Broken { inner, defect, closed: false.into() };
    let case = bmc::BMC.iter().find(|case| case.name == name).expect("the suite has the case");
    assert!((case.applies)(broken.capabilities()), "{name} applies");
    assert!((case.run)(&broken, node).await.is_err(), "{defect:?} passes {name:?}");
    broken.inner.close().await;
    if (case.applies)(sound.capabilities()) {
        assert_eq!((case.run)(&*sound, node).await, Ok(()), "{name:?} without {defect:?}");
    }
}

#[tokio::test]
async fn the_report_names_what_was_skipped_and_what_failed() {
    let simulator = simulator(SimConfig::default()).await;
    let inner = Box::new(driver(simulator.local_addr()).await);
    let broken = Broken { inner, defect: Defect::BootUndeclared, closed: false.into() };
    let report = bmc::run(&broken, &Node::default()).await;
    assert!(!report.passed());
    assert!(
        report.0.contains(&("setting the boot device is accepted", Verdict::Skipped("set_boot"))),
        "{report}"
    );
    let text = report.to_string();
    assert!(text.contains("FAILED  setting the boot device is unsupported unless declared"), "{text}");
}
