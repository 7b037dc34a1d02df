//! A transfer against a client that is as pure, over a link with latency, loss, duplicates and reordering, in simulated
//! time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;
use crate::tftp::negotiation::Limits;

const CLIENT_TIMEOUT: Duration = Duration::from_secs(2);

fn terms(blksize: u16, windowsize: u16, total: u64) -> Terms {
    let options = [("blksize", blksize), ("windowsize", windowsize)];
    let options: Vec<_> = options.iter().map(|(name, value)| ((*name).into(), value.to_string())).collect();
    Terms::negotiate(&options, Limits { blksize: 65464, windowsize: 64 }, total)
}

fn ack(block: u64) -> [u8; 4] {
    let [high, low] = (block as u16).to_be_bytes();
    [0, 4, high, low]
}

/// How a link treats datagrams, in shares of a thousand.
#[derive(Debug, Clone, Copy)]
struct Link {
    latency: Duration,
    loss: u64,
    duplicates: u64,
    /// Datagrams that take three times as long, so that others overtake them.
    late: u64,
    seed: u64,
}

const CLEAN: Link = Link { latency: Duration::from_micros(100), loss: 0, duplicates: 0, late: 0, seed: 1 };

impl Link {
    fn chance(&mut self, share: u64) -> bool {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % 1000 < share
    }

    /// When the copies of a datagram arrive.
    fn carry(&mut self, now: Instant) -> Vec<Instant> {
        let copies = if self.chance(self.loss) { 0 } else { 1 + usize::from(self.chance(self.duplicates)) };
        (0..copies)
            .map(|_| now + if self.chance(self.late) { self.latency * 3 } else { self.latency })
            .collect()
    }
}

/// A datagram, with the block's true number beside the one on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Datagram {
    Oack,
    Data(u64),
    Ack(u64),
}

/// The receiver of RFC 7440. An eager one acknowledges each datagram that is out of order.
#[derive(Debug)]
struct Receiver {
    window: u64,
    last_block: u64,
    eager: bool,
    next: u64,
    in_window: u64,
    gap: bool,
    last_ack: Option<u64>,
    timer: Instant,
}

impl Receiver {
    fn receive(&mut self, datagram: Datagram) -> Option<u64> {
        let answer = match datagram {
            Datagram::Oack => (self.next == 1).then_some(0),
            Datagram::Data(block) if block as u16 == self.next as u16 => {
                assert_eq!(block, self.next, "the block that its number means");
                (self.next, self.in_window, self.gap) = (block + 1, self.in_window + 1, false);
                (block == self.last_block || self.in_window == self.window).then_some(block)
            }
            // The block that was acknowledged last comes again: the acknowledgement was lost.
            Datagram::Data(block) if !self.eager && block < self.next => {
                (block + 1 == self.next && self.in_window == 0).then_some(block)
            }
            Datagram::Data(_) if self.eager || !self.gap => {
                self.gap = true;
                Some(self.next - 1)
            }
            _ => None,
        };
        if answer.is_some() {
            self.in_window = 0;
            self.last_ack = answer;
        }
        answer
    }
}

/// Both ends and what is on its way between them.
struct Pair {
    now: Instant,
    start: Instant,
    link: Link,
    transfer: Transfer,
    receiver: Receiver,
    flying: BinaryHeap<Reverse<(Instant, u64, Datagram)>>,
    count: u64,
    data_sent: u64,
}

impl Pair {
    fn new(terms: &Terms, link: Link, eager: bool) -> Self {
        let now = Instant::now();
        let receiver = Receiver {
            window: terms.windowsize.into(),
            last_block: terms.total / u64::from(terms.blksize) + 1,
            eager,
            next: 1,
            in_window: 0,
            gap: false,
            last_ack: None,
            timer: now + CLIENT_TIMEOUT,
        };
        let transfer = Transfer::new(terms, true, now);
        let flying = BinaryHeap::new();
        Self { now, start: now, link, transfer, receiver, flying, count: 0, data_sent: 0 }
    }

