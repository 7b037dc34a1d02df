//! Serial over LAN against the simulator: what its faults do to an open console, and what becomes of it.

mod support;

use std::time::Duration;

use bytes::Bytes;
use mrp_bmc::sim::{BmcSimulator, Faults, SimConfig};
use mrp_core::bmc::{Bmc, BmcError, Console, ConsoleInput, Node, OpenBmc, Power, PowerAction};
use serde_json::json;
use support::{driver, driver_with, eventually, read, read_at_least, simulator, type_in};

fn node() -> Node {
    Node::default()
}

async fn running() -> BmcSimulator {
    simulator(SimConfig { power: Power::On, max_sessions: 16, ..SimConfig::default() }).await
}

/// Reads to the end.
async fn end(console: &mut Console) -> (Vec<u8>, Option<BmcError>) {
    let mut seen = Vec::new();
    while let Some(received) = console.output.recv().await {
        match received {
            Ok(characters) => seen.extend_from_slice(&characters),
            Err(error) => return (seen, Some(error)),
        }
    }
    (seen, None)
}

#[tokio::test]
async fn it_shows_the_machine_start_and_takes_what_is_typed() {
    let sim = simulator(SimConfig::default()).await;
    let bmc = driver(sim.local_addr()).await;
    let mut typed = sim.typed();
    let mut console = bmc.open_console(&node()).await.unwrap();
    assert!(sim.console_is_open());
    bmc.set_power(&node(), PowerAction::On).await.unwrap();
    let started = b"\r\nThe simulated machine starts from its first boot device.\r\nlogin: ";
    assert_eq!(read(&mut console, started.len()).await, started);
    type_in(&console, "root\r").await;
    assert_eq!(read(&mut console, 5).await, b"root\r");
    assert_eq!(typed.recv().await.unwrap(), ConsoleInput::Bytes(Bytes::from_static(b"root\r")));
    console.input.send(ConsoleInput::Break).await.unwrap();
    assert_eq!(typed.recv().await.unwrap(), ConsoleInput::Break);
    assert_eq!((sim.logins(), sim.sessions()), (2, 2), "a session for the console, one for commands");
    drop(console);
    eventually("the console is closed", || !sim.console_is_open() && sim.sessions() == 1).await;
}

#[tokio::test]
async fn a_console_without_input_is_watched_on() {
    let sim = running().await;
    let bmc = driver(sim.local_addr()).await;
    let Console { mut output, input, .. } = bmc.open_console(&node()).await.unwrap();
    drop(input);
    sim.print("watched");
    assert_eq!(output.recv().await.unwrap().unwrap(), "watched");
}

/// 30% of the datagrams are lost each way, some come twice, and some late.
#[tokio::test]
async fn nothing_is_lost_over_a_bad_network() {
    let sol_retry = Duration::from_millis(20);
    let config = SimConfig { power: Power::On, max_sessions: 16, sol_retry, ..SimConfig::default() };
    let sim = simulator(config).await;
    sim.set_faults(Faults { loss: 0.3, duplicated: 0.2, reordered: 0.2, ..Faults::default() });
    let options = json!({"retry_ms": 20, "tries": 30, "timeout_ms": 60_000});
    let bmc = driver_with(sim.local_addr(), options).await;
    let mut console = bmc.open_console(&node()).await.unwrap();
    let text: Vec<u8> = (0..400u32).flat_map(|line| format!("{line:04}\r\n").into_bytes()).collect();
    console.input.send(ConsoleInput::Bytes(text.clone().into())).await.unwrap();
    assert_eq!(read(&mut console, text.len()).await, text);
    drop(console);
    eventually("the console is closed", || !sim.console_is_open()).await;
}

/// Activate Payload whose answer gets lost finds its own console active.
#[tokio::test]
async fn its_own_activation_is_no_other_session() {
    let sim = simulator(SimConfig { power: Power::On, max_sessions: 64, ..SimConfig::default() }).await;
    let options = json!({"retry_ms": 10, "tries": 50, "timeout_ms": 60_000});
    let bmc = driver_with(sim.local_addr(), options).await;
    for _ in 0..10 {
        sim.set_faults(Faults { loss: 0.4, ..Faults::default() });
        let console = bmc.open_console(&node()).await.unwrap();
        // Its end is tried a few times only: the BMC ends what is idle.
        sim.set_faults(Faults::default());
        drop(console);
        eventually("the console is closed", || !sim.console_is_open()).await;
    }
}

#[tokio::test]
async fn two_who_want_it_are_told_of_each_other() {
    let sim = running().await;
    let (first, second) = (driver(sim.local_addr()).await, driver(sim.local_addr()).await);
    let mut held = first.open_console(&node()).await.unwrap();
    let error = second.open_console(&node()).await.unwrap_err();
    let words = format!("the serial console of BMC at {} is open in another session", sim.local_addr());
    assert_eq!(error.to_string(), words);
    let named = matches!(&error, BmcError::ConsoleTaken { session, .. } if session.is_some() && *session == held.session);
    assert!(named && !error.is_transient(), "{error:?}");
    sim.print("last words");
    assert_eq!(read(&mut held, 10).await, b"last words");
    second.reset_console(&node()).await.unwrap();
    let mut taken = second.open_console(&node()).await.unwrap();
    let (_, reason) = end(&mut held).await;
    assert!(matches!(reason, Some(BmcError::Busy { .. })), "{reason:?}");
    let error = first.open_console(&node()).await.unwrap_err();
    assert!(matches!(error, BmcError::ConsoleTaken { .. }), "it is not taken back by itself: {error}");
    type_in(&taken, "mine").await;
    assert_eq!(read(&mut taken, 4).await, b"mine");
}

