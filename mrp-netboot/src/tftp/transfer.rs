//! One transfer, as a state machine: the sender's side of RFC 1350 with options (RFC 2347) and windows (RFC 7440).
//!
//! Datagrams and the time come in, what to send comes out: [`Transfer::poll_transmit`] says what is due, and
//! [`Transfer::transmitted`] that it went out. Blocks are counted in 64 bits from 1; only on the wire their number wraps.
//!
//! What is sent again, and when:
//! - A timeout sends the OACK or the whole window again. It follows the round trips seen, unless the client chose it.
//! - An acknowledgement inside the window means that what follows it was lost: a new window starts there.
//! - One of the block before the window means that its first block was lost, if it can be the answer to this window and to
//!   no copy of blocks sent again; with windows of one block it never does. So a duplicate does not breed duplicates.

use std::time::{Duration, Instant};

use super::negotiation::Terms;
use super::outcome::Ending;
use super::packet::Reply;

const INITIAL_RTO: Duration = Duration::from_secs(1);
const MIN_RTO: Duration = Duration::from_millis(200);
const MAX_RTO: Duration = Duration::from_secs(5);
/// Tries before a silent client is given up, after about 35 s.
const MAX_TRIES: u32 = 8;

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transmit {
    /// The options.
    Oack,
    /// Blocks, the first one counted from 1.
    Data { first: u64, count: u64 },
}

#[derive(Debug)]
enum Phase {
    /// The options are told, or to be told.
    Offering {
        sent: bool,
    },
    /// The blocks.
    Sending,
    Over(Ending),
}

/// The sender's side of a transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    phase: Phase,
    blksize: u64,
    windowsize: u64,
    total: u64,
    /// The block that is shorter than the others, perhaps empty.
    last_block: u64,
    /// The last block that the client has, with all before it.
    acked: u64,
    /// The block to send next.
    next: u64,
    /// The last block that was ever sent.
    sent: u64,
    /// When the first block of the window went out.
    window_at: Instant,
    /// Blocks before it were sent again, so that acknowledgements of them may come twice.
    doubtful: u64,
    resent: u64,
    rtt: Rtt,
    /// The block whose acknowledgement measures a round trip, and when it went out.
    timed: Option<(u64, Instant)>,
    /// The timeout that the client chose.
    chosen: Option<Duration>,
    /// Timeouts since the client was last heard.
    tries: u32,
    /// Doublings of the timeout since a round trip was last measured.
    backoff: u32,
    heard: Instant,
    timer: Instant,
}

impl Transfer {
    /// Starts a transfer; with `offer` the options are told first.
    pub(super) fn new(terms: &Terms, offer: bool, now: Instant) -> Self {
        let blksize = u64::from(terms.blksize);
        Self {
            phase: if offer { Phase::Offering { sent: false } } else { Phase::Sending },
            blksize,
            windowsize: terms.windowsize.into(),
            total: terms.total,
            last_block: terms.total / blksize + 1,
            acked: 0,
            next: 1,
            sent: 0,
            window_at: now,
            doubtful: 0,
            resent: 0,
            rtt: Rtt::default(),
            timed: None,
            chosen: terms.timeout,
            tries: 0,
            backoff: 0,
            heard: now,
            timer: now + terms.timeout.unwrap_or(INITIAL_RTO),
        }
    }

    /// A datagram of the client came. What is neither ACK nor ERROR is ignored.
    pub(super) fn handle_input(&mut self, packet: &[u8], now: Instant) {
        match (Reply::decode(packet), &self.phase) {
            (None, _) | (_, Phase::Over(_)) => {}
            (Some(Reply::Error { code, text }), phase) => {
                let offered = matches!(phase, Phase::Offering { .. });
                self.phase = Phase::Over(Ending::Refused { code, text, offered });
            }
            (Some(Reply::Ack(0)), Phase::Offering { .. }) => {
                self.phase = Phase::Sending;
                self.progressed(0, now);
            }
            (Some(Reply::Ack(_)), Phase::Offering { .. }) => {}
            (Some(Reply::Ack(number)), Phase::Sending) => self.acknowledged(number, now),
        }
    }

    /// The client sent its request again: it did not get the first answer.
    pub(super) fn handle_request_again(&mut self, now: Instant) {
        let waited = now.saturating_duration_since(self.window_at) >= MIN_RTO;
        match &mut self.phase {
            Phase::Offering { sent } if waited => (*sent, self.timed, self.doubtful) = (false, None, 1),
            Phase::Sending if waited && self.acked == 0 => self.rewind(),
            _ => {}
        }
    }