    fn fly(&mut self, datagram: Datagram) {
        for at in self.link.carry(self.now) {
            self.count += 1;
            self.flying.push(Reverse((at, self.count, datagram)));
        }
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.transfer.poll_transmit() {
            match transmit {
                Transmit::Oack => self.fly(Datagram::Oack),
                Transmit::Data { first, count } => {
                    self.data_sent += count;
                    (first..first + count).for_each(|block| self.fly(Datagram::Data(block)));
                }
            }
            self.transfer.transmitted(transmit, self.now);
        }
    }

    /// Runs to the end and tells how long it took.
    fn run(&mut self) -> Duration {
        self.drain();
        for _ in 0..3_000_000 {
            let Some(timeout) = self.transfer.poll_timeout() else { return self.now - self.start };
            let arrival = self.flying.peek().map(|Reverse((at, ..))| *at);
            self.now =
                [Some(timeout), Some(self.receiver.timer), arrival].into_iter().flatten().min().unwrap();
            if arrival == Some(self.now) {
                let Reverse((_, _, datagram)) = self.flying.pop().unwrap();
                match datagram {
                    Datagram::Ack(block) => self.transfer.handle_input(&ack(block), self.now),
                    datagram => {
                        self.receiver.timer = self.now + CLIENT_TIMEOUT;
                        if let Some(block) = self.receiver.receive(datagram) {
                            self.fly(Datagram::Ack(block));
                        }
                    }
                }
            } else if self.receiver.timer == self.now {
                self.receiver.timer = self.now + CLIENT_TIMEOUT;
                if let Some(block) = self.receiver.last_ack {
                    self.fly(Datagram::Ack(block));
                }
            } else {
                self.transfer.handle_timeout(self.now);
            }
            self.drain();
        }
        panic!("the transfer does not end: {:?}", self.transfer);
    }
}

/// A transfer that sends everything due, at one moment.
fn send_due(transfer: &mut Transfer, now: Instant) -> Vec<Transmit> {
    let mut sent = Vec::new();
    while let Some(transmit) = transfer.poll_transmit() {
        transfer.transmitted(transmit, now);
        sent.push(transmit);
    }
    sent
}

#[test]
fn a_clean_link_carries_each_block_once() {
    // The last is past 65535 blocks twice.
    for (windowsize, blocks) in [(1, 3), (4, 16), (16, 1000), (64, 140_000)] {
        for total in [blocks * 8 - 1, blocks * 8] {
            let mut pair = Pair::new(&terms(8, windowsize, total), CLEAN, true);
            pair.run();
            assert_eq!(pair.transfer.ending(), Some(&Ending::Completed));
            assert_eq!((pair.transfer.bytes_acked(), pair.transfer.resent()), (total, 0));
            assert_eq!((pair.data_sent, pair.receiver.next), (total / 8 + 1, total / 8 + 2));
        }
    }
}

#[test]
fn bad_links_are_survived_without_a_flood() {
    let blocks = 600;
    for windowsize in [1, 2, 7, 16, 64] {
        for eager in [true, false] {
            for seed in 1..=40 {
                let link = Link { loss: 20, duplicates: 20, late: 20, seed: seed * 7919, ..CLEAN };
                let mut pair = Pair::new(&terms(8, windowsize, blocks * 8 - 1), link, eager);
                pair.run();
                // A client may go once it has all: then the last acknowledgement is lost and the sender gives up.
                assert_eq!(pair.receiver.next, blocks + 1, "{link:?}, windows of {windowsize}");
                assert_eq!(
                    pair.transfer.ending(),
                    Some(&Ending::Completed),
                    "{link:?}, windows of {windowsize}"
                );
                let lost_windows = pair.data_sent * 60 / 1000 + 10;
                let bound = blocks + lost_windows * (u64::from(windowsize) + 2) * 2;
                assert!(pair.data_sent < bound, "{} of {bound}, windows of {windowsize}", pair.data_sent);
            }
        }
    }
}

