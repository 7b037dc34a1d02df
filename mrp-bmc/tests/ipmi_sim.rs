//! The driver against OpenIPMI's `ipmi_sim`, a BMC that is not ours. It speaks cipher suite 3 only, does not answer Get
//! Channel Cipher Suites, and drops the valid, EFI and persistent bits of boot flags.
//!
//! Run by name (`make real`): it needs the distribution's package `openipmi`, and fails without.

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mrp_core::bmc::{Bmc, BmcError, BootDevice, BootOverride, ConsoleInput, Node, Power, PowerAction};
use mrp_core::conformance::{Verdict, bmc};
use serde_json::json;
use support::{SolByIpmitool, config, driver_with, read};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// `ipmi_sim` with a machine that is two files and a serial port that is a TCP socket.
struct IpmiSim {
    folder: TempDir,
    address: SocketAddr,
    serial: TcpListener,
    _process: Child,
}

/// Answers `get power|boot` and carries out `set power|reset|shutdown|boot` of `chassis_control`.
const CHASSIS_CONTROL: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$*" >> log
action=$1
shift
while [ $# -gt 0 ]; do
  case "$action $1" in
    "get power") echo "power:$(cat power)"; shift ;;
    "get boot") echo "boot:$(cat boot)"; shift ;;
    "set power") echo "$2" > power; shift 2 ;;
    "set boot") echo "$2" > boot; shift 2 ;;
    "set reset") shift 2 ;;
    "set shutdown") echo 0 > power; shift 2 ;;
    *) shift ;;
  esac
done
"#;

impl IpmiSim {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        let script = path.join("chassis_control");
        std::fs::write(&script, CHASSIS_CONTROL).expect("the temporary folder is writable");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))
            .expect("the temporary folder is writable");
        std::fs::write(path.join("power"), "0\n").expect("the temporary folder is writable");
        std::fs::write(path.join("boot"), "none\n").expect("the temporary folder is writable");
        let address =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let serial = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = serial.local_addr().expect("it is bound").port();
        std::fs::write(path.join("lan.conf"), lan_conf(address, port, &script))
            .expect("the temporary folder is writable");
        let emulation = "mc_setbmc 0x20\n\
                         mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\n\
                         sel_enable 0x20 1000 0x0a\n\
                         mc_enable 0x20\n";
        std::fs::write(path.join("vm.emu"), emulation).expect("the temporary folder is writable");
        std::fs::create_dir(path.join("state")).expect("the temporary folder is writable");
        let mut command = Command::new("ipmi_sim");
        command.arg("-n").args(["-c", "lan.conf", "-f", "vm.emu", "-s", "state"]).current_dir(path);
        let output = std::fs::File::create(path.join("output")).expect("the temporary folder is writable");
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .kill_on_drop(true);
        let process = command.spawn().unwrap_or_else(|error| panic!("ipmi_sim does not start: {error}"));
        let sim = Self { folder, address, serial, _process: process };
        sim.wait_until_it_listens().await;
        sim
    }

    async fn wait_until_it_listens(&self) {
        for _ in 0..100 {
            if UdpSocket::bind(self.address).is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("ipmi_sim does not listen: {}", self.read("output"));
    }

    /// The serial port's machine side, which sends back what it gets from here on.
    async fn echo(&self) {
        let (mut port, _) = self.serial.accept().await.expect("ipmi_sim connects to its serial port");
        let (mut from, mut to) = port.split();
        // It ends with ipmi_sim.
        let _ = tokio::io::copy(&mut from, &mut to).await;
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).expect(file).trim().to_owned()
    }
}

fn lan_conf(address: SocketAddr, serial: u16, script: &Path) -> String {
    format!(
        "name \"node\"\n\
         set_working_mc 0x20\n\
         startlan 1\n\
         addr {} {}\n\
         priv_limit admin\n\
         allowed_auths_callback none md2 md5 straight\n\
         allowed_auths_user none md2 md5 straight\n\
         allowed_auths_operator none md2 md5 straight\n\
         allowed_auths_admin none md2 md5 straight\n\
         guid a123456789abcdefa123456789abcdef\n\
         endlan\n\
         sol \"tcp:127.0.0.1:{serial}\" 115200\n\
         chassis_control \"{}\"\n\
         user 1 false \"\" \"\" user 10 none md2 md5 straight\n\
         user 2 true \"admin\" \"admin\" admin 10 none md2 md5 straight\n",
        address.ip(),
        address.port(),
        script.display(),
    )
}

