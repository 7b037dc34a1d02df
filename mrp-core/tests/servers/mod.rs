//! Several servers on one database, in one process: what each test file runs on its own kind of database.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mrp_core::bmc::{Node as BmcNode, Power};
use mrp_core::clock::Clock;
use mrp_core::event::EventKind;
use mrp_core::machine::Netboot;
use mrp_core::peer::{PeerAct, PeerActor, PeerAnswer, PeerConsole, PeerError, Peers, Proof, Refusal};
use mrp_core::run::{RunStatus, StageKind};
use mrp_core::secret::ServerKey;
use mrp_core::service::cluster::Cluster;
use mrp_core::service::power::PowerRequest;
use mrp_core::service::runs::StartRun;
use mrp_core::store::ClaimStore;
use mrp_core::{Actor, Error, Provisioner};

use crate::lab::bmc::Fault;
use crate::lab::{Lab, Node, forbidden};

pub(crate) mod consoles;
pub(crate) mod contents;

const LEASE: Duration = Duration::from_millis(600);

/// The lines between servers.
#[derive(Debug)]
struct Lines {
    key: ServerKey,
    clock: Arc<dyn Clock>,
    up: Mutex<HashMap<String, Provisioner>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Peers for Lines {
    async fn ask(&self, url: &str, act: &PeerAct) -> Result<PeerAnswer, PeerError> {
        let peer = self.up.lock().unwrap().get(url).cloned();
        let Some(peer) = peer else {
            return Err(PeerError::Unreachable { url: url.into(), cause: "it is down".into() });
        };
        self.asked.fetch_add(1, Ordering::SeqCst);
        let body = serde_json::to_string(act).unwrap();
        let proof = Proof::make(&self.key, self.clock.now(), &body);
        let (answered, answer) = peer.answer_peer(&proof.to_string(), &body).await.unwrap();
        assert!(proof.answer_holds(&self.key, &answered, &answer));
        Ok(serde_json::from_str(&answer).unwrap())
    }

    async fn console(
        &self,
        url: &str,
        act: &PeerAct,
    ) -> Result<(PeerAnswer, Option<PeerConsole>), PeerError> {
        let peer = self.up.lock().unwrap().get(url).cloned();
        let Some(peer) = peer else {
            return Err(PeerError::Unreachable { url: url.into(), cause: "it is down".into() });
        };
        self.asked.fetch_add(1, Ordering::SeqCst);
        let body = serde_json::to_string(act).unwrap();
        let proof = Proof::make(&self.key, self.clock.now(), &body).to_string();
        let (_, opened) = peer.consoles().attach_peer(&proof, &body).await.unwrap();
        assert!(peer.consoles().attach_peer(&proof, &body).await.is_err(), "a proof opens one line");
        Ok(match opened {
            Ok(viewer) => (PeerAnswer::Done, Some(consoles::carry(viewer))),
            Err(answer) => (answer, None),
        })
    }
}

impl Lines {
    fn new(lab: &Lab) -> Arc<Self> {
        let (up, asked) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { key: lab.key().clone(), clock: lab.clock.clone(), up, asked })
    }

    async fn server(self: &Arc<Self>, lab: &Lab, id: &str, drives_bmcs: bool) -> Provisioner {
        let url = format!("http://{id}");
        let cluster =
            Cluster { id: id.into(), url: url.clone(), drives_bmcs, lease: LEASE, peers: self.clone() };
        let builder = lab.builder().await.0.console_record(lab.consoles(id));
        let server = builder.cluster(cluster).build().await.unwrap();
        self.up.lock().unwrap().insert(url, server.clone());
        server
    }

