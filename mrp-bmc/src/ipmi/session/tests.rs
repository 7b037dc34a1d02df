//! The state machine and the simulated BMC, joined without sockets: time is a number that the test moves, so no test waits.

use super::*;
use crate::ipmi::wire::chassis_control::ChassisControl;
use crate::ipmi::wire::get_chassis_status::{ChassisStatus, GetChassisStatus};
use crate::ipmi::wire::rakp::status;
use crate::ipmi::wire::set_session_privilege::SetSessionPrivilege;
use crate::sim::{Faults, SimConfig, SimulatedBmc};

const RETRY: Retry = Retry { first_wait: Duration::from_millis(100), tries: 3 };

struct Pair {
    session: Session,
    bmc: SimulatedBmc,
    now: Instant,
    /// Numbers of the console's datagrams that get lost, and of the BMC's.
    lost: (Vec<usize>, Vec<usize>),
    sent: (usize, usize),
}

fn login(suites: &[u8]) -> Arc<Login> {
    Arc::new(Login {
        user_name: b"admin".to_vec(),
        password: Secret::new("admin"),
        privilege: 4,
        suites: suites.iter().map(|id| CipherSuite::from_id(*id).unwrap()).collect(),
    })
}

fn nonces(number: u8) -> Nonces {
    Nonces { session_id: u32::from(number) + 1, console_nonce: [number; 16], iv_key: [number; 32] }
}

impl Pair {
    fn new(config: SimConfig) -> Self {
        Self::with(config, Contact::default(), Faults::default())
    }

    fn with(config: SimConfig, contact: Contact, faults: Faults) -> Self {
        let now = Instant::now();
        let session = Session::new(login(&[17, 3]), RETRY, contact, nonces(1), now);
        let mut bmc = SimulatedBmc::new(config, [9; 16]);
        bmc.faults = faults;
        Self { session, bmc, now, lost: (Vec::new(), Vec::new()), sent: (0, 0) }
    }

    /// Carries datagrams, and lets time pass when there are none, until something happens.
    fn run(&mut self) -> Event {
        let peer = ([127, 0, 0, 1], 1).into();
        for _ in 0..1000 {
            if let Some(event) = self.session.poll_event() {
                return event;
            }
            let Some(datagram) = self.session.poll_transmit() else {
                self.now = self.session.poll_timeout().expect("it waits for something");
                self.session.handle_timeout(self.now);
                continue;
            };
            self.sent.0 += 1;
            if self.lost.0.contains(&self.sent.0) {
                continue;
            }
            for answer in self.bmc.handle(peer, &datagram, self.now) {
                self.sent.1 += 1;
                if !self.lost.1.contains(&self.sent.1) {
                    self.session.handle_input(&answer, self.now);
                }
            }
        }
        panic!("nothing happens");
    }

    fn status(&mut self) -> Event {
        self.session.submit(&GetChassisStatus, &Route::default(), RETRY, self.now);
        self.run()
    }
}

fn is_off(event: &Event) -> bool {
    matches!(event, Event::Answered { completion_code: 0, data } if !ChassisStatus::decode(data).unwrap().is_on())
}

#[test]
fn a_login_and_a_command_take_six_datagrams() {
    let mut pair = Pair::new(SimConfig::default());
    assert_eq!(pair.run(), Event::Established);
    assert_eq!(pair.session.contact().worked.map(CipherSuite::id), Some(17));
    assert!(is_off(&pair.status()));
    assert_eq!(pair.sent, (6, 6));
    assert_eq!(pair.session.dropped(), 0);
}

/// Each single datagram of a login and a command, either way, may get lost.
#[test]
fn any_lost_datagram_is_made_up_for() {
    for number in 1..=6 {
        for lost in [(vec![number], vec![]), (vec![], vec![number])] {
            let mut pair = Pair::new(SimConfig::default());
            pair.lost = lost.clone();
            assert_eq!(pair.run(), Event::Established, "{lost:?}");
            assert!(is_off(&pair.status()), "{lost:?}");
        }
    }
}