#[tokio::test]
async fn the_power_is_switched() {
    let sim = IpmiSim::start().await;
    let bmc = driver_with(sim.address, json!({})).await;
    let node = Node::default();
    assert_eq!(bmc.power(&node).await.unwrap(), Power::Off);
    bmc.set_power(&node, PowerAction::On).await.unwrap();
    assert_eq!(sim.read("power"), "1");
    assert_eq!(bmc.power(&node).await.unwrap(), Power::On);
    bmc.set_power(&node, PowerAction::Reset).await.unwrap();
    assert!(sim.read("log").contains("set reset 1"), "{}", sim.read("log"));
    bmc.set_power(&node, PowerAction::Off).await.unwrap();
    assert_eq!((bmc.power(&node).await.unwrap(), sim.read("power").as_str()), (Power::Off, "0"));
    bmc.close().await;
}

/// The warning that a user gets comes from this difference between what was set and what is read.
#[tokio::test]
async fn the_boot_device_is_set_though_the_bmc_does_not_report_it_in_force() {
    let sim = IpmiSim::start().await;
    let bmc = driver_with(sim.address, json!({})).await;
    let node = Node::default();
    let pxe = BootOverride { device: BootDevice::Pxe, efi: true, persistent: false };
    bmc.set_boot(&node, Some(pxe)).await.unwrap();
    assert_eq!(sim.read("boot"), "pxe");
    assert_eq!(bmc.boot(&node).await.unwrap(), None, "the valid and EFI bits are dropped");
    let disk = BootOverride { device: BootDevice::Disk, efi: true, persistent: false };
    bmc.set_boot(&node, Some(disk)).await.unwrap();
    assert_eq!(sim.read("boot"), "default", "ipmi_sim's word for the disk");
    bmc.set_boot(&node, None).await.unwrap();
    assert_eq!(sim.read("boot"), "none");
}

#[tokio::test]
async fn the_suite_fails_only_where_ipmi_sim_drops_boot_flags() {
    let sim = IpmiSim::start().await;
    let bmc = driver_with(sim.address, json!({})).await;
    let node = Node::default();
    let report = tokio::select! {
        report = bmc::run(&bmc, &node) => report,
        () = sim.echo() => panic!("ipmi_sim ends: {}", sim.read("output")),
    };
    let failed: Vec<&str> = report
        .0
        .iter()
        .filter(|(_, verdict)| matches!(verdict, Verdict::Failed(_)))
        .map(|(name, _)| *name)
        .collect();
    let expected = [
        "each boot device is read back, EFI and legacy",
        "a persistent boot device is read back as such",
        "the boot device can be cleared",
    ];
    assert_eq!(failed, expected, "{report}");
}

#[tokio::test]
async fn only_suite_3_is_spoken_and_a_wrong_password_is_named() {
    use mrp_core::bmc::OpenBmc;

    let sim = IpmiSim::start().await;
    let node = Node::default();
    let strict = driver_with(sim.address, json!({"cipher_suites": [17]})).await;
    let error = strict.power(&node).await.unwrap_err();
    assert!(matches!(error, BmcError::Config(_)), "{error}");
    let mut wrong = config(sim.address, json!({}));
    wrong.password = mrp_core::secret::Secret::new("wrong");
    let error = mrp_bmc::IpmiBmc::open(wrong).await.unwrap().power(&node).await.unwrap_err();
    assert!(matches!(error, BmcError::Unauthorized { .. }), "{error}");
}

#[tokio::test]
async fn the_console_carries_bytes_both_ways_and_leaves_nothing_active() {
    let sim = IpmiSim::start().await;
    let bmc = driver_with(sim.address, json!({})).await;
    let node = Node::default();
    let mut console = bmc.open_console(&node).await.unwrap();
    let (mut port, _) = sim.serial.accept().await.unwrap();
    let text: Vec<u8> = (0..2000u32).flat_map(|line| format!("line {line}\r\n").into_bytes()).collect();
    port.write_all(&text).await.unwrap();
    assert!(read(&mut console, text.len()).await == text, "all that the machine prints arrives");
    console.input.send(ConsoleInput::Bytes(text[..1000].to_vec().into())).await.unwrap();
    let mut typed = vec![0; 1000];
    port.read_exact(&mut typed).await.unwrap();
    assert!(typed == text[..1000], "all that is typed arrives");

    let other = driver_with(sim.address, json!({})).await;
    let error = other.open_console(&node).await.unwrap_err();
    let named = matches!(&error, BmcError::ConsoleTaken { session, .. } if session.is_some() && *session == console.session);
    assert!(named, "{error:?}, {:?}", console.session);
    bmc.close().await;
    ipmitool_sees_the_serial_port(&sim, &mut port).await;
}

/// `ipmitool sol activate` works, so no console was left active.
async fn ipmitool_sees_the_serial_port(sim: &IpmiSim, port: &mut tokio::net::TcpStream) {
    let mut ipmitool = SolByIpmitool::start(sim.address, "3", "admin");
    ipmitool.shows("SOL Session operational").await;
    port.write_all(b"hello ipmitool").await.expect("ipmi_sim reads its serial port");
    ipmitool.shows("hello ipmitool").await;
}