    fn cut(&self, id: &str) {
        self.up.lock().unwrap().remove(&format!("http://{id}"));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn owner(lab: &Lab) -> Option<String> {
    let claims = lab.store.claims("bmc:").await.unwrap();
    assert!(claims.len() <= 1, "{claims:?}");
    claims.into_iter().next().map(|claim| claim.holder)
}

async fn powered(lab: &Lab, run: mrp_core::run::RunId) {
    lab.until("the machine is powered", async || {
        let power = lab.run(run).await.stage(StageKind::Power).cloned();
        power.is_some_and(|power| power.detail.is_some())
    })
    .await;
}

/// The service that made the lab drives BMCs too: it ends, and the servers take its place.
async fn node_of(lab: &Lab) -> Node {
    let node = lab.node("m1").await;
    lab.mrp.shutdown().await;
    node
}

pub(crate) async fn power_is_switched_by_the_owner_of_the_bmc(lab: Lab) {
    let node = node_of(&lab).await;
    let lines = Lines::new(&lab);
    let (one, two) = (lines.server(&lab, "one", true).await, lines.server(&lab, "two", true).await);
    let door = lines.server(&lab, "door", false).await;
    one.power(&lab.alice, node.id).on().await.unwrap();
    assert_eq!((owner(&lab).await.as_deref(), lines.asked()), (Some("one"), 0));
    two.power(&lab.alice, node.id).off().await.unwrap();
    assert_eq!((owner(&lab).await.as_deref(), lines.asked()), (Some("one"), 1));
    door.power(&lab.alice, node.id).on().await.unwrap();
    door.power(&lab.alice, node.id).status().await.unwrap();
    assert_eq!((owner(&lab).await.as_deref(), lines.asked()), (Some("one"), 3));
    let bmc = lab.mrp.machines().get(&lab.admin, node.id).await.unwrap().machine.bmc.unwrap();
    for server in [&one, &two, &door] {
        assert_eq!(server.bmcs().test(&lab.admin, bmc, BmcNode::default()).await.unwrap(), Power::On);
        forbidden("alice tests", server.bmcs().test(&lab.alice, bmc, BmcNode::default()).await);
    }
    assert_eq!((owner(&lab).await.as_deref(), lines.asked()), (Some("one"), 5));
    assert_eq!(node.bmc.commands(), ["on", "off", "on"]);
    let texts = lab.texts(&node, EventKind::Power).await;
    assert_eq!(texts.len(), 3, "{texts:?}");
    forbidden("bob at another server", two.power(&lab.bob, node.id).off().await);
    node.bmc.set(Fault::Silent);
    let refused = two.power(&lab.alice, node.id).set(PowerRequest::Off).await.unwrap_err();
    assert!(matches!(&refused, Error::Bmc(_)), "{refused}");
    one.shutdown().await;
    node.bmc.set(Fault::None);
    lines.cut("one");
    lines.cut("two");
    let nobody = door.power(&lab.alice, node.id).off().await.unwrap_err().to_string();
    assert!(nobody.contains("server two drives it") && nobody.contains("not reachable"), "{nobody}");
    two.power(&lab.alice, node.id).off().await.unwrap();
    assert_eq!(owner(&lab).await.as_deref(), Some("two"), "who ends gives up what it has");
    two.shutdown().await;
    door.shutdown().await;
}

pub(crate) async fn requests_of_strangers_and_repeated_ones_are_refused(lab: Lab) {
    let node = node_of(&lab).await;
    let lines = Lines::new(&lab);
    let one = lines.server(&lab, "one", true).await;
    let body = |actor: &Actor| {
        let (actor, request) = (PeerActor::from(actor), "on".to_owned());
        serde_json::to_string(&PeerAct::SetPower { actor, machine: node.id, request }).unwrap()
    };
    let ours = body(&lab.alice);
    let proof = Proof::make(lab.key(), lab.clock.now(), &ours).to_string();
    one.answer_peer(&proof, &ours).await.unwrap();
    for (what, proof, text) in [
        ("a request that was taken", proof.clone(), &ours),
        ("another key", Proof::make(&ServerKey::generate(), lab.clock.now(), &ours).to_string(), &ours),
        ("another text", Proof::make(lab.key(), lab.clock.now(), "{}").to_string(), &ours),
        ("no proof", String::new(), &ours),
    ] {
        let refused = one.answer_peer(&proof, text).await;
        assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{what}: {refused:?}");
    }
    assert_eq!(node.bmc.commands(), ["on"]);
    // The owner of the BMC looks by itself who may.
    let theirs = body(&lab.bob);
    let proof = Proof::make(lab.key(), lab.clock.now(), &theirs).to_string();
    let (_, answer) = one.answer_peer(&proof, &theirs).await.unwrap();
    let answer: PeerAnswer = serde_json::from_str(&answer).unwrap();
    assert!(matches!(answer, PeerAnswer::Refused { kind: Refusal::Forbidden, .. }), "{answer:?}");
    assert_eq!(node.bmc.commands(), ["on"]);
    one.shutdown().await;
}

pub(crate) async fn a_run_is_powered_once_and_ends_once(lab: Lab) {
    let node = node_of(&lab).await;
    let lines = Lines::new(&lab);
    let (one, two) = (lines.server(&lab, "one", true).await, lines.server(&lab, "two", true).await);
    one.power(&lab.alice, node.id).off().await.unwrap();
    let run = two.runs().start(&lab.alice, node.id, StartRun::default()).await.unwrap();
    powered(&lab, run.id).await;
    assert_eq!(node.bmc.commands(), ["off", "reset"]);
    // Both servers see its deadline pass.
    lab.clock.advance(Duration::from_secs(60 * 60));
    lab.until("the run has ended", async || !lab.run(run.id).await.is_active()).await;
    let (first, second) = tokio::join!(async { one.runs().check_deadlines().await }, async {
        two.runs().check_deadlines().await
    });
    first.unwrap();
    second.unwrap();
    let ends = lab.texts(&node, EventKind::Run).await;
    let ends = ends.iter().filter(|text| text.starts_with("run failed")).count();
    assert_eq!((ends, lab.run(run.id).await.status), (1, RunStatus::Failed));
    assert_eq!(node.bmc.commands(), ["off", "reset"]);
    one.shutdown().await;
    two.shutdown().await;
}

/// A server that dies in the middle of powering a run's machine.
pub(crate) async fn the_runs_of_a_server_that_has_died_are_picked_up(lab: Lab) {
    let node = node_of(&lab).await;
    let lines = Lines::new(&lab);
    node.bmc.set(Fault::HangsAtBoot);
    let life = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let lab = Arc::new(lab);
    let run = {
        let (lab, lines, node) = (lab.clone(), lines.clone(), node.id);
        let started = life.spawn(async move {
            let one = lines.server(&lab, "one", true).await;
            one.runs().start(&lab.alice, node, StartRun::default()).await.unwrap()
        });
        started.await.unwrap()
    };
    lab.until("the BMC is at it", async || node.bmc.logins() > 0).await;
    let two = lines.server(&lab, "two", true).await;
    // It lives: what it does is its own.
    tokio::time::sleep(LEASE).await;
    assert_eq!(owner(&lab).await.as_deref(), Some("one"));
    life.shutdown_background();
    lines.cut("one");
    node.bmc.set(Fault::None);
    lab.clock.advance(LEASE);
    powered(&lab, run.id).await;
    assert_eq!(node.bmc.commands(), ["reset"]);
    assert_eq!(owner(&lab).await.as_deref(), Some("two"));
    assert_eq!(
        two.machines().get(&lab.admin, node.id).await.unwrap().machine.netboot,
        Netboot::ByRun(run.id)
    );
    two.shutdown().await;
}
