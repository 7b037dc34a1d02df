//! How often a password may be tried. What counts first is a name from an address, so that whoever guesses at a name
//! locks themselves out and not its owner elsewhere; a name from everywhere and an address with all names have wider
//! limits, against guessing from many places and at many names.

use std::net::IpAddr;
use std::time::Duration;

/// How long a subject has to wait; attempts older than this are forgotten.
pub const LOCKOUT: Duration = Duration::from_secs(60);

/// Failed logins of a name from one address until it has to wait there.
const FAILURES: u32 = 5;
/// Failed logins of a name from everywhere, or of an address: many people may share one.
const FAILURES_OF_MANY: u32 = 30;
/// Attempts of one address that may be looked at at the same time.
const AT_ONCE: u32 = 32;

/// Who tries, and what they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginLimit {
    /// `user alice from 192.0.2.1`, `user alice`, `address 192.0.2.1`.
    pub subject: String,
    /// So many failures, and it has to wait.
    pub failures: u32,
    /// So many failures and attempts under way, and it has to wait.
    pub at_once: u32,
}

impl LoginLimit {
    /// All limits of an attempt: first the one that a right password forgives.
    pub fn of(name: &str, from: Option<IpAddr>) -> Vec<Self> {
        let Some(from) = from else { return vec![Self::of_user(name)] };
        vec![
            Self { subject: format!("user {name} from {from}"), ..Self::of_user(name) },
            Self { failures: FAILURES_OF_MANY, at_once: FAILURES_OF_MANY, ..Self::of_user(name) },
            Self::of_address(from),
        ]
    }

    /// Of a name, wherever it is used: attempts under way count as failures, so that many at once are no way around it.
    pub fn of_user(name: &str) -> Self {
        Self { subject: format!("user {name}"), failures: FAILURES, at_once: FAILURES }
    }

    /// Of an address: right logins at the same time do not lock it out.
    pub fn of_address(address: IpAddr) -> Self {
        let subject = format!("address {address}");
        Self { subject, failures: FAILURES_OF_MANY, at_once: FAILURES_OF_MANY.max(AT_ONCE) }
    }

    /// True if a further attempt has to wait.
    pub fn is_reached(&self, failures: u32, under_way: u32) -> bool {
        failures >= self.failures || failures.saturating_add(under_way) >= self.at_once
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginOutcome {
    /// The password was wrong.
    Failed,
    /// The password was right.
    Right,
}
