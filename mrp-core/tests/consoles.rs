//! Consoles: who sees what, who types, what is recorded, and what happens when one is lost.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

mod lab;

use std::time::Duration;

use bytes::Bytes;
use lab::bmc::Fault;
use lab::{Lab, Node, forbidden};
use mrp_core::api::ConsoleNotice;
use mrp_core::bmc::ConsoleInput;
use mrp_core::console::{ConsoleSettings, Frame, FrameContent, KeepOpen, REPLAY_BYTES};
use mrp_core::event::EventKind;
use mrp_core::id::Timestamp;
use mrp_core::service::consoles::{ConsoleMessage, LogFilter, Viewer};
use mrp_core::service::users::UserChange;
use mrp_core::{Actor, Error, Provisioner};

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

async fn next(viewer: &Viewer) -> ConsoleMessage {
    let next = tokio::time::timeout(PATIENCE, viewer.next()).await.expect("nothing came");
    next.expect("the view goes on")
}

/// Reads until a notice that is wanted; what was printed before it.
async fn until(viewer: &Viewer, is_wanted: impl Fn(&ConsoleNotice) -> bool) -> String {
    let mut output = Vec::new();
    loop {
        match next(viewer).await {
            ConsoleMessage::Output(bytes) => output.extend_from_slice(&bytes),
            ConsoleMessage::Notice(notice) if is_wanted(&notice) => {
                return String::from_utf8(output).unwrap();
            }
            ConsoleMessage::Notice(_) => {}
        }
    }
}

async fn replay(viewer: &Viewer) -> String {
    until(viewer, |notice| *notice == ConsoleNotice::ReplayEnd).await
}

async fn connected(viewer: &Viewer) -> String {
    until(viewer, |notice| matches!(notice, ConsoleNotice::Link { connected: true, .. })).await
}

