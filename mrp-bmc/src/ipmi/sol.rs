//! Serial over LAN as a state machine (chapter 15): packets, characters and the time come in, packets and characters go
//! out. Console and simulator use the same; they differ in the flags only, which are passed through.
//!
//! Each way one packet is under way at a time. It is repeated with the same sequence number until it is acknowledged, and
//! what was acknowledged in part is sent on in the next one. Characters are delivered once and in order. Both buffers are
//! bounded: a packet that finds no room is not acknowledged, so the peer keeps it and repeats it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::session::Retry;
use super::wire::Message;
use super::wire::sol_packet::{SolPacket, flag};

#[cfg(test)]
mod tests;

/// Characters that wait to be sent, beyond which [`Sol::has_room`] is false.
const MAX_WAITING: usize = 4096;
/// Characters that wait to be taken, beyond which packets are not acknowledged.
const MAX_OUTPUT: usize = 8192;
/// Sequence numbers are 1 to 15.
const SEQUENCES: u8 = 15;
/// No packet stays under way so long; an older sequence number after it is a peer that began anew.
const LATE: Duration = Duration::from_secs(5);

/// How characters are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sending {
    /// Characters a packet: 1 to 255.
    pub(crate) packet: usize,
    /// How long an acknowledgement is waited for, and how often a packet is sent before the peer counts as gone.
    pub(crate) retry: Retry,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Sol {
    sending: Sending,
    waiting: VecDeque<Waiting>,
    waiting_characters: usize,
    /// Of the last packet that was sent.
    sequence: u8,
    under_way: Option<UnderWay>,
    acknowledgements: VecDeque<SolPacket>,
    received: Option<Received>,
    output: VecDeque<Bytes>,
    output_characters: usize,
    flags: VecDeque<u8>,
    refusal: Option<u8>,
    gone: bool,
}

#[derive(Debug)]
enum Waiting {
    Characters(Bytes),
    Flags(u8),
}

#[derive(Debug)]
struct UnderWay {
    packet: SolPacket,
    /// It waits for [`Sol::poll_transmit`].
    due: bool,
    deadline: Instant,
    wait: Duration,
    tries_left: u32,
}

/// The last packet that was taken.
#[derive(Debug)]
struct Received {
    sequence: u8,
    characters: Bytes,
    at: Instant,
}

impl Sol {
    /// A connection over which nothing has passed.
    pub(crate) fn new(sending: Sending) -> Self {
        Self {
            sending,
            waiting: VecDeque::new(),
            waiting_characters: 0,
            sequence: 0,
            under_way: None,
            acknowledgements: VecDeque::new(),
            received: None,
            output: VecDeque::new(),
            output_characters: 0,
            flags: VecDeque::new(),
            refusal: None,
            gone: false,
        }
    }

    /// Queues characters for the peer. All are taken, so ask [`Sol::has_room`] before.
    pub(crate) fn write(&mut self, characters: Bytes, now: Instant) {
        if !characters.is_empty() {
            self.waiting_characters += characters.len();
            self.waiting.push_back(Waiting::Characters(characters));
            self.send_next(now);
        }
    }

    /// Queues a packet with flags and without characters.
    pub(crate) fn send_flags(&mut self, flags: u8, now: Instant) {
        self.waiting.push_back(Waiting::Flags(flags));
        self.send_next(now);
    }

