//! The observer on a network with real DHCP servers and clients, in namespaces of their own: a bridge with mrp's own dnsmasq,
//! a client and a rogue dnsmasq behind it.
//!
//! Needs root, `ip`, `dnsmasq` and busybox' `udhcpc`; fails where one is missing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Stdio;
use std::time::Duration;

use dhcproto::v4::MessageType;
use mrp_core::event::EventKind;
use mrp_core::machine::Machine;
use mrp_core::service::discovery::Plug;
use mrp_core::store::EventFilter;
use mrp_core::{Actor, Provisioner};
use mrp_netboot::observer::{ObserverConfig, ObserverHandle};
use mrp_netboot::vendors::IeeeVendors;
use mrp_store::{FsBlobs, SqlStore};

mod frames;
mod netns;

use netns::{Namespace, Running};

const MAC: &str = "52:54:00:00:00:01";

/// A service with an observer, and the network that it listens to.
struct Site {
    mrp: Provisioner,
    observer: ObserverHandle,
    server: Namespace,
    client: Namespace,
    rogue: Namespace,
    folder: tempfile::TempDir,
}

impl Site {
    async fn new(name: &str) -> Self {
        let server = Namespace::new(&format!("{name}-s"));
        let (client, rogue) = (Namespace::new(&format!("{name}-c")), Namespace::new(&format!("{name}-r")));
        plug(&server, &[(&client, "client"), (&rogue, "rogue")]);
        client.ip(&format!("link set eth0 address {MAC}"));
        rogue.ip("address add 10.0.0.66/24 dev eth0");
        server.enter();
        let folder = tempfile::tempdir().unwrap();
        let store = SqlStore::open_sqlite(&folder.path().join("mrp.db")).await.unwrap();
        let blobs = FsBlobs::open(&folder.path().join("images")).await.unwrap();
        let built =
            Provisioner::builder().store(store).blobs(blobs).vendors(IeeeVendors::default()).build().await;
        let mrp = built.unwrap();
        let config = ObserverConfig { interfaces: None, servers: vec!["10.0.0.1".parse().unwrap()] };
        let observer = ObserverHandle::start(config, mrp.clone()).unwrap();
        let this = Self { mrp, observer, server, client, rogue, folder };
        this.until("the observer listens", async || this.observer.listening() == ["br0"]).await;
        this
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        for _ in 0..600 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it never came that {what}; events: {:#?}", self.texts().await);
    }

    async fn texts(&self) -> Vec<String> {
        let filter = EventFilter { kind: Some(EventKind::Dhcp), ..EventFilter::default() };
        let events = self.mrp.events().list(&Actor::system(), filter).await.unwrap();
        events.into_iter().map(|event| event.text).collect()
    }

    /// A client asks and gets nothing, until an event says so.
    async fn asks_in_vain(&self, mac: &str, options: &[&str], text: &str) {
        self.until(text, async || {
            assert!(!self.ask(mac, options).await, "{mac} got an address");
            self.texts().await.iter().any(|told| told.contains(text))
        })
        .await;
    }

    async fn told(&self, text: &str) {
        self.until(text, async || self.texts().await.iter().any(|told| told.contains(text))).await;
    }

    async fn discovered(&self) -> usize {
        self.mrp.discovery().list(&Actor::system()).await.unwrap().len()
    }

    fn dnsmasq(&self, at: &Namespace, interface: &str, range: &str) -> Running {
        let mut command = at.command("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--port=0",
            "--bind-interfaces",
            "--conf-file=/dev/null",
            "--log-facility=-",
        ]);
        command.args([
            "--user=root",
            &format!("--interface={interface}"),
            &format!("--dhcp-range={range},1h"),
        ]);
        command.arg(format!(
            "--dhcp-leasefile={}",
            self.folder.path().join(format!("leases-{interface}")).display()
        ));
        command.arg("--pid-file=").arg("--dhcp-boot=bootx64.efi");
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// A client asks; true if it got an address.
    async fn ask(&self, mac: &str, options: &[&str]) -> bool {
        self.client.ip(&format!("link set eth0 address {mac}"));
        let mut command = self.client.command("udhcpc");
        // Answers by broadcast: this network's bridge is a switch.
        command.args(["-i", "eth0", "-B", "-f", "-q", "-n", "-s", "/bin/true"]).args(options);
        let output = tokio::task::spawn_blocking(move || command.output());
        output.await.unwrap().unwrap().status.success()
    }
}

/// Puts the bridge in front of the others, which have their `eth0` at it.
fn plug(server: &Namespace, others: &[(&Namespace, &str)]) {
    server.ip("link add br0 type bridge forward_delay 0");
    server.ip("address add 10.0.0.1/24 dev br0");
    for (other, port) in others {
        server.ip(&format!("link add {port} type veth peer name eth0 netns {}", other.0));
        server.ip(&format!("link set {port} master br0"));
        server.ip(&format!("link set {port} up"));
        other.ip("link set eth0 up");
    }
    server.ip("link set br0 up");
}

const PERSISTENT: [&str; 4] = ["-t", "20", "-T", "1"];

#[tokio::test]
async fn a_boot_a_rogue_and_an_exhausted_pool_are_told() {
    let site = Site::new("watch").await;
    let firmware = [
        &["-t", "3", "-T", "1"][..],
        &["-x", "0x5d:0007", "-V", "PXEClient:Arch:00007:UNDI:003000", "-x", "hostname:new-one"],
    ]
    .concat();
    // On a busy machine one of three questions gets lost: who is given nothing goes on asking.
    site.asks_in_vain(MAC, &firmware, "52:54:00:00:00:01 (QEMU): asks again and again").await;
    site.told("a client asks for an address that no machine has: 52:54:00:00:00:01, firmware of x86-64 UEFI")
        .await;
    let found = site.mrp.discovery().list(&Actor::system()).await.unwrap();
    assert_eq!((found[0].client_arch, found[0].hostname.as_deref()), (Some(7), Some("new-one")));
    assert_eq!(found[0].vendor_class.as_deref(), Some("PXEClient:Arch:00007:UNDI:003000"));
    assert_eq!(site.mrp.discovery().vendor(found[0].mac).as_deref(), Some("QEMU"));

    // It becomes a machine, and there is a server.
    let (mrp, actor) = (&site.mrp, Actor::system());
    let arch = mrp.archs().create(&actor, "x86_64", "").await.unwrap().id;
    let (mac, machine) = (found[0].mac, Machine::new("node-01", arch));
    mrp.discovery().adopt(&actor, mac, machine, None, Plug::default()).await.unwrap();
    let dnsmasq = site.dnsmasq(&site.server, "br0", "10.0.0.100,10.0.0.100");
    assert!(site.ask(MAC, &PERSISTENT).await);
    site.told(") offers 10.0.0.100 and the boot file bootx64.efi").await;
    site.told(") gave 10.0.0.100").await;

    // The pool has one address.
    let told = "52:54:00:00:00:02 (QEMU): asks again and again, and no server is heard to offer an address";
    site.asks_in_vain("52:54:00:00:00:02", &["-t", "3", "-T", "1"], told).await;

    let rogue = site.dnsmasq(&site.rogue, "eth0", "10.0.0.200,10.0.0.220");
    let lease = site.ask(MAC, &PERSISTENT);
    assert!(lease.await);
    let both = "several servers make offers: 10.0.0.1, 10.0.0.66; which one it takes is chance";
    site.until("the rogue is told, and that there are two", async || {
        // Until it serves, and while it tries whether an address is free, the other answers alone.
        let (asked, told) = (site.ask(MAC, &PERSISTENT).await, site.texts().await);
        let rogue = |text: &String| text.contains("10.0.0.66") && text.contains("none of dhcp.servers");
        asked && told.iter().any(rogue) && told.iter().any(|text| text.contains(both))
    })
    .await;
    let told = site.texts().await;
    let rogues = told.iter().filter(|text| text.contains("none of dhcp.servers")).count();
    assert_eq!(rogues, 1, "it is told once while it lasts: {told:#?}");
    drop((dnsmasq, rogue));
}

#[tokio::test]
async fn an_interface_that_goes_and_comes_back_is_listened_to_again_and_a_thousand_clients_are_heard() {
    let site = Site::new("flood").await;
    let thousand = |from: u16| {
        let name = site.client.0.clone();
        let send = move || {
            let client = std::mem::ManuallyDrop::new(Namespace(name));
            client.enter();
            let interface =
                pnet_datalink::interfaces().into_iter().find(|interface| interface.name == "eth0");
            let channel =
                pnet_datalink::channel(&interface.unwrap(), pnet_datalink::Config::default()).unwrap();
            let pnet_datalink::Channel::Ethernet(mut out, _) = channel else { panic!("no Ethernet") };
            for number in from..from + 1000 {
                let [a, b] = number.to_be_bytes();
                let mac = [0x52, 0x54, 0, 1, a, b];
                let message = frames::request(MessageType::Discover, &mac, u32::from(number), vec![]);
                out.send_to(&frames::frame(&message, mac), None).unwrap().unwrap();
            }
        };
        std::thread::spawn(send)
    };
    thousand(0).join().unwrap();
    site.until("1,000 clients are known", async || site.discovered().await == 1000).await;
    let told = site.texts().await;
    assert!(told.len() <= 2, "they are named together: {told:#?}");

    site.server.ip("link delete br0");
    site.until("the observer has noticed", async || site.observer.listening().is_empty()).await;
    site.server.ip("link delete client");
    site.server.ip("link delete rogue");
    plug(&site.server, &[(&site.client, "client"), (&site.rogue, "rogue")]);
    site.until("the observer listens again", async || site.observer.listening() == ["br0"]).await;
    thousand(1000).join().unwrap();
    site.until("1,000 more are known", async || site.discovered().await == 2000).await;
    let metrics = site.observer.metrics().to_string();
    assert!(metrics.contains("mrp_dhcp_heard_total{type=\"discover\"} 2000"), "{metrics}");
    assert!(metrics.contains("mrp_dhcp_sightings_lost_total 0"), "{metrics}");
}
