//! Which consoles this server holds: those that somebody watches, and those that the site wants recorded. Rights are
//! looked at again with each event of an assignment, whichever server wrote it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::audience::{Ending, Seat};
use super::session::{Request, Session};
use crate::actor::Actor;
use crate::bmc::Bmc;
use crate::claim::Claim;
use crate::console::KeepOpen;
use crate::error::Error;
use crate::event::{Event, EventKind};
use crate::machine::MachineId;
use crate::query::Condition;
use crate::service::cluster::claim_of;
use crate::service::{Provisioner, lock};
use crate::store::{EventFilter, MachineFilter, RunFilter, StoreError};

/// Consoles that are being opened at the same time.
const OPENING: usize = 64;
/// How often it is looked which consoles are to be open.
const LOOK: Duration = Duration::from_secs(30);
/// How long the end of the server waits for consoles to be closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// The consoles that are held.
#[derive(Debug)]
pub(crate) struct Broker {
    sessions: Mutex<Sessions>,
    pub(super) opening: Semaphore,
}

#[derive(Debug, Default)]
struct Sessions {
    by_machine: HashMap<MachineId, Arc<Session>>,
    tasks: JoinSet<()>,
    closed: bool,
}

impl Default for Broker {
    fn default() -> Self {
        Self { sessions: Mutex::default(), opening: Semaphore::new(OPENING) }
    }
}

impl Broker {
    pub(super) fn get(&self, machine: MachineId) -> Option<Arc<Session>> {
        lock(&self.sessions).by_machine.get(&machine).cloned()
    }

    fn all(&self) -> Vec<Arc<Session>> {
        lock(&self.sessions).by_machine.values().cloned().collect()
    }

    /// Ends all sessions. None is begun after that.
    pub(crate) async fn close(&self) {
        let (sessions, mut tasks) = {
            let mut sessions = lock(&self.sessions);
            sessions.closed = true;
            (std::mem::take(&mut sessions.by_machine), std::mem::take(&mut sessions.tasks))
        };
        for session in sessions.values() {
            session.ask(Request::Stop(Ending::for_now("the server ends")));
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_PATIENCE, all).await.is_err() {
            tracing::warn!("consoles were cut off by the end of the server");
        }
        tasks.shutdown().await;
    }
}

impl Provisioner {
    /// Takes a viewer to a machine's console, which is opened if it is not; tells the session.
    pub(super) fn join_console(&self, machine: MachineId, seat: &Arc<Seat>) -> Result<Arc<Session>, Error> {
        let mut sessions = lock(&self.0.consoles.sessions);
        loop {
            let session = self.session_in(&mut sessions, machine, false)?;
            if session.join(seat) {
                return Ok(session);
            }
            remove(&mut sessions, &session);
        }
    }

