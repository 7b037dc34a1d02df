//! What Kea saw, on its way to mrp: a bounded queue that packets are never held up by, and what of it waits.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use mrp_core::api::kea::{Report, Seen};
use mrp_core::mac::MacAddr;

/// Reports between two looks of the thread that sends them.
const QUEUED: usize = 16_384;
/// Reports that wait while mrp is away.
const WAITING: usize = 20_000;
/// So many more may wait between two looks at how many there are.
const ROOM: usize = 2_000;

/// A report, as a callout pushes it.
#[derive(Debug)]
struct Pushed {
    mac: MacAddr,
    what: Seen,
    at: Instant,
}

/// Takes reports from Kea's threads without ever waiting. What finds it full is dropped, and counted.
#[derive(Debug)]
pub struct Queue {
    send: SyncSender<Pushed>,
    receive: Mutex<Receiver<Pushed>>,
    dropped: AtomicU64,
}

impl Default for Queue {
    fn default() -> Self {
        let (send, receive) = sync_channel(QUEUED);
        Self { send, receive: Mutex::new(receive), dropped: AtomicU64::new(0) }
    }
}

impl Queue {
    /// Adds a report.
    pub fn push(&self, mac: MacAddr, what: Seen) {
        if self.send.try_send(Pushed { mac, what, at: Instant::now() }).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Moves what was pushed into those that wait.
    pub fn drain(&self, into: &mut Waiting) {
        let receive = self.receive.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for pushed in receive.try_iter() {
            into.add(pushed);
        }
        into.make_room();
        into.dropped += self.dropped.swap(0, Ordering::Relaxed);
    }
}

/// Reports that wait for their way to mrp. Of those that say the same of one client the newest waits alone, so that a
/// client that asks for ever fills nothing.
#[derive(Debug, Default)]
pub struct Waiting {
    newest: HashMap<(MacAddr, Kind), (u64, Pushed)>,
    last: u64,
    dropped: u64,
}

/// What makes reports of one client the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Asked { discover: bool, firmware: bool },
    Lease { ipv4: Ipv4Addr, firmware: bool },
    Released(Ipv4Addr),
    Expired(Ipv4Addr),
    Declined(Ipv4Addr),
}

fn kind(what: &Seen) -> Kind {
    match *what {
        Seen::Asked { discover, firmware, .. } => Kind::Asked { discover, firmware },
        Seen::Lease { ipv4, firmware, .. } => Kind::Lease { ipv4, firmware },
        Seen::Released { ipv4 } => Kind::Released(ipv4),
        Seen::Expired { ipv4 } => Kind::Expired(ipv4),
        Seen::Declined { ipv4 } => Kind::Declined(ipv4),
    }
}

impl Waiting {
    fn add(&mut self, pushed: Pushed) {
        self.last += 1;
        self.newest.insert((pushed.mac, kind(&pushed.what)), (self.last, pushed));
        if self.newest.len() >= WAITING + ROOM {
            self.make_room();
        }
    }

    /// Drops the oldest of too many.
    fn make_room(&mut self) {
        let more = self.newest.len().saturating_sub(WAITING);
        if more > 0 {
            let mut numbers: Vec<u64> = self.newest.values().map(|(number, _)| *number).collect();
            let (_, last, _) = numbers.select_nth_unstable(more - 1);
            let up_to = *last;
            self.forget(up_to);
            self.dropped += more as u64;
        }
    }

    /// The oldest reports first, at most so many, as mrp takes them.
    pub fn oldest(&self, most: usize, now: Instant) -> Vec<Report> {
        let mut oldest: Vec<&(u64, Pushed)> = self.newest.values().collect();
        oldest.sort_unstable_by_key(|(number, _)| *number);
        let report = |(number, pushed): &(u64, Pushed)| Report {
            number: *number,
            age_ms: u64::try_from(now.saturating_duration_since(pushed.at).as_millis()).unwrap_or(u64::MAX),
            mac: pushed.mac,
            what: pushed.what.clone(),
        };
        oldest.into_iter().take(most).map(report).collect()
    }

