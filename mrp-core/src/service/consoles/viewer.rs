//! A view of a console: at its session here, or passed on by the server that has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::audience::{ConsoleMessage, Seat};
use super::relay::Relay;
use super::session::{Request, Session};
use crate::actor::Actor;
use crate::bmc::ConsoleInput;
use crate::console::{Frame, FrameContent};
use crate::error::Error;
use crate::machine::MachineId;
use crate::service::{Provisioner, lock};

/// How long what is typed may wait for the BMC.
pub(super) const INPUT_PATIENCE: Duration = Duration::from_secs(10);

/// A view of a machine's console; it ends when dropped.
#[derive(Debug)]
pub struct Viewer {
    pub(super) machine: MachineId,
    pub(super) actor: Actor,
    pub(super) view: View,
}

#[derive(Debug)]
pub(super) enum View {
    Here(Seated),
    Passed(Relay),
}

impl Viewer {
    /// What the console shows: the last of its record, [`ReplayEnd`](crate::api::ConsoleNotice::ReplayEnd), then what
    /// comes. `None` after the end, of which a notice tells why. Dropping the future loses nothing.
    pub async fn next(&self) -> Option<ConsoleMessage> {
        match &self.view {
            View::Here(seated) => seated.next().await,
            View::Passed(relay) => relay.next().await,
        }
    }

    /// Types. Refused to who has not the keyboard, and while the console is not open; where another server has it, a
    /// notice says so.
    pub async fn send(&self, input: ConsoleInput) -> Result<(), Error> {
        match &self.view {
            View::Here(seated) => seated.send(input).await,
            View::Passed(relay) => relay.send(input).await,
        }
    }

    /// Takes the keyboard, whoever has it; everybody sees that.
    pub async fn take_keyboard(&self) -> Result<(), Error> {
        match &self.view {
            View::Here(seated) => seated.take_keyboard(),
            View::Passed(relay) => relay.take_keyboard().await,
        }
    }

    /// The machine.
    pub fn machine(&self) -> MachineId {
        self.machine
    }

    /// Who watches.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }
}

/// A place at a session of this server; given up when dropped.
#[derive(Debug)]
pub(super) struct Seated {
    pub(super) service: Provisioner,
    pub(super) session: Arc<Session>,
    pub(super) seat: Arc<Seat>,
}

impl Drop for Seated {
    fn drop(&mut self) {
        lock(&self.session.audience).leave(&self.seat);
        self.session.ask(Request::Look);
    }
}

impl Seated {
    pub(super) async fn next(&self) -> Option<ConsoleMessage> {
        self.seat.next().await
    }

    pub(super) async fn send(&self, input: ConsoleInput) -> Result<(), Error> {
        if !lock(&self.session.audience).may_type(&self.seat) {
            let why = if self.seat.types {
                "somebody else has the keyboard; take it first"
            } else {
                "you only watch"
            };
            return Err(Error::Conflict(why.into()));
        }
        let sender = self.session.input().ok_or_else(not_open)?;
        let frame = self.typed(&input);
        match tokio::time::timeout(INPUT_PATIENCE, sender.send(input)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(not_open()),
            Err(_) => {
                return Err(Error::Conflict("the BMC does not take what is typed; it was dropped".into()));
            }
        }
        if let Some(frame) = frame {
            self.service.0.console_record.append(self.session.machine, frame).await;
        }
        Ok(())
    }

    pub(super) fn take_keyboard(&self) -> Result<(), Error> {
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

    fn typed(&self, input: &ConsoleInput) -> Option<Frame> {
        let ConsoleInput::Bytes(bytes) = input else { return None };
        let content = FrameContent::Typed(Bytes::copy_from_slice(bytes));
        self.service.settings().console.record_typed.then(|| Frame { at: self.service.now(), content })
    }
}

pub(super) fn not_open() -> Error {
    Error::Conflict("the console is not open; nothing was typed".into())
}
