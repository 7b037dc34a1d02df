//! How long the history is kept, and what a database holds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long something is kept, and how many at most; `None` for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// What is older goes.
    pub age: Option<Duration>,
    /// The newest so many stay.
    pub count: Option<u64>,
}

/// How long the history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events; those of runs under way stay.
    pub events: Limit,
    /// Audit entries.
    pub audit: Limit,
    /// Runs that have ended, with their events.
    pub runs: Limit,
    /// Images that no machine and no subarchitecture uses, by the time of their upload; public boot loaders stay.
    pub unused_images: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: Limit { age: Some(DAY * 90), count: Some(1_000_000) },
            audit: Limit { age: Some(DAY * 730), count: Some(1_000_000) },
            runs: Limit { age: Some(DAY * 365), count: Some(10_000) },
            unused_images: None,
        }
    }
}

/// What a store is to remove: rows that are older, or that are not among the newest. Both `None` removes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outdated {
    /// What was written before this.
    pub before: Option<Timestamp>,
    /// What is not among the newest so many.
    pub beyond: Option<u64>,
}

impl Limit {
    /// What is outdated at a time.
    pub fn outdated(&self, now: Timestamp) -> Outdated {
        Outdated { before: self.age.map(|age| earlier(now, age)), beyond: self.count }
    }
}

/// A time that lies so far back.
pub fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Events.
    pub events: u64,
    /// Audit entries.
    pub audit: u64,
    /// Runs.
    pub runs: u64,
    /// Tokens that had expired.
    pub tokens: u64,
    /// Images that nobody used.
    pub images: u64,
}

/// What a database holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Rows by what they are: `events`, `audit`, `runs`, …; sorted.
    pub rows: Vec<(String, u64)>,
    /// Size of the whole database.
    pub database_bytes: u64,
    /// Size of all images, each content once.
    pub image_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_says_what_is_outdated() {
        let limit = Limit { age: Some(Duration::from_secs(1)), count: Some(7) };
        let outdated = Outdated { before: Some(Timestamp(9_000)), beyond: Some(7) };
        assert_eq!(limit.outdated(Timestamp(10_000)), outdated);
        assert_eq!(Limit::default().outdated(Timestamp(10_000)), Outdated::default());
        let ages = Limit { age: Some(Duration::MAX), count: None };
        assert!(ages.outdated(Timestamp(10_000)).before.is_some_and(|before| before.0 < 0));
    }
}
