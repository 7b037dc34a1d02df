//! Reserving, holding and giving back.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use mrp_core::event::EventKind;
use mrp_core::machine::{MachineState, Netboot};
use mrp_core::run::RunStatus;
use mrp_core::service::machines::Settings;
use mrp_core::store::Page;
use mrp_core::{Actor, Error};

mod lab;

use lab::{LOCAL, Lab, forbidden, refusal};

#[tokio::test]
async fn exactly_one_of_many_reserves_a_machine() {
    let lab = Lab::new().await;
    let node = lab.bare_node("m1", true).await;
    let assignments = lab.mrp.assignments();
    let (alice, bob) = tokio::join!(
        assignments.reserve(&lab.alice, r#"(= name "m1")"#, "mine", None),
        assignments.reserve(&lab.bob, r#"(= arch "x86_64")"#, "mine too", None)
    );
    let winners = [&alice, &bob].iter().filter(|result| result.is_ok()).count();
    assert_eq!(winners, 1, "{alice:?} {bob:?}");
    let loser = if alice.is_ok() { bob } else { alice };
    assert!(matches!(loser, Err(Error::NoMatch)), "{loser:?}");
    let holders = lab.mrp.assignments().list(&lab.admin, node.id).await.unwrap();
    assert_eq!(holders.len(), 1);
    assert_eq!(lab.texts(&node, EventKind::Assignment).await, [format!("reserved by {}", holders[0].user)]);
    let query = refusal(lab.mrp.assignments().reserve(&lab.alice, "(nonsense)", "", None).await);
    assert!(query.contains("nonsense"), "{query}");
}

#[tokio::test]
async fn giving_back_cuts_what_the_holder_had() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    let token = lab.install(&node).await;
    let own = lab.mrp.assignments().own(&lab.alice, node.id).await.unwrap().assignment;
    forbidden("give back by another", lab.mrp.assignments().give_back(&lab.bob, node.id, own.id).await);
    lab.mrp.assignments().give_back(&lab.alice, node.id, own.id).await.unwrap();
    let ended = lab.run(run.id).await;
    assert_eq!(ended.status, RunStatus::Cancelled);
    assert_eq!(ended.verdict.as_deref(), Some("cancelled: alice gave the machine back"));
    assert_eq!(lab.netboot(&node).await, Netboot::Off);
    assert_eq!(node.bmc.boot_device(), None, "the boot device is reset");
    let old = lab.phone_home(&node, &token).await;
    assert!(matches!(old, Err(Error::NotFound { .. })), "{old:?}");
    let boot = lab.mrp.boot();
    forbidden("its answer file", boot.answer_file(node.id, Some(&token), node.ip.into(), LOCAL).await);
    let refused = lab.texts(&node, EventKind::Refused).await;
    assert!(refused.last().unwrap().contains("old or foreign token"), "{refused:?}");
    forbidden("its power", lab.mrp.power(&lab.alice, node.id).off().await);
    forbidden("its state", lab.mrp.machines().set_state(&lab.alice, node.id, MachineState::Ready).await);
    let machine = lab.mrp.assignments().reserve(&lab.bob, r#"(= name "m1")"#, "next", None).await.unwrap();
    assert_eq!(machine.machine.id, node.id);
}

#[tokio::test]
async fn a_second_holder_keeps_the_machine() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    lab.mrp.assignments().assign(&lab.admin, node.id, "bob", "both", None).await.unwrap();
    let twice = refusal(lab.mrp.assignments().assign(&lab.admin, node.id, "bob", "again", None).await);
    assert_eq!(twice, "bob holds this machine already");
    let run = lab.started(&node).await;
    let token = lab.install(&node).await;
    let bobs = lab.mrp.assignments().own(&lab.bob, node.id).await.unwrap().assignment;
    lab.mrp.assignments().give_back(&lab.bob, node.id, bobs.id).await.unwrap();
    assert!(lab.run(run.id).await.is_active(), "alice's run goes on");
    assert_eq!(lab.netboot(&node).await, Netboot::ByRun(run.id));
    lab.phone_home(&node, &token).await.unwrap();
    assert_eq!(lab.run(run.id).await.status, RunStatus::Ready);
}

#[tokio::test]
async fn machines_are_ones_own_or_all() {
    let lab = Lab::new().await;
    lab.node("m1").await;
    let two = lab.bare_node("m2", true).await;
    let names = async |actor: &Actor, all| -> Vec<String> {
        let list = lab.mrp.machines().list(actor, all, None, Page::default()).await.unwrap();
        list.into_iter().map(|view| view.machine.name).collect()
    };
    assert_eq!(names(&lab.alice, false).await, ["m1"]);
    assert_eq!(names(&lab.bob, false).await, Vec::<String>::new());
    assert_eq!(names(&lab.bob, true).await, ["m1", "m2"]);
    let netboot = Settings { netboot: Some(true), ..Settings::default() };
    forbidden("a free machine's settings", lab.mrp.machines().set(&lab.bob, two.id, netboot).await);
}
