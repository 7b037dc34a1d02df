//! HP Moonshot: what its machines' addresses are, and what becomes of a cartridge that is not there.

mod support;

use mrp_bmc::sim::{Faults, SimConfig};
use mrp_core::bmc::{Bmc, BmcError, BootDevice, BootOverride, Node, Power, PowerAction};
use support::{driver, eventually, moonshot, read, simulator, type_in};

fn cartridge(number: u8) -> Node {
    Node(number.to_string())
}

fn chassis() -> SimConfig {
    SimConfig { cartridges: 3, max_sessions: 16, ..SimConfig::default() }
}

#[tokio::test]
async fn hp_moonshot_names_cartridges_by_number() {
    let sim = simulator(chassis()).await;
    let bmc = moonshot(sim.local_addr()).await;
    assert!(bmc.check_node(&cartridge(1)).is_ok());
    for wrong in ["", "0", "c1", "-1", "64"] {
        let node = Node(wrong.into());
        let error = bmc.check_node(&node).unwrap_err();
        assert!(matches!(error, BmcError::Config(_)), "{error}");
        assert!(error.to_string().contains("cartridge's number from 1 to 63"), "{error}");
        assert!(bmc.power(&node).await.is_err(), "nor is it asked");
    }
    assert_eq!(sim.requests(), 0);
    let plain = driver(sim.local_addr()).await;
    assert!(plain.check_node(&Node("anything".into())).is_ok(), "one machine needs no name");
}

#[tokio::test]
async fn hp_moonshot_has_no_reset_line() {
    let sim = simulator(SimConfig { power: Power::On, ..chassis() }).await;
    let bmc = moonshot(sim.local_addr()).await;
    assert!(!bmc.capabilities().reset);
    let mut events = sim.cartridge(2).events();
    bmc.set_power(&cartridge(2), PowerAction::Reset).await.unwrap();
    let happened = [events.recv().await.unwrap(), events.recv().await.unwrap()];
    assert!(format!("{happened:?}").starts_with("[Off, On"), "{happened:?}");
}

#[tokio::test]
async fn cartridges_are_apart() {
    let sim = simulator(chassis()).await;
    let bmc = moonshot(sim.local_addr()).await;
    let pxe = BootOverride { device: BootDevice::Pxe, efi: true, persistent: false };
    bmc.set_boot(&cartridge(3), Some(pxe)).await.unwrap();
    assert_eq!([1, 2, 3].map(|number| sim.cartridge(number).boot()), [None, None, Some(pxe)]);
    bmc.set_power(&cartridge(1), PowerAction::On).await.unwrap();
    assert_eq!(
        [0, 1, 2, 3].map(|number| sim.cartridge(number).power() == Power::On),
        [false, true, false, false]
    );
    assert_eq!(bmc.power(&cartridge(2)).await.unwrap(), Power::Off);
    assert_eq!(sim.logins(), 1, "one session for all cartridges");
}

/// SOL packets name no node, so each console has a session of its own.
#[tokio::test]
async fn each_cartridge_has_its_console() {
    let sim = simulator(SimConfig { power: Power::On, ..chassis() }).await;
    let bmc = moonshot(sim.local_addr()).await;
    let mut first = bmc.open_console(&cartridge(1)).await.unwrap();
    let mut second = bmc.open_console(&cartridge(2)).await.unwrap();
    type_in(&first, "one").await;
    type_in(&second, "two").await;
    assert_eq!(read(&mut second, 3).await, b"two");
    assert_eq!(read(&mut first, 3).await, b"one");
    let error = bmc.open_console(&cartridge(1)).await.unwrap_err();
    assert!(matches!(error, BmcError::ConsoleTaken { .. }), "{error}");
    drop(first);
    eventually("its console is closed", || !sim.cartridge(1).console_is_open()).await;
    assert!(sim.cartridge(2).console_is_open());
}

#[tokio::test]
async fn a_cartridge_that_is_not_there_is_named_and_harms_nobody() {
    let sim = simulator(chassis()).await;
    let bmc = moonshot(sim.local_addr()).await;
    let error = bmc.power(&cartridge(9)).await.unwrap_err();
    assert!(matches!(error, BmcError::Config(_)), "{error}");
    assert!(error.to_string().contains("no node at 0x92"), "{error}");
    bmc.power(&cartridge(1)).await.unwrap();
    assert_eq!(sim.logins(), 1, "the session goes on");
}

#[tokio::test]
async fn a_bad_network_does_not_confuse_the_two_answers() {
    let sim = simulator(chassis()).await;
    let faults = Faults { loss: 0.2, duplicated: 0.3, reordered: 0.3, ..Faults::default() };
    sim.set_faults(faults);
    let options = serde_json::json!({"retry_ms": 10, "tries": 40, "timeout_ms": 60_000});
    let config = support::config(sim.local_addr(), options);
    let bmc = <mrp_bmc::MoonshotBmc as mrp_core::bmc::OpenBmc>::open(config).await.unwrap();
    for round in 0..10 {
        let number = round % 3 + 1;
        bmc.set_power(&cartridge(number), PowerAction::On).await.unwrap();
        assert_eq!(bmc.power(&cartridge(number)).await.unwrap(), Power::On);
        bmc.set_power(&cartridge(number), PowerAction::Off).await.unwrap();
        assert_eq!(bmc.power(&cartridge(number)).await.unwrap(), Power::Off);
    }
}