    /// The time of [`Transfer::poll_timeout`] came.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if now < self.timer || matches!(self.phase, Phase::Over(_)) {
            return;
        }
        self.tries += 1;
        if self.tries > self.tries_allowed() {
            let silence = now.saturating_duration_since(self.heard);
            self.phase = Phase::Over(Ending::TimedOut { silence });
            return;
        }
        self.backoff += 1;
        match &mut self.phase {
            Phase::Offering { sent } => (*sent, self.timed, self.doubtful) = (false, None, 1),
            _ => self.rewind(),
        }
        self.timer = now + self.rto();
    }

    /// What is to be sent now, or nothing.
    pub(super) fn poll_transmit(&self) -> Option<Transmit> {
        match self.phase {
            Phase::Offering { sent: false } => Some(Transmit::Oack),
            Phase::Sending if self.next <= self.window_end() => {
                Some(Transmit::Data { first: self.next, count: self.window_end() - self.next + 1 })
            }
            _ => None,
        }
    }

    /// What [`Transfer::poll_transmit`] said, or the first blocks of it, went out.
    pub(super) fn transmitted(&mut self, transmit: Transmit, now: Instant) {
        match transmit {
            Transmit::Oack => {
                self.phase = Phase::Offering { sent: true };
                self.window_at = now;
                // Sent again, its acknowledgement measures nothing.
                self.timed = (self.tries == 0).then_some((0, now));
            }
            Transmit::Data { first, count } => {
                let last = first + count - 1;
                if first == self.acked + 1 {
                    self.window_at = now;
                }
                if last > self.sent {
                    self.timed = self.timed.or(Some((last, now)));
                }
                self.resent += (last.min(self.sent) + 1).saturating_sub(first);
                self.sent = self.sent.max(last);
                self.next = last + 1;
            }
        }
        self.timer = now + self.rto();
    }

    /// When [`Transfer::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (!matches!(self.phase, Phase::Over(_))).then_some(self.timer)
    }

    /// Ends the transfer, unless it is over.
    pub(super) fn abort(&mut self, ending: Ending) {
        if !matches!(self.phase, Phase::Over(_)) {
            self.phase = Phase::Over(ending);
        }
    }

    /// How it ended, once it is over.
    pub(super) fn ending(&self) -> Option<&Ending> {
        match &self.phase {
            Phase::Over(ending) => Some(ending),
            _ => None,
        }
    }

    /// Bytes that the client has acknowledged.
    pub(super) fn bytes_acked(&self) -> u64 {
        (self.acked * self.blksize).min(self.total)
    }

    /// Blocks that were sent again.
    pub(super) fn resent(&self) -> u64 {
        self.resent
    }

    fn acknowledged(&mut self, number: u16, now: Instant) {
        // The block with this number nearest to the window: old ones lie before `acked` and give a large distance.
        let ahead = u64::from(number.wrapping_sub(self.acked as u16));
        let block = self.acked + ahead;
        if block > self.sent {
            return;
        }
        if ahead > 0 {
            self.progressed(block, now);
        } else if self.windowsize > 1 && self.acked >= self.doubtful && self.answers_window(now) {
            self.rewind();
        }
    }

    /// The client has everything up to a block.
    fn progressed(&mut self, block: u64, now: Instant) {
        if let Some((_, at)) = self.timed.take_if(|(timed, _)| block >= *timed) {
            self.rtt.sample(now.saturating_duration_since(at));
            self.backoff = 0;
        }
        self.acked = block;
        self.heard = now;
        self.tries = 0;
        if block == self.last_block {
            self.phase = Phase::Over(Ending::Completed);
        } else if self.next != block + 1 {
            // Blocks after it are on their way: the client asks for them again. Or it has more than was sent since the
            // last rewind.
            self.rewind();
        }
        self.timer = now + self.rto();
    }

    /// Starts the window again behind what the client has.
    fn rewind(&mut self) {
        if self.sent > self.acked {
            self.doubtful = self.sent + 1;
        }
        self.next = self.acked + 1;
        self.timed = None;
    }

    fn window_end(&self) -> u64 {
        (self.acked + self.windowsize).min(self.last_block)
    }

    /// The window is long enough on its way that an answer to it can be there.
    fn answers_window(&self, now: Instant) -> bool {
        let rtt = self.rtt.smoothed.unwrap_or_default();
        self.next > self.acked + 1 && now.saturating_duration_since(self.window_at) >= rtt / 2
    }

    fn rto(&self) -> Duration {
        self.chosen.unwrap_or_else(|| (self.rtt.rto() * (1 << self.backoff.min(8))).min(MAX_RTO))
    }

    fn tries_allowed(&self) -> u32 {
        // A client that chose a long time is not waited for eight times.
        self.chosen
            .map_or(MAX_TRIES, |chosen| (30 / chosen.as_secs().max(1)).clamp(3, MAX_TRIES.into()) as u32)
    }
}

/// Round trips (RFC 6298).
#[derive(Debug, Default)]
struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
}

impl Rtt {
    fn sample(&mut self, rtt: Duration) {
        match self.smoothed {
            None => (self.smoothed, self.variation) = (Some(rtt), rtt / 2),
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(rtt)) / 4;
                self.smoothed = Some((smoothed * 7 + rtt) / 8);
            }
        }
    }

    fn rto(&self) -> Duration {
        self.smoothed.map_or(INITIAL_RTO, |smoothed| (smoothed + self.variation * 4).clamp(MIN_RTO, MAX_RTO))
    }
}

#[cfg(test)]
mod tests;
