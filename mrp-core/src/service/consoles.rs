//! Consoles: watching one, typing on it, its record, and the tickets that open one. One session per machine is held by
//! the server that drives its BMC; `broker` says when, `session` how, `audience` for whom. Whoever asks another server is
//! passed on (`relay`).
//!
//! A console is for the machine's holders and for admins. A holder sees what came since they have the machine: what
//! was printed or typed for somebody else before is not theirs.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::actor::{Actor, nobody};
use crate::bmc::{Bmc, BmcError, Node};
use crate::console::{ConsoleTicket, TICKET_LIFE};
use crate::error::Error;
use crate::event::EventKind;
use crate::governor::Governed;
use crate::id::Timestamp;
use crate::machine::{Machine, MachineId};
use crate::peer::{PeerAct, PeerActor, PeerAnswer, SealedWay};
use crate::secret::{Secret, random_bytes};
use crate::service::machines::not_held;
use crate::service::{Provisioner, lock};

mod audience;
mod broker;
mod log;
mod relay;
mod session;
mod viewer;

pub use audience::ConsoleMessage;
pub(crate) use broker::Broker;
pub use log::{ConsoleLog, LogFilter};
pub use viewer::Viewer;

use audience::Seat;
use relay::{Relay, Wish};
use session::Request;
use viewer::{Seated, View};

/// Viewers of one console at once.
const MAX_VIEWERS: usize = 100;

/// Consoles.
#[derive(Debug)]
pub struct Consoles<'a>(&'a Provisioner);

impl Provisioner {
    /// Since when what a machine's console shows is an actor's to see: admins see all, holders what came since they
    /// have the machine, nobody else anything. What counts is who is admin at this moment.
    pub(crate) async fn console_since(&self, actor: &Actor, machine: MachineId) -> Result<Timestamp, Error> {
        let actor = self.actor_of(&PeerActor::from(actor)).await?;
        if actor.admin {
            return Ok(Timestamp::default());
        }
        self.held_by(&actor, machine).await?.map(|held| held.since).ok_or_else(not_held)
    }

    /// Consoles.
    pub fn consoles(&self) -> Consoles<'_> {
        Consoles(self)
    }
}

impl Consoles<'_> {
    /// Watches a machine's console, with the keyboard unless `watch` or a token that may only look: holders and admins.
    /// Whichever of several servers drives the BMC has the console; the view goes along with it.
    pub async fn attach(&self, actor: &Actor, machine: MachineId, watch: bool) -> Result<Viewer, Error> {
        let (service, actor) = (self.0, actor.clone());
        let wish = Wish { actor: actor.clone(), machine, watch, since: None };
        let view = if service.is_clustered() {
            let place = service.console_place(&wish).await?;
            View::Passed(Relay::start(service.clone(), wish, place))
        } else {
            View::Here(service.sit_down(&wish).await?)
        };
        Ok(Viewer { machine, actor, view })
    }

    /// Opens the line of a console that another server on the same database asks for: its two ways, to here and back, and
    /// the view or a refusal.
    pub async fn attach_peer(
        &self,
        proof: &str,
        body: &str,
    ) -> Result<((SealedWay, SealedWay), Result<Viewer, PeerAnswer>), Error> {
        let (proof, act) = self.0.proved(proof, body)?;
        let PeerAct::WatchConsole { actor, machine, watch, since } = act else {
            return Err(Error::Refused("a line is for consoles".into()));
        };
        let opened = async {
            if self.0.driven_here(machine).await?.is_none() {
                return Ok(None);
            }
            let actor = self.0.actor_of(&actor).await?;
            let wish = Wish { actor: actor.clone(), machine, watch, since };
            let view = View::Here(self.0.sit_down(&wish).await?);
            Ok(Some(Viewer { machine, actor, view }))
        };
        let opened = match opened.await {
            Ok(viewer) => viewer.ok_or(PeerAnswer::NotMine),
            Err(error) => Err(PeerAnswer::refusal(&error)),
        };
        Ok((SealedWay::pair(&self.0.0.key, &proof), opened))
    }

    /// Ends whatever session has the machine's console, ours too, and opens it anew if it is to be open: holders and
    /// admins.
    pub async fn take(&self, actor: &Actor, machine: MachineId) -> Result<(), Error> {
        let row = self.0.held_machine(actor, machine).await?;
        let act = PeerAct::TakeConsole { actor: PeerActor::from(actor), machine };
        match self.0.pass_on(row.bmc, &act).await? {
            Some(_) => Ok(()),
            None => self.take_here(actor, machine).await,
        }
    }

    /// The same by this server, which drives the BMC.
    pub(crate) async fn take_here(&self, actor: &Actor, machine: MachineId) -> Result<(), Error> {
        let row = self.0.held_machine(actor, machine).await?;
        let (bmc, node) = self.0.require_console(&row).await?;
        let (service, actor) = (self.0.clone(), actor.clone());
        self.0.run_to_end(async move { service.take_console(&actor, row, bmc, node).await }).await
    }

    /// A ticket for a machine's console: 48 hexadecimal digits that are good once, within five minutes, for whoever has
    /// them. Holders and admins.
    pub async fn issue_ticket(&self, actor: &Actor, machine: MachineId) -> Result<Secret, Error> {
        let machine = self.0.held_machine(actor, machine).await?;
        let user = actor.user.ok_or_else(nobody)?;
        if machine.bmc.is_none() {
            return Err(Error::Refused("console requires a BMC".into()));
        }
        let token = Secret::new(hex::encode(random_bytes::<24>()));
        let now = self.0.now();
        let hash = hash_token(token.expose());
        let ticket = ConsoleTicket { hash, machine: machine.id, user, expires: now + TICKET_LIFE };
        let journal = self.0.draft(actor)?.audit("console", "machine", &machine.name, Value::Null).done();
        self.0.store().insert_console_ticket(&ticket, now, &journal).await?;
        Ok(token)
    }

    /// The machine and the user of a ticket, which is void from then on. One that is unknown, expired or used, and one
    /// whose user holds the machine no longer, opens nothing.
    pub async fn redeem_ticket(&self, token: &str) -> Result<(Machine, Actor), Error> {
        let refused = || Error::Unauthenticated("this console ticket is unknown, expired or used".into());
        let store = self.0.store();
        let ticket =
            store.take_console_ticket(&hash_token(token), self.0.now()).await?.ok_or_else(refused)?;
        let user = store.user(ticket.user).await?.ok_or_else(refused)?;
        let actor = Actor::from(&user);
        let machine = self.0.held_machine(&actor, ticket.machine).await;
        match machine {
            Ok(machine) => Ok((machine, actor)),
            Err(Error::NotFound { .. } | Error::Forbidden(_)) => Err(refused()),
            Err(error) => Err(error),
        }
    }
}