#[test]
fn a_repeated_request_is_sealed_anew_and_both_its_answers_are_told_apart() {
    let mut pair = Pair::new(SimConfig::default());
    pair.run();
    let peer = ([127, 0, 0, 1], 1).into();
    pair.session.submit(&GetChassisStatus, &Route::default(), RETRY, pair.now);
    let first = pair.session.poll_transmit().unwrap();
    pair.now += RETRY.first_wait;
    pair.session.handle_timeout(pair.now);
    let second = pair.session.poll_transmit().unwrap();
    assert_ne!(first, second, "a new session sequence number");
    let answers = [pair.bmc.handle(peer, &first, pair.now), pair.bmc.handle(peer, &second, pair.now)];
    for answer in answers.iter().flatten() {
        pair.session.handle_input(answer, pair.now);
    }
    assert!(is_off(&pair.session.poll_event().unwrap()));
    assert_eq!(pair.session.poll_event(), None, "the second answer is dropped");
    assert_eq!(pair.session.dropped(), 1);
    pair.session.handle_input(&answers[0][0], pair.now);
    assert_eq!((pair.session.dropped(), pair.session.poll_event()), (2, None), "as is a replayed one");
}

#[test]
fn waits_grow_up_to_two_seconds_and_end() {
    let now = Instant::now();
    let retry = Retry { first_wait: Duration::from_secs(1), tries: 4 };
    let mut session = Session::new(login(&[17]), retry, Contact::default(), nonces(1), now);
    let mut waits = Vec::new();
    let mut at = now;
    while let Some(deadline) = session.poll_timeout() {
        waits.push((deadline - at).as_millis());
        at = deadline;
        session.handle_timeout(at);
    }
    assert_eq!(waits, [1000, 1500, 2000, 2000]);
    let step = "Get Channel Authentication Capabilities";
    assert_eq!(session.poll_event(), Some(Event::Failed(Failure::Silent { step })));
    assert_eq!(std::iter::from_fn(|| session.poll_transmit()).count(), 4);
}

#[test]
fn a_timeout_before_its_time_does_nothing() {
    let now = Instant::now();
    let mut session = Session::new(login(&[17]), RETRY, Contact::default(), nonces(1), now);
    session.poll_transmit().unwrap();
    session.handle_timeout(now + Duration::from_millis(99));
    assert_eq!(session.poll_transmit(), None);
}

#[test]
fn forged_and_garbled_datagrams_are_dropped_and_counted() {
    let mut pair =
        Pair::with(SimConfig::default(), Contact::default(), Faults { forged: true, ..Faults::default() });
    assert_eq!(pair.run(), Event::Established);
    assert!(is_off(&pair.status()));
    assert_eq!(pair.session.dropped(), 1);
    for garbage in [&b""[..], b"\x06\x00\xff\x07", b"not IPMI at all", &[0; 200]] {
        pair.session.handle_input(garbage, pair.now);
    }
    assert_eq!(pair.session.dropped(), 5);
    pair.bmc.faults = Faults::default();
    assert!(is_off(&pair.status()));
}

#[test]
fn nothing_but_garbage_is_told_from_silence() {
    let mut pair =
        Pair::with(SimConfig::default(), Contact::default(), Faults { garbage: true, ..Faults::default() });
    assert!(matches!(pair.run(), Event::Failed(Failure::Garbage { .. })));
    let mut pair =
        Pair::with(SimConfig::default(), Contact::default(), Faults { silent: true, ..Faults::default() });
    assert!(matches!(pair.run(), Event::Failed(Failure::Silent { .. })));
}

#[test]
fn a_wrong_password_is_noticed_and_the_bmc_told() {
    let faults = Faults { wrong_password: true, ..Faults::default() };
    let mut pair = Pair::with(SimConfig::default(), Contact::default(), faults);
    assert_eq!(pair.run(), Event::Failed(Failure::WrongPassword));
    let peer = ([127, 0, 0, 1], 1).into();
    let told = pair.session.poll_transmit().expect("RAKP 3 with a status");
    assert_eq!(pair.bmc.handle(peer, &told, pair.now), Vec::<Vec<u8>>::new());
    assert_eq!(pair.bmc.sessions.count(Duration::from_secs(60), pair.now), 0);
    assert_eq!(pair.session.poll_timeout(), None);
}

