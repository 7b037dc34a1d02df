//! The driver passes the suite linked in, as a library in this process and in a process of its own; its mutants do not.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use mrp_bmc::plugin::{Carrier, Linked, Plugin};
use mrp_bmc::sim::{BmcSimulator, SimConfig};
use mrp_core::bmc::{
    Bmc, BmcConfig, BmcError, BootOverride, Capabilities, Drivers, Node, OpenBmc, Power, PowerAction,
};
use mrp_core::conformance::{Report, Verdict, bmc};
use mrp_redfish::RedfishBmc;
use serde_json::{Value, json};

use crate::support::plugins::{isolated, limits};
use crate::support::service::{Shape, Tasks};
use crate::support::sim::Simulator;
use crate::support::{config, open};

/// The library that cargo has made, as a dependency of this test.
fn library() -> PathBuf {
    // It is linked against, so that cargo makes it anew when it changes.
    let _ = redfish::mrp_bmc_driver_v1;
    std::env::current_exe().unwrap().parent().unwrap().join("libredfish.so")
}

/// A service with a console, which a BMC that speaks IPMI carries.
async fn with_console() -> (Simulator, BmcSimulator) {
    let running = SimConfig { power: Power::On, ..SimConfig::default() };
    let ipmi = BmcSimulator::start(([127, 0, 0, 1], 0).into(), running).await.unwrap();
    let console = json!({"IPMI": {"ServiceEnabled": true, "Port": ipmi.local_addr().port()}});
    let shape = Shape { system: json!({"SerialConsole": console}), ..Shape::default() };
    (Simulator::start(shape).await, ipmi)
}

fn console_options() -> Value {
    json!({"console": "ipmi", "ipmi": {"retry_ms": 1000, "tries": 4}})
}

#[tokio::test]
async fn it_passes_linked() {
    let (simulator, ipmi) = with_console().await;
    let bmc = open(&simulator, console_options()).await;
    let report = bmc::run(&bmc, &Node::default()).await;
    assert!(report.passed(), "{report}");
    bmc.close().await;
    assert_eq!((simulator.lock().tokens.len(), ipmi.sessions()), (0, 0), "the sessions were closed");
}

async fn passes_behind(carrier: Carrier) {
    let (simulator, ipmi) = with_console().await;
    let plugin = Plugin::start(&library(), carrier, limits()).await.unwrap();
    let mut drivers = Drivers::new();
    plugin.register(&mut drivers).unwrap();
    let bmc = drivers.open("redfish", config(&simulator, console_options())).await.unwrap();
    let report = bmc::run(&*bmc, &Node::default()).await;
    assert!(report.passed(), "{report}");
    assert_eq!(plugin.strays().await, 0, "each call is answered once");
    bmc.close().await;
    assert_eq!((simulator.lock().tokens.len(), ipmi.sessions()), (0, 0), "the sessions were closed");
}

#[tokio::test]
async fn it_passes_in_process() {
    passes_behind(Carrier::InProcess).await;
}

#[tokio::test]
async fn it_passes_isolated() {
    passes_behind(isolated()).await;
}

#[tokio::test]
async fn it_passes_without_a_console_with_basic_authentication_and_with_tasks() {
    let shape = Shape { sessions: false, tasks: Some(Tasks::Monitor(1)), ..Shape::default() };
    let simulator = Simulator::start(shape).await;
    let report = bmc::run(&open(&simulator, json!({"auth": "basic"})).await, &Node::default()).await;
    assert!(report.passed(), "{report}");
    let skipped = ("the console shows what is typed", Verdict::Skipped("console"));
    assert!(report.0.contains(&skipped), "{report}");
}

const POWER_IGNORED: u8 = 1;
const BOOT_NOT_STORED: u8 = 2;
const CONSOLE_UNDECLARED: u8 = 3;

/// The driver with one thing broken.
#[derive(Debug)]
struct Mutant<const DEFECT: u8>(RedfishBmc);

#[async_trait]
impl<const DEFECT: u8> OpenBmc for Mutant<DEFECT> {
    const DRIVER: &'static str = "mutant";

    fn options() -> Value {
        RedfishBmc::options()
    }

    async fn open(config: BmcConfig) -> Result<Self, BmcError> {
        RedfishBmc::open(config).await.map(Self)
    }
}

#[async_trait]
impl<const DEFECT: u8> Bmc for Mutant<DEFECT> {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn power(&self, node: &Node) -> Result<Power, BmcError> {
        self.0.power(node).await
    }

    async fn set_power(&self, node: &Node, action: PowerAction) -> Result<(), BmcError> {
        match (DEFECT, action) {
            (POWER_IGNORED, PowerAction::Off) => Ok(()),
            _ => self.0.set_power(node, action).await,
        }
    }

    async fn set_boot(&self, node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        if DEFECT == BOOT_NOT_STORED { Ok(()) } else { self.0.set_boot(node, boot).await }
    }

    async fn boot(&self, node: &Node) -> Result<Option<BootOverride>, BmcError> {
        self.0.boot(node).await
    }

    async fn reset_console(&self, node: &Node) -> Result<(), BmcError> {
        if DEFECT == CONSOLE_UNDECLARED { Ok(()) } else { self.0.reset_console(node).await }
    }
}

/// The suite names the case, for the mutant as it is and behind the C ABI, and only where the defect is.
async fn is_named<const DEFECT: u8>(case: &str) {
    let linked = Carrier::Linked(Linked::of::<Mutant<DEFECT>>());
    let plugin = Plugin::start(std::path::Path::new("mutant"), linked, limits()).await.unwrap();
    let [one, other] = [Simulator::start(Shape::default()).await, Simulator::start(Shape::default()).await];
    let behind = plugin.open(config(&one, json!({}))).await.unwrap();
    let direct = Mutant::<DEFECT>::open(config(&other, json!({}))).await.unwrap();
    let failed = |report: &Report| {
        let mut verdicts = report.0.iter();
        verdicts.any(|(name, verdict)| *name == case && matches!(verdict, Verdict::Failed(_)))
    };
    // The machines change at once; only a mutant uses it up.
    let patience = Duration::from_secs(1);
    let node = Node::default();
    let reports =
        tokio::join!(bmc::run_within(patience, &direct, &node), bmc::run_within(patience, &behind, &node));
    for report in [reports.0, reports.1] {
        assert!(failed(&report), "{case:?} is not named\n{report}");
    }
    let sound = bmc::run_within(patience, &direct.0, &Node::default()).await;
    assert!(!failed(&sound), "{sound}");
}

#[tokio::test]
async fn a_mutant_that_ignores_power_is_named() {
    is_named::<POWER_IGNORED>("off switches off").await;
}

#[tokio::test]
async fn a_mutant_that_loses_the_boot_device_is_named() {
    is_named::<BOOT_NOT_STORED>("each boot device is read back, EFI and legacy").await;
}

#[tokio::test]
async fn a_mutant_that_does_what_it_does_not_declare_is_named() {
    is_named::<CONSOLE_UNDECLARED>("the console is unsupported unless declared").await;
}
