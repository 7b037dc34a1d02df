//! Several servers on one database: each BMC is driven by one of them at a time.
//!
//! A server that is asked to act on a BMC claims it; if another one has it, the act is passed on to that one. Claims are
//! rows that lapse unless their holder renews them. A server that has died has its BMCs taken over by whoever needs
//! them next, and its runs by whoever drives BMCs. The servers' clocks have to agree within a fraction of the lease.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::actor::Actor;
use crate::bmc::Node;
use crate::bmc_entry::BmcId;
use crate::claim::Claim;
use crate::console::RecordPlace;
use crate::error::Error;
use crate::id::Timestamp;
use crate::machine::{Machine, MachineId};
use crate::peer::{PeerAct, PeerActor, PeerAnswer, Peers, Proof, WINDOW_MS, record};
use crate::run::{Run, RunId, StageKind};
use crate::service::power::{PowerRequest, PowerStatus};
use crate::service::{Provisioner, lock};
use crate::store::{RunFilter, StoreError};

mod way;

/// One of several servers on one database.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// This server's name, which no other one has.
    pub id: String,
    /// Where the others reach it; empty if they cannot.
    pub url: String,
    /// It may drive BMCs.
    pub drives_bmcs: bool,
    /// How long a claim lasts that is not renewed.
    pub lease: Duration,
    /// The way to the others.
    pub peers: Arc<dyn Peers>,
}

/// Proofs of requests that were taken, with their time: none is taken twice.
pub(crate) type TakenProofs = HashMap<String, Timestamp>;

/// Runs whose machine this server powers at the moment.
#[derive(Debug)]
pub(crate) struct Powering {
    service: Provisioner,
    run: RunId,
}

impl Drop for Powering {
    fn drop(&mut self) {
        lock(&self.service.0.powering).remove(&self.run);
    }
}

/// What the names of claims begin with by which servers say that they drive BMCs.
const DRIVER: &str = "driver:";
/// What the names of claims on BMCs begin with.
const BMC: &str = "bmc:";

enum Owner {
    Here,
    At { id: String, url: String },
    Nobody,
}

impl Cluster {
    fn wants(&self, name: String, now: Timestamp) -> Claim {
        let (holder, url) = (self.id.clone(), self.url.clone());
        Claim { name, holder, url, until: Timestamp(now.0.saturating_add(self.half() * 2)) }
    }

    /// Half a lease in milliseconds.
    fn half(&self) -> i64 {
        i64::try_from(self.lease.as_millis() / 2).unwrap_or(i64::MAX / 4)
    }
}

/// The name of the claim on a BMC.
pub(crate) fn claim_of(bmc: BmcId) -> String {
    format!("{BMC}{bmc}")
}

impl Provisioner {
    /// True if there may be other servers on the same database.
    pub(crate) fn is_clustered(&self) -> bool {
        self.0.cluster.is_some()
    }

    /// Who drives a BMC: this server where it may and nobody else does.
    async fn owner(&self, cluster: &Cluster, bmc: BmcId) -> Result<Owner, Error> {
        let now = self.now();
        let live = self.store().claim_named(&claim_of(bmc)).await?.filter(|claim| !claim.has_lapsed(now));
        let wanted = cluster.wants(claim_of(bmc), now);
        let owner = match live {
            // Claims are renewed in the background; one that is near its end was not.
            Some(own) if own.holder == cluster.id && wanted.until.0 - own.until.0 <= cluster.half() => own,
            Some(other) if other.holder != cluster.id => other,
            _ if cluster.drives_bmcs => self.store().claim(&wanted, now).await?,
            _ => {
                let servers = self.store().claims(DRIVER).await?;
                match servers.into_iter().find(|server| !server.has_lapsed(now)) {
                    Some(server) => server,
                    None => return Ok(Owner::Nobody),
                }
            }
        };
        let Claim { holder: id, url, .. } = owner;
        Ok(if id == cluster.id { Owner::Here } else { Owner::At { id, url } })
    }

    /// Refuses to go on with a BMC that another server has taken over meanwhile.
    pub(crate) async fn require_owned(&self, machine: &Machine) -> Result<(), Error> {
        let (Some(cluster), Some(bmc)) = (&self.0.cluster, machine.bmc) else { return Ok(()) };
        match self.owner(cluster, bmc).await? {
            Owner::Here => Ok(()),
            Owner::Nobody => Err(Error::Conflict("this server drives no BMCs".into())),
            Owner::At { id, .. } => Err(Error::Conflict(format!(
                "server {id} has taken over the BMC of machine {}",
                machine.name
            ))),
        }
    }

    /// True if this server may drive BMCs: the only one, or one with that role.
    pub(crate) fn may_drive(&self) -> bool {
        self.0.cluster.as_ref().is_none_or(|cluster| cluster.drives_bmcs)
    }

    /// True if this server drives a BMC, which it claims if nobody does.
    pub(crate) async fn drives(&self, bmc: BmcId) -> Result<bool, Error> {
        let Some(cluster) = &self.0.cluster else { return Ok(true) };
        Ok(self.may_drive() && matches!(self.owner(cluster, bmc).await?, Owner::Here))
    }

