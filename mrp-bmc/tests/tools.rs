//! `ipmitool` and `ipmipower` switch the simulated BMC: it speaks the protocol that others speak, not only ours.
//!
//! Run by name (`make real`): they need the distribution's packages `ipmitool` and `freeipmi-tools`, and fail without.

mod support;

use std::net::SocketAddr;

use mrp_bmc::MoonshotBmc;
use mrp_bmc::sim::{BmcSimulator, SimConfig};
use mrp_core::bmc::{Bmc, BootDevice, BootOverride, ConsoleInput, Node, OpenBmc, Power, PowerAction};
use mrp_core::secret::Secret;
use support::{SolByIpmitool, eventually, simulator};
use tokio::process::Command;

/// The longest password that IPMI 2.0 allows.
const PASSWORD: &str = "twenty-bytes-exactly";

async fn bmc() -> BmcSimulator {
    simulator(SimConfig { password: Secret::new(PASSWORD), ..SimConfig::default() }).await
}

/// Runs a tool and returns what it prints; a failure is the test's.
async fn run(tool: &str, arguments: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = Command::new(tool);
    command.args(arguments).envs(env.iter().copied()).env("LC_ALL", "C").kill_on_drop(true);
    let output = command.output().await.unwrap_or_else(|error| panic!("{tool} does not start: {error}"));
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{tool} {arguments:?}: {text}");
    text
}

async fn ipmitool(address: SocketAddr, suite: &str, arguments: &[&str]) -> String {
    let port = address.port().to_string();
    let common = [
        "-I",
        "lanplus",
        "-H",
        "127.0.0.1",
        "-p",
        &port,
        "-U",
        "admin",
        "-E",
        "-C",
        suite,
        "-N",
        "5",
        "-R",
        "2",
    ];
    run("ipmitool", &[&common, arguments].concat(), &[("IPMI_PASSWORD", PASSWORD)]).await
}

#[tokio::test]
async fn ipmitool_switches_the_power_with_suites_17_and_3() {
    for suite in ["17", "3"] {
        let bmc = bmc().await;
        let address = bmc.local_addr();
        assert!(
            ipmitool(address, suite, &["chassis", "power", "status"]).await.contains("Chassis Power is off")
        );
        ipmitool(address, suite, &["chassis", "power", "on"]).await;
        assert_eq!(bmc.power(), Power::On, "suite {suite}");
        assert!(
            ipmitool(address, suite, &["chassis", "power", "status"]).await.contains("Chassis Power is on")
        );
        ipmitool(address, suite, &["chassis", "power", "cycle"]).await;
        ipmitool(address, suite, &["chassis", "power", "reset"]).await;
        assert_eq!(bmc.power(), Power::On);
        ipmitool(address, suite, &["chassis", "power", "soft"]).await;
        assert_eq!(bmc.power(), Power::Off);
        assert_eq!(bmc.sessions(), 0, "ipmitool's sessions were closed");
    }
}

#[tokio::test]
async fn ipmitool_sets_and_reads_the_boot_device() {
    for suite in ["17", "3"] {
        let bmc = bmc().await;
        let address = bmc.local_addr();
        ipmitool(address, suite, &["chassis", "bootdev", "pxe", "options=efiboot"]).await;
        assert_eq!(bmc.boot(), Some(BootOverride { device: BootDevice::Pxe, efi: true, persistent: false }));
        let read = ipmitool(address, suite, &["chassis", "bootparam", "get", "5"]).await;
        assert!(
            read.contains("Boot Flag Valid") && read.contains("Force PXE") && read.contains("BIOS EFI boot"),
            "{read}"
        );
        ipmitool(address, suite, &["chassis", "bootdev", "disk", "options=persistent"]).await;
        assert_eq!(bmc.boot(), Some(BootOverride { device: BootDevice::Disk, efi: false, persistent: true }));
        ipmitool(address, suite, &["chassis", "bootdev", "bios"]).await;
        assert_eq!(
            bmc.boot(),
            Some(BootOverride { device: BootDevice::Bios, efi: false, persistent: false })
        );
        ipmitool(address, suite, &["chassis", "bootdev", "none"]).await;
        assert_eq!(bmc.boot(), None);
    }
}