    /// Characters that were queued and are not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        let under_way = self.under_way.as_ref().map_or(0, |under_way| under_way.packet.characters.len());
        self.waiting_characters + under_way
    }

    /// True while more may be queued.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting_characters < MAX_WAITING && self.waiting.len() < MAX_WAITING / 16
    }

    /// From now on characters of the peer are refused with these flags; `None` takes them again.
    pub(crate) fn refuse(&mut self, flags: Option<u8>) {
        self.refusal = flags;
    }

    /// Takes a packet of the peer. What is no packet is ignored.
    pub(crate) fn handle_input(&mut self, payload: &[u8], now: Instant) {
        let Ok(packet) = SolPacket::decode(payload) else { return };
        if packet.acknowledged != 0 {
            self.acknowledge(&packet, now);
        }
        let flags = packet.flags & !flag::NACK;
        let is_new = packet.sequence == 0 || self.receive(packet, now);
        if is_new && flags != 0 {
            self.flags.push_back(flags);
        }
    }

    /// Repeats what was not acknowledged in time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Some(under_way) = self.under_way.as_mut().filter(|packet| packet.deadline <= now) else { return };
        if under_way.tries_left == 0 {
            self.gone = true;
            self.under_way = None;
            return;
        }
        under_way.tries_left -= 1;
        under_way.due = true;
        under_way.wait = Retry::after(under_way.wait);
        under_way.deadline = now + under_way.wait;
    }

    /// The next packet to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if let Some(acknowledgement) = self.acknowledgements.pop_front() {
            return Some(acknowledgement.to_bytes());
        }
        let under_way = self.under_way.as_mut().filter(|under_way| under_way.due)?;
        under_way.due = false;
        Some(under_way.packet.to_bytes())
    }

    /// When [`Sol::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.as_ref().map(|under_way| under_way.deadline)
    }

    /// The next characters of the peer.
    pub(crate) fn poll_output(&mut self) -> Option<Bytes> {
        let characters = self.output.pop_front()?;
        self.output_characters -= characters.len();
        Some(characters)
    }

    /// True while [`Sol::poll_output`] has something.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// The flags of the next packet that had any.
    pub(crate) fn poll_flags(&mut self) -> Option<u8> {
        self.flags.pop_front()
    }

    /// Nothing of what was sent is acknowledged any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    fn acknowledge(&mut self, packet: &SolPacket, now: Instant) {
        let answered = |under_way: &mut UnderWay| under_way.packet.sequence == packet.acknowledged;
        let Some(mut under_way) = self.under_way.take_if(answered) else { return };
        let accepted = usize::from(packet.accepted);
        let nack = packet.flags & flag::NACK != 0;
        if nack && packet.flags & flag::UNAVAILABLE != 0 {
            // The machine is off: as on a wire, what is typed is lost.
            self.waiting.clear();
            self.waiting_characters = 0;
        } else if accepted < under_way.packet.characters.len() && (accepted > 0 || nack) {
            // Without NACK, "0 characters" is how some BMCs acknowledge all of them.
            under_way.packet.characters.drain(..accepted);
            if accepted == 0 {
                // It is there, so it may take its time.
                let Retry { first_wait, tries } = self.sending.retry;
                (under_way.wait, under_way.tries_left) = (first_wait, tries);
                under_way.deadline = now + first_wait;
                self.under_way = Some(under_way);
                return;
            }
            let rest = Bytes::from(under_way.packet.characters);
            self.waiting_characters += rest.len();
            self.waiting.push_front(Waiting::Characters(rest));
        }
        self.send_next(now);
    }

    /// True if the packet was not received before.
    fn receive(&mut self, packet: SolPacket, now: Instant) -> bool {
        let count = packet.characters.len();
        if let Some(flags) = self.refusal
            && count > 0
        {
            self.confirm(packet.sequence, 0, flag::NACK | flags);
            return false;
        }
        if self.output_characters + count > MAX_OUTPUT {
            return false;
        }
        let characters = Bytes::from(packet.characters);
        let (is_new, fresh) = match &self.received {
            None => (true, characters.clone()),
            Some(last) => match (packet.sequence + SEQUENCES - last.sequence) % SEQUENCES {
                // Some BMCs append to a packet that they repeat.
                0 if characters.starts_with(&last.characters) => {
                    let fresh = characters.slice(last.characters.len()..);
                    (false, fresh)
                }
                distance if (1..=SEQUENCES / 2).contains(&distance) || now >= last.at + LATE => {
                    (true, characters.clone())
                }
                // It was acknowledged long ago and came by a slower way.
                _ => return false,
            },
        };
        self.confirm(packet.sequence, u8::try_from(count).unwrap_or(u8::MAX), 0);
        if is_new || !fresh.is_empty() {
            self.received = Some(Received { sequence: packet.sequence, characters, at: now });
        }
        if !fresh.is_empty() {
            self.output_characters += fresh.len();
            self.output.push_back(fresh);
        }
        is_new
    }

    fn confirm(&mut self, sequence: u8, accepted: u8, flags: u8) {
        let packet =
            SolPacket { sequence: 0, acknowledged: sequence, accepted, flags, characters: Vec::new() };
        self.acknowledgements.push_back(packet);
    }

    fn send_next(&mut self, now: Instant) {
        if self.under_way.is_some() {
            return;
        }
        let Some(packet) = self.next_packet() else { return };
        let Retry { first_wait, tries } = self.sending.retry;
        let deadline = now + first_wait;
        let tries_left = tries.saturating_sub(1);
        self.under_way = Some(UnderWay { packet, due: true, deadline, wait: first_wait, tries_left });
    }

    fn next_packet(&mut self) -> Option<SolPacket> {
        let mut packet = SolPacket::default();
        match self.waiting.front()? {
            Waiting::Flags(flags) => {
                packet.flags = *flags;
                self.waiting.pop_front();
            }
            Waiting::Characters(_) => self.fill(&mut packet.characters),
        }
        self.sequence = self.sequence % SEQUENCES + 1;
        packet.sequence = self.sequence;
        Some(packet)
    }

    /// Fills a packet with the characters that wait, up to the next flags.
    fn fill(&mut self, packet: &mut Vec<u8>) {
        while packet.len() < self.sending.packet
            && let Some(Waiting::Characters(characters)) = self.waiting.front_mut()
        {
            let room = self.sending.packet - packet.len();
            packet.extend(characters.split_to(room.min(characters.len())));
            if characters.is_empty() {
                self.waiting.pop_front();
            }
        }
        self.waiting_characters -= packet.len();
    }
}