#[tokio::test]
async fn a_bmc_that_restarts_ends_it_and_it_opens_anew() {
    let sim = running().await;
    let bmc = driver_with(sim.local_addr(), json!({"retry_ms": 20, "tries": 3})).await;
    let mut console = bmc.open_console(&node()).await.unwrap();
    sim.forget_sessions();
    type_in(&console, "anybody?").await;
    let (_, reason) = end(&mut console).await;
    let reason = reason.expect("it says why");
    assert!(reason.is_transient(), "{reason}");
    let mut console = bmc.open_console(&node()).await.unwrap();
    type_in(&console, "root").await;
    assert_eq!(read(&mut console, 4).await, b"root");
}

#[tokio::test]
async fn a_host_that_refuses_ends_it() {
    let sim = running().await;
    let bmc = driver_with(sim.local_addr(), json!({"retry_ms": 20})).await;
    let mut console = bmc.open_console(&node()).await.unwrap();
    sim.stop().await;
    type_in(&console, "anybody?").await;
    let (_, reason) = end(&mut console).await;
    assert!(matches!(reason, Some(BmcError::Unreachable { .. })), "{reason:?}");
}

#[tokio::test]
async fn a_console_that_is_switched_off_and_a_full_table_are_said() {
    let sim = simulator(SimConfig { console: false, ..SimConfig::default() }).await;
    let bmc = driver(sim.local_addr()).await;
    let error = bmc.open_console(&node()).await.unwrap_err();
    assert!(
        matches!(error, BmcError::Config(_)) && error.to_string().contains("enable Serial over LAN"),
        "{error}"
    );
    eventually("its session is closed", || sim.sessions() == 0).await;

    let sim = simulator(SimConfig { max_sessions: 1, ..SimConfig::default() }).await;
    let bmc = driver(sim.local_addr()).await;
    bmc.power(&node()).await.unwrap();
    let error = bmc.open_console(&node()).await.unwrap_err();
    assert!(error.to_string().ends_with("is busy: it has no free session"), "{error}");
    bmc.close().await;
    bmc.open_console(&node()).await.expect("the console needs no other session");
}

/// A reader that falls behind makes the BMC wait, and the machine's output beyond the BMC's room is lost there.
#[tokio::test]
async fn when_nobody_reads_little_is_kept_and_nothing_out_of_order() {
    let sim = running().await;
    let bmc = driver(sim.local_addr()).await;
    let mut console = bmc.open_console(&node()).await.unwrap();
    let lines: Vec<String> = (0..20_000).map(|line| format!("line {line:06}\r\n")).collect();
    for line in &lines {
        sim.print(line.clone());
        tokio::task::yield_now().await;
    }
    sim.print("");
    // The reader is back: what it gets first is the beginning, unbroken.
    let whole = lines.concat().into_bytes();
    let first = read_at_least(&mut console, 10_000).await;
    assert_eq!(first, whole[..first.len()]);
}

/// Longer than the BMC keeps a session that only carries characters.
#[tokio::test]
async fn it_is_kept_open_beyond_the_idle_limit_of_the_bmc() {
    let config =
        SimConfig { power: Power::On, session_timeout: Duration::from_secs(1), ..SimConfig::default() };
    let sim = simulator(config).await;
    let bmc = driver_with(sim.local_addr(), json!({"keep_alive_ms": 200})).await;
    let mut console = bmc.open_console(&node()).await.unwrap();
    let before = sim.requests();
    eventually("the BMC was asked for longer than its limit", || sim.requests() >= before + 12).await;
    type_in(&console, "x").await;
    assert_eq!(read(&mut console, 1).await, b"x");
    assert_eq!(sim.logins(), 1);
}

#[tokio::test]
async fn closing_and_dropping_the_driver_end_its_consoles() {
    let sim = running().await;
    let bmc = driver(sim.local_addr()).await;
    let mut console = bmc.open_console(&node()).await.unwrap();
    bmc.close().await;
    assert!(!sim.console_is_open(), "when close returns");
    assert_eq!(sim.sessions(), 0);
    assert!(matches!(end(&mut console).await, (_, None)));
    let mut console = bmc.open_console(&node()).await.unwrap();
    drop(bmc);
    assert!(matches!(end(&mut console).await, (_, None)));
    eventually("the console is closed", || !sim.console_is_open() && sim.sessions() == 0).await;
}

/// One that a machine holds for weeks: the numbers of packets and of messages begin anew many times.
#[tokio::test]
async fn sequence_numbers_wrap_unnoticed() {
    let sim = running().await;
    let bmc = driver(sim.local_addr()).await;
    let mut console = bmc.open_console(&node()).await.unwrap();
    for _ in 0..200 {
        type_in(&console, "x").await;
        assert_eq!(read(&mut console, 1).await, b"x");
        assert_eq!(bmc.power(&node()).await.unwrap(), Power::On);
    }
    assert_eq!(sim.logins(), 2);
}

#[tokio::test]
async fn consoles_work_with_every_cipher_suite() {
    for suite in [1, 2, 3, 15, 16, 17] {
        let config = SimConfig { power: Power::On, cipher_suites: vec![suite], ..SimConfig::default() };
        let sim = simulator(config).await;
        let config = support::config(sim.local_addr(), json!({"cipher_suites": [suite]}));
        let bmc = mrp_bmc::IpmiBmc::open(config).await.unwrap();
        let mut console = bmc.open_console(&node()).await.unwrap();
        type_in(&console, "root").await;
        assert_eq!(read(&mut console, 4).await, b"root", "suite {suite}");
    }
}