#[tokio::test]
async fn ipmitool_finds_what_it_asks_a_bmc_for() {
    let bmc = bmc().await;
    let address = bmc.local_addr();
    assert!(ipmitool(address, "17", &["mc", "info"]).await.contains("IPMI Version              : 2.0"));
    let ciphers = ipmitool(address, "17", &["channel", "getciphers", "ipmi"]).await;
    assert!(ciphers.contains("17") && ciphers.contains("hmac_sha256"), "{ciphers}");
    ipmitool(address, "17", &["mc", "guid"]).await;
    assert!(ipmitool(address, "17", &["channel", "info", "1"]).await.contains("802.3 LAN"));
}

#[tokio::test]
async fn ipmitool_has_the_console_and_hands_it_back() {
    for suite in ["17", "3"] {
        let bmc = bmc().await;
        let address = bmc.local_addr();
        let mut typed = bmc.typed();
        let mut sol = SolByIpmitool::start(address, suite, PASSWORD);
        sol.shows("SOL Session operational").await;
        ipmitool(address, suite, &["chassis", "power", "on"]).await;
        sol.shows("login: ").await;
        sol.type_in("root").await;
        sol.shows("login: root").await;
        let ConsoleInput::Bytes(first) = typed.recv().await.expect("it was typed") else {
            panic!("no break was typed");
        };
        assert_eq!(first[0], b'r');
        let mut second = SolByIpmitool::start(address, suite, PASSWORD);
        second.shows("SOL payload already active on another session").await;
        ipmitool(address, suite, &["sol", "deactivate"]).await;
        assert!(!bmc.console_is_open(), "suite {suite}");
        let mut third = SolByIpmitool::start(address, suite, PASSWORD);
        third.shows("SOL Session operational").await;
        third.type_in("\r~.").await;
        eventually("ipmitool closes the console", || !bmc.console_is_open()).await;
        let info = ipmitool(address, suite, &["sol", "info", "1"]).await;
        assert!(info.contains("115.2") && info.contains("Enabled                         : true"), "{info}");
    }
}

const CARTRIDGE_2: [&str; 8] = ["-B", "0", "-T", "0x84", "-b", "7", "-t", "0x72"];

#[tokio::test]
async fn ipmitool_switches_a_cartridge_of_the_chassis() {
    let password = Secret::new(PASSWORD);
    let chassis = simulator(SimConfig { password, cartridges: 3, ..SimConfig::default() }).await;
    let address = chassis.local_addr();
    let run = async |command: &[&str]| ipmitool(address, "17", &[&CARTRIDGE_2, command].concat()).await;
    assert!(run(&["chassis", "power", "status"]).await.contains("Chassis Power is off"));
    run(&["chassis", "bootdev", "pxe", "options=efiboot"]).await;
    run(&["chassis", "power", "on"]).await;
    assert!(run(&["chassis", "power", "status"]).await.contains("Chassis Power is on"));
    assert!(run(&["mc", "info"]).await.contains("IPMI Version              : 2.0"));
    let powers = [0, 1, 2, 3].map(|number| chassis.cartridge(number).power());
    assert_eq!(powers, [Power::Off, Power::Off, Power::On, Power::Off]);
    let single = ["-b", "0", "-t", "0x86", "chassis", "power", "on"];
    ipmitool(address, "17", &single).await;
    assert_eq!(chassis.cartridge(3).power(), Power::On, "by one step");
}

/// The decrypted requests for a cartridge, but for what is not the same twice: sequence numbers and checksums.
async fn requests_of(chassis: &BmcSimulator, act: impl Future<Output = ()>) -> Vec<String> {
    let mut messages = chassis.messages();
    act.await;
    let mut requests = Vec::new();
    while let Ok(message) = messages.try_recv() {
        let Some(text) = without_numbers(&message) else { continue };
        if !requests.contains(&text) {
            requests.push(text);
        }
    }
    requests
}

/// `None` for a message that is not bridged.
fn without_numbers(message: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut rest = message;
    let mut bridged = false;
    loop {
        let [rs, net_fn, _, rq, _, cmd, data @ .., _] = rest else { panic!("{}", hex::encode(message)) };
        text.push_str(&format!("{rs:02x} {net_fn:02x} {rq:02x} {cmd:02x} "));
        if (net_fn >> 2, *cmd) != (0x06, 0x34) {
            return bridged.then(|| text + &hex::encode(data));
        }
        text.push_str(&format!("[{:02x}] ", data[0]));
        (rest, bridged) = (&data[1..], true);
    }
}