    /// Names of claims on BMCs that other servers have.
    pub(crate) async fn claimed_elsewhere(&self) -> Result<HashSet<String>, Error> {
        let Some(cluster) = &self.0.cluster else { return Ok(HashSet::new()) };
        let now = self.now();
        let claims = self.store().claims(BMC).await?.into_iter();
        let others = claims.filter(|claim| claim.holder != cluster.id && !claim.has_lapsed(now));
        Ok(others.map(|claim| claim.name).collect())
    }

    /// Marks a run as being powered here; `None` if it is so already.
    pub(crate) fn start_powering(&self, run: RunId) -> Option<Powering> {
        let new = lock(&self.0.powering).insert(run);
        new.then(|| Powering { service: self.clone(), run })
    }

    /// Picks up the runs whose machine has not been powered and whose BMC nobody else drives.
    pub(crate) async fn adopt_runs(&self) -> Result<(), Error> {
        for run in self.store().runs(&RunFilter { active: true, ..RunFilter::default() }).await? {
            if !needs_power(&run) || lock(&self.0.powering).contains(&run.id) {
                continue;
            }
            let machine = self.load_machine(run.machine).await?;
            if let (Some(cluster), Some(bmc)) = (&self.0.cluster, machine.bmc)
                && (!cluster.drives_bmcs || !matches!(self.owner(cluster, bmc).await?, Owner::Here))
            {
                continue;
            }
            let service = self.clone();
            self.start_task(async move {
                if let Err(error) = service.power_run_here(run.id, &machine).await {
                    tracing::info!(run = %run.id, %error, "the resumed run could not power its machine");
                }
            });
        }
        Ok(())
    }

    /// Renews this server's claims, and picks up what others have left.
    pub(crate) async fn join_cluster(&self) -> Result<(), Error> {
        let Some(cluster) = self.0.cluster.clone() else { return Ok(()) };
        self.announce_server(&cluster).await?;
        // From here on nobody changes the key; it may have been changed since it was read.
        if self.store().key_check().await?.is_some_and(|noted| noted != self.0.key.check_value()) {
            self.leave_cluster().await;
            let words =
                "the key was changed while this server started; give it the new key file and start it again";
            return Err(Error::Conflict(words.into()));
        }
        let service = self.clone();
        self.start_loop(async move {
            loop {
                tokio::time::sleep(cluster.lease / 3).await;
                let renewed = async {
                    service.announce_server(&cluster).await?;
                    service.adopt_runs().await
                };
                if let Err(error) = renewed.await {
                    tracing::warn!(%error, "the claims of this server could not be renewed");
                }
            }
        });
        Ok(())
    }

    async fn announce_server(&self, cluster: &Cluster) -> Result<(), Error> {
        let now = self.now();
        let own = cluster.wants(format!("{}{}", Claim::SERVER, cluster.id), now);
        self.store().claim(&own, now).await?;
        if cluster.drives_bmcs {
            self.store().claim(&cluster.wants(format!("{DRIVER}{}", cluster.id), now), now).await?;
        }
        Ok(self.store().renew_claims(&cluster.id, own.until).await?)
    }

    /// Gives up this server's claims: others need not wait for them to lapse.
    pub(crate) async fn leave_cluster(&self) {
        let Some(cluster) = &self.0.cluster else { return };
        let mut released = self.store().release_claims(&cluster.id).await;
        // A database that was restarted a moment ago fails the first statement of a connection of before.
        if matches!(released, Err(StoreError::Unavailable(_))) {
            released = self.store().release_claims(&cluster.id).await;
        }
        if let Err(error) = released {
            tracing::warn!(%error, "the claims of this server stay until they lapse");
        }
    }

    /// Answers a peer's request, which comes with its proof: the answer's own proof, and the answer.
    pub async fn answer_peer(&self, proof: &str, body: &str) -> Result<(String, String), Error> {
        let (proof, act) = self.proved(proof, body)?;
        let answer = match self.act_for_peer(act).await {
            Ok(answer) => answer,
            Err(error) => {
                if let Error::Internal(cause) | Error::Unavailable(cause) = &error {
                    tracing::error!(%error, %cause, "a peer's request failed");
                }
                PeerAnswer::refusal(&error)
            }
        };
        let answer = serde_json::to_string(&answer).map_err(|error| Error::Internal(Box::new(error)))?;
        Ok((proof.of_answer(&self.0.key, &answer), answer))
    }

    /// What a peer asks, whose proof holds and was not taken before.
    pub(crate) fn proved(&self, proof: &str, body: &str) -> Result<(Proof, PeerAct), Error> {
        let refused =
            || Error::Unauthenticated("this is no request of a server with the same key and time".into());
        let proof = Proof::parse(proof).filter(|proof| proof.holds(&self.0.key, self.now(), body));
        let proof = proof.ok_or_else(refused)?;
        {
            let (mut taken, now) = (lock(&self.0.taken_proofs), self.now());
            taken.retain(|_, at| now.0 - at.0 <= 2 * WINDOW_MS);
            if taken.insert(proof.number.clone(), proof.at).is_some() {
                return Err(refused());
            }
        }
        let act = serde_json::from_str(body)
            .map_err(|_| Error::Refused("a request that this version of mrp does not know".into()))?;
        Ok((proof, act))
    }

