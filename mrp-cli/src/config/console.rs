//! `[console]`: when serial consoles are kept open, and what is kept of them.

use mrp_core::console::{ConsoleSettings, KeepOpen};
use serde::{Deserialize, Serialize};

use super::Age;

/// Serial consoles.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(default)]
pub struct ConsoleSection {
    /// When a console is open, and so recorded, though nobody watches.
    pub record: RecordWhen,
    /// Record what is typed, too.
    pub typed: bool,
    /// Megabytes of record that a machine has at most; the oldest go.
    pub kept_mb: u32,
    /// The record, by age.
    pub kept: Age,
}

/// When a console is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordWhen {
    /// While somebody holds the machine, and during its runs.
    Held,
    /// While somebody watches.
    Watched,
    /// Always.
    Always,
}

impl Default for ConsoleSection {
    fn default() -> Self {
        let kept = Age(Some(std::time::Duration::from_secs(90 * 24 * 60 * 60)));
        Self { record: RecordWhen::Held, typed: false, kept_mb: 32, kept }
    }
}

impl ConsoleSection {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.kept_mb == 0 { Err("console.kept_mb: at least 1".into()) } else { Ok(()) }
    }
}

impl From<ConsoleSection> for ConsoleSettings {
    fn from(section: ConsoleSection) -> Self {
        let keep_open = match section.record {
            RecordWhen::Held => KeepOpen::Held,
            RecordWhen::Watched => KeepOpen::Watched,
            RecordWhen::Always => KeepOpen::Always,
        };
        Self { keep_open, record_typed: section.typed }
    }
}
