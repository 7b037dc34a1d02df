//! A server that is ended and started again on the same database.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use bytes::Bytes;
use mrp_core::image::ImageKind;
use mrp_core::machine::Netboot;
use mrp_core::run::{RunStatus, StageKind};
use mrp_core::service::runs::StartRun;

mod lab;

use lab::bmc::Fault;
use lab::{Lab, upload};

#[tokio::test]
async fn a_run_that_was_not_powered_yet_is_powered_once() {
    let mut lab = Lab::new().await;
    let node = lab.node("m1").await;
    node.bmc.set(Fault::HangsAtBoot);
    let run = lab.mrp.runs().start(&lab.alice, node.id, StartRun::default()).await.unwrap();
    lab.until("the BMC is at it", async || node.bmc.logins() > 0).await;
    lab.restart().await;
    assert_eq!(node.bmc.commands(), Vec::<String>::new());
    node.bmc.set(Fault::None);
    lab.until("the machine is powered", async || {
        let power = lab.run(run.id).await.stage(StageKind::Power).cloned();
        power.is_some_and(|power| power.detail.is_some())
    })
    .await;
    assert_eq!(node.bmc.commands(), ["reset"]);
    assert_eq!(lab.netboot(&node).await, Netboot::ByRun(run.id));
}

#[tokio::test]
async fn a_run_that_was_powered_is_not_powered_again_and_goes_on() {
    let mut lab = Lab::new().await;
    let node = lab.node("m1").await;
    node.bmc.set(Fault::HangsAfterPower);
    let run = lab.mrp.runs().start(&lab.alice, node.id, StartRun::default()).await.unwrap();
    lab.until("the command is written down", async || {
        let power = lab.run(run.id).await.stage(StageKind::Power).cloned();
        power.is_some_and(|power| power.detail.is_some())
    })
    .await;
    lab.restart().await;
    node.bmc.set(Fault::None);
    lab.firmware(&node).await;
    let token = lab::token(&lab.config(&node).await);
    lab.restart().await;
    lab.fetch_image(&node, &node.kernel).await;
    lab.fetch_image(&node, &node.initrd).await;
    let boot = lab.mrp.boot();
    boot.answer_file(node.id, Some(&token), node.ip.into(), lab::LOCAL).await.unwrap();
    lab.restart().await;
    lab.wait(10);
    lab.firmware(&node).await;
    assert!(lab.config(&node).await.starts_with("local:"), "it remembers the answer file");
    lab.phone_home(&node, &token).await.unwrap();
    assert_eq!(lab.run(run.id).await.status, RunStatus::Ready);
    assert_eq!(node.bmc.commands(), ["reset"], "once in all");
}

#[tokio::test]
async fn a_deadline_that_passed_meanwhile_ends_the_run() {
    let mut lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    lab.wait(16);
    lab.restart().await;
    lab.until("the run has ended", async || !lab.run(run.id).await.is_active()).await;
    let verdict = "powered on, but no DHCP or netboot request was seen within 15 min";
    assert_eq!(lab.run(run.id).await.verdict.as_deref(), Some(verdict));
    assert_eq!(lab.netboot(&node).await, Netboot::Off);
}

#[tokio::test]
async fn content_without_an_image_goes_and_the_rest_stays() {
    let mut lab = Lab::new().await;
    let kept = upload(&lab.mrp, &lab.alice, "kept", ImageKind::Kernel, false).await;
    let lost = {
        use mrp_core::blob::BlobStore;
        let blobs = lab.blobs().await;
        let mut writer = blobs.create().await.unwrap();
        writer.write(Bytes::from_static(b"written, and then the server was killed")).await.unwrap();
        let (digest, _) = writer.finish().await.unwrap();
        // What another server may have written just before is kept.
        let blob = blobs.open(&digest).await.unwrap();
        blob.file.set_modified(std::time::UNIX_EPOCH).unwrap();
        digest
    };
    lab.restart().await;
    use mrp_core::blob::BlobStore;
    let blobs = lab.blobs().await;
    assert!(blobs.open(&lost).await.is_err());
    assert_eq!(blobs.open(&kept.digest).await.unwrap().len, kept.size);
}
