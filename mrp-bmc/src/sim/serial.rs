//! The serial port of a simulated machine, and the SOL connection to it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::broadcast;

use super::{SimConfig, Typed};
use crate::ipmi::session::Retry;
use crate::ipmi::sol::{Sending, Sol};
use crate::ipmi::wire::Message;
use crate::ipmi::wire::sol_packet::{SolPacket, flag};

/// Inputs that a slow receiver may lag behind.
const TYPED: usize = 1024;
/// Characters a packet, as BMCs are set up by default.
const PACKET: usize = 96;

/// The port.
#[derive(Debug)]
pub(super) struct Serial {
    active: Option<Active>,
    /// Packets of connections that were ended, with their session.
    farewells: VecDeque<(u32, Vec<u8>)>,
    typed: broadcast::Sender<Typed>,
    echo: bool,
    retry: Duration,
    activations: u64,
}

#[derive(Debug)]
struct Active {
    session: u32,
    sol: Sol,
    /// The machine printed more than could wait.
    overrun: bool,
}

impl Serial {
    pub(super) fn new(config: &SimConfig) -> Self {
        let (typed, _) = broadcast::channel(TYPED);
        let (echo, retry) = (config.echo, config.sol_retry);
        Self { active: None, farewells: VecDeque::new(), typed, echo, retry, activations: 0 }
    }

    /// The session that has the console.
    pub(super) fn session(&self) -> Option<u32> {
        self.active.as_ref().map(|active| active.session)
    }

    /// How often a session got the console.
    pub(super) fn activations(&self) -> u64 {
        self.activations
    }

    pub(super) fn activate(&mut self, session: u32) {
        // A session that is gone ends it, not a packet that is not acknowledged.
        let retry = Retry { first_wait: self.retry, tries: u32::MAX };
        self.activations += 1;
        self.active =
            Some(Active { session, sol: Sol::new(Sending { packet: PACKET, retry }), overrun: false });
    }

    /// Ends the connection, as its session asked.
    pub(super) fn release(&mut self) {
        self.active = None;
    }

    /// Ends the connection and tells its session.
    pub(super) fn deactivate(&mut self) {
        if let Some(active) = self.active.take() {
            let farewell = SolPacket { flags: flag::DEACTIVATED, ..SolPacket::default() };
            self.farewells.push_back((active.session, farewell.to_bytes()));
        }
    }

    /// What is typed from this call on.
    pub(super) fn typed(&self) -> broadcast::Receiver<Typed> {
        self.typed.subscribe()
    }

    /// The machine prints. Without a console it is lost, as is what the console leaves no room for.
    pub(super) fn print(&mut self, characters: Bytes, now: Instant) {
        let Some(active) = &mut self.active else { return };
        if !active.sol.has_room() {
            active.overrun = true;
            return;
        }
        if std::mem::take(&mut active.overrun) {
            active.sol.send_flags(flag::OVERRUN, now);
        }
        active.sol.write(characters, now);
    }

    /// Characters that the machine printed and the console has not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        self.active.as_ref().map_or(0, |active| active.sol.unacknowledged())
    }

    /// Takes a packet of the console. A machine that is off takes no characters.
    pub(super) fn handle_input(&mut self, packet: &[u8], is_on: bool, now: Instant) {
        let Some(active) = &mut self.active else { return };
        active.sol.refuse((!is_on).then_some(flag::UNAVAILABLE));
        active.sol.handle_input(packet, now);
        while let Some(characters) = active.sol.poll_output() {
            if self.echo && active.sol.has_room() {
                active.sol.write(characters.clone(), now);
            }
            // Nobody has to listen.
            let _ = self.typed.send(Typed::Bytes(characters));
        }
        while let Some(flags) = active.sol.poll_flags() {
            if flags & flag::BREAK != 0 {
                let _ = self.typed.send(Typed::Break);
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(active) = &mut self.active {
            active.sol.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.active.as_ref().and_then(|active| active.sol.poll_timeout())
    }

    /// The next packet, with the session that it goes to.
    pub(super) fn poll_transmit(&mut self) -> Option<(u32, Vec<u8>)> {
        if let Some(farewell) = self.farewells.pop_front() {
            return Some(farewell);
        }
        let active = self.active.as_mut()?;
        Some((active.session, active.sol.poll_transmit()?))
    }
}