    fn keep_console_open(&self, machine: MachineId) -> Result<(), Error> {
        let mut sessions = lock(&self.0.consoles.sessions);
        self.session_in(&mut sessions, machine, true)?.wanted.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn session_in(
        &self,
        sessions: &mut Sessions,
        machine: MachineId,
        wanted: bool,
    ) -> Result<Arc<Session>, Error> {
        if sessions.closed {
            return Err(Error::Conflict("the server is shutting down".into()));
        }
        if let Some(session) = sessions.by_machine.get(&machine) {
            return Ok(session.clone());
        }
        while sessions.tasks.try_join_next().is_some() {}
        let (session, holder) = Session::new(self.clone(), machine, wanted);
        sessions.by_machine.insert(machine, session.clone());
        let (service, running) = (self.clone(), session.clone());
        sessions.tasks.spawn(async move {
            let ended = Ended { service, session: running };
            holder.run().await;
            drop(ended);
        });
        Ok(session)
    }

    /// Takes a session that nobody wants out of the list; one that somebody has just joined stays.
    pub(super) fn end_console(&self, session: &Arc<Session>) -> bool {
        let mut sessions = lock(&self.0.consoles.sessions);
        let unwanted = !session.is_wanted();
        if unwanted {
            remove(&mut sessions, session);
        }
        unwanted
    }

    /// Follows what happens to machines with a console, and looks now and then which are to be open.
    pub(crate) fn start_consoles(&self) {
        let service = self.clone();
        self.start_loop(async move {
            loop {
                if let Err(error) = service.follow_consoles().await {
                    tracing::warn!(%error, "consoles do not see events; trying again each second");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let service = self.clone();
        let every = self.0.cluster.as_ref().map_or(LOOK, |cluster| cluster.lease / 3);
        self.start_loop(async move {
            loop {
                if let Err(error) = service.look_after_consoles().await {
                    tracing::warn!(%error, "it could not be looked which consoles are to be open");
                    service.give_up_consoles();
                }
                tokio::time::sleep(every).await;
            }
        });
    }

    async fn follow_consoles(&self) -> Result<(), Error> {
        let mut follower = self.events().follow(&Actor::system(), EventFilter::default()).await?;
        // What was missed before.
        for session in self.0.consoles.all() {
            self.check_rights(&session, "the machine is not yours any more").await;
        }
        loop {
            for event in follower.next().await? {
                self.console_saw(&event).await?;
            }
        }
    }

    async fn console_saw(&self, event: &Event) -> Result<(), Error> {
        let Some(machine) = event.machine else { return Ok(()) };
        if !matches!(event.kind, EventKind::Assignment | EventKind::Run | EventKind::Power) {
            return Ok(());
        }
        let session = self.0.consoles.get(machine);
        if let Some(session) = &session {
            if event.kind == EventKind::Assignment {
                self.check_rights(session, &event.text).await;
            }
            session.ask(Request::Mark(format!("{} ({})", event.text, event.actor)));
        }
        if event.kind != EventKind::Power && self.settings().console.keep_open == KeepOpen::Held {
            match (self.is_console_wanted(machine).await?, session) {
                (true, _) => self.open_if_ours(machine).await?,
                (false, Some(session)) => self.release_console(&session),
                (false, None) => {}
            }
        }
        Ok(())
    }

    /// Cuts those viewers of a console who may not see it any more.
    async fn check_rights(&self, session: &Arc<Session>, reason: &str) {
        let seats = lock(&session.audience).seats();
        for seat in seats {
            match self.console_since(&seat.actor, session.machine).await {
                Ok(since) if since <= seat.since => {}
                Ok(_) | Err(Error::Forbidden(_) | Error::Unauthenticated(_) | Error::NotFound { .. }) => {
                    seat.cut(reason);
                    lock(&session.audience).leave(&seat);
                }
                Err(error) => {
                    tracing::warn!(machine = %session.machine, %error, "rights could not be checked");
                }
            }
        }
        session.ask(Request::Look);
    }

    /// Looks at the rights of all viewers: a user has changed.
    pub(crate) async fn recheck_consoles(&self) {
        for session in self.0.consoles.all() {
            self.check_rights(&session, "you may not see this console any more").await;
        }
    }

    fn release_console(&self, session: &Arc<Session>) {
        session.wanted.store(false, Ordering::SeqCst);
        session.ask(Request::Look);
    }

    async fn is_console_wanted(&self, machine: MachineId) -> Result<bool, Error> {
        let held = !self.store().assignments(machine).await?.is_empty();
        Ok(held || self.store().active_run(machine).await?.is_some())
    }

    /// Holds a machine's console if it has one and this server may.
    async fn open_if_ours(&self, machine: MachineId) -> Result<(), Error> {
        if !self.may_drive() {
            return Ok(());
        }
        let Ok(row) = self.load_machine(machine).await else { return Ok(()) };
        match self.bmc_of(&row).await {
            Ok(Some((bmc, _))) if bmc.capabilities().console => {}
            // Its power tells what is wrong with a BMC.
            _ => return Ok(()),
        }
        match self.require_owned(&row).await {
            Ok(()) => self.keep_console_open(machine),
            Err(Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Opens what is to be open, and lets go what is not.
    async fn look_after_consoles(&self) -> Result<(), Error> {
        let elsewhere = self.claimed_elsewhere().await?;
        let wanted = self.wanted_consoles().await?;
        for session in self.0.consoles.all() {
            let machine = self.store().machine(session.machine).await?;
            let bmc = machine.as_ref().and_then(|machine| machine.bmc);
            match bmc {
                None => {
                    session.ask(Request::Stop(Ending::for_good("the machine or its BMC is gone")));
                }
                Some(bmc) if elsewhere.contains(&claim_of(bmc)) => {
                    session.ask(Request::Stop(Ending::for_now("another server drives the BMC now")));
                }
                Some(_) if !wanted.contains(&session.machine) => self.release_console(&session),
                Some(_) => {}
            }
            self.check_rights(&session, "the machine is not yours any more").await;
        }
        for machine in wanted {
            if self.0.consoles.get(machine).is_none_or(|session| !session.wanted.load(Ordering::SeqCst)) {
                self.open_if_ours(machine).await?;
            }
        }
        Ok(())
    }

    async fn wanted_consoles(&self) -> Result<HashSet<MachineId>, Error> {
        Ok(match self.settings().console.keep_open {
            KeepOpen::Watched => HashSet::new(),
            KeepOpen::Always => self.machines_that(r#"(!= bmc_type "")"#).await?,
            KeepOpen::Held => {
                let active = RunFilter { active: true, ..RunFilter::default() };
                let mut wanted = self.machines_that(r#"(and (= free nil) (!= bmc_type ""))"#).await?;
                wanted.extend(self.store().runs(&active).await?.into_iter().map(|run| run.machine));
                wanted
            }
        })
    }

    /// The database chooses: of all machines that are held, few have a BMC in some labs, and all are looked for often.
    async fn machines_that(&self, query: &str) -> Result<HashSet<MachineId>, Error> {
        let condition = Condition::parse(query)?;
        let machines =
            self.store().machines(&MachineFilter { condition, ..MachineFilter::default() }).await?;
        Ok(machines.into_iter().map(|machine| machine.id).collect())
    }

    /// Tries consoles that are not open at once: a BMC was changed.
    pub(crate) fn retry_consoles(&self) {
        for session in self.0.consoles.all() {
            session.ask(Request::Retry);
        }
    }

    /// A server that does not reach the database cannot renew its claims: another one may take its BMCs, and two must
    /// not hold one console.
    fn give_up_consoles(&self) {
        if self.is_clustered() {
            for session in self.0.consoles.all() {
                session.ask(Request::Stop(Ending::for_now("this server does not reach the database")));
            }
        }
    }

    /// Notes that a console of ours is open, in a session that the BMC names so: should this server be killed, the next one
    /// knows whose session the BMC believes to be active.
    pub(super) async fn note_console_open(
        &self,
        machine: MachineId,
        session: Option<&str>,
    ) -> Result<(), Error> {
        let (holder, now) = (self.console_holder(), self.now());
        let name = format!("{}{}", console_claims(machine), session.unwrap_or_default());
        for left in self.store().claims(&console_claims(machine)).await? {
            self.store().release_claim(&left.name, &left.holder).await?;
        }
        let claim = Claim { name, holder, url: String::new(), until: now };
        self.store().claim(&claim, now).await?;
        Ok(())
    }

    /// Notes that it is not ours any more.
    pub(super) async fn note_console_closed(&self, machine: MachineId) {
        let released = async {
            for own in self.store().claims(&console_claims(machine)).await? {
                self.store().release_claim(&own.name, &self.console_holder()).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = released.await {
            tracing::warn!(%machine, %error, "it could not be noted that a console is closed");
        }
    }

    /// The session in which a server of ours had the machine's console, and has not closed it.
    pub(super) async fn left_console_open(&self, machine: MachineId) -> Result<Option<Left>, Error> {
        let claim = self.store().claims(&console_claims(machine)).await?.into_iter().next();
        Ok(claim.map(|claim| {
            let session = claim.name.rsplit_once(':').map(|(_, session)| session.to_owned());
            Left { server: claim.holder, session: session.filter(|session| !session.is_empty()) }
        }))
    }

    fn console_holder(&self) -> String {
        self.0.cluster.as_ref().map_or_else(|| "mrp".to_owned(), |cluster| cluster.id.clone())
    }
}

/// What the names of claims on a machine's console begin with; the BMC's name for the session follows.
fn console_claims(machine: MachineId) -> String {
    format!("console:{machine}:")
}

/// A console that a server of ours has left open.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) server: String,
    /// The BMC's name for the session.
    session: Option<String>,
}

impl Left {
    /// True if it is the session that has the console, as far as the BMC tells: what another session has was taken meanwhile,
    /// and is not ours to end.
    pub(super) fn has_it(&self, session: Option<&String>) -> bool {
        self.session.as_ref().zip(session).is_none_or(|(left, session)| left == session)
    }
}

fn remove(sessions: &mut Sessions, session: &Arc<Session>) {
    if sessions.by_machine.get(&session.machine).is_some_and(|found| Arc::ptr_eq(found, session)) {
        sessions.by_machine.remove(&session.machine);
    }
}

/// Takes a session out of the list when its task is over, however it ends.
struct Ended {
    service: Provisioner,
    session: Arc<Session>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        remove(&mut lock(&self.service.0.consoles.sessions), &self.session);
        lock(&self.session.audience).end(&Ending::for_now("the console has ended"));
    }
}
