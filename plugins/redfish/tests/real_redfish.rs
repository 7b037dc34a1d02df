//! Against a service that is not ours: sushy-tools' emulator, which `.ci/install-packages` puts into `target/lab/sushy`, over
//! HTTPS with a certificate that the test makes. Its machines take up to 11 seconds for a change of their power, so each case
//! of the suite has one of its own.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mrp_core::bmc::{Bmc, BmcConfig, BmcError, BootDevice, BootOverride, Node, OpenBmc, Privilege};
use mrp_core::conformance::bmc;
use mrp_core::secret::Secret;
use mrp_redfish::RedfishBmc;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The cases of the suite that are about power.
const POWER: [&str; 10] = [
    "the power state can be read",
    "on switches on",
    "on when on is no error",
    "off switches off",
    "off when off is no error",
    "cycle ends with the node on",
    "cycle when off switches on",
    "reset leaves the node on",
    "reset when off switches on",
    "soft shutdown is accepted",
];

/// The emulator; it ends with the test.
struct Emulator {
    child: Child,
    address: String,
    folder: TempDir,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Emulator {
    fn start() -> Self {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab/sushy/bin");
        let programs = std::env::var_os("MRP_SUSHY").map_or(programs, PathBuf::from);
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = write("certificate.pem", &made.cert.pem());
        let key = write("key.pem", &made.signing_key.serialize_pem());
        let hash = "import bcrypt; print('admin:' + bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode())";
        let hash =
            Command::new(programs.join("python")).args(["-c", hash]).output().unwrap_or_else(|error| {
                panic!("{}: {error}; .ci/install-packages installs it", programs.display())
            });
        let accounts = write("accounts", &String::from_utf8(hash.stdout).unwrap());
        let system = |number: usize| {
            json!({"uuid": format!("00000000-0000-4000-8000-{number:012}"), "name": format!("fake-{number}"),
                "power_state": "Off", "external_notifier": 0, "nics": []})
        };
        let systems: Vec<Value> = (0..POWER.len()).map(system).collect();
        let config = format!(
            "SUSHY_EMULATOR_FAKE_SYSTEMS = {}\nSUSHY_EMULATOR_AUTH_FILE = {accounts:?}\nSUSHY_EMULATOR_STATE_DIR = {:?}\n",
            json!(systems),
            folder.path().display().to_string(),
        );
        let config = write("emulator.conf", &config);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut emulator = Command::new(programs.join("sushy-emulator"));
        emulator.args(["--fake", "--interface", "127.0.0.1", "--port", &port.to_string()]);
        emulator.args(["--config", &config, "--ssl-certificate", &certificate, "--ssl-key", &key]);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        emulator.stdout(Stdio::null()).stderr(log).current_dir(folder.path());
        let emulator =
            Self { child: emulator.spawn().unwrap(), address: format!("127.0.0.1:{port}"), folder };
        for _ in 0..600 {
            if std::net::TcpStream::connect(&emulator.address).is_ok() {
                return emulator;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the emulator does not listen: {}", emulator.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn open(&self, password: &str, options: Value) -> RedfishBmc {
        let mut options = options.as_object().unwrap().clone();
        options.insert("ca_file".into(), json!(self.folder.path().join("certificate.pem")));
        let config = BmcConfig {
            address: self.address.clone(),
            username: "admin".into(),
            password: Secret::new(password),
            privilege: Privilege::Admin,
            options,
        };
        RedfishBmc::open(config).await.unwrap()
    }
}

fn system(number: usize) -> Node {
    Node(format!("00000000-0000-4000-8000-{number:012}"))
}

#[tokio::test]
async fn sushys_machines_are_switched() {
    let emulator = Emulator::start();
    let opened = emulator.open("secret", json!({"auth": "basic", "timeout_s": 60})).await;
    let bmc: &dyn Bmc = &opened;
    // The emulator makes its machines at the first request; those beside it would get machines that are made once more.
    bmc.power(&system(0)).await.unwrap();
    let cases = POWER.iter().enumerate().map(|(number, name)| async move {
        let case = bmc::BMC.iter().find(|case| case.name == *name).expect("the suite has the case");
        let outcome = (case.run)(bmc, &system(number)).await;
        outcome.err().map(|failure| format!("{name}: {failure}"))
    });
    let failed: Vec<String> = futures_util::future::join_all(cases).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:#?}\n{}", emulator.log());
}

/// The emulator keeps device and mode, and calls every override a continuous one.
#[tokio::test]
async fn sushys_boot_device_is_set_and_read_back() {
    let emulator = Emulator::start();
    let bmc = emulator.open("secret", json!({"auth": "basic"})).await;
    for device in [BootDevice::Pxe, BootDevice::Disk] {
        for efi in [true, false] {
            let wanted = BootOverride { device, efi, persistent: true };
            bmc.set_boot(&system(0), Some(wanted)).await.unwrap();
            assert_eq!(bmc.boot(&system(0)).await.unwrap(), Some(wanted));
        }
    }
    let bios = BootOverride { device: BootDevice::Bios, efi: true, persistent: true };
    let error = bmc.set_boot(&system(0), Some(bios)).await.unwrap_err();
    assert!(matches!(error, BmcError::Unsupported(_)), "{error}");
    bmc.set_boot(&system(0), None).await.unwrap();
    assert_eq!(bmc.boot(&system(0)).await.unwrap(), None);
}

#[tokio::test]
async fn sushys_refusals_are_understood() {
    let emulator = Emulator::start();
    let ask = async |password: &str, options: Value, node: Node| {
        emulator.open(password, options).await.power(&node).await.unwrap_err()
    };
    let error = ask("wrong", json!({"auth": "basic"}), system(0)).await;
    assert!(matches!(error, BmcError::Unauthorized { .. }), "{error}");
    let error = ask("secret", json!({}), system(0)).await.to_string();
    assert!(error.contains("the service offers no sessions: option auth"), "{error}");
    let error = ask("secret", json!({"auth": "basic"}), Node::default()).await.to_string();
    assert!(error.contains("several systems") && error.contains("/redfish/v1/Systems/00000000-"), "{error}");
    let error = ask("secret", json!({"auth": "basic"}), Node("nobody".into())).await.to_string();
    assert!(error.contains("has no system \"nobody\""), "{error}");
}
