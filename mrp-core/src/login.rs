//! How often a password may be tried: by name, and by the address that tries.

use std::net::IpAddr;
use std::time::Duration;

/// How long a subject has to wait; attempts older than this are forgotten.
pub const LOCKOUT: Duration = Duration::from_secs(60);

/// Failed logins of a name or an address until it has to wait.
const FREE_FAILURES: u32 = 5;
/// Attempts of one address that may be looked at at the same time: many people may share it.
const AT_ONCE: u32 = 32;

/// A name or an address, and what it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginLimit {
    /// `user alice`, `address 192.0.2.1`.
    pub subject: String,
    /// So many failures, and it has to wait.
    pub failures: u32,
    /// So many failures and attempts under way, and it has to wait.
    pub at_once: u32,
}

impl LoginLimit {
    /// Of a name: attempts under way count as failures, so that many at once are no way around the limit.
    pub fn of_user(name: &str) -> Self {
        Self { subject: format!("user {name}"), failures: FREE_FAILURES, at_once: FREE_FAILURES }
    }

    /// Of an address: right logins at the same time do not lock it out.
    pub fn of_address(address: IpAddr) -> Self {
        Self { subject: format!("address {address}"), failures: FREE_FAILURES, at_once: AT_ONCE }
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