    async fn act_for_peer(&self, act: PeerAct) -> Result<PeerAnswer, Error> {
        match act {
            PeerAct::TestBmc { actor, bmc, node } => self.test_for_peer(&actor, bmc, node).await,
            PeerAct::SetPower { actor, machine, request } => {
                let Some(_) = self.driven_here(machine).await? else { return Ok(PeerAnswer::NotMine) };
                let actor = self.actor_of(&actor).await?;
                let request = PowerRequest::from_name(&request)
                    .ok_or_else(|| Error::Refused(format!("no power request {request:?}")))?;
                let power = self.power(&actor, machine).set_here(request).await?;
                Ok(PeerAnswer::Power { power })
            }
            PeerAct::ReadPower { machine } => {
                let Some(_) = self.driven_here(machine).await? else { return Ok(PeerAnswer::NotMine) };
                self.read_power_for_peer(machine).await
            }
            PeerAct::PowerRun { run } => {
                let found = self.store().run(run).await?.ok_or_else(|| Error::not_found("run", run))?;
                let machine = self.driven_here(found.machine).await?;
                let Some(machine) = machine else { return Ok(PeerAnswer::NotMine) };
                let service = self.clone();
                self.run_to_end(async move { service.power_run_here(run, &machine).await }).await?;
                Ok(PeerAnswer::Done)
            }
            PeerAct::ResetBoot { machine } => {
                let machine = self.driven_here(machine).await?;
                let Some(machine) = machine else { return Ok(PeerAnswer::NotMine) };
                self.reset_boot_device_here(&machine).await;
                Ok(PeerAnswer::Done)
            }
            PeerAct::TakeConsole { actor, machine } => {
                let Some(_) = self.driven_here(machine).await? else { return Ok(PeerAnswer::NotMine) };
                let actor = self.actor_of(&actor).await?;
                self.consoles().take_here(&actor, machine).await?;
                Ok(PeerAnswer::Done)
            }
            PeerAct::ReadConsole { machine, segment, offset } => {
                let Some(_) = self.driven_here(machine).await? else { return Ok(PeerAnswer::NotMine) };
                let page = self.0.console_record.read(machine, RecordPlace { segment, offset }).await?;
                Ok(PeerAnswer::Record { sealed: record::seal(&self.0.key, machine, &page) })
            }
            PeerAct::WatchConsole { .. } => Err(Error::Refused("a console is asked for by a line".into())),
        }
    }

    /// The machine, if its BMC is driven here.
    pub(crate) async fn driven_here(&self, machine: MachineId) -> Result<Option<Machine>, Error> {
        let machine = self.load_machine(machine).await?;
        Ok(self.require_owned(&machine).await.is_ok().then_some(machine))
    }

    async fn test_for_peer(&self, actor: &PeerActor, bmc: BmcId, node: String) -> Result<PeerAnswer, Error> {
        if !self.drives(bmc).await? {
            return Ok(PeerAnswer::NotMine);
        }
        let actor = self.actor_of(actor).await?;
        let power = self.bmcs().test_here(&actor, bmc, Node(node)).await?;
        Ok(PeerAnswer::Power { power })
    }

    async fn read_power_for_peer(&self, machine: MachineId) -> Result<PeerAnswer, Error> {
        match self.power(&Actor::system(), machine).status_here().await? {
            PowerStatus::Known(power) => Ok(PeerAnswer::Power { power }),
            PowerStatus::NoBmc => Ok(PeerAnswer::NotMine),
            PowerStatus::Failed(error) => Err(error),
        }
    }

    /// The actor of a peer's request, by what the store says of the user and the token at this moment.
    pub(crate) async fn actor_of(&self, actor: &PeerActor) -> Result<Actor, Error> {
        let gone = || Error::Unauthenticated("the user or the token is gone".into());
        let Some(id) = actor.user else { return Ok(Actor::system()) };
        let user = self.store().user(id).await?.ok_or_else(gone)?;
        let Some(token) = actor.token else { return Ok(Actor::from(&user)) };
        let token = self.store().token(token).await?.filter(|token| token.user == id).ok_or_else(gone)?;
        Ok(Actor::with_token(&user, &token))
    }
}

impl From<&Actor> for PeerActor {
    fn from(actor: &Actor) -> Self {
        Self { user: actor.user, token: actor.token.as_ref().map(|token| token.id) }
    }
}

/// True for a run whose machine waits to be powered by mrp.
pub(crate) fn needs_power(run: &Run) -> bool {
    let pending = run.stage(StageKind::Power).is_none_or(|power| power.detail.is_none());
    let powered = run.stages.iter().any(|stage| stage.stage > StageKind::Power);
    run.is_active() && run.plan.has_bmc && pending && !powered
}
