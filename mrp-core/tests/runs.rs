//! Whole lives of runs: machine, boot loader and BMC on one side, people on the other.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use mrp_core::Error;
use mrp_core::event::EventKind;
use mrp_core::machine::{MachineState, Netboot};
use mrp_core::run::{RunStatus, StageKind};
use mrp_core::service::machines::Settings;
use mrp_core::service::runs::StartRun;

mod lab;

use lab::{Lab, Node, refusal};

async fn ends(lab: &Lab, node: &Node, run: mrp_core::run::RunId, status: RunStatus, verdict: &str) {
    let run = lab.run(run).await;
    assert_eq!((run.status, run.verdict.as_deref().unwrap_or("")), (status, verdict));
    let texts = lab.texts(node, EventKind::Run).await;
    assert_eq!(texts.last().unwrap(), &format!("run {}: {verdict}", status.as_str()));
    let machine = lab.machine(node).await;
    assert_eq!(machine.netboot, Netboot::Off, "an ended run has disarmed");
    let state = match status {
        RunStatus::Ready | RunStatus::Presumed => MachineState::Ready,
        RunStatus::Failed => MachineState::Error,
        _ => MachineState::Unknown,
    };
    assert_eq!(machine.state, state);
    assert!(lab.config(node).await.starts_with("local:"), "the next boot is local");
}

#[tokio::test]
async fn a_run_passes_its_stages_and_the_phone_home_disarms_netboot() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    assert_eq!(node.bmc.commands(), ["reset"]);
    let boot = node.bmc.boot_device().unwrap();
    assert_eq!((boot.device, boot.efi, boot.persistent), (mrp_core::bmc::BootDevice::Pxe, true, false));
    assert_eq!(lab.netboot(&node).await, Netboot::ByRun(run.id));
    assert_eq!(lab.machine(&node).await.state, MachineState::Provisioning);
    let token = lab.install(&node).await;
    assert_eq!(lab.netboot(&node).await, Netboot::ByRun(run.id), "an answer file is no end");
    lab.phone_home(&node, &token).await.unwrap();
    ends(&lab, &node, run.id, RunStatus::Ready, "ready: the machine phoned home").await;
    let stages: Vec<_> = lab.run(run.id).await.stages.iter().map(|stage| stage.stage).collect();
    use StageKind::*;
    assert_eq!(stages, [Power, Dhcp, BootLoader, Config, Kernel, Initrd, AnswerFile, PhoneHome]);
    let ended = lab.run(run.id).await;
    lab.phone_home(&node, &token).await.unwrap();
    assert_eq!(lab.run(run.id).await, ended, "a second report changes nothing");
    let of_run = lab.events(&node).await.into_iter().filter(|event| event.run == Some(run.id)).count();
    assert!(of_run >= 8, "the events of the machine are those of the run: {of_run}");
}

#[tokio::test]
async fn the_boot_after_the_answer_file_is_local_and_the_installed_system_is_presumed_ready() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    lab.install(&node).await;
    lab.wait(20);
    lab.firmware(&node).await;
    assert!(lab.config(&node).await.starts_with("local:"));
    assert!(lab.run(run.id).await.is_active(), "firmware is no evidence");
    lab.system(&node).await;
    let verdict = "presumed ready: the installed system asked for an address, but did not phone home";
    ends(&lab, &node, run.id, RunStatus::Presumed, verdict).await;
}

#[tokio::test]
async fn a_netboot_loop_is_broken() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    lab.install(&node).await;
    for _ in 0..2 {
        lab.wait(5);
        lab.firmware(&node).await;
        assert!(lab.config(&node).await.starts_with("local:"));
    }
    let verdict = "netbooted again after it was told to boot its disk: a netboot loop, broken";
    ends(&lab, &node, run.id, RunStatus::Failed, verdict).await;
}

