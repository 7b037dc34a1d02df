//! What one server of several has for itself for a while: a BMC, its place among the servers.

use crate::id::Timestamp;

/// A claim: a name that one holder has until a time, unless it renews it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed: `bmc:7`, `server:lab-1`.
    pub name: String,
    /// The server that has it.
    pub holder: String,
    /// Where the holder's peers reach it; empty if they cannot.
    pub url: String,
    /// When it lapses.
    pub until: Timestamp,
}

impl Claim {
    /// True if somebody else may have it.
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        self.until <= now
    }
}