impl Provisioner {
    /// Takes a place at a console of this server.
    async fn sit_down(&self, wish: &Wish) -> Result<Seated, Error> {
        let (actor, machine) = (&wish.actor, wish.machine);
        let row = self.load_machine(machine).await?;
        let since = self.console_since(actor, machine).await?;
        self.require_console(&row).await?;
        let types = !wish.watch && actor.require_write().is_ok();
        let seat = Seat::new(actor.clone(), since.max(wish.since.unwrap_or_default()), types);
        let session = self.join_console(machine, &seat)?;
        let seated = Seated { service: self.clone(), session, seat };
        if lock(&seated.session.audience).len() > MAX_VIEWERS {
            return Err(Error::TooMany(format!("{MAX_VIEWERS} watch this console already")));
        }
        // Given back between the two: the event has not found the viewer.
        if self.console_since(actor, machine).await? != since {
            return Err(not_held());
        }
        if types && wish.since.is_none() {
            let text = format!("console opened by {}", actor.name);
            let draft = self.draft(actor)?.event(Some(machine), None, EventKind::Console, text, Value::Null);
            self.store().record(&draft.done()).await?;
            self.announce();
        }
        Ok(seated)
    }

    /// The console that a machine has.
    async fn require_console(&self, machine: &Machine) -> Result<(Governed, Node), Error> {
        let bmc = self.bmc_of(machine).await?;
        let (bmc, node) = bmc.ok_or_else(|| Error::Refused("console requires a BMC".into()))?;
        if bmc.capabilities().console {
            Ok((bmc, node))
        } else {
            Err(BmcError::Unsupported("the serial console").into())
        }
    }

    async fn take_console(
        &self,
        actor: &Actor,
        machine: Machine,
        bmc: Governed,
        node: Node,
    ) -> Result<(), Error> {
        bmc.reset_console(&node).await?;
        let text = format!("console taken from its session by {}", actor.name);
        let draft = self.draft(actor)?.audit("take_console", "machine", &machine.name, Value::Null);
        let draft = draft.event(Some(machine.id), None, EventKind::Console, text.clone(), Value::Null);
        self.store().record(&draft.done()).await?;
        self.announce();
        if let Some(session) = self.0.consoles.get(machine.id) {
            session.ask(Request::Mark(text));
            session.ask(Request::Retry);
        }
        Ok(())
    }
}

fn hash_token(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