#[tokio::test]
async fn each_missed_deadline_ends_the_run_with_its_verdict() {
    let lab = Lab::new().await;
    for (steps, verdict) in [
        (0, "powered on, but no DHCP or netboot request was seen within 15 min"),
        (1, "address given by DHCP, but no boot loader requested within 15 min"),
        (2, "boot loader fetched, but no configuration requested within 5 min"),
        (3, "configuration served, but no kernel requested within 5 min"),
        (4, "kernel stopped at 3 of 24 bytes and did not go on within 5 min"),
        (5, "kernel fetched, but no initrd requested within 5 min"),
        (6, "kernel fetched, but no answer file requested within 10 min"),
        (7, "answer file fetched, but no phone-home within 2 h"),
    ] {
        let node = lab.node(&format!("mach{steps}")).await;
        let run = lab.started(&node).await;
        match steps {
            0 => {}
            1 => lab.seen(&node, Some(7)).await,
            _ => lab.firmware(&node).await,
        }
        if steps >= 3 {
            lab.config(&node).await;
        }
        if steps == 4 {
            let kernel = lab.fetch(&node, &node.kernel.name).await.unwrap();
            lab.transferred(&kernel, 3, node.kernel.size).await;
        }
        if steps >= 5 {
            lab.fetch_image(&node, &node.kernel).await;
        }
        if steps >= 6 {
            lab.fetch_image(&node, &node.initrd).await;
        }
        if steps >= 7 {
            let boot = lab.mrp.boot();
            boot.answer_file(node.id, None, node.ip.into(), lab::LOCAL).await.unwrap();
        }
        lab.clock.advance(std::time::Duration::from_secs(4 * 60 + 59));
        lab.mrp.runs().check_deadlines().await.unwrap();
        assert!(lab.run(run.id).await.is_active(), "no deadline is shorter than 5 min");
        lab.wait(3 * 60);
        lab.mrp.runs().check_deadlines().await.unwrap();
        ends(&lab, &node, run.id, RunStatus::Failed, verdict).await;
    }
}

#[tokio::test]
async fn a_run_is_cancelled_by_a_holder() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    lab::forbidden("cancel by another", lab.mrp.runs().cancel(&lab.bob, run.id).await);
    lab.mrp.runs().cancel(&lab.alice, run.id).await.unwrap();
    ends(&lab, &node, run.id, RunStatus::Cancelled, "cancelled by alice").await;
    assert!(refusal(lab.mrp.runs().cancel(&lab.alice, run.id).await).contains("cancelled by alice"));
    assert_eq!(node.bmc.commands(), ["reset"], "the power stays as it is");
}

#[tokio::test]
async fn switching_off_ends_a_run() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    lab.mrp.power(&lab.alice, node.id).set(mrp_core::service::power::PowerRequest::Reboot).await.unwrap();
    assert!(lab.run(run.id).await.is_active(), "a holder may reboot during a run");
    lab.mrp.power(&lab.alice, node.id).off().await.unwrap();
    ends(&lab, &node, run.id, RunStatus::Cancelled, "switched off by alice").await;
}

#[tokio::test]
async fn a_person_says_how_it_stands() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    lab.mrp.machines().set_state(&lab.alice, node.id, MachineState::Ready).await.unwrap();
    ends(&lab, &node, run.id, RunStatus::Ready, "ready: said by alice").await;
    let run = lab.started(&node).await;
    lab.mrp.machines().set_state(&lab.alice, node.id, MachineState::Error).await.unwrap();
    ends(&lab, &node, run.id, RunStatus::Failed, "failed: said by alice").await;
}

#[tokio::test]
async fn a_manual_run_waits_for_its_person() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let start = StartRun { manual: true, by_bmc: true };
    let run = lab.mrp.runs().start(&lab.alice, node.id, start).await.unwrap();
    assert_eq!(node.bmc.commands(), ["reset"], "the answer comes after the power command");
    lab.firmware(&node).await;
    lab.config(&node).await;
    lab.fetch_image(&node, &node.kernel).await;
    lab.fetch_image(&node, &node.initrd).await;
    lab.wait(7 * 24 * 60);
    lab.mrp.runs().check_deadlines().await.unwrap();
    assert!(lab.run(run.id).await.is_active());
    assert_eq!(lab.run(run.id).await.deadline, None);
}

#[tokio::test]
async fn a_machine_without_a_bmc_is_switched_on_by_hand() {
    let lab = Lab::new().await;
    let node = lab.bare_node("m1", false).await;
    let by_bmc = StartRun { by_bmc: true, ..StartRun::default() };
    assert_eq!(
        refusal(lab.mrp.runs().start(&lab.admin, node.id, by_bmc).await),
        "provisioning requires a BMC"
    );
    assert_eq!(lab.netboot(&node).await, Netboot::Off, "a refused run arms nothing");
    let run = lab.mrp.runs().start(&lab.admin, node.id, StartRun::default()).await.unwrap();
    let texts = lab.texts(&node, EventKind::Run).await;
    assert_eq!(texts, ["provisioning started; the machine has no BMC: switch it on now"]);
    let token = lab.install(&node).await;
    lab.phone_home(&node, &token).await.unwrap();
    ends(&lab, &node, run.id, RunStatus::Ready, "ready: the machine phoned home").await;
    let run = lab.mrp.runs().start(&lab.admin, node.id, StartRun::default()).await.unwrap();
    lab.wait(61);
    lab.mrp.runs().check_deadlines().await.unwrap();
    let verdict = "nothing was seen of the machine within 1 h; was it switched on?";
    ends(&lab, &node, run.id, RunStatus::Failed, verdict).await;
}

