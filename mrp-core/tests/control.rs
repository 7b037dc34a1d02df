//! Tags, assignments that end by themselves, console tickets, addresses, discovered clients, and many at once.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use mrp_core::Error;
use mrp_core::id::{Id, Timestamp};
use mrp_core::mac::MacAddr;
use mrp_core::machine::{Machine, Netboot};
use mrp_core::network::Network;
use mrp_core::run::RunStatus;
use mrp_core::service::discovery::{Plug, Seen};
use mrp_core::service::interfaces::{AddressKind, InterfaceChange, WantedAddress};
use mrp_core::service::machines::Settings;
use mrp_core::service::networks::Pool;

mod lab;

use lab::{Lab, forbidden, refusal};

fn network(static_net: &str) -> Network {
    Network {
        id: Id::NEW,
        revision: 0,
        name: "lab".into(),
        subnet: "10.7.0.0/16".parse().unwrap(),
        static_net: Some(static_net.parse().unwrap()),
        reserved_net: None,
        server_url: None,
        trust_path_mac: true,
    }
}

#[tokio::test]
async fn a_thousand_who_reserve_at_once_get_the_hundred_machines() {
    let lab = Lab::new().await;
    for number in 0..100 {
        let machine = Machine::new(format!("m{number}"), lab.arch);
        lab.mrp.machines().create(&lab.admin, machine, None).await.unwrap();
    }
    let assignments = lab.mrp.assignments();
    let all = (0..1000).map(|_| assignments.reserve(&lab.alice, r#"(= arch "x86_64")"#, "", None));
    let (mut got, mut none) = (BTreeSet::new(), 0);
    for outcome in join_all(all).await {
        match outcome {
            Ok(view) => assert!(got.insert(view.machine.id), "{} was given twice", view.machine.name),
            Err(Error::NoMatch) => none += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((got.len(), none), (100, 900));
}

#[tokio::test]
async fn a_machine_is_given_back_when_its_time_is_over() {
    let lab = Lab::new().await;
    let node = lab.bare_node("m1", true).await;
    let (mrp, until) = (&lab.mrp, Timestamp(lab.mrp.now().0 + 120_000));
    let past = refusal(mrp.assignments().reserve(&lab.alice, "", "", Some(Timestamp(1))).await);
    assert!(past.contains("lies in the past"), "{past}");
    mrp.assignments().reserve(&lab.alice, "(= free t)", "two minutes", Some(until)).await.unwrap();
    let own = mrp.assignments().own(&lab.alice, node.id).await.unwrap();
    assert_eq!(own.assignment.until, Some(until));
    let run = lab.started(&node).await;
    lab.wait(3);
    // Whether or not it is given back yet.
    forbidden("settings", mrp.machines().set(&lab.alice, node.id, Settings::default()).await);
    lab.until("the machine is given back", async || {
        mrp.assignments().list(&lab.admin, node.id).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(lab.run(run.id).await.status, RunStatus::Cancelled);
    assert_eq!(lab.machine(&node).await.netboot, Netboot::Off);
    forbidden("tell the state", mrp.machines().set_state(&lab.alice, node.id, Default::default()).await);
    mrp.assignments().reserve(&lab.bob, "", "next", None).await.unwrap();
}

#[tokio::test]
async fn tags_of_several_admins_add_up() {
    let lab = Lab::new().await;
    let node = lab.bare_node("m1", false).await;
    let machines = lab.mrp.machines();
    let tags: Vec<Vec<String>> = (0..4).map(|number| vec![format!("tag{number}")]).collect();
    let all = tags.iter().map(|add| machines.change_tags(&lab.admin, node.id, add, &[]));
    for outcome in join_all(all).await {
        outcome.unwrap();
    }
    assert_eq!(machines.tags(&lab.bob, node.id).await.unwrap(), ["tag0", "tag1", "tag2", "tag3"]);
    let left = machines.change_tags(&lab.admin, node.id, &["ssd".into()], &tags[0]).await.unwrap();
    assert_eq!(left, ["ssd", "tag1", "tag2", "tag3"]);
    forbidden("tags", machines.change_tags(&lab.alice, node.id, &tags[0], &[]).await);
    let many: Vec<String> = (0..31).map(|number| format!("more{number}")).collect();
    let full = refusal(machines.change_tags(&lab.admin, node.id, &many, &[]).await);
    assert!(full.contains("32 are allowed"), "{full}");
    assert_eq!(machines.tags(&lab.bob, node.id).await.unwrap(), left);
    let found = machines.list(&lab.bob, true, Some(r#"(= tag "ssd")"#), Default::default()).await.unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn a_console_ticket_opens_once_and_for_its_holder() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let bare = lab.bare_node("m2", false).await;
    let consoles = lab.mrp.consoles();
    forbidden("console", consoles.issue_ticket(&lab.bob, node.id).await);
    assert_eq!(refusal(consoles.issue_ticket(&lab.admin, bare.id).await), "console requires a BMC");
    let ticket = consoles.issue_ticket(&lab.alice, node.id).await.unwrap();
    let (machine, actor) = consoles.redeem_ticket(ticket.expose()).await.unwrap();
    assert_eq!((machine.id, actor.name.as_str()), (node.id, "alice"));
    let void = "this console ticket is unknown, expired or used";
    assert_eq!(refusal(consoles.redeem_ticket(ticket.expose()).await), void);
    assert_eq!(refusal(consoles.redeem_ticket("x").await), void);
    let late = consoles.issue_ticket(&lab.alice, node.id).await.unwrap();
    lab.clock.advance(Duration::from_secs(300));
    assert_eq!(refusal(consoles.redeem_ticket(late.expose()).await), void);
    let ended = consoles.issue_ticket(&lab.alice, node.id).await.unwrap();
    let own = lab.mrp.assignments().own(&lab.alice, node.id).await.unwrap().assignment;
    lab.mrp.assignments().give_back(&lab.alice, node.id, own.id).await.unwrap();
    assert_eq!(refusal(consoles.redeem_ticket(ended.expose()).await), void);
}

#[tokio::test]
async fn a_hundred_who_want_any_address_share_none_and_a_network_keeps_room_for_them() {
    let lab = Lab::new().await;
    let (mrp, admin) = (&lab.mrp, &lab.admin);
    let lab_net = mrp.networks().create(admin, network("10.7.1.0/25")).await.unwrap();
    let machine = Machine::new("m1", lab.arch);
    let machine = mrp.machines().create(admin, machine, None).await.unwrap().machine.id;
    let mut cards = Vec::new();
    for number in 0..128 {
        let mac = MacAddr([0x52, 0x54, 0, 0, 1, number]);
        let card = mrp.interfaces().create(admin, machine, mac, None, Some(lab_net.id)).await.unwrap();
        cards.push(card.interface.id);
    }
    let auto = || InterfaceChange {
        kind: Some(AddressKind::Static),
        address: Some(Some(WantedAddress::Auto)),
        ..InterfaceChange::default()
    };
    let interfaces = mrp.interfaces();
    let all = cards[..127].iter().map(|card| interfaces.update(admin, machine, *card, auto()));
    let mut given = BTreeSet::new();
    for outcome in join_all(all).await {
        assert!(given.insert(outcome.unwrap().interface.addressing.address().unwrap()));
    }
    assert_eq!(given.len(), 127);
    let full = refusal(interfaces.update(admin, machine, cards[127], auto()).await);
    assert_eq!(full, "no more IPs available in 10.7.1.0/25");
    let free = mrp.networks().free(&lab.bob, lab_net.id, Pool::Static).await.unwrap();
    assert_eq!((free.size(), free.count()), (127, 0));
    let listed = mrp.networks().addresses(&lab.bob, lab_net.id).await.unwrap();
    assert!(listed.iter().map(|taken| taken.address).eq(given), "in numerical order");
    let small = Network { id: lab_net.id, revision: lab_net.revision, ..network("10.7.1.0/26") };
    let refused = refusal(mrp.networks().update(admin, small).await);
    assert!(refused.contains("static 10.7.1.64 of machine m1"), "{refused}");
    let large = Network { id: lab_net.id, revision: lab_net.revision, ..network("10.7.1.0/24") };
    mrp.networks().update(admin, large).await.unwrap();
    let free = mrp.networks().free(&lab.bob, lab_net.id, Pool::Static).await.unwrap();
    assert_eq!((free.size(), free.count()), (254, 127));
    let used = refusal(mrp.networks().delete(admin, lab_net.id).await);
    assert_eq!(used, "still in use by machine m1");
}

#[tokio::test]
async fn a_discovered_client_becomes_a_machine() {
    let lab = Lab::new().await;
    let (mrp, mac) = (&lab.mrp, MacAddr([0x52, 0x54, 0, 0, 2, 1]));
    let seen = Seen { mac, hostname: Some("new".into()), client_arch: Some(7), discover: true };
    assert!(!mrp.discovery().seen(seen.clone()).await.unwrap());
    let new = || Machine::new("new", lab.arch);
    forbidden("adopt", mrp.discovery().adopt(&lab.alice, mac, new(), None, Plug::default()).await);
    let plug = Plug { identifier: Some("eth0".into()), network: None };
    let made = mrp.discovery().adopt(&lab.admin, mac, new(), Some("efi"), plug).await.unwrap();
    assert_eq!(made.subarch.as_deref(), Some("efi"));
    assert!(mrp.discovery().list(&lab.admin).await.unwrap().is_empty());
    assert!(mrp.discovery().seen(seen).await.unwrap());
    let again = refusal(mrp.discovery().adopt(&lab.admin, mac, new(), None, Plug::default()).await);
    assert_eq!(again, "discovered MAC not found");
    assert_eq!(refusal(mrp.discovery().forget(&lab.admin, mac).await), "discovered MAC not found");
    let held = mrp.assignments().assign(&lab.admin, made.machine.id, "bob", "", None).await.unwrap();
    let used = refusal(mrp.machines().delete(&lab.admin, made.machine.id).await);
    assert_eq!(used, "still in use by whoever holds it: bob");
    mrp.assignments().give_back(&lab.bob, made.machine.id, held.assignment.id).await.unwrap();
    mrp.machines().delete(&lab.admin, made.machine.id).await.unwrap();
}
