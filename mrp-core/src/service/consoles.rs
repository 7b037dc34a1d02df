//! Consoles: watching one, typing on it, its record, and the tickets that open one. One session per machine is held by
//! the server that drives its BMC; `broker` says when, `session` how, `audience` for whom.
//!
//! A console is for the machine's holders and for admins. A holder sees what came since they have the machine: what
//! was printed or typed for somebody else before is not theirs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::actor::{Actor, forbidden};
use crate::bmc::{Bmc, BmcError, ConsoleInput, Node};
use crate::console::{ConsoleTicket, Frame, FrameContent, TICKET_LIFE};
use crate::error::Error;
use crate::event::EventKind;
use crate::governor::Governed;
use crate::id::Timestamp;
use crate::machine::{Machine, MachineId};
use crate::secret::{Secret, random_bytes};
use crate::service::{Provisioner, lock};

mod audience;
mod broker;
mod log;
mod session;

pub use audience::ConsoleMessage;
pub(crate) use broker::Broker;
pub use log::{ConsoleLog, LogFilter};

use audience::Seat;
use session::{Request, Session};

/// Viewers of one console at once.
const MAX_VIEWERS: usize = 100;
/// How long what is typed may wait for the BMC.
const INPUT_PATIENCE: Duration = Duration::from_secs(10);

/// Consoles.
#[derive(Debug)]
pub struct Consoles<'a>(&'a Provisioner);

/// A view of a machine's console; it ends when dropped.
#[derive(Debug)]
pub struct Viewer {
    service: Provisioner,
    session: Arc<Session>,
    seat: Arc<Seat>,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        lock(&self.session.audience).leave(&self.seat);
        self.session.ask(Request::Look);
    }
}

impl Viewer {
    /// What the console shows: the last of its record, [`ReplayEnd`](crate::api::ConsoleNotice::ReplayEnd), then what
    /// comes. `None` after the end, of which a notice tells why. Dropping the future loses nothing.
    pub async fn next(&self) -> Option<ConsoleMessage> {
        self.seat.next().await
    }

    /// Types. Refused to who has not the keyboard, and while the console is not open.
    pub async fn send(&self, input: ConsoleInput) -> Result<(), Error> {
        if !lock(&self.session.audience).may_type(&self.seat) {
            let why = if self.seat.types {
                "somebody else has the keyboard; take it first"
            } else {
                "you only watch"
            };
            return Err(Error::Conflict(why.into()));
        }
        let closed = || Error::Conflict("the console is not open; nothing was typed".into());
        let sender = self.session.input().ok_or_else(closed)?;
        let frame = self.typed(&input);
        match tokio::time::timeout(INPUT_PATIENCE, sender.send(input)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(closed()),
            Err(_) => {
                return Err(Error::Conflict("the BMC does not take what is typed; it was dropped".into()));
            }
        }
        if let Some(frame) = frame {
            self.service.0.console_record.append(self.session.machine, frame).await;
        }
        Ok(())
    }

    /// Takes the keyboard, whoever has it; everybody sees that.
    pub fn take_keyboard(&self) -> Result<(), Error> {
        if !self.seat.types {
            return Err(Error::Conflict("you only watch".into()));
        }
        let from = lock(&self.session.audience).take_keyboard(&self.seat);
        if let Some(from) = from {
            let name = &self.seat.actor.name;
            self.session.ask(Request::Mark(format!("{name} took the keyboard from {from}")));
        }
        Ok(())
    }

    /// The machine.
    pub fn machine(&self) -> MachineId {
        self.session.machine
    }

    /// Who watches.
    pub fn actor(&self) -> &Actor {
        &self.seat.actor
    }

    fn typed(&self, input: &ConsoleInput) -> Option<Frame> {
        let ConsoleInput::Bytes(bytes) = input else { return None };
        let content = FrameContent::Typed(Bytes::copy_from_slice(bytes));
        self.service.settings().console.record_typed.then(|| Frame { at: self.service.now(), content })
    }
}

impl Provisioner {
    /// Since when what a machine's console shows is an actor's to see: admins see all, holders what came since they
    /// have the machine, nobody else anything.
    pub(crate) async fn console_since(&self, actor: &Actor, machine: MachineId) -> Result<Timestamp, Error> {
        if actor.admin {
            return Ok(Timestamp::default());
        }
        let user = actor.user.ok_or_else(forbidden)?;
        let held = self.store().assignments(machine).await?.into_iter().find(|held| held.user == user);
        held.map(|held| held.since).ok_or_else(forbidden)
    }

    /// Consoles.
    pub fn consoles(&self) -> Consoles<'_> {
        Consoles(self)
    }
}

impl Consoles<'_> {
    /// Watches a machine's console, with the keyboard unless `watch` or a token that may only look: holders and admins.
    pub async fn attach(&self, actor: &Actor, machine: MachineId, watch: bool) -> Result<Viewer, Error> {
        let row = self.0.load_machine(machine).await?;
        let since = self.0.console_since(actor, machine).await?;
        self.require_console(&row).await?;
        let types = !watch && actor.require_write().is_ok();
        let seat = Seat::new(actor.clone(), since, types);
        let session = self.0.join_console(machine, &seat)?;
        let viewer = Viewer { service: self.0.clone(), session, seat };
        if lock(&viewer.session.audience).len() > MAX_VIEWERS {
            return Err(Error::TooMany(format!("{MAX_VIEWERS} watch this console already")));
        }
        // Given back between the two: the event has not found the viewer.
        if self.0.console_since(actor, machine).await? != since {
            return Err(forbidden());
        }
        if types {
            let text = format!("console opened by {}", actor.name);
            let draft =
                self.0.draft(actor)?.event(Some(machine), None, EventKind::Console, text, Value::Null);
            self.0.store().record(&draft.done()).await?;
            self.0.announce();
        }
        Ok(viewer)
    }

    /// Ends whatever session has the machine's console, ours too, and opens it anew if it is to be open: holders and
    /// admins.
    pub async fn take(&self, actor: &Actor, machine: MachineId) -> Result<(), Error> {
        let row = self.0.held_machine(actor, machine).await?;
        let (bmc, node) = self.require_console(&row).await?;
        let (service, actor) = (self.0.clone(), actor.clone());
        self.0.run_to_end(async move { service.take_console(&actor, row, bmc, node).await }).await
    }

    /// A console that there is, and that this server may hold.
    async fn require_console(&self, machine: &Machine) -> Result<(Governed, Node), Error> {
        self.0.require_console_here(machine).await?;
        let bmc = self.0.bmc_of(machine).await?;
        let (bmc, node) = bmc.ok_or_else(|| Error::Refused("console requires a BMC".into()))?;
        if bmc.capabilities().console {
            Ok((bmc, node))
        } else {
            Err(BmcError::Unsupported("the serial console").into())
        }
    }

    /// A ticket for a machine's console: 48 hexadecimal digits that are good once, within five minutes, for whoever has
    /// them. Holders and admins.
    pub async fn issue_ticket(&self, actor: &Actor, machine: MachineId) -> Result<Secret, Error> {
        let machine = self.0.held_machine(actor, machine).await?;
        let user = actor.user.ok_or_else(forbidden)?;
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
