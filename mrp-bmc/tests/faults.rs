//! What a caller gets when the BMC, the network or the password is wrong: a clear error in bounded time, and no harm.

mod support;

use std::time::Duration;

use mrp_bmc::IpmiBmc;
use mrp_bmc::sim::{BmcSimulator, Faults, MachineEvent, SimConfig};
use mrp_core::bmc::{Bmc, BmcError, BootDevice, BootOverride, Node, OpenBmc, Power, PowerAction, Privilege};
use mrp_core::secret::Secret;
use serde_json::json;
use support::{config, driver, driver_with, eventually, simulator};

const PXE: BootOverride = BootOverride { device: BootDevice::Pxe, efi: true, persistent: false };

async fn sim() -> BmcSimulator {
    simulator(SimConfig::default()).await
}

fn node() -> Node {
    Node::default()
}

#[tokio::test]
async fn round_trips_are_as_few_as_the_protocol_allows() {
    let sim = sim().await;
    let bmc = driver(sim.local_addr()).await;
    let mut before = 0;
    let mut spent = || {
        let now = sim.requests();
        std::mem::replace(&mut before, now).abs_diff(now)
    };
    bmc.power(&node()).await.unwrap();
    assert_eq!(spent(), 6, "first contact: capabilities, cipher suites, open, RAKP twice, status");
    bmc.power(&node()).await.unwrap();
    assert_eq!(spent(), 1, "a kept session");
    bmc.set_power(&node(), PowerAction::On).await.unwrap();
    assert_eq!(spent(), 2, "privilege and command");
    bmc.set_power(&node(), PowerAction::Off).await.unwrap();
    assert_eq!(spent(), 1, "the privilege stays");
    bmc.set_boot(&node(), Some(PXE)).await.unwrap();
    assert_eq!(spent(), 5, "expiry, set in progress, acknowledge, flags, set complete");
    bmc.close().await;
    assert_eq!(spent(), 1);
    bmc.power(&node()).await.unwrap();
    assert_eq!(spent(), 4, "open, RAKP twice, status");
}

#[tokio::test]
async fn a_bmc_without_a_list_of_suites_costs_one_wait_once() {
    let sim = simulator(SimConfig { lists_cipher_suites: false, ..SimConfig::default() }).await;
    sim.set_cipher_suites(vec![3]);
    let bmc = driver(sim.local_addr()).await;
    bmc.power(&node()).await.unwrap();
    assert_eq!(sim.requests(), 7, "suite 17 is tried before suite 3");
    bmc.close().await;
    bmc.power(&node()).await.unwrap();
    assert_eq!(sim.requests(), 7 + 1 + 4, "the list is not asked for again, nor suite 17");
}