#[test]
fn duplicates_breed_no_duplicates() {
    for (windowsize, eager) in [(1, true), (1, false), (16, false), (64, false)] {
        let link = Link { duplicates: 1000, ..CLEAN };
        let mut pair = Pair::new(&terms(8, windowsize, 8 * 1000), link, eager);
        pair.run();
        assert_eq!(pair.transfer.ending(), Some(&Ending::Completed));
        if windowsize == 1 {
            assert_eq!(pair.transfer.resent(), 0, "the Sorcerer's Apprentice");
        }
        assert!(pair.data_sent <= 3 * 1001, "{} blocks, eager: {eager}", pair.data_sent);
    }
}

#[test]
fn a_lost_block_costs_a_round_trip_not_a_timeout() {
    let (terms, start) = (terms(8, 8, 8 * 100), Instant::now());
    for lost in 1..8 {
        let at = |millis| start + Duration::from_millis(millis);
        let mut transfer = Transfer::new(&terms, true, start);
        send_due(&mut transfer, start);
        transfer.handle_input(&ack(0), at(10));
        assert_eq!(send_due(&mut transfer, at(10)), [Transmit::Data { first: 1, count: 8 }]);
        for eager in 0..3 {
            transfer.handle_input(&ack(lost - 1), at(20 + eager));
        }
        assert_eq!(
            send_due(&mut transfer, at(23)),
            [Transmit::Data { first: lost, count: 8 }],
            "{lost} lost"
        );
        transfer.handle_input(&ack(lost - 1), at(24));
        assert_eq!(send_due(&mut transfer, at(24)), [], "once");
        transfer.handle_input(&ack(lost + 7), at(34));
        assert_eq!(send_due(&mut transfer, at(34)), [Transmit::Data { first: lost + 8, count: 8 }]);
        assert_eq!(transfer.resent(), 9 - lost);
    }
}

#[test]
fn a_silent_client_is_given_up() {
    let start = Instant::now();
    for offer in [true, false] {
        let mut transfer = Transfer::new(&terms(512, 4, 10_000), offer, start);
        let mut times = Vec::new();
        while let Some(at) = transfer.poll_timeout() {
            assert_eq!(send_due(&mut transfer, times.last().copied().unwrap_or(start)).len(), 1);
            assert!(at > start);
            transfer.handle_timeout(transfer.poll_timeout().unwrap());
            times.push(at);
        }
        let waits: Vec<_> = times.iter().map(|at| (*at - start).as_secs()).collect();
        assert_eq!(waits, [1, 3, 7, 12, 17, 22, 27, 32, 37]);
        assert_eq!(transfer.ending(), Some(&Ending::TimedOut { silence: Duration::from_secs(37) }));
        assert_eq!(transfer.poll_transmit(), None);
    }
}

#[test]
fn the_timeout_that_the_client_chose_is_kept() {
    let start = Instant::now();
    for (chosen, tries) in [(1, 8), (6, 5), (15, 3)] {
        let options = [("timeout".to_owned(), chosen.to_string())];
        let terms = Terms::negotiate(&options, Limits { blksize: 512, windowsize: 1 }, 10_000);
        let mut transfer = Transfer::new(&terms, true, start);
        let mut times = Vec::new();
        while let Some(at) = transfer.poll_timeout() {
            send_due(&mut transfer, times.last().copied().unwrap_or(start));
            transfer.handle_timeout(at);
            times.push(at);
        }
        let expected: Vec<_> = (1..=tries + 1).map(|n| start + Duration::from_secs(n * chosen)).collect();
        assert_eq!(times, expected);
    }
}

#[test]
fn the_timeout_follows_the_link() {
    let slow = Link { latency: Duration::from_millis(700), ..CLEAN };
    let mut pair = Pair::new(&terms(8, 4, 8 * 400), slow, false);
    pair.run();
    assert_eq!(pair.transfer.ending(), Some(&Ending::Completed));
    assert!(pair.transfer.resent() <= 3 * 4, "{} blocks sent again", pair.transfer.resent());

    let fast = Link { loss: 20, seed: 99, ..CLEAN };
    let mut pair = Pair::new(&terms(8, 1, 8 * 400), fast, false);
    let took = pair.run();
    assert!(took < Duration::from_secs(30), "about 16 losses took {took:?}");
}

