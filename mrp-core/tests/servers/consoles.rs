//! Consoles at other servers than those that hold them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mrp_core::api::ConsoleNotice;
use mrp_core::bmc::ConsoleInput;
use mrp_core::console::FrameContent;
use mrp_core::peer::{PeerConsole, ViewerRequest};
use mrp_core::service::consoles::{ConsoleMessage, LogFilter, Viewer};
use mrp_core::{Actor, Provisioner};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{LEASE, Lines, owner};
use crate::lab::{Lab, Node, forbidden};

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The line of a console within one process.
pub(super) fn carry(viewer: Viewer) -> PeerConsole {
    let (viewer, mut carrier) = (Arc::new(viewer), JoinSet::new());
    let (sender, messages) = mpsc::channel(16);
    let (requests, mut asked) = mpsc::channel(16);
    let (reader, refusals) = (viewer.clone(), sender.clone());
    carrier.spawn(async move {
        while let Some(message) = reader.next().await {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    });
    carrier.spawn(async move {
        while let Some(request) = asked.recv().await {
            let done = match request {
                ViewerRequest::Type(input) => viewer.send(input).await,
                ViewerRequest::TakeKeyboard => viewer.take_keyboard().await,
            };
            if let Err(error) = done {
                let refused = ConsoleNotice::Refused { reason: error.to_string() };
                let _ = refusals.send(ConsoleMessage::Notice(refused)).await;
            }
        }
    });
    PeerConsole { messages, requests, carrier }
}

/// Reads until the output has a text and the notices one that is wanted.
async fn sees(viewer: &Viewer, text: &str, is_wanted: impl Fn(&ConsoleNotice) -> bool) {
    let (mut output, mut found) = (String::new(), false);
    while !found || !output.contains(text) {
        let next = tokio::time::timeout(PATIENCE, viewer.next()).await.expect("nothing came");
        match next.expect("the view goes on") {
            ConsoleMessage::Output(bytes) => output.push_str(std::str::from_utf8(&bytes).unwrap()),
            ConsoleMessage::Notice(notice) => found |= is_wanted(&notice),
        }
    }
}

fn any(_: &ConsoleNotice) -> bool {
    true
}

fn is_open(notice: &ConsoleNotice) -> bool {
    matches!(notice, ConsoleNotice::Link { connected: true, .. })
}

fn typed(text: &'static str) -> ConsoleInput {
    ConsoleInput::Bytes(Bytes::from_static(text.as_bytes()))
}

async fn printed(server: &Provisioner, actor: &Actor, node: &Node) -> String {
    let mut log = server.consoles().log(actor, node.id, LogFilter::default()).await.unwrap();
    let mut printed = String::new();
    while let Some(frames) = log.next().await.unwrap() {
        for frame in frames {
            if let FrameContent::Output(bytes) = frame.content {
                printed.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        }
    }
    printed
}

pub(crate) async fn a_console_is_watched_at_any_server_and_goes_along_with_its_bmc(lab: Lab) {
    let node = lab.bare_node("m1", true).await;
    let serial = node.bmc.serial();
    lab.mrp.shutdown().await;
    let lines = Lines::new(&lab);
    let one = lines.server(&lab, "one", true).await;
    one.assignments().assign(&lab.admin, node.id, "alice", "tests", None).await.unwrap();
    one.power(&lab.alice, node.id).on().await.unwrap();
    assert_eq!(owner(&lab).await.as_deref(), Some("one"));
    let two = lines.server(&lab, "two", true).await;
    forbidden("bob at another server", two.consoles().attach(&lab.bob, node.id, false).await);
    let there = two.consoles().attach(&lab.alice, node.id, false).await.unwrap();
    sees(&there, "", is_open).await;
    let here = one.consoles().attach(&lab.admin, node.id, false).await.unwrap();
    sees(&here, "", is_open).await;
    there.send(typed("by alice ")).await.unwrap();
    sees(&there, "by alice ", any_keyboard(true)).await;
    here.take_keyboard().await.unwrap();
    sees(&there, "", any_keyboard(false)).await;
    there.send(typed("nobody sees this")).await.unwrap();
    sees(&there, "", |notice| matches!(notice, ConsoleNotice::Refused { .. })).await;
    there.take_keyboard().await.unwrap();
    sees(&there, "", any_keyboard(true)).await;
    assert!(printed(&two, &lab.alice, &node).await.contains("by alice "), "the record is read there too");
    let opened = serial.times_opened();
    two.consoles().take(&lab.alice, node.id).await.unwrap();
    serial.opened(opened + 1).await;

    // Its server ends: the console goes on at the other one, with what came since.
    lab.clock.advance(Duration::from_secs(1));
    drop(here);
    lines.cut("one");
    one.shutdown().await;
    serial.opened(opened + 2).await;
    lab.clock.advance(LEASE / 2);
    serial.print("goes on").await;
    sees(&there, "goes on", any).await;
    assert_eq!(owner(&lab).await.as_deref(), Some("two"));
    there.send(typed("typed there")).await.unwrap();
    sees(&there, "typed there", any).await;
    assert_eq!(serial.times_opened(), opened + 2, "nobody fought for it");
    let held = two.assignments().own(&lab.alice, node.id).await.unwrap();
    two.assignments().give_back(&lab.alice, node.id, held.assignment.id).await.unwrap();
    sees(&there, "", |notice| matches!(notice, ConsoleNotice::Cut { again: false, .. })).await;
    assert!(there.next().await.is_none());
    two.shutdown().await;
}

fn any_keyboard(mine: bool) -> impl Fn(&ConsoleNotice) -> bool {
    move |notice| matches!(notice, ConsoleNotice::Keyboard { yours, .. } if *yours == mine)
}
