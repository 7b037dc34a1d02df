//! Power is polled in the background, and bad BMCs are left alone.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

mod lab;

use std::time::Duration;

use lab::Lab;
use lab::bmc::Fault;
use mrp_core::bmc::Power;
use mrp_core::health::BmcState;
use mrp_core::service::polling::{Polling, Swept};

const FAST: Polling = Polling { every: Duration::ZERO, at_once: 4 };

#[tokio::test]
async fn a_sweep_keeps_power_and_health_of_all_machines() {
    let lab = Lab::new().await;
    let (good, silent, none) =
        (lab.node("good").await, lab.node("silent").await, lab.bare_node("none", false).await);
    good.bmc.set(Fault::None);
    silent.bmc.set(Fault::Silent);
    for _ in 0..5 {
        let swept = lab.mrp.sweep_power(FAST).await.unwrap();
        assert_eq!(swept, Swept { told: 1, failed: 1 });
    }
    let seen = async |node: &lab::Node| lab.mrp.machines().seen_power(&lab.alice, node.id).await.unwrap();
    assert_eq!(seen(&good).await.map(|seen| seen.power), Some(Power::Off));
    assert_eq!((seen(&silent).await, seen(&none).await), (None, None));
    assert_eq!((good.bmc.logins(), silent.bmc.logins()), (5, 3), "a silent BMC is left alone");
    // As another server on the database sees it.
    let health = lab.beside().await.bmcs().health(&lab.admin).await.unwrap();
    let mut states: Vec<_> = health.values().map(|health| (health.state, health.commands)).collect();
    states.sort_unstable();
    assert_eq!(states, [(BmcState::Answering, 5), (BmcState::Silent, 3)]);
    assert!(lab.mrp.bmcs().health(&lab.alice).await.is_err(), "for admins only");
}

#[tokio::test]
async fn a_changed_entry_is_asked_anew() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    node.bmc.set(Fault::Silent);
    for _ in 0..5 {
        lab.mrp.sweep_power(FAST).await.unwrap();
    }
    assert_eq!(node.bmc.logins(), 3);
    node.bmc.set(Fault::None);
    let entry = lab.mrp.bmcs().list(&lab.admin).await.unwrap().remove(0);
    let spec = lab::bmc_spec("renamed", &node.bmc);
    lab.mrp.bmcs().update(&lab.admin, entry.id, spec).await.unwrap();
    assert_eq!(lab.mrp.sweep_power(FAST).await.unwrap(), Swept { told: 1, failed: 0 });
}

#[tokio::test]
async fn polling_goes_on_by_itself() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let settings = mrp_core::Settings {
        polling: Some(Polling { every: Duration::from_millis(20), at_once: 4 }),
        ..mrp_core::Settings::default()
    };
    let (builder, _) = lab.builder().await;
    let polling = builder.settings(settings).build().await.unwrap();
    let power = async || lab.mrp.machines().seen_power(&lab.alice, node.id).await.unwrap();
    lab.until("the power is polled", async || power().await.is_some()).await;
    // The change is seen without anybody's question.
    node.bmc.press_power();
    lab.until("the change is seen", async || power().await.is_some_and(|seen| seen.power == Power::On)).await;
    polling.shutdown().await;
}

#[tokio::test]
async fn a_bmc_that_takes_its_time_holds_up_neither_the_others_nor_the_next_sweep() {
    let lab = Lab::new().await;
    let (hung, good) = (lab.node("hung").await, lab.node("good").await);
    hung.bmc.set(Fault::HangsAfterPower);
    let settings = mrp_core::Settings {
        polling: Some(Polling { every: Duration::from_millis(20), at_once: 1 }),
        ..mrp_core::Settings::default()
    };
    let (builder, _) = lab.builder().await;
    let polling = builder.settings(settings).build().await.unwrap();
    let power = async |node: &lab::Node| {
        let seen = lab.mrp.machines().seen_power(&lab.alice, node.id).await.unwrap();
        seen.map(|seen| seen.power)
    };
    lab.until("the other's power is polled", async || power(&good).await == Some(Power::Off)).await;
    good.bmc.press_power();
    lab.until("it is polled again", async || power(&good).await == Some(Power::On)).await;
    assert_eq!(power(&hung).await, None);
    hung.bmc.set(Fault::None);
    lab.until("the late one is told too", async || power(&hung).await == Some(Power::Off)).await;
    polling.shutdown().await;
}