#[tokio::test]
async fn bridged_requests_are_those_of_ipmitool() {
    let password = Secret::new(PASSWORD);
    let chassis = simulator(SimConfig { password, cartridges: 3, ..SimConfig::default() }).await;
    let address = chassis.local_addr();
    let mut config = support::config(address, serde_json::json!({}));
    config.password = Secret::new(PASSWORD);
    let moonshot = MoonshotBmc::open(config).await.expect("the configuration is right");
    let node = Node("2".into());
    let by_tool = async |command: &[&str]| {
        ipmitool(address, "17", &[&CARTRIDGE_2, command].concat()).await;
    };
    let status = requests_of(&chassis, by_tool(&["chassis", "power", "status"])).await;
    let ours = requests_of(&chassis, async {
        assert_eq!(moonshot.power(&node).await.expect("it answers"), Power::Off)
    })
    .await;
    assert_eq!(ours, ["20 18 81 34 [40] 84 18 81 34 [47] 72 00 20 01 "]);
    assert!(ours.iter().all(|request| status.contains(request)), "{ours:?} in {status:?}");

    let on = requests_of(&chassis, by_tool(&["chassis", "power", "on"])).await;
    let set = async { moonshot.set_power(&node, PowerAction::On).await.expect("it answers") };
    let ours = requests_of(&chassis, set).await;
    assert!(!ours.is_empty() && ours.iter().all(|request| on.contains(request)), "{ours:?} in {on:?}");

    let cycle = requests_of(&chassis, by_tool(&["chassis", "power", "cycle"])).await;
    let set = async { moonshot.set_power(&node, PowerAction::Reset).await.expect("it answers") };
    let ours = requests_of(&chassis, set).await;
    let command =
        |requests: &[String]| requests.iter().find(|request| request.contains("72 00 20 02")).cloned();
    assert!(command(&cycle).is_some_and(|request| request.ends_with("02 02")), "{cycle:?}");
    assert_eq!(command(&ours), command(&cycle), "a reset is sent as a cycle");
}

#[tokio::test]
async fn ipmitool_is_refused_with_a_wrong_password() {
    let bmc = simulator(SimConfig { password: Secret::new("another"), ..SimConfig::default() }).await;
    let port = bmc.local_addr().port().to_string();
    let arguments = [
        "-I",
        "lanplus",
        "-H",
        "127.0.0.1",
        "-p",
        &port,
        "-U",
        "admin",
        "-E",
        "-C",
        "17",
        "chassis",
        "power",
        "on",
    ];
    let mut command = Command::new("ipmitool");
    command.args(arguments).env("IPMI_PASSWORD", PASSWORD).kill_on_drop(true);
    let output = command.output().await.expect("ipmitool starts");
    assert!(!output.status.success());
    assert_eq!(bmc.power(), Power::Off);
}

async fn ipmipower(address: SocketAddr, suite: &str, action: &str) -> String {
    let target = format!("127.0.0.1:{}", address.port());
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The password goes in by a file, as it would on a shared host.
    let file = folder.path().join("freeipmi.conf");
    std::fs::write(&file, format!("username admin\npassword {PASSWORD}\n"))
        .expect("the temporary folder is writable");
    let config = format!("--config-file={}", file.display());
    let arguments =
        [&config, "-D", "LAN_2_0", "-h", &target, "-I", suite, "--wait-until-on", "--wait-until-off", action];
    run("ipmipower", &arguments, &[]).await
}

#[tokio::test]
async fn ipmipower_switches_the_power_with_suites_17_and_3() {
    for suite in ["17", "3"] {
        let bmc = bmc().await;
        let address = bmc.local_addr();
        let stat = ipmipower(address, suite, "--stat").await;
        assert!(stat.contains("off"), "{stat}");
        let on = ipmipower(address, suite, "--on").await;
        assert!(on.contains("ok"), "{on}");
        assert_eq!(bmc.power(), Power::On, "suite {suite}");
        assert!(ipmipower(address, suite, "--cycle").await.contains("ok"));
        assert!(ipmipower(address, suite, "--reset").await.contains("ok"));
        assert!(ipmipower(address, suite, "--off").await.contains("ok"));
        assert_eq!(bmc.power(), Power::Off);
    }
}