#[tokio::test]
async fn the_second_of_two_provisions_is_told_who_is_at_it() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let runs = lab.mrp.runs();
    let (one, two) = tokio::join!(
        runs.start(&lab.alice, node.id, StartRun::default()),
        runs.start(&lab.admin, node.id, StartRun::default())
    );
    let (winner, refused) = if one.is_ok() { (one, two) } else { (two, one) };
    let winner = winner.unwrap();
    let Err(Error::Conflict(words)) = refused else { panic!("{refused:?}") };
    let says = format!("being provisioned by {}", winner.started_by);
    assert!(words.contains(&says) && words.contains(&format!("run {}", winner.id)), "{words}");
    let again = refusal(lab.mrp.runs().start(&lab.alice, node.id, StartRun::default()).await);
    assert!(again.contains(&says), "{again}");
}

#[tokio::test]
async fn netboot_that_a_person_switched_on_is_switched_off_by_a_person_alone() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let by_hand = |on| Settings { netboot: Some(on), ..Settings::default() };
    lab.mrp.machines().set(&lab.alice, node.id, by_hand(true)).await.unwrap();
    for _ in 0..3 {
        let token = lab.install(&node).await;
        lab.phone_home(&node, &token).await.unwrap();
        lab.system(&node).await;
        lab.wait(24 * 60);
        lab.mrp.runs().check_deadlines().await.unwrap();
        assert_eq!(lab.netboot(&node).await, Netboot::ByHand);
        assert!(lab.config(&node).await.starts_with("linux:"));
    }
    let run = lab.started(&node).await;
    assert_eq!(lab.netboot(&node).await, Netboot::ByRun(run.id), "a run takes it over");
    lab.mrp.runs().cancel(&lab.alice, run.id).await.unwrap();
    assert_eq!(lab.netboot(&node).await, Netboot::Off);
    let run = lab.started(&node).await;
    lab.mrp.machines().set(&lab.alice, node.id, by_hand(false)).await.unwrap();
    lab.mrp.machines().set(&lab.alice, node.id, by_hand(true)).await.unwrap();
    lab.mrp.runs().cancel(&lab.alice, run.id).await.unwrap();
    assert_eq!(lab.netboot(&node).await, Netboot::ByHand, "switched on by hand during the run");
    lab.mrp.machines().set(&lab.alice, node.id, by_hand(false)).await.unwrap();
    assert!(lab.config(&node).await.starts_with("local:"));
    let texts = lab.texts(&node, EventKind::Netboot).await;
    assert!(texts.iter().any(|text| text == "netboot switched off by hand"), "{texts:?}");
}

#[tokio::test]
async fn an_answer_file_that_cannot_be_rendered_ends_the_run_with_its_line() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let broken = mrp_core::service::answer_files::AnswerFileChange {
        content: Some(Some("a\nb\n{% bad %}".into())),
        ..Default::default()
    };
    lab.mrp.answer_files().update(&lab.alice, node.answer_file, broken).await.unwrap();
    let preview = lab.mrp.answer_files().preview(&lab.alice, node.answer_file, node.id).await;
    assert_eq!(refusal(preview), "unknown statement - line: 3", "seen before the boot");
    let run = lab.started(&node).await;
    lab.firmware(&node).await;
    let token = lab::token(&lab.config(&node).await);
    let boot = lab.mrp.boot();
    let answer = boot.answer_file(node.id, Some(&token), node.ip.into(), lab::LOCAL).await;
    assert!(matches!(answer, Err(Error::Render(_))), "{answer:?}");
    let verdict = "answer file debian for m1 cannot be rendered: unknown statement - line: 3";
    ends(&lab, &node, run.id, RunStatus::Failed, verdict).await;
    assert_eq!(lab.texts(&node, EventKind::AnswerFile).await, [verdict]);
}

#[tokio::test]
async fn kernel_options_that_a_loader_cannot_pass_end_the_run_with_their_reason() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let options = Settings { kernel_options: Some("path=C:\\".into()), ..Settings::default() };
    lab.mrp.machines().set(&lab.alice, node.id, options).await.unwrap();
    let run = lab.started(&node).await;
    assert!(lab.fetch(&node, &format!("grub/01-{}", node.mac.dashed())).await.is_err());
    let verdict = "the boot configuration cannot be rendered: a backslash cannot be passed";
    assert_eq!(lab.run(run.id).await.verdict.as_deref(), Some(verdict));
    assert!(lab.texts(&node, EventKind::Boot).await.iter().any(|text| text == verdict));
}
