//! What an observer of the network hears is told to the machine that it is about.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::net::Ipv4Addr;

use mrp_core::event::EventKind;
use mrp_core::id::Id;
use mrp_core::mac::MacAddr;
use mrp_core::network::Network;
use mrp_core::run::StageKind;
use mrp_core::service::interfaces::{AddressKind, InterfaceChange, WantedAddress};
use mrp_core::sighting::{Heard, SeenClient, SeenServer, Sighting};
use mrp_core::store::{EventFilter, EventStore, NetworkStore};

mod lab;

use lab::{Lab, Node};

const SERVER: SeenServer = SeenServer { id: Ipv4Addr::new(10, 0, 0, 1), mac: None };
const POOL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);

fn client(mac: MacAddr) -> SeenClient {
    SeenClient {
        mac,
        hostname: None,
        client_arch: Some(11),
        vendor_class: None,
        client_id: None,
        relay: None,
    }
}

fn of(client: SeenClient, what: Heard) -> Sighting {
    Sighting { interface: "eth0".into(), client: Some(client), what }
}

async fn hear(lab: &Lab, sighting: Sighting) {
    lab.mrp.discovery().observed(vec![sighting]).await.unwrap();
}

/// Texts of events that are about no machine.
async fn of_no_machine(lab: &Lab) -> Vec<String> {
    let filter = EventFilter { kind: Some(EventKind::Dhcp), ..EventFilter::default() };
    let events = lab.store.events(&filter).await.unwrap();
    events.into_iter().filter(|event| event.machine.is_none()).map(|event| event.text).collect()
}

/// Reserves an address for a machine.
async fn reserve(lab: &Lab, node: &Node) -> Ipv4Addr {
    let network = Network {
        id: Id::NEW,
        revision: 0,
        name: "lab".into(),
        subnet: "10.0.0.0/24".parse().unwrap(),
        static_net: None,
        reserved_net: Some("10.0.0.64/26".parse().unwrap()),
        server_url: None,
        trust_path_mac: true,
    };
    let network = lab.mrp.networks().create(&lab.admin, network).await.unwrap();
    let own = lab.mrp.interfaces().list(&lab.admin, node.id).await.unwrap().remove(0).interface.id;
    let address = Ipv4Addr::new(10, 0, 0, 70);
    let change = InterfaceChange {
        network: Some(Some(network.id)),
        kind: Some(AddressKind::Reserved),
        address: Some(Some(WantedAddress::Fixed(address))),
        ..InterfaceChange::default()
    };
    lab.mrp.interfaces().update(&lab.admin, node.id, own, change).await.unwrap();
    address
}

#[tokio::test]
async fn what_a_machine_does_is_in_its_events_and_an_address_in_its_run() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    hear(&lab, of(client(node.mac), Heard::Asked { discover: true })).await;
    assert!(lab.run(run.id).await.stage(StageKind::Dhcp).is_none(), "asking is not getting");
    hear(&lab, of(client(node.mac), Heard::Gave { server: SERVER, address: node.ip })).await;
    let stage = lab.run(run.id).await.stage(StageKind::Dhcp).cloned().unwrap();
    assert_eq!(stage.detail, Some(node.ip.to_string()));
    let told = lab.texts(&node, EventKind::Dhcp).await;
    let mac = node.mac;
    assert_eq!(told[0], format!("{mac}, firmware of arm64 UEFI: asks for an address (DISCOVER)"));
    assert_eq!(told[1], format!("{mac}: 10.0.0.1 gave {}", node.ip));
    assert_eq!((of_no_machine(&lab).await, lab.store.discovered().await.unwrap()), (vec![], vec![]));
}

#[tokio::test]
async fn a_reservation_that_does_not_hold_is_told_to_both() {
    let lab = Lab::new().await;
    let (node, other) = (lab.node("m1").await, lab.node("m2").await);
    let own = reserve(&lab, &node).await;
    let named = SeenClient { client_id: Some(vec![0xff, 1, 2]), ..client(node.mac) };
    hear(&lab, of(named, Heard::Gave { server: SERVER, address: POOL })).await;
    let told = lab.texts(&node, EventKind::Dhcp).await;
    let expected = format!(
        "{}: has {POOL} of 10.0.0.1, and not {own}, which is reserved for it: it names itself by the client identifier ff0102",
        node.mac
    );
    assert!(told[1].starts_with(&expected), "{told:?}");
    // The address is with somebody else: a machine, then a stranger.
    for thief in [other.mac, MacAddr([2, 9, 9, 9, 9, 9])] {
        hear(&lab, of(client(thief), Heard::Gave { server: SERVER, address: own })).await;
        let told = lab.texts(&node, EventKind::Dhcp).await;
        assert_eq!(told.last(), Some(&format!("{}: its address {own} was given to {thief}", node.mac)));
    }
    hear(&lab, of(client(node.mac), Heard::Gave { server: SERVER, address: own })).await;
    assert_eq!(lab.texts(&node, EventKind::Dhcp).await.len(), 5, "as it should be: one event");
}

#[tokio::test]
async fn strangers_are_discovered_and_do_not_fill_the_events() {
    let lab = Lab::new().await;
    let stranger =
        |number: u16| client(MacAddr([2, 0, 0, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]]));
    let asked = (0..1000).map(|number| of(stranger(number), Heard::Asked { discover: true })).collect();
    lab.mrp.discovery().observed(asked).await.unwrap();
    assert_eq!(lab.store.discovered().await.unwrap().len(), 1000);
    let unanswered = (0..1000).map(|number| of(stranger(number), Heard::Unanswered)).collect();
    lab.mrp.discovery().observed(unanswered).await.unwrap();
    let told = of_no_machine(&lab).await;
    assert!(told[0].ends_with("and 995 more"), "{}", told[0]);
    assert_eq!(told.len(), 21, "{told:#?}");
    hear(&lab, of(stranger(1), Heard::Asked { discover: true })).await;
    lab.wait(2);
    lab.mrp.discovery().observed(Vec::new()).await.unwrap();
    assert_eq!(of_no_machine(&lab).await.len(), 21, "who is known is no news");
    let rogue = Heard::UnknownServer { server: SERVER };
    hear(&lab, Sighting { interface: "eth0".into(), client: None, what: rogue }).await;
    let told = of_no_machine(&lab).await;
    let expected =
        "eth0: the DHCP server 10.0.0.1 answers, which is none of dhcp.servers (before it 980 more";
    assert!(told[21].starts_with(expected), "{}", told[21]);
}