/// Reads until a text was printed.
async fn sees(viewer: &Viewer, text: &str) {
    let mut output = String::new();
    while !output.contains(text) {
        if let ConsoleMessage::Output(bytes) = next(viewer).await {
            output.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

/// Reads to the end; why it ended, and nothing of the console before that.
async fn cut(viewer: &Viewer) -> String {
    let reason = loop {
        match next(viewer).await {
            ConsoleMessage::Notice(ConsoleNotice::Cut { reason, .. }) => break reason,
            ConsoleMessage::Notice(_) | ConsoleMessage::Output(_) => {}
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, viewer.next()).await.unwrap(), None);
    reason
}

async fn log(mrp: &Provisioner, actor: &Actor, node: &Node, filter: LogFilter) -> Result<Vec<Frame>, Error> {
    let mut log = mrp.consoles().log(actor, node.id, filter).await?;
    let mut frames = Vec::new();
    while let Some(more) = log.next().await? {
        frames.extend(more);
    }
    Ok(frames)
}

fn printed(frames: &[Frame]) -> String {
    let outputs = frames.iter().filter_map(|frame| match &frame.content {
        FrameContent::Output(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    });
    outputs.collect()
}

fn typed(text: &'static str) -> ConsoleInput {
    ConsoleInput::Bytes(Bytes::from_static(text.as_bytes()))
}

/// A machine with a console that alice holds.
async fn with_console(lab: &Lab) -> Node {
    let node = lab.bare_node("m1", true).await;
    node.bmc.serial();
    lab.mrp.assignments().assign(&lab.admin, node.id, "alice", "tests", None).await.unwrap();
    node
}

#[tokio::test]
async fn three_watch_and_one_types_and_taking_the_keyboard_is_seen() {
    let lab = Lab::new().await;
    let node = with_console(&lab).await;
    let consoles = lab.mrp.consoles();
    let one = consoles.attach(&lab.alice, node.id, false).await.unwrap();
    let two = consoles.attach(&lab.admin, node.id, false).await.unwrap();
    let watcher = consoles.attach(&lab.alice, node.id, true).await.unwrap();
    forbidden("bob", consoles.attach(&lab.bob, node.id, true).await);
    node.bmc.serial().opened(1).await;
    for viewer in [&one, &two, &watcher] {
        replay(viewer).await;
    }
    lab.until("the console is open", async || node.bmc.serial().is_ours()).await;
    node.bmc.serial().print("login: ").await;
    for viewer in [&one, &two, &watcher] {
        sees(viewer, "login: ").await;
    }
    one.send(typed("root\r")).await.unwrap();
    sees(&watcher, "root\r").await;
    let refused = two.send(typed("x")).await.unwrap_err().to_string();
    assert!(refused.contains("take it first"), "{refused}");
    assert!(watcher.take_keyboard().await.is_err() && watcher.send(typed("x")).await.is_err());
    two.take_keyboard().await.unwrap();
    until(&one, |notice| *notice == ConsoleNotice::Keyboard { holder: Some("root".into()), yours: false })
        .await;
    until(&watcher, |notice| matches!(notice, ConsoleNotice::Mark { text, .. } if text == "root took the keyboard from alice")).await;
    two.send(ConsoleInput::Break).await.unwrap();
    sees(&one, "<break>").await;
    assert!(one.send(typed("x")).await.is_err());
    assert_eq!(node.bmc.serial().times_opened(), 1, "all see one session");
    lab.mrp.shutdown().await;
    assert_eq!(cut(&two).await, "the server ends");
    assert!(!node.bmc.serial().is_ours(), "closed by the end of the server");
}

#[tokio::test]
async fn giving_back_cuts_consoles_and_the_next_holder_sees_nothing_of_before() {
    let lab = Lab::new().await;
    let node = with_console(&lab).await;
    let consoles = lab.mrp.consoles();
    let viewer = consoles.attach(&lab.alice, node.id, false).await.unwrap();
    let admin = consoles.attach(&lab.admin, node.id, true).await.unwrap();
    connected(&viewer).await;
    node.bmc.serial().print("alice's secret\r\n").await;
    sees(&viewer, "secret").await;
    // Output that she has not read yet is hers no more.
    node.bmc.serial().print("unread").await;
    sees(&admin, "unread").await;
    let mut reading = consoles.log(&lab.alice, node.id, LogFilter::default()).await.unwrap();
    lab.clock.advance(Duration::from_secs(1));
    let own = lab.mrp.assignments().own(&lab.alice, node.id).await.unwrap().assignment.id;
    lab.mrp.assignments().give_back(&lab.alice, node.id, own).await.unwrap();
    assert_eq!(cut(&viewer).await, "given back by alice");
    assert!(viewer.send(typed("x")).await.is_err());
    assert!(matches!(reading.next().await, Err(Error::Forbidden(_))), "a log that is being read ends too");
    forbidden("alice's log", log(&lab.mrp, &lab.alice, &node, LogFilter::default()).await);

    node.bmc.serial().print("between\r\n").await;
    sees(&admin, "between").await;
    lab.clock.advance(Duration::from_secs(1));
    lab.mrp.assignments().assign(&lab.admin, node.id, "bob", "next", None).await.unwrap();
    let next_holder = consoles.attach(&lab.bob, node.id, false).await.unwrap();
    assert_eq!(replay(&next_holder).await, "");
    node.bmc.serial().print("bob's own\r\n").await;
    sees(&next_holder, "bob's own").await;
    let since_ever = LogFilter { since: Some(Timestamp(0)), ..LogFilter::default() };
    assert_eq!(printed(&log(&lab.mrp, &lab.bob, &node, since_ever).await.unwrap()), "bob's own\r\n");
    let all = printed(&log(&lab.mrp, &lab.admin, &node, LogFilter::default()).await.unwrap());
    assert_eq!(all, "alice's secret\r\nunreadbetween\r\nbob's own\r\n");
    let replayed = consoles.attach(&lab.bob, node.id, true).await.unwrap();
    assert_eq!(replay(&replayed).await, "bob's own\r\n");
    lab.mrp.shutdown().await;
}

#[tokio::test]
async fn a_console_that_is_lost_comes_back_with_a_mark() {
    let lab = Lab::new().await;
    let node = with_console(&lab).await;
    let viewer = lab.mrp.consoles().attach(&lab.alice, node.id, false).await.unwrap();
    connected(&viewer).await;
    for round in 1..3 {
        node.bmc.serial().print("booting ").await;
        node.bmc.serial().restart().await;
        until(&viewer, |notice| matches!(notice, ConsoleNotice::Link { connected: false, taken: false, text } if text.contains("in time"))).await;
        connected(&viewer).await;
        node.bmc.serial().opened(round + 1).await;
    }
    viewer.send(typed("after")).await.unwrap();
    sees(&viewer, "after").await;
    // The machine's power is a mark beside what it prints.
    lab.mrp.power(&lab.alice, node.id).set(mrp_core::service::power::PowerRequest::Cycle).await.unwrap();
    until(
        &viewer,
        |notice| matches!(notice, ConsoleNotice::Mark { text, .. } if text.contains("power cycle")),
    )
    .await;
    let frames = log(&lab.mrp, &lab.alice, &node, LogFilter::default()).await.unwrap();
    assert_eq!(printed(&frames), "booting booting after");
    let marks = frames.iter().filter_map(|frame| match &frame.content {
        FrameContent::Mark(text) => Some(text.as_str()),
        _ => None,
    });
    let marks: Vec<&str> = marks.filter(|text| text.starts_with("the console")).collect();
    let lost = marks.iter().filter(|text| text.starts_with("the console was lost: ")).count();
    let again = marks.iter().filter(|text| **text == "the console is open again").count();
    assert_eq!((lost, again), (2, 2), "{marks:?}");
    lab.mrp.shutdown().await;
}

#[tokio::test]
async fn a_console_that_is_taken_elsewhere_is_told_and_taken_on_request_only() {
    let lab = Lab::new().await;
    let node = with_console(&lab).await;
    let viewer = lab.mrp.consoles().attach(&lab.alice, node.id, false).await.unwrap();
    connected(&viewer).await;
    node.bmc.serial().taken_elsewhere().await;
    until(&viewer, |notice| matches!(notice, ConsoleNotice::Link { connected: false, taken: true, text } if text.contains("another session"))).await;
    let refused = viewer.send(typed("x")).await.unwrap_err().to_string();
    assert!(refused.contains("not open"), "{refused}");
    // It tries again, and takes nothing away.
    lab.until("it is tried again", async || node.bmc.logins() >= 4).await;
    assert!(!node.bmc.serial().is_ours());
    forbidden("bob takes", lab.mrp.consoles().take(&lab.bob, node.id).await);
    lab.mrp.consoles().take(&lab.alice, node.id).await.unwrap();
    connected(&viewer).await;
    viewer.send(typed("mine")).await.unwrap();
    sees(&viewer, "mine").await;
    let texts = lab.texts(&node, EventKind::Console).await;
    assert_eq!(texts, ["console opened by alice", "console taken from its session by alice"]);
    lab.mrp.shutdown().await;
}

#[tokio::test]
async fn a_lost_console_is_taken_back_from_ones_own_session_and_from_nobody_else() {
    let lab = Lab::new().await;
    let node = with_console(&lab).await;
    let viewer = lab.mrp.consoles().attach(&lab.alice, node.id, true).await.unwrap();
    connected(&viewer).await;
    node.bmc.serial().lost_to(None).await;
    connected(&viewer).await;
    assert!(node.bmc.serial().is_ours(), "the BMC had not noticed that ours was lost");
    node.bmc.serial().lost_to(Some("an admin's")).await;
    until(&viewer, |notice| matches!(notice, ConsoleNotice::Link { taken: true, .. })).await;
    assert!(!node.bmc.serial().is_ours(), "somebody has taken it while ours was lost");
    lab.mrp.shutdown().await;
}

#[tokio::test]
async fn who_is_admin_no_more_is_cut() {
    let lab = Lab::new().await;
    let node = with_console(&lab).await;
    let carol = lab.admin_named("carol").await;
    let (hers, alices) = (
        lab.mrp.consoles().attach(&carol, node.id, true).await.unwrap(),
        lab.mrp.consoles().attach(&lab.alice, node.id, true).await.unwrap(),
    );
    connected(&hers).await;
    let change = UserChange { admin: Some(false), ..UserChange::default() };
    lab.mrp.users().update(&lab.admin, carol.user.unwrap(), change).await.unwrap();
    assert_eq!(cut(&hers).await, "you may not see this console any more");
    forbidden("carol, as she was", lab.mrp.consoles().attach(&carol, node.id, true).await);
    connected(&alices).await;
    lab.mrp.shutdown().await;
}

#[tokio::test]
async fn what_a_killed_server_left_open_is_taken_from_it() {
    let mut lab = Lab::new().await;
    let node = with_console(&lab).await;
    node.bmc.serial().opened(1).await;
    lab.until("it is noted", async || !claims(&lab).await.is_empty()).await;
    lab.restart().await;
    node.bmc.serial().opened(2).await;
    lab.until("it is noted again", async || !claims(&lab).await.is_empty()).await;
    let noted = claims(&lab).await;
    lab.mrp.shutdown().await;
    assert_eq!(claims(&lab).await, [], "a clean end leaves no note");
    // As it would be after `kill -9`.
    for claim in noted {
        use mrp_core::store::ClaimStore;
        lab.store.claim(&claim, Timestamp(0)).await.unwrap();
    }
    node.bmc.serial().left_by_a_killed_server();
    lab.restart().await;
    node.bmc.serial().opened(3).await;
    lab.mrp.shutdown().await;
}

async fn claims(lab: &Lab) -> Vec<mrp_core::claim::Claim> {
    use mrp_core::store::ClaimStore;
    lab.store.claims("console:").await.unwrap()
}

#[tokio::test]
async fn a_console_is_recorded_while_the_machine_is_held() {
    let lab = Lab::new().await;
    let free = lab.bare_node("free", true).await;
    free.bmc.serial();
    let node = with_console(&lab).await;
    node.bmc.serial().opened(1).await;
    node.bmc.serial().print("Linux version 6.1\r\n").await;
    let recorded = async || {
        printed(&log(&lab.mrp, &lab.alice, &node, LogFilter::default()).await.unwrap()).contains("Linux")
    };
    lab.until("it is recorded", recorded).await;
    let own = lab.mrp.assignments().own(&lab.alice, node.id).await.unwrap().assignment.id;
    lab.mrp.assignments().give_back(&lab.alice, node.id, own).await.unwrap();
    lab.until("it is let go", async || !node.bmc.serial().is_ours()).await;
    assert_eq!(free.bmc.serial().times_opened(), 0);
    lab.mrp.shutdown().await;
}

#[tokio::test]
async fn a_site_chooses_when_consoles_are_open_and_whether_typing_is_recorded() {
    let lab = Lab::new().await;
    let node = lab.bare_node("m1", true).await;
    node.bmc.serial();
    lab.mrp.shutdown().await;
    for (keep_open, opened) in [(KeepOpen::Always, 1), (KeepOpen::Watched, 1)] {
        let console = ConsoleSettings { keep_open, record_typed: true };
        let settings = mrp_core::Settings { console, ..mrp_core::Settings::default() };
        let mrp = lab.builder().await.0.settings(settings).build().await.unwrap();
        if keep_open == KeepOpen::Always {
            node.bmc.serial().opened(1).await;
        }
        // Nobody watches and nobody holds it.
        mrp.assignments().assign(&lab.admin, node.id, "alice", "", None).await.ok();
        assert_eq!(node.bmc.serial().times_opened(), opened, "{keep_open:?}");
        if keep_open == KeepOpen::Watched {
            let viewer = mrp.consoles().attach(&lab.alice, node.id, false).await.unwrap();
            connected(&viewer).await;
            viewer.send(typed("typed")).await.unwrap();
            sees(&viewer, "typed").await;
            lab.until("it is recorded", async || {
                let frames = log(&mrp, &lab.alice, &node, LogFilter::default()).await.unwrap();
                frames
                    .iter()
                    .any(|frame| matches!(&frame.content, FrameContent::Typed(bytes) if bytes == "typed"))
            })
            .await;
            drop(viewer);
            lab.until("it is let go", async || !node.bmc.serial().is_ours()).await;
            assert_eq!(node.bmc.serial().times_opened(), 2);
        }
        mrp.shutdown().await;
    }
}

#[tokio::test]
async fn the_replay_is_the_last_of_the_record_without_a_gap() {
    let lab = Lab::new().await;
    let node = with_console(&lab).await;
    let serial = node.bmc.serial().clone();
    serial.opened(1).await;
    lab.until("the console is open", async || serial.is_ours()).await;
    let lines = 4000;
    let printer = tokio::spawn(async move {
        for number in 0..lines {
            serial.print(&format!("{number:08} a line that the kernel prints\r\n")).await;
        }
    });
    let mut first_numbers = Vec::new();
    for _ in 0..3 {
        tokio::task::yield_now().await;
        let viewer = lab.mrp.consoles().attach(&lab.alice, node.id, true).await.unwrap();
        let mut seen = String::new();
        while !seen.contains(&format!("{:08}", lines - 1)) {
            if let ConsoleMessage::Output(bytes) = next(&viewer).await {
                seen.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        }
        let whole = seen.split_inclusive("\r\n").skip_while(|line| line.len() < 39);
        let numbers: Vec<usize> = whole.map(|line| line[..8].parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a gap, or something twice");
        first_numbers.push(numbers[0]);
    }
    printer.await.unwrap();
    let late = lab.mrp.consoles().attach(&lab.alice, node.id, true).await.unwrap();
    assert_eq!(replay(&late).await.len(), REPLAY_BYTES);
    lab.mrp.shutdown().await;
}

#[tokio::test]
async fn the_log_is_searched_by_time_run_and_text() {
    let lab = Lab::new().await;
    let node = with_console(&lab).await;
    let viewer = lab.mrp.consoles().attach(&lab.alice, node.id, true).await.unwrap();
    connected(&viewer).await;
    let print = async |text: &str| {
        node.bmc.serial().print(text).await;
        sees(&viewer, text).await;
        lab.clock.advance(Duration::from_secs(10));
    };
    print("before the run\r\n").await;
    let run = lab.started(&node).await;
    lab.clock.advance(Duration::from_secs(1));
    print("Kernel PANIC in the run\r\n").await;
    lab.mrp.runs().cancel(&lab.alice, run.id).await.unwrap();
    lab.clock.advance(Duration::from_secs(1));
    let after = lab.mrp.now();
    print("after the run, panic\r\n").await;
    let find = async |filter| printed(&log(&lab.mrp, &lab.alice, &node, filter).await.unwrap());
    let of_run = LogFilter { run: Some(run.id), ..LogFilter::default() };
    assert_eq!(find(of_run).await, "Kernel PANIC in the run\r\n");
    let whole = lab.mrp.consoles().log(&lab.alice, node.id, LogFilter::default()).await.unwrap();
    let mut runs = Vec::new();
    for frame in log(&lab.mrp, &lab.alice, &node, LogFilter::default()).await.unwrap() {
        if let FrameContent::Output(_) = frame.content {
            runs.push(whole.run_at(frame.at));
        }
    }
    assert_eq!(runs, [None, Some(run.id), None]);
    let since = LogFilter { since: Some(after), ..LogFilter::default() };
    assert_eq!(find(since).await, "after the run, panic\r\n");
    let until = LogFilter { until: Some(after), text: Some("panic".into()), ..LogFilter::default() };
    assert_eq!(find(until).await, "Kernel PANIC in the run");
    let nothing = LogFilter { text: Some("no such words".into()), ..LogFilter::default() };
    assert_eq!(find(nothing).await, "");
    let other = LogFilter { run: Some(mrp_core::run::RunId::new(99)), ..LogFilter::default() };
    assert!(matches!(log(&lab.mrp, &lab.alice, &node, other).await, Err(Error::NotFound { .. })));
    lab.mrp.shutdown().await;
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_again_until_it_is_changed() {
    let lab = Lab::new().await;
    let node = lab.bare_node("m1", true).await;
    node.bmc.serial();
    let bmc = lab.machine(&node).await.bmc.unwrap();
    let spec = |password: &str| mrp_core::service::bmcs::BmcSpec {
        password: Some(mrp_core::secret::Secret::new(password)),
        ..lab::bmc_spec("bmc of m1", &node.bmc)
    };
    lab.mrp.bmcs().update(&lab.admin, bmc, spec("wrong")).await.unwrap();
    let viewer = lab.mrp.consoles().attach(&lab.admin, node.id, false).await.unwrap();
    until(
        &viewer,
        |notice| matches!(notice, ConsoleNotice::Link { text, .. } if text.contains("refuses the login")),
    )
    .await;
    let tries = node.bmc.logins();
    node.bmc.set(Fault::None);
    lab.mrp.bmcs().update(&lab.admin, bmc, spec(lab::BMC_PASSWORD)).await.unwrap();
    connected(&viewer).await;
    assert_eq!(node.bmc.logins(), tries + 1);
    lab.mrp.shutdown().await;
}

#[tokio::test]
async fn a_machine_without_a_console_says_so() {
    let lab = Lab::new().await;
    let (bare, plain) = (lab.bare_node("bare", false).await, lab.node("plain").await);
    let refused = lab.mrp.consoles().attach(&lab.admin, bare.id, false).await.unwrap_err().to_string();
    assert_eq!(refused, "console requires a BMC");
    let refused = lab.mrp.consoles().attach(&lab.alice, plain.id, false).await.unwrap_err().to_string();
    assert_eq!(refused, "BMC error: the serial console is not supported by this BMC");
    lab.mrp.shutdown().await;
}
