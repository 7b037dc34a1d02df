//! What one server of several has for itself for a while: a BMC, its place among the servers, contents on their way.

use std::time::Duration;

use crate::id::Timestamp;
use crate::secret::random_bytes;

/// A claim: a name that one holder has until a time, unless it renews it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed: `bmc:7`, `server:lab-1`, `content:5f2e…`.
    pub name: String,
    /// The server that has it.
    pub holder: String,
    /// Where the holder's peers reach it; empty if they cannot.
    pub url: String,
    /// When it lapses.
    pub until: Timestamp,
}

impl Claim {
    /// What the names of claims begin with by which servers say that they are up.
    pub const SERVER: &'static str = "server:";
    /// What the names of claims begin with that keep the contents of images.
    pub const CONTENT: &'static str = "content:";

    /// A claim of its own that keeps every content without an image: who puts contents there holds one from before until
    /// their rows are written under it.
    pub fn of_contents(now: Timestamp, at_most: Duration) -> Self {
        let name = format!("{}{}", Self::CONTENT, hex::encode(random_bytes::<16>()));
        Self { holder: name.clone(), name, url: String::new(), until: now + at_most }
    }

    /// True if somebody else may have it.
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        self.until <= now
    }
}