#[tokio::test]
async fn a_wrong_password_is_said_after_one_login() {
    let sim = sim().await;
    sim.set_faults(Faults { wrong_password: true, ..Faults::default() });
    let error = driver(sim.local_addr()).await.power(&node()).await.unwrap_err();
    assert!(matches!(error, BmcError::Unauthorized { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!("BMC at {} refuses the login: the password is wrong", sim.local_addr())
    );
    assert!(!error.is_transient());
    assert_eq!(sim.logins(), 1, "one login");
    // The driver tells the BMC so that it can free the session, and does not wait for it.
    eventually("the session is free", || sim.sessions() == 0).await;
}

#[tokio::test]
async fn an_unknown_user_and_a_low_privilege_are_said() {
    let sim = simulator(SimConfig { privilege: Privilege::User, ..SimConfig::default() }).await;
    let mut unknown = config(sim.local_addr(), json!({}));
    unknown.username = "nobody".into();
    let error = IpmiBmc::open(unknown).await.unwrap().power(&node()).await.unwrap_err();
    assert!(error.to_string().ends_with("there is no such user"), "{error}");
    let error = driver(sim.local_addr()).await.power(&node()).await.unwrap_err();
    assert!(error.to_string().contains("the account may not have the requested privilege"), "{error}");
    assert_eq!(sim.logins(), 2);

    let mut user = config(sim.local_addr(), json!({}));
    user.privilege = Privilege::User;
    let bmc = IpmiBmc::open(user).await.unwrap();
    assert_eq!(bmc.power(&node()).await.unwrap(), Power::Off);
    let error = bmc.set_power(&node(), PowerAction::On).await.unwrap_err();
    assert!(matches!(error, BmcError::Unauthorized { .. }), "{error}");
    assert!(error.to_string().contains("switching on"), "{error}");
    assert_eq!(bmc.power(&node()).await.unwrap(), Power::Off, "the session goes on");
}

#[tokio::test]
async fn a_silent_bmc_and_a_closed_port_are_unreachable() {
    let sim = sim().await;
    sim.set_faults(Faults { silent: true, ..Faults::default() });
    let address = sim.local_addr();
    let bmc = driver_with(address, json!({"retry_ms": 20, "tries": 3})).await;
    let error = bmc.power(&node()).await.unwrap_err();
    assert!(matches!(error, BmcError::Unreachable { .. }), "{error}");
    eventually("it was tried as often as the options say", || sim.requests() == 3).await;
    sim.set_faults(Faults::default());
    bmc.power(&node()).await.unwrap();
    sim.stop().await;
    let error = driver(address).await.power(&node()).await.unwrap_err();
    assert!(matches!(error, BmcError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_slow_bmc_is_waited_for_and_a_too_slow_one_bounded() {
    let sim = sim().await;
    sim.set_faults(Faults { delay: Duration::from_millis(120), ..Faults::default() });
    let bmc = driver_with(sim.local_addr(), json!({"retry_ms": 50, "tries": 8})).await;
    assert_eq!(bmc.power(&node()).await.unwrap(), Power::Off, "late answers to repeated requests count");
    bmc.set_boot(&node(), Some(PXE)).await.unwrap();
    assert_eq!(bmc.boot(&node()).await.unwrap(), Some(PXE));

    sim.set_faults(Faults { delay: Duration::from_secs(30), ..Faults::default() });
    let bounded = driver_with(sim.local_addr(), json!({"retry_ms": 10000, "timeout_ms": 200})).await;
    let error = bounded.power(&node()).await.unwrap_err();
    assert!(matches!(error, BmcError::Timeout { operation: "reading the power state", .. }), "{error}");
    sim.set_faults(Faults::default());
    bounded.power(&node()).await.unwrap();
}

#[tokio::test]
async fn garbage_ends_in_a_clear_error() {
    let sim = sim().await;
    sim.set_faults(Faults { garbage: true, ..Faults::default() });
    let bmc = driver_with(sim.local_addr(), json!({"retry_ms": 20, "tries": 3})).await;
    let error = bmc.power(&node()).await.unwrap_err();
    assert!(matches!(error, BmcError::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("no answer can be used"), "{error}");
    sim.set_faults(Faults::default());
    bmc.power(&node()).await.unwrap();
    sim.set_faults(Faults { garbage: true, ..Faults::default() });
    let error = bmc.power(&node()).await.unwrap_err();
    assert!(!matches!(error, BmcError::Unauthorized { .. }), "{error}");
}

#[tokio::test]
async fn a_busy_node_and_a_full_session_table_are_busy() {
    let sim = sim().await;
    let bmc = driver(sim.local_addr()).await;
    sim.set_faults(Faults { busy: true, ..Faults::default() });
    let error = bmc.power(&node()).await.unwrap_err();
    assert!(matches!(error, BmcError::Busy { .. }) && error.is_transient(), "{error}");
    sim.set_faults(Faults::default());
    bmc.power(&node()).await.unwrap();

    sim.set_faults(Faults { sessions_full: true, ..Faults::default() });
    let error = driver(sim.local_addr()).await.power(&node()).await.unwrap_err();
    assert!(error.to_string().ends_with("is busy: it has no free session"), "{error}");
    bmc.power(&node()).await.expect("the session that is open goes on");
}

#[tokio::test]
async fn the_session_table_is_really_limited_and_every_driver_gives_its_slot_back() {
    let sim = simulator(SimConfig { max_sessions: 2, ..SimConfig::default() }).await;
    let first = driver(sim.local_addr()).await;
    let second = driver(sim.local_addr()).await;
    first.power(&node()).await.unwrap();
    second.power(&node()).await.unwrap();
    let third = driver(sim.local_addr()).await;
    assert!(matches!(third.power(&node()).await, Err(BmcError::Busy { .. })));
    first.close().await;
    third.power(&node()).await.unwrap();
    drop(second);
    first.power(&node()).await.unwrap();
    assert_eq!(sim.sessions(), 2);
}

#[tokio::test]
async fn a_third_of_all_datagrams_may_get_lost() {
    let sim = simulator(SimConfig { max_sessions: 32, ..SimConfig::default() }).await;
    sim.set_faults(Faults { loss: 0.3, ..Faults::default() });
    let options = json!({"retry_ms": 10, "tries": 30, "timeout_ms": 60_000});
    let bmc = driver_with(sim.local_addr(), options).await;
    for _ in 0..5 {
        bmc.set_power(&node(), PowerAction::On).await.unwrap();
        assert_eq!(sim.power(), Power::On);
        bmc.set_boot(&node(), Some(PXE)).await.unwrap();
        assert_eq!(bmc.boot(&node()).await.unwrap(), Some(PXE));
        bmc.set_power(&node(), PowerAction::Off).await.unwrap();
        assert_eq!(bmc.power(&node()).await.unwrap(), Power::Off);
    }
}

/// A second reset would come in the middle of the boot that the first one began, and without its boot device.
#[tokio::test]
async fn a_reset_whose_answer_is_lost_is_not_sent_twice() {
    let sim = simulator(SimConfig { power: Power::On, max_sessions: 32, ..SimConfig::default() }).await;
    let mut events = sim.events();
    let options = json!({"retry_ms": 10, "tries": 30, "timeout_ms": 60_000});
    let bmc = driver_with(sim.local_addr(), options).await;
    bmc.set_boot(&node(), Some(PXE)).await.unwrap();
    sim.set_faults(Faults { loss: 0.3, ..Faults::default() });
    for _ in 0..4 {
        let outcome = bmc.set_power(&node(), PowerAction::Reset).await;
        let mut resets = 0;
        while let Ok(event) = events.try_recv() {
            assert!(matches!(event, MachineEvent::Reset { .. }), "{event:?}");
            resets += 1;
        }
        match outcome {
            Ok(()) => assert_eq!(resets, 1),
            Err(error) => {
                assert!(error.to_string().contains("it may have been carried out"), "{error}");
                assert!(resets <= 1, "{resets} resets");
            }
        }
    }
}

#[tokio::test]
async fn a_session_that_the_bmc_lost_is_opened_anew() {
    let sim = sim().await;
    let bmc = driver_with(sim.local_addr(), json!({"retry_ms": 300})).await;
    bmc.set_power(&node(), PowerAction::On).await.unwrap();
    sim.forget_sessions();
    assert_eq!(bmc.power(&node()).await.unwrap(), Power::On);
    sim.forget_sessions();
    bmc.set_power(&node(), PowerAction::Reset).await.unwrap();
    sim.forget_sessions();
    bmc.set_boot(&node(), Some(PXE)).await.unwrap();
    assert_eq!(sim.boot(), Some(PXE));
    assert_eq!(sim.logins(), 4);
}

#[tokio::test]
async fn a_privilege_that_the_bmc_took_away_is_raised_in_the_same_session() {
    let sim = sim().await;
    let bmc = driver(sim.local_addr()).await;
    bmc.set_power(&node(), PowerAction::On).await.unwrap();
    sim.lower_privileges();
    let before = sim.requests();
    bmc.set_power(&node(), PowerAction::Off).await.unwrap();
    assert_eq!(sim.power(), Power::Off);
    assert_eq!(sim.requests() - before, 3, "refused, raised, done");
    assert_eq!(sim.logins(), 1);
}

#[tokio::test]
async fn forged_packets_do_no_harm() {
    for suite in [3, 17] {
        let sim = sim().await;
        sim.set_faults(Faults { forged: true, ..Faults::default() });
        let bmc = driver_with(sim.local_addr(), json!({"cipher_suites": [suite]})).await;
        bmc.set_power(&node(), PowerAction::On).await.unwrap();
        bmc.set_boot(&node(), Some(PXE)).await.unwrap();
        assert_eq!(bmc.boot(&node()).await.unwrap(), Some(PXE), "suite {suite}");
        assert_eq!(sim.logins(), 1);
    }
}

#[tokio::test]
async fn a_suite_that_worked_is_not_lowered() {
    let sim = sim().await;
    let bmc = driver(sim.local_addr()).await;
    bmc.power(&node()).await.unwrap();
    bmc.close().await;
    sim.set_cipher_suites(vec![3]);
    let error = bmc.power(&node()).await.unwrap_err();
    assert!(error.to_string().contains("refuses cipher suite 17, which has worked before"), "{error}");
    assert_eq!(sim.logins(), 1, "no login with suite 3");
    let error = bmc.power(&node()).await.unwrap_err();
    assert!(error.to_string().contains("a weaker one is not used"), "nor at the next try: {error}");
    sim.set_cipher_suites(vec![17, 3]);
    bmc.power(&node()).await.unwrap();
}

#[tokio::test]
async fn suites_without_encryption_are_refused_unless_named() {
    for unsafe_suite in [1, 2, 15, 16] {
        let sim = simulator(SimConfig { cipher_suites: vec![unsafe_suite], ..SimConfig::default() }).await;
        let error = driver(sim.local_addr()).await.power(&node()).await.unwrap_err();
        assert!(matches!(error, BmcError::Config(_)), "{error}");
        assert!(error.to_string().contains("cipher_suites"), "{error}");
        let named = driver_with(sim.local_addr(), json!({"cipher_suites": [unsafe_suite]})).await;
        named.power(&node()).await.unwrap();
    }
}

#[tokio::test]
async fn boot_flags_that_the_bmc_drops_are_not_reported() {
    let sim = sim().await;
    sim.set_faults(Faults { lossy_boot: true, ..Faults::default() });
    let bmc = driver(sim.local_addr()).await;
    bmc.set_boot(&node(), Some(PXE)).await.unwrap();
    assert_eq!(bmc.boot(&node()).await.unwrap(), None);
    assert_eq!(sim.boot(), Some(PXE));
}

#[tokio::test]
async fn the_expiry_of_boot_flags_is_switched_off_unless_told_otherwise() {
    let config = SimConfig { boot_expiry: Duration::ZERO, ..SimConfig::default() };
    let sim = simulator(config).await;
    let kept = driver(sim.local_addr()).await;
    let expiring = driver_with(sim.local_addr(), json!({"boot_expiry_off": false})).await;
    expiring.set_boot(&node(), Some(PXE)).await.unwrap();
    assert_eq!(expiring.boot(&node()).await.unwrap(), None, "expired at once");
    kept.set_boot(&node(), Some(PXE)).await.unwrap();
    assert_eq!(kept.boot(&node()).await.unwrap(), Some(PXE));
}

/// Supermicro's firmware calls the disk in EFI mode 0x24 (FAQ 25559), not 0x08.
#[tokio::test]
async fn supermicro_has_an_efi_disk_selector_of_its_own() {
    let sim = sim().await;
    let mut messages = sim.messages();
    let bmc = driver_with(sim.local_addr(), json!({"efi_disk_selector": 0x24})).await;
    let disk = BootOverride { device: BootDevice::Disk, efi: true, persistent: true };
    bmc.set_boot(&node(), Some(disk)).await.unwrap();
    let mut sent = Vec::new();
    while let Ok(message) = messages.try_recv() {
        sent.push(message);
    }
    let flags = [0x08, 0x05, 0xe0, 0x24, 0, 0, 0];
    assert!(sent.iter().any(|message| message.windows(7).any(|bytes| bytes == flags)), "{sent:?}");
    assert_eq!(bmc.boot(&node()).await.unwrap(), Some(disk));
    for other in [BootOverride { efi: false, ..disk }, PXE] {
        bmc.set_boot(&node(), Some(other)).await.unwrap();
        assert_eq!((bmc.boot(&node()).await.unwrap(), sim.boot()), (Some(other), Some(other)));
    }
}

#[tokio::test]
async fn a_bmc_may_be_spared_the_handshake_and_the_expiry() {
    let sim = sim().await;
    let options = json!({"boot_handshake": false, "boot_expiry_off": false});
    let bmc = driver_with(sim.local_addr(), options).await;
    bmc.set_power(&node(), PowerAction::Off).await.unwrap();
    let before = sim.requests();
    bmc.set_boot(&node(), Some(PXE)).await.unwrap();
    assert_eq!(sim.requests() - before, 1, "the flags alone");
    assert_eq!(bmc.boot(&node()).await.unwrap(), Some(PXE));
}

/// IPMI 2.0 passwords have up to 20 bytes, those that IPMI 1.5 can use 16; names have up to 16.
#[tokio::test]
async fn names_and_passwords_work_up_to_their_limits() {
    for (name, password) in [
        ("", "x"),
        ("a", "sixteen-bytes-pw"),
        ("admin", "seventeen-bytes-p"),
        ("sixteen-bytes-nm", "twenty-bytes-exactly"),
    ] {
        for suite in [3, 17] {
            let (username, secret) = (name.to_owned(), Secret::new(password));
            let config = SimConfig { username, password: secret, ..SimConfig::default() };
            let sim = simulator(config).await;
            let mut entry = config_of(&sim, json!({"cipher_suites": [suite]}));
            (entry.username, entry.password) = (name.into(), Secret::new(password));
            IpmiBmc::open(entry.clone()).await.unwrap().power(&node()).await.unwrap();
            let cut = &password[..password.len() - 1];
            entry.password = Secret::new(cut);
            let error = IpmiBmc::open(entry.clone()).await.unwrap().power(&node()).await.unwrap_err();
            assert!(matches!(error, BmcError::Unauthorized { .. }), "one byte less: {error}");
            entry.username = "seventeen-bytes-n".into();
            let error = IpmiBmc::open(entry).await.unwrap_err();
            assert!(error.to_string().contains("user name has more than 16 bytes"), "{error}");
        }
    }
}

fn config_of(sim: &BmcSimulator, options: serde_json::Value) -> mrp_core::bmc::BmcConfig {
    config(sim.local_addr(), options)
}

/// Each datagram comes twice, and a third of them late: doubles are replays, which the session drops.
#[tokio::test]
async fn doubled_and_reordered_datagrams_change_nothing() {
    let sim = sim().await;
    sim.set_faults(Faults { duplicated: 1.0, reordered: 0.3, ..Faults::default() });
    let bmc = driver(sim.local_addr()).await;
    let mut events = sim.events();
    for _ in 0..20 {
        bmc.set_power(&node(), PowerAction::On).await.unwrap();
        assert_eq!(bmc.power(&node()).await.unwrap(), Power::On);
        bmc.set_power(&node(), PowerAction::Off).await.unwrap();
        assert_eq!(bmc.power(&node()).await.unwrap(), Power::Off);
    }
    let happened = std::iter::from_fn(|| events.try_recv().ok()).count();
    assert_eq!((happened, sim.logins()), (40, 1), "each command once, in one session");
}

/// More commands than there are message sequence numbers.
#[tokio::test]
async fn message_sequence_numbers_wrap_unnoticed() {
    let sim = sim().await;
    let bmc = driver(sim.local_addr()).await;
    for _ in 0..200 {
        assert_eq!(bmc.power(&node()).await.unwrap(), Power::Off);
    }
    assert_eq!(sim.logins(), 1);
}

/// Its name resolves to two addresses; it moves from one to the other.
#[tokio::test]
async fn a_bmc_whose_address_changes_is_found_again() {
    let found: Vec<_> = tokio::net::lookup_host("localhost:0").await.unwrap().map(|it| it.ip()).collect();
    let old = BmcSimulator::start((found[0], 0).into(), SimConfig::default()).await.unwrap();
    let port = old.local_addr().port();
    let mut named = config(old.local_addr(), json!({"retry_ms": 20, "tries": 3}));
    named.address = format!("localhost:{port}");
    let bmc = IpmiBmc::open(named).await.unwrap();
    bmc.power(&node()).await.unwrap();
    old.stop().await;
    let last = *found.last().unwrap();
    let moved = BmcSimulator::start((last, port).into(), SimConfig::default()).await.unwrap();
    assert_eq!(bmc.power(&node()).await.unwrap(), Power::Off);
    assert_eq!(moved.logins(), 1);
}

#[tokio::test]
async fn a_call_that_was_given_up_does_not_disturb_the_next_one() {
    let sim = sim().await;
    let bmc = driver(sim.local_addr()).await;
    bmc.power(&node()).await.unwrap();
    sim.set_faults(Faults { delay: Duration::from_millis(600), ..Faults::default() });
    for _ in 0..3 {
        let given_up = tokio::time::timeout(Duration::from_millis(20), bmc.power(&node())).await;
        assert!(given_up.is_err());
    }
    bmc.set_power(&node(), PowerAction::On).await.unwrap();
    assert_eq!(bmc.power(&node()).await.unwrap(), Power::On, "a late answer to an older call is not taken");
}

#[tokio::test]
async fn host_names_and_ipv6_work_and_secrets_do_not_print() {
    let v6 = BmcSimulator::start("[::1]:0".parse().unwrap(), SimConfig::default()).await.unwrap();
    driver(v6.local_addr()).await.power(&node()).await.unwrap();

    let sim = simulator(SimConfig { password: Secret::new("s3cret-words"), ..SimConfig::default() }).await;
    let mut named = config(sim.local_addr(), json!({}));
    named.address = format!("localhost:{}", sim.local_addr().port());
    named.password = Secret::new("s3cret-words");
    let bmc = IpmiBmc::open(named).await.unwrap();
    bmc.power(&node()).await.unwrap();
    let printed = format!("{bmc:?} {sim:?}");
    assert!(!printed.contains("s3cret-words"), "{printed}");
    let bytes = format!("{:?}", b"s3cret-words");
    assert!(!printed.contains(bytes.trim_matches(['[', ']'])), "nor as bytes: {printed}");

    let mut unknown = config(sim.local_addr(), json!({}));
    unknown.address = "no-such-host.invalid".into();
    let error = IpmiBmc::open(unknown).await.unwrap().power(&node()).await.unwrap_err();
    assert!(matches!(error, BmcError::Config(_)), "{error}");
}

/// As many as fit into the usual limit of 1,024 open files.
#[tokio::test]
async fn hundreds_of_bmcs_live_in_one_process() {
    let mut sims = Vec::new();
    for _ in 0..400 {
        sims.push(sim().await);
    }
    for rack in sims.chunks(100) {
        let mut calls = tokio::task::JoinSet::new();
        for sim in rack {
            let address = sim.local_addr();
            calls.spawn(async move {
                let bmc = driver(address).await;
                bmc.set_power(&node(), PowerAction::On).await?;
                bmc.power(&node()).await
            });
        }
        while let Some(outcome) = calls.join_next().await {
            assert_eq!(outcome.unwrap().unwrap(), Power::On);
        }
    }
    assert!(sims.iter().all(|sim| sim.power() == Power::On));
}

#[tokio::test]
async fn concurrent_calls_share_one_session() {
    let sim = sim().await;
    let bmc = std::sync::Arc::new(driver(sim.local_addr()).await);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..20 {
        let bmc = bmc.clone();
        calls.spawn(async move {
            match number % 2 {
                0 => bmc.power(&node()).await.map(|_| ()),
                _ => bmc.set_boot(&node(), Some(PXE)).await,
            }
        });
    }
    while let Some(outcome) = calls.join_next().await {
        outcome.unwrap().unwrap();
    }
    assert_eq!((sim.logins(), sim.sessions()), (1, 1));
    drop(bmc);
    eventually("a driver that is dropped closes its session", || sim.sessions() == 0).await;
}
