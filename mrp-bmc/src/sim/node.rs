//! A node of a simulated BMC: a machine and its serial port.

use std::time::Instant;

use bytes::Bytes;
use mrp_core::bmc::Power;

use super::SimConfig;
use super::machine::Machine;
use super::serial::Serial;

/// The node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(super) machine: Machine,
    pub(super) serial: Serial,
}

impl Node {
    pub(super) fn new(config: &SimConfig) -> Self {
        Self { machine: Machine::new(config), serial: Serial::new(config) }
    }

    /// When [`Node::advance`] is due.
    pub(super) fn next_change(&self) -> Option<Instant> {
        [self.machine.next_change(), self.serial.poll_timeout()].into_iter().flatten().min()
    }

    /// Lets happen what is due.
    pub(super) fn advance(&mut self, now: Instant) {
        self.machine.advance(now);
        let printed = self.machine.take_printed();
        self.serial.print(Bytes::from(printed), now);
        self.serial.handle_timeout(now);
    }

    /// Takes a SOL packet of the console.
    pub(super) fn typed(&mut self, packet: &[u8], now: Instant) {
        let is_on = self.machine.power(now) == Power::On;
        self.serial.handle_input(packet, is_on, now);
    }
}
