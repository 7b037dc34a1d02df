//! What was told already: each thing once, and again ever more rarely while it lasts.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Until a step of an exchange is told again; doubles each time.
pub(super) const ROUTINE: Duration = Duration::from_secs(60);
/// Until a problem is told again.
pub(super) const PROBLEM: Duration = LONGEST;
/// It does not get rarer than this; what was not heard for twice as long is news.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What was told of one client, or of the network. Bounded: what is not among the first [`Told::MOST`] things is not told.
#[derive(Debug)]
pub(super) struct Told<K>(HashMap<K, Entry>);

#[derive(Debug)]
struct Entry {
    heard: Instant,
    next: Instant,
    pause: Duration,
}

impl<K> Default for Told<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Told<K> {
    /// Things that are remembered.
    pub(super) const MOST: usize = 16;

    /// Notes that something was heard. True if it is to be told.
    pub(super) fn heard(&mut self, what: K, pause: Duration, now: Instant) -> bool {
        self.0.retain(|_, entry| now.duration_since(entry.heard) < 2 * LONGEST);
        if let Some(entry) = self.0.get_mut(&what) {
            entry.heard = now;
            if now < entry.next {
                return false;
            }
            entry.pause = (2 * entry.pause).min(LONGEST);
            entry.next = now + entry.pause;
            return true;
        }
        let room = self.0.len() < Self::MOST;
        if room {
            self.0.insert(what, Entry { heard: now, next: now + pause, pause });
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_of_a_day_is_told_a_few_dozen_times() {
        let (mut told, start) = (Told::default(), Instant::now());
        let minute = |minute: u64| start + Duration::from_secs(60 * minute);
        let times: Vec<u64> = (0..24 * 60).filter(|at| told.heard("asked", ROUTINE, minute(*at))).collect();
        assert_eq!(times[..7], [0, 1, 3, 7, 15, 31, 63]);
        assert!(times.len() < 32, "{times:?}");
        assert!(told.heard("asked", ROUTINE, minute(24 * 60 + 121)), "after a silence it is news");
    }

    #[test]
    fn ever_new_things_end_at_the_bound() {
        let (mut told, now) = (Told::default(), Instant::now());
        let news = (0..1000).filter(|address| told.heard(*address, ROUTINE, now)).count();
        assert_eq!(news, Told::<i32>::MOST);
    }
}