#[test]
fn a_request_again_repeats_the_first_answer_only() {
    let start = Instant::now();
    let later = start + Duration::from_millis(500);
    let mut transfer = Transfer::new(&terms(512, 1, 10_000), true, start);
    assert_eq!(send_due(&mut transfer, start), [Transmit::Oack]);
    transfer.handle_request_again(start);
    assert_eq!(send_due(&mut transfer, start), [], "the answer may be on its way");
    transfer.handle_request_again(later);
    assert_eq!(send_due(&mut transfer, later), [Transmit::Oack]);
    transfer.handle_input(&ack(0), later);
    assert_eq!(send_due(&mut transfer, later), [Transmit::Data { first: 1, count: 1 }]);
    transfer.handle_input(&ack(1), later);
    send_due(&mut transfer, later);
    transfer.handle_request_again(later + CLIENT_TIMEOUT);
    assert_eq!(send_due(&mut transfer, later), [], "the client is past it");
}

#[test]
fn what_cannot_be_meant_is_ignored() {
    let now = Instant::now();
    let mut transfer = Transfer::new(&terms(512, 4, 512 * 20), true, now);
    send_due(&mut transfer, now);
    transfer.handle_input(&ack(1), now);
    assert_eq!(send_due(&mut transfer, now), [], "the options are not acknowledged");
    transfer.handle_input(&ack(0), now);
    send_due(&mut transfer, now);
    for packet in [&b"\0\x04\0"[..], b"", b"\0\x03\0\x01x", b"\0\x01f\0octet\0", &ack(5), &ack(65535)] {
        transfer.handle_input(packet, now);
        assert_eq!((send_due(&mut transfer, now), transfer.bytes_acked()), (vec![], 0), "{packet:?}");
    }
    transfer.handle_input(b"\0\x05\0\x03disk full\0", now);
    let text = "disk full".into();
    assert_eq!(transfer.ending(), Some(&Ending::Refused { code: 3, text, offered: false }));
    transfer.abort(Ending::Stopped);
    assert!(matches!(transfer.ending(), Some(Ending::Refused { .. })), "the first ending stays");
}

#[test]
fn a_window_may_leave_in_pieces() {
    let now = Instant::now();
    let mut transfer = Transfer::new(&terms(512, 10, 512 * 100), false, now);
    assert_eq!(transfer.poll_transmit(), Some(Transmit::Data { first: 1, count: 10 }));
    transfer.transmitted(Transmit::Data { first: 1, count: 4 }, now);
    assert_eq!(transfer.poll_transmit(), Some(Transmit::Data { first: 5, count: 6 }));
    transfer.transmitted(Transmit::Data { first: 5, count: 6 }, now);
    transfer.handle_input(&ack(10), now);
    assert_eq!(transfer.poll_transmit(), Some(Transmit::Data { first: 11, count: 10 }));
}

proptest! {
    #[test]
    fn any_input_keeps_the_window(
        windowsize in 1_u16..=64,
        total in 0_u64..200_000,
        offer: bool,
        inputs in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..8), 0_u16..100, 0_u64..3000), 0..80),
    ) {
        let mut now = Instant::now();
        let terms = terms(16, windowsize, total);
        let mut transfer = Transfer::new(&terms, offer, now);
        for (noise, number, wait) in inputs {
            now += Duration::from_millis(wait);
            transfer.handle_timeout(now);
            for transmit in send_due(&mut transfer, now) {
                if let Transmit::Data { first, count } = transmit {
                    prop_assert!(count <= windowsize.into() && first >= 1);
                    prop_assert!(first + count - 1 <= total / 16 + 1);
                }
            }
            transfer.handle_input(&noise, now);
            transfer.handle_input(&ack(number.into()), now);
            prop_assert!(transfer.bytes_acked() <= total);
        }
    }
}
