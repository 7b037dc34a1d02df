use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::*;
use crate::clock::ManualClock;

/// A BMC that answers as it is told, after as long as it is told.
#[derive(Debug)]
struct Scripted {
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    answer: watch::Sender<(Duration, Result<(), BmcError>)>,
}

impl Scripted {
    fn new() -> Arc<Self> {
        let answer = watch::Sender::new((Duration::from_millis(10), Ok(())));
        let zero = AtomicUsize::default;
        Arc::new(Self { asked: zero(), at_once: zero(), most_at_once: zero(), answer })
    }

    fn answers(&self, after: Duration, result: Result<(), BmcError>) {
        let _ = self.answer.send_replace((after, result)).1;
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    async fn reply(&self) -> Result<(), BmcError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.most_at_once.fetch_max(self.at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let (after, result) = self.answer.borrow().clone();
        tokio::time::sleep(after).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

#[async_trait]
impl Bmc for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn power(&self, _: &Node) -> Result<Power, BmcError> {
        self.reply().await.map(|()| Power::On)
    }

    async fn set_power(&self, _: &Node, _: PowerAction) -> Result<(), BmcError> {
        self.reply().await
    }

    async fn open_console(&self, _: &Node) -> Result<Console, BmcError> {
        let (input, output) = (tokio::sync::mpsc::channel(1).0, tokio::sync::mpsc::channel(1).1);
        self.reply().await.map(|()| Console { output, input, session: None })
    }
}

fn governed(bmc: &Arc<Scripted>, limits: Limits) -> Governed {
    Governed::new(bmc.clone(), "bmc:623", limits, Arc::new(ManualClock::at(Timestamp(1_000))))
}

fn unreachable() -> BmcError {
    BmcError::Unreachable { address: "bmc:623".into() }
}

fn node(name: &str) -> Node {
    Node(name.into())
}

#[tokio::test(start_paused = true)]
async fn identical_polls_share_an_answer_and_others_wait_for_their_turn() {
    let bmc = Scripted::new();
    let one = governed(&bmc, Limits::default());
    let node = node("");
    let polls = (0..20).map(|_| one.poll(&node));
    let answers = futures_util::future::join_all(polls).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Power::On))));
    assert_eq!(bmc.asked(), 1);
    let nodes: Vec<Node> = (0..5).map(|number| Node(number.to_string())).collect();
    futures_util::future::join_all(nodes.iter().map(|node| one.poll(node))).await;
    assert_eq!((bmc.asked(), bmc.most_at_once.load(Ordering::SeqCst)), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_nobody_waits_for_any_more_holds_up_nothing() {
    let bmc = Scripted::new();
    let one = governed(&bmc, Limits::default());
    bmc.answers(Duration::from_secs(3600), Ok(()));
    let (hung, other) = (node("1"), node("2"));
    assert!(tokio::time::timeout(Duration::from_secs(1), one.poll(&hung)).await.is_err());
    bmc.answers(Duration::from_millis(1), Ok(()));
    tokio::time::timeout(Duration::from_secs(1), one.poll(&other)).await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(1), one.poll(&hung)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn commands_keep_their_distance_and_their_queue_is_bounded() {
    let bmc = Scripted::new();
    let limits = Limits { interval: Duration::from_secs(1), waiting: 1, ..Limits::default() };
    let (one, node, started) = (governed(&bmc, limits), node(""), Instant::now());
    let on = || one.set_power(&node, PowerAction::On);
    let results = futures_util::future::join_all([on(), on(), on()]).await;
    let refused: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(matches!(refused[..], [BmcError::Busy { .. }]), "{results:?}");
    assert_eq!(bmc.asked(), 2);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_bmc_is_polled_ever_less_and_recovers_by_itself() {
    let bmc = Scripted::new();
    let (one, node) = (governed(&bmc, Limits::default()), node(""));
    bmc.answers(Duration::from_millis(1), Err(unreachable()));
    // One poll a second, for an hour.
    for _ in 0..3600 {
        let error = one.poll(&node).await.unwrap_err();
        assert!(matches!(error, BmcError::Unreachable { .. }), "{error}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let asked = bmc.asked();
    assert!((10..40).contains(&asked), "{asked}");
    let health = one.health();
    assert_eq!((health.state, health.succeeded, health.last_contact), (BmcState::Silent, 0, None));
    assert_eq!(health.failure.as_deref(), Some("BMC at bmc:623 does not answer"));
    bmc.answers(Duration::from_millis(20), Ok(()));
    let longest = Limits::default().longest_pause * 5 / 4 + Duration::from_secs(1);
    tokio::time::sleep(longest).await;
    one.poll(&node).await.unwrap();
    let health = one.health();
    assert_eq!((health.state, health.p50_ms), (BmcState::Answering, Some(20)));
    assert_eq!(health.last_contact, Some(Timestamp(1_000)));
}

#[tokio::test(start_paused = true)]
async fn what_a_person_asks_for_is_tried_although_polls_rest() {
    let bmc = Scripted::new();
    let (one, node) = (governed(&bmc, Limits::default()), node(""));
    bmc.answers(Duration::from_millis(1), Err(unreachable()));
    for _ in 0..3 {
        one.poll(&node).await.unwrap_err();
    }
    assert_eq!(bmc.asked(), 3);
    one.poll(&node).await.unwrap_err();
    assert_eq!(bmc.asked(), 0, "polls rest");
    bmc.answers(Duration::from_millis(1), Ok(()));
    one.set_power(&node, PowerAction::On).await.unwrap();
    one.poll(&node).await.unwrap();
    assert_eq!(bmc.asked(), 2, "its success ends the rest");
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_is_not_polled_again() {
    let bmc = Scripted::new();
    let (one, node) = (governed(&bmc, Limits::default()), node(""));
    let refused = BmcError::Unauthorized { address: "bmc:623".into(), reason: "wrong password".into() };
    bmc.answers(Duration::from_millis(1), Err(refused));
    for _ in 0..100 {
        let error = one.poll(&node).await.unwrap_err();
        assert!(matches!(error, BmcError::Unauthorized { .. }), "{error}");
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    assert_eq!((bmc.asked(), one.health().state), (1, BmcState::Refused));
}

#[tokio::test(start_paused = true)]
async fn health_is_that_of_the_last_commands() {
    let bmc = Scripted::new();
    let (one, node) = (governed(&bmc, Limits::default()), node(""));
    bmc.answers(Duration::from_millis(7), Err(BmcError::Busy { address: "b".into(), reason: "r".into() }));
    one.poll(&node).await.unwrap_err();
    assert_eq!((one.health().state, one.health().last_contact.is_some()), (BmcState::Failing, true));
    for number in 1..=100 {
        bmc.answers(Duration::from_millis(number), Ok(()));
        one.poll(&node).await.unwrap();
    }
    let health = one.health();
    assert_eq!((health.commands, health.succeeded), (64, 64));
    assert_eq!((health.p50_ms, health.p95_ms), (Some(69), Some(97)));
    one.set_boot(&node, None).await.unwrap_err();
    assert_eq!(one.health(), health, "what the driver refuses by itself says nothing of the BMC");
}

#[tokio::test(start_paused = true)]
async fn a_console_that_is_not_to_be_had_is_no_failure_of_a_bmc_that_answers() {
    let bmc = Scripted::new();
    let governed = governed(&bmc, Limits { failures: 2, ..Limits::default() });
    let (address, node) = ("bmc:623".to_owned(), Node::default());
    for error in [
        BmcError::Busy { address: address.clone(), reason: "no room".into() },
        BmcError::ConsoleTaken { address: address.clone(), session: None },
        BmcError::Protocol { address: address.clone(), reason: "odd".into() },
    ] {
        bmc.answers(Duration::ZERO, Err(error));
        for _ in 0..3 {
            governed.open_console(&node).await.unwrap_err();
        }
        assert_eq!(governed.health().state, BmcState::Answering);
    }
    bmc.asked();
    bmc.answers(Duration::ZERO, Ok(()));
    assert_eq!(governed.poll(&node).await.unwrap(), Power::On);
    assert_eq!(bmc.asked(), 1);
    bmc.answers(Duration::ZERO, Err(BmcError::Unreachable { address }));
    for _ in 0..2 {
        governed.open_console(&node).await.unwrap_err();
    }
    assert_eq!(governed.health().state, BmcState::Silent);
    bmc.asked();
    governed.poll(&node).await.unwrap_err();
    assert_eq!(bmc.asked(), 0, "it is left alone");
}
