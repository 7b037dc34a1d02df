//! BMCs that refuse, are silent, talk nonsense or forget: the run says why, and the machine is usable again.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use mrp_core::Error;
use mrp_core::event::EventKind;
use mrp_core::machine::{MachineState, Netboot};
use mrp_core::run::{RunStatus, StageKind};
use mrp_core::secret::Secret;
use mrp_core::service::bmcs::BmcSpec;
use mrp_core::service::power::PowerStatus;
use mrp_core::service::runs::StartRun;

mod lab;

use lab::bmc::Fault;
use lab::{Lab, bmc_spec, refusal};

#[tokio::test]
async fn a_run_whose_bmc_fails_says_why_and_the_machine_is_usable_again() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    for (fault, words) in [(Fault::Silent, "does not answer"), (Fault::Garbage, "broke the protocol")] {
        node.bmc.set(fault);
        let run = lab.mrp.runs().start(&lab.alice, node.id, StartRun::default()).await.unwrap();
        lab.until("the run has ended", async || !lab.run(run.id).await.is_active()).await;
        let ended = lab.run(run.id).await;
        assert_eq!(ended.status, RunStatus::Failed);
        let verdict = ended.verdict.unwrap();
        assert!(verdict.starts_with("power: BMC error: ") && verdict.contains(words), "{verdict}");
        assert_eq!(lab.netboot(&node).await, Netboot::Off);
        assert_eq!(lab.machine(&node).await.state, MachineState::Error);
        let power = lab.texts(&node, EventKind::Power).await;
        assert!(power.last().unwrap().contains(words), "{power:?}");
        let status = lab.mrp.power(&lab.bob, node.id).status().await.unwrap();
        assert!(matches!(status, PowerStatus::Failed(Error::Bmc(_))), "{status:?}");
    }
    node.bmc.set(Fault::None);
    let run = lab.started(&node).await;
    assert!(run.is_active());
    assert_eq!(node.bmc.commands(), ["reset"], "nothing but this run has powered it");
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_mended_without_a_restart() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let entry = lab.mrp.bmcs().list(&lab.admin).await.unwrap().remove(0);
    let wrong = BmcSpec { password: Some(Secret::new("wrong password")), ..bmc_spec(&entry.name, &node.bmc) };
    lab.mrp.bmcs().update(&lab.admin, entry.id, wrong).await.unwrap();
    let before = node.bmc.logins();
    let by_bmc = StartRun { by_bmc: true, ..StartRun::default() };
    let refused = lab.mrp.runs().start(&lab.alice, node.id, by_bmc).await;
    assert!(matches!(refused, Err(Error::Bmc(_))), "{refused:?}");
    assert!(refusal(refused).contains("refuses the login: wrong password"));
    assert_eq!(node.bmc.logins() - before, 1, "more could lock the account");
    assert_eq!(lab.machine(&node).await.state, MachineState::Error);
    lab.mrp.bmcs().update(&lab.admin, entry.id, bmc_spec(&entry.name, &node.bmc)).await.unwrap();
    lab.mrp.runs().start(&lab.alice, node.id, by_bmc).await.unwrap();
    assert_eq!(node.bmc.commands(), ["reset"]);
}

#[tokio::test]
async fn a_bmc_that_forgets_the_boot_device_is_a_warning_and_the_run_goes_on() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    node.bmc.set(Fault::ForgetsBoot);
    let run = lab.started(&node).await;
    let texts = lab.texts(&node, EventKind::BootDevice).await;
    let warning =
        "boot device set to pxe (EFI); warning: the BMC accepted it, but reports no boot device in force";
    assert_eq!(texts, [warning]);
    assert_eq!(node.bmc.commands(), ["reset"]);
    let token = lab.install(&node).await;
    lab.phone_home(&node, &token).await.unwrap();
    assert_eq!(lab.run(run.id).await.status, RunStatus::Ready);
}

#[tokio::test]
async fn a_bmc_that_is_busy_after_the_power_command_does_not_end_the_run() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    node.bmc.set(Fault::BusyAfterPower);
    let run = lab.started(&node).await;
    lab.until("the stage says so", async || {
        let power = lab.run(run.id).await.stage(StageKind::Power).cloned().unwrap();
        power.detail.unwrap().contains("does not tell the state")
    })
    .await;
    assert!(lab.run(run.id).await.is_active());
    assert_eq!(node.bmc.commands(), ["reset"]);
}

#[tokio::test]
async fn the_second_at_a_bmc_is_told_who_is_at_it() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    node.bmc.set(Fault::HangsAtBoot);
    let first = {
        let (mrp, alice, id) = (lab.mrp.clone(), lab.alice.clone(), node.id);
        tokio::spawn(async move { mrp.power(&alice, id).pxe_reboot().await })
    };
    lab.until("the first is at the BMC", async || node.bmc.logins() > 0).await;
    let refused = lab.mrp.power(&lab.admin, node.id).on().await;
    let Err(Error::Conflict(words)) = refused else { panic!("{refused:?}") };
    assert!(words.contains("alice is at power pxe_reboot"), "{words}");
    // The caller that goes away does not stop the sequence.
    first.abort();
    node.bmc.set(Fault::None);
    lab.until("the sequence has ended", async || node.bmc.commands() == ["reset"]).await;
    lab.until("the BMC is free", async || lab.mrp.power(&lab.admin, node.id).on().await.is_ok()).await;
}
