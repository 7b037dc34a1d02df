//! The drivers pass the suite of the core, and the suite notices a driver that does not.

mod support;

use std::time::Duration;

use async_trait::async_trait;
use mrp_bmc::decorators::TimeoutBmc;
use mrp_bmc::sim::SimConfig;
use mrp_core::bmc::{Bmc, BmcError, BootOverride, Capabilities, Console, Node, Power, PowerAction};
use mrp_core::conformance::{Verdict, bmc};
use serde_json::json;
use support::{driver, driver_with, simulator};

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
    RefusesOff,
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
    inner: mrp_bmc::IpmiBmc,
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
        self.inner.power(node).await
    }

    async fn set_power(&self, node: &Node, action: PowerAction) -> Result<(), BmcError> {
        match (self.defect, action) {
            (Defect::RefusesOff, PowerAction::Off) if self.inner.power(node).await? == Power::Off => {
                Err(BmcError::Busy { address: "bmc".into(), reason: "it is off already".into() })
            }
            _ => self.inner.set_power(node, action).await,
        }
    }

    async fn set_boot(&self, node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        match (self.defect, boot) {
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

#[tokio::test]
async fn a_broken_driver_fails_the_case_that_names_its_defect() {
    let expected = [
        (Defect::RefusesOff, "off when off is no error"),
        (Defect::DropsEfi, "each boot device is read back, EFI and legacy"),
        (Defect::NeverClears, "the boot device can be cleared"),
        (Defect::SoftUndeclared, "soft shutdown is unsupported unless declared"),
        (Defect::BootUndeclared, "setting the boot device is unsupported unless declared"),
        (Defect::StaysClosed, "a call after close opens a session anew"),
        (Defect::ConsoleShared, "a second console is told that it is taken"),
        (Defect::ConsoleKept, "resetting the console frees it and tells its holder"),
    ];
    for (defect, name) in expected {
        let simulator = simulator(SimConfig::default()).await;
        let inner = driver(simulator.local_addr()).await;
        let broken = Broken { inner, defect, closed: false.into() };
        let case = bmc::BMC.iter().find(|case| case.name == name).unwrap();
        assert!((case.applies)(broken.capabilities()), "{name} applies");
        let outcome = (case.run)(&broken, &Node::default()).await;
        assert!(outcome.is_err(), "{defect:?} passes {name:?}");
        let sound = driver(simulator.local_addr()).await;
        if (case.applies)(sound.capabilities()) {
            assert_eq!((case.run)(&sound, &Node::default()).await, Ok(()), "{name:?} without {defect:?}");
        }
    }
}

#[tokio::test]
async fn the_report_names_what_was_skipped_and_what_failed() {
    let simulator = simulator(SimConfig::default()).await;
    let inner = driver(simulator.local_addr()).await;
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
