//! A real dnsmasq with the printed configuration, and real DHCP clients, in network namespaces of their own.
//!
//! Needs root, `ip`, `dnsmasq` and busybox' `udhcpc`; fails where one is missing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use mrp_core::dhcp::{DhcpBackend, DhcpHost};
use mrp_core::firmware::{ClientFirmware, FIRMWARE};
use mrp_netboot::dnsmasq::{Action, DnsmasqBackend, ScriptEvent, ServerConfig};

mod netns;

use netns::run;

const MAC: &str = "52:54:00:00:00:01";

/// Two namespaces, a server's and a client's, with a cable between them.
struct Network {
    server: String,
    client: String,
}

impl Network {
    fn new(name: &str) -> Self {
        let names = |side: &str| format!("mrp-{name}-{side}-{}", std::process::id());
        let this = Self { server: names("s"), client: names("c") };
        run("ip", &["netns", "add", &this.server]);
        run("ip", &["netns", "add", &this.client]);
        run(
            "ip",
            &[
                "-n",
                &this.server,
                "link",
                "add",
                "eth0",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                &this.client,
            ],
        );
        run("ip", &["-n", &this.client, "link", "set", "eth0", "address", MAC]);
        run("ip", &["-n", &this.server, "address", "add", "10.0.0.1/24", "dev", "eth0"]);
        for side in [&this.server, &this.client] {
            run("ip", &["-n", side, "link", "set", "lo", "up"]);
            run("ip", &["-n", side, "link", "set", "eth0", "up"]);
        }
        this
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in [&self.server, &self.client] {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

/// A dnsmasq with the printed configuration.
struct Dnsmasq {
    child: Child,
    folder: tempfile::TempDir,
    network: Network,
    backend: DnsmasqBackend,
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Dnsmasq {
    async fn start(name: &str) -> Self {
        let (network, folder) = (Network::new(name), tempfile::tempdir().unwrap());
        // dnsmasq gives its rights up; its user must be able to read the host file.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| folder.path().join(name);
        let log = path("events");
        let record = "while test -e \"$0.hang\"; do sleep 0.1; done; env | grep ^DNSMASQ_ | sed 's/^/env /' >> \"$0\"; echo \"args $*\" >> \"$0\"";
        let config = ServerConfig {
            hosts: path("dnsmasq/hosts"),
            next_server: Some("10.0.0.9".parse().unwrap()),
            http_base: Some("http://10.0.0.9:8081/boot".into()),
            script: path("script"),
            event_command: ["/bin/sh", "-c", record, &log.display().to_string()].map(str::to_owned).to_vec(),
        };
        executable(&config.script, &config.script());
        let site = format!(
            "port=0\ninterface=eth0\nbind-interfaces\nlog-dhcp\ndhcp-range=10.0.0.100,10.0.0.150,1h\ndhcp-leasefile={}",
            path("leases").display()
        );
        fs::write(path("dnsmasq.conf"), format!("{site}\n{}", config.text())).unwrap();
        let reload = ["/bin/sh", "-c", "kill -HUP \"$(cat \"$0\")\""].map(str::to_owned).to_vec();
        let reload = [reload, vec![path("pid").display().to_string()]].concat();
        let backend = DnsmasqBackend::new(config.hosts.clone(), reload);
        // Nobody reads it yet.
        backend.apply(&[]).await.unwrap_err();
        let conf = format!("--conf-file={}", path("dnsmasq.conf").display());
        assert!(run("dnsmasq", &["--test", &conf]).contains("syntax check OK"));
        let child = Command::new("ip")
            .args(["netns", "exec", &network.server, "dnsmasq", "--keep-in-foreground", &conf])
            .arg(format!("--pid-file={}", path("pid").display()))
            .arg(format!("--log-facility={}", path("log").display()))
            .spawn()
            .unwrap();
        let this = Self { child, folder, network, backend };
        this.wait_for("its start", || this.read("log").contains("DHCP, IP range")).await;
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    async fn wait_for(&self, what: &str, mut done: impl FnMut() -> bool) {
        for _ in 0..600 {
            if done() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what} did not come; dnsmasq's log: {}", self.read("log"));
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Gives the client an address; what it was told, as `name=value` lines.
    fn client(&self, options: &[&str]) -> String {
        let (script, told) = (self.path("client"), self.path("told"));
        executable(
            &script,
            &format!(
                "#!/bin/sh\n[ \"$1\" = bound ] && env | grep -E '^(ip|siaddr|bootfile|vendor)=' > {}\nexit 0\n",
                told.display()
            ),
        );
        let _ = fs::remove_file(&told);
        let netns = ["netns", "exec", &self.network.client];
        let udhcpc = ["udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "10", "-T", "2", "-s"];
        let ask = [&netns[..], &udhcpc[..], &[script.to_str().unwrap()], options].concat();
        run("ip", &ask);
        fs::read_to_string(told).unwrap()
    }

    /// The reports of the script, as mrp reads them.
    fn events(&self) -> Vec<ScriptEvent> {
        let (mut events, mut env) = (Vec::new(), Vec::new());
        for line in self.read("events").lines() {
            if let Some((name, value)) = line.strip_prefix("env ").and_then(|line| line.split_once('=')) {
                env.push((name.to_owned(), value.to_owned()));
            } else if let Some(args) = line.strip_prefix("args ") {
                let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
                let get =
                    |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                events.extend(ScriptEvent::from_args_and_env(&args, get, 0).unwrap());
                env.clear();
            }
        }
        events
    }

    async fn event(&self, what: &str, wanted: impl Fn(&ScriptEvent) -> bool) -> ScriptEvent {
        self.wait_for(what, || self.events().iter().any(&wanted)).await;
        self.events().into_iter().find(wanted).unwrap()
    }
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn has(told: &str, line: &str) -> bool {
    told.lines().any(|known| known == line)
}

fn host(mac: &str, address: &str, name: &str) -> DhcpHost {
    DhcpHost { mac: mac.parse().unwrap(), ipv4: address.parse().unwrap(), hostname: name.into() }
}

const UEFI: [&str; 6] = ["-x", "0x5d:0007", "-V", "PXEClient:Arch:00007:UNDI:003000", "-O", "bootfile"];

#[tokio::test(flavor = "multi_thread")]
async fn reserved_addresses_reach_clients_and_changes_too() {
    let mut dnsmasq = Dnsmasq::start("addr").await;
    let log_has = |dnsmasq: &Dnsmasq, text: &str| dnsmasq.read("log").contains(text);
    dnsmasq
        .backend
        .apply(&[host(MAC, "10.0.0.64", "node-01"), host("52:54:00:00:00:02", "10.0.0.65", "node-02")])
        .await
        .unwrap();
    dnsmasq.wait_for("the new host file", || log_has(&dnsmasq, "dnsmasq/hosts")).await;
    let told = dnsmasq.client(&UEFI);
    assert!(has(&told, "ip=10.0.0.64"), "{told}");
    assert!(has(&told, "bootfile=bootx64.efi") && has(&told, "siaddr=10.0.0.9"), "{told}");
    let add = dnsmasq.event("the lease's report", |event| event.action == Action::Add).await;
    assert_eq!((add.mac.to_string().as_str(), add.ipv4.to_string().as_str()), (MAC, "10.0.0.64"));
    assert_eq!(
        (add.client_arch, add.firmware, add.hostname.as_deref()),
        (Some(7), Some(true), Some("node-01"))
    );
    assert!(add.expires.is_some(), "{add:?}");

    // Somebody's edit, which dnsmasq reads at once, does not last.
    fs::write(dnsmasq.path("dnsmasq/hosts"), format!("{MAC},10.0.0.99\n")).unwrap();
    let said = dnsmasq.backend.tend().await.unwrap().unwrap();
    assert!(said.contains("1 lines that are not mrp's, 2 of mrp's missing"), "{said}");
    let told = dnsmasq.client(&UEFI);
    assert!(has(&told, "ip=10.0.0.64"), "{told}");

    // Changed: needs the reload, and dnsmasq lives on.
    dnsmasq.backend.apply(&[host(MAC, "10.0.0.70", "node-01")]).await.unwrap();
    let repeated = dnsmasq.event("the lease told again", |event| event.action == Action::Old).await;
    assert_eq!((repeated.firmware, repeated.client_arch), (None, None));
    let told = dnsmasq.client(&["-V", "udhcp"]);
    assert!(has(&told, "ip=10.0.0.70") && !told.contains("bootfile="), "{told}");
    let of_system =
        |event: &ScriptEvent| event.ipv4.to_string() == "10.0.0.70" && event.action == Action::Add;
    assert_eq!(dnsmasq.event("the system's lease", of_system).await.firmware, Some(false));

    // Removed: back to the pool.
    dnsmasq.backend.apply(&[]).await.unwrap();
    dnsmasq.client(&[]);
    for _ in 0..5 {
        let pid = dnsmasq.read("pid");
        run("kill", &["-HUP", pid.trim()]);
        let told = dnsmasq.client(&UEFI);
        assert!(!has(&told, "ip=10.0.0.64"), "{told}");
    }
    assert!(dnsmasq.is_alive(), "{}", dnsmasq.read("log"));
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_architecture_gets_its_boot_loader() {
    let mut dnsmasq = Dnsmasq::start("arch").await;
    for firmware in FIRMWARE {
        let class = if firmware.http { "HTTPClient" } else { "PXEClient" };
        let class = format!("{class}:Arch:{:05}:UNDI:003000", firmware.architecture);
        for user_class in ["", "iPXE"] {
            let client = ClientFirmware {
                architecture: Some(firmware.architecture),
                vendor_class: class.as_bytes(),
                user_class: user_class.as_bytes(),
            };
            let expected = client.boot_file("http://10.0.0.9:8081/boot").unwrap();
            let option = format!("0x5d:{:04x}", firmware.architecture);
            let user = format!("0x4d:{}", hex(user_class));
            let mut query = vec!["-x", &option, "-V", &class, "-O", "bootfile", "-O", "60"];
            if !user_class.is_empty() {
                query.extend(["-x", &user]);
            }
            let told = dnsmasq.client(&query);
            assert!(has(&told, &format!("bootfile={}", expected.file)), "{query:?} {told}");
            assert!(has(&told, "siaddr=10.0.0.9"), "{query:?} {told}");
            assert!(!expected.http_client || has(&told, "vendor=HTTPClient"), "{told}");
        }
    }
    let told = dnsmasq.client(&["-O", "bootfile"]);
    assert!(!told.contains("bootfile=") && has(&told, "siaddr=10.0.0.9"), "{told}");
    assert!(dnsmasq.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_hangs_holds_up_no_client() {
    let mut dnsmasq = Dnsmasq::start("hang").await;
    let hang = dnsmasq.path("events.hang");
    fs::write(&hang, "").unwrap();
    let macs = [1, 2, 3].map(|last| format!("52:54:00:00:01:0{last}"));
    for mac in &macs {
        run("ip", &["-n", &dnsmasq.network.client, "link", "set", "eth0", "address", mac]);
        let told = dnsmasq.client(&UEFI);
        assert!(told.contains("ip=10.0.0.1") && has(&told, "bootfile=bootx64.efi"), "{told}");
    }
    assert!(dnsmasq.events().is_empty(), "the reports hang");
    fs::remove_file(hang).unwrap();
    for mac in &macs {
        dnsmasq.event("a report that had to wait", |event| event.mac.to_string() == *mac).await;
    }
    assert!(dnsmasq.is_alive());
}
