//! What is asked of BMCs without anybody waiting for it.

use std::time::Duration;

use mrp_core::governor::Limits;
use mrp_core::service::polling::Polling;
use serde::{Deserialize, Serialize};

use super::Span;

/// BMCs.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(default)]
pub struct BmcSection {
    /// How often the power of every machine is polled; `0s` never.
    pub poll_every: Span,
    /// BMCs that are polled at once, but for those that take longer than a moment.
    pub poll_at_once: usize,
    /// From one command to the next one of the same BMC.
    pub pause: Span,
}

impl Default for BmcSection {
    fn default() -> Self {
        let pause = Span(Limits::default().interval);
        Self { poll_every: Span(Duration::from_secs(60)), poll_at_once: 128, pause }
    }
}

impl BmcSection {
    /// How much is asked of one BMC.
    pub fn limits(&self) -> Limits {
        Limits { interval: self.pause.0, ..Limits::default() }
    }

    /// Polling, if it is wanted.
    pub fn polling(&self) -> Option<Polling> {
        let every = self.poll_every.0;
        (!every.is_zero()).then_some(Polling { every, at_once: self.poll_at_once })
    }
}