    /// Forgets all up to a number: they have arrived.
    pub fn forget(&mut self, up_to: u64) {
        self.newest.retain(|_, (number, _)| *number > up_to);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.newest.len()
    }

    /// True if none waits.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// How many were dropped since this was last asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(number: u32) -> MacAddr {
        let [a, b, c, d] = number.to_be_bytes();
        MacAddr([2, 0, a, b, c, d])
    }

    fn asked(discover: bool) -> Seen {
        Seen::Asked { discover, hostname: None, client_arch: None, firmware: false }
    }

    fn lease(last: u8, seconds: u32) -> Seen {
        Seen::Lease { ipv4: Ipv4Addr::new(10, 0, 0, last), seconds, firmware: false }
    }

    fn numbers(waiting: &Waiting) -> Vec<u64> {
        waiting.oldest(usize::MAX, Instant::now()).iter().map(|report| report.number).collect()
    }

    #[test]
    fn the_newest_of_the_same_waits() {
        let mut waiting = Waiting::default();
        let mut add = |number, what| waiting.add(Pushed { mac: mac(number), what, at: Instant::now() });
        for what in [asked(true), asked(false), lease(1, 10), asked(true), lease(1, 20), lease(2, 10)] {
            add(1, what);
        }
        add(2, asked(true));
        assert_eq!(numbers(&waiting), [2, 4, 5, 6, 7]);
        let reports = waiting.oldest(3, Instant::now());
        assert_eq!(reports[2].what, lease(1, 20));
        waiting.forget(5);
        assert_eq!(numbers(&waiting), [6, 7]);
        waiting.add(Pushed { mac: mac(1), what: lease(1, 30), at: Instant::now() });
        assert_eq!(numbers(&waiting), [6, 7, 8]);
        waiting.forget(8);
        assert!(waiting.is_empty());
    }

    #[test]
    fn what_comes_while_a_batch_is_under_way_is_not_forgotten_with_it() {
        let (queue, mut waiting) = (Queue::default(), Waiting::default());
        queue.push(mac(1), asked(true));
        queue.drain(&mut waiting);
        let sent = waiting.oldest(10, Instant::now());
        let hostname = Some("another".to_owned());
        queue.push(mac(1), Seen::Asked { discover: true, hostname, client_arch: None, firmware: false });
        queue.drain(&mut waiting);
        waiting.forget(sent[0].number);
        assert_eq!(numbers(&waiting), [2]);
    }

    #[test]
    fn both_bounds_hold_and_what_is_lost_is_counted() {
        let (queue, mut waiting) = (Queue::default(), Waiting::default());
        let more = u32::try_from(QUEUED).unwrap() + 10;
        for number in 0..more {
            queue.push(mac(number), asked(true));
        }
        queue.drain(&mut waiting);
        assert_eq!((waiting.len(), waiting.take_dropped()), (QUEUED, 10));
        let rounds = u32::try_from(WAITING / QUEUED).unwrap() + 1;
        for round in 1..=rounds {
            for number in 0..more {
                queue.push(mac(round * more + number), asked(true));
            }
            queue.drain(&mut waiting);
        }
        assert_eq!(waiting.len(), WAITING);
        let all = (rounds as usize + 1) * QUEUED;
        assert_eq!(waiting.take_dropped(), (all - WAITING) as u64 + 10 * u64::from(rounds));
    }

    #[test]
    fn reports_tell_their_age() {
        let (queue, mut waiting) = (Queue::default(), Waiting::default());
        queue.push(mac(1), asked(true));
        queue.drain(&mut waiting);
        let later = Instant::now() + std::time::Duration::from_secs(90);
        assert!(waiting.oldest(1, later)[0].age_ms >= 90_000);
    }
}