#[test]
fn a_full_session_table_is_told() {
    let mut pair = Pair::new(SimConfig { max_sessions: 0, ..SimConfig::default() });
    let status = status::INSUFFICIENT_RESOURCES;
    assert_eq!(pair.run(), Event::Failed(Failure::Refused { step: "Open Session", status }));
}

#[test]
fn the_list_of_suites_decides_and_a_missing_list_does_not_hurt() {
    let suite_3 = SimConfig { cipher_suites: vec![1, 2, 15, 16, 3], ..SimConfig::default() };
    let mut pair = Pair::new(suite_3);
    assert_eq!(pair.run(), Event::Established);
    assert_eq!(pair.session.contact().worked.map(CipherSuite::id), Some(3));
    assert_eq!(pair.sent.0, 6, "the list of five suites takes two datagrams, and suite 17 is not tried");

    let silent = SimConfig { lists_cipher_suites: false, cipher_suites: vec![3], ..SimConfig::default() };
    let mut pair = Pair::new(silent);
    assert_eq!(pair.run(), Event::Established);
    assert_eq!(pair.session.contact().offered, Some(vec![]));

    let mut pair = Pair::new(SimConfig { cipher_suites: vec![1, 2], ..SimConfig::default() });
    assert_eq!(pair.run(), Event::Failed(Failure::NoCommonSuite { offered: vec![1, 2] }));
}

#[test]
fn a_suite_that_worked_is_not_lowered_by_refusals_or_silence() {
    let worked = CipherSuite::from_id(17);
    let contact = Contact { speaks_rmcp_plus: true, offered: Some(vec![3]), worked };
    let only_3 = SimConfig { cipher_suites: vec![3], ..SimConfig::default() };
    let mut pair = Pair::with(only_3, contact.clone(), Faults::default());
    assert_eq!(pair.run(), Event::Failed(Failure::SuiteRefused { worked }));
    let mut pair =
        Pair::with(SimConfig::default(), contact.clone(), Faults { silent: true, ..Faults::default() });
    assert_eq!(pair.run(), Event::Failed(Failure::Silent { step: "Open Session" }));
    let weaker = Contact { worked: CipherSuite::from_id(3), ..contact };
    let candidates = login::candidates(&login(&[17, 3, 2]), &weaker);
    assert_eq!(
        candidates.iter().map(|suite| suite.id()).collect::<Vec<_>>(),
        [3, 17],
        "better ones may follow"
    );
}

#[test]
fn a_session_survives_a_command_without_an_answer_and_a_new_one_takes_its_place() {
    let mut pair = Pair::new(SimConfig::default());
    pair.run();
    pair.bmc.faults.silent = true;
    assert_eq!(pair.status(), Event::Failed(Failure::Silent { step: "a command" }));
    pair.bmc.faults.silent = false;
    pair.session.submit(&ChassisControl::PowerUp, &Route::default(), RETRY, pair.now);
    assert!(is_off(&pair.status()), "the command that was given up was never sent");
    pair.session.submit(&SetSessionPrivilege { level: 4 }, &Route::default(), RETRY, pair.now);
    assert_eq!(pair.run(), Event::Answered { completion_code: 0, data: vec![4] });
}

#[test]
fn close_tells_the_bmc_and_ends_everything() {
    let mut pair = Pair::new(SimConfig::default());
    pair.run();
    pair.session.close();
    let close = pair.session.poll_transmit().unwrap();
    pair.bmc.handle(([127, 0, 0, 1], 1).into(), &close, pair.now);
    assert_eq!(pair.bmc.sessions.count(Duration::from_secs(60), pair.now), 0);
    assert_eq!((pair.session.poll_timeout(), pair.session.poll_transmit()), (None, None));
    assert!(matches!(pair.status(), Event::Failed(_)));
}

#[test]
fn the_files_have_no_clock_no_chance_and_no_log() {
    for text in [
        include_str!("../session.rs"),
        include_str!("login.rs"),
        include_str!("../channel.rs"),
        include_str!("../sol.rs"),
    ] {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for forbidden in ["::now()", "rand", ".await", "async ", "tracing::"] {
                assert!(!line.contains(forbidden), "{forbidden}: {line}");
            }
        }
    }
}
