//! How a BMC has been of late, as its governor saw it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Timestamp;

/// What can be said of a BMC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BmcState {
    /// Nothing was asked of it yet.
    #[default]
    Unknown,
    /// Its last command succeeded.
    Answering,
    /// Its last command failed.
    Failing,
    /// Several commands in a row failed: it is asked less often.
    Silent,
    /// It refused the login: it is not polled until the entry changes or a command succeeds.
    Refused,
}

impl BmcState {
    /// All states.
    pub const ALL: [BmcState; 5] =
        [BmcState::Unknown, BmcState::Answering, BmcState::Failing, BmcState::Silent, BmcState::Refused];
}

impl fmt::Display for BmcState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BmcState::Unknown => "unknown",
            BmcState::Answering => "answering",
            BmcState::Failing => "failing",
            BmcState::Silent => "silent",
            BmcState::Refused => "refused",
        })
    }
}

/// The health of a BMC: its last commands, at most 64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BmcHealth {
    /// In a word.
    pub state: BmcState,
    /// Commands that the figures are taken from.
    pub commands: u32,
    /// How many of them succeeded.
    pub succeeded: u32,
    /// Median time of those that succeeded, in milliseconds.
    pub p50_ms: Option<u32>,
    /// Time that 95 of 100 of them stayed below, in milliseconds.
    pub p95_ms: Option<u32>,
    /// When it last answered anything.
    pub last_contact: Option<Timestamp>,
    /// When a command last failed.
    pub last_failure: Option<Timestamp>,
    /// Why.
    pub failure: Option<String>,
}
