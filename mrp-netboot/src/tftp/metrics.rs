//! Counters of the server, as Prometheus text.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::outcome::{Ending, Outcome};

/// Counters of a TFTP server; `Display` is Prometheus text.
#[derive(Clone, Debug, Default)]
pub struct TftpMetrics(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    requests_again: AtomicU64,
    refused: [AtomicU64; REFUSALS.len()],
    started: AtomicU64,
    ended: [AtomicU64; ENDINGS.len()],
    bytes: AtomicU64,
    retransmissions: AtomicU64,
}

/// Why a request was answered by an error.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    Malformed,
    Write,
    Busy,
    NotFound,
    AccessDenied,
    Internal,
}

const REFUSALS: [&str; 6] = ["malformed", "write", "busy", "not_found", "access_denied", "internal"];
const ENDINGS: [&str; 7] =
    ["completed", "stopped_by_client", "timeout", "vanished", "superseded", "server_error", "server_stopped"];

impl TftpMetrics {
    pub(super) fn requested(&self) {
        self.0.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn requested_again(&self) {
        self.0.requests_again.fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.0.refused[refusal as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn started(&self) {
        self.0.started.fetch_add(1, Relaxed);
    }

    pub(super) fn ended(&self, outcome: &Outcome) {
        let index = match outcome.ending {
            Ending::Completed => 0,
            Ending::Refused { .. } => 1,
            Ending::TimedOut { .. } => 2,
            Ending::Vanished => 3,
            Ending::Superseded => 4,
            Ending::Failed(_) => 5,
            Ending::Stopped => 6,
        };
        self.0.ended[index].fetch_add(1, Relaxed);
        self.0.bytes.fetch_add(outcome.bytes_acked, Relaxed);
        self.0.retransmissions.fetch_add(outcome.retransmissions, Relaxed);
    }

    /// Transfers under way.
    pub fn active(&self) -> u64 {
        let ended: u64 = self.0.ended.iter().map(|count| count.load(Relaxed)).sum();
        self.0.started.load(Relaxed).saturating_sub(ended)
    }
}

impl fmt::Display for TftpMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = &*self.0;
        let mut single = |name: &str, kind: &str, help: &str, value: u64| {
            writeln!(
                f,
                "# HELP mrp_tftp_{name} {help}\n# TYPE mrp_tftp_{name} {kind}\nmrp_tftp_{name} {value}"
            )
        };
        single("requests_total", "counter", "Read and write requests.", counters.requests.load(Relaxed))?;
        let again = counters.requests_again.load(Relaxed);
        single("requests_again_total", "counter", "Requests that a client sent again.", again)?;
        single("transfers_started_total", "counter", "Transfers begun.", counters.started.load(Relaxed))?;
        single("transfers_active", "gauge", "Transfers under way.", self.active())?;
        let bytes = counters.bytes.load(Relaxed);
        single("bytes_total", "counter", "Bytes acknowledged in transfers that are over.", bytes)?;
        let resent = counters.retransmissions.load(Relaxed);
        single(
            "retransmitted_blocks_total",
            "counter",
            "Blocks sent again in transfers that are over.",
            resent,
        )?;
        let mut family = |name: &str, label: &str, help: &str, labels: &[&str], values: &[AtomicU64]| {
            writeln!(f, "# HELP mrp_tftp_{name} {help}\n# TYPE mrp_tftp_{name} counter")?;
            labels.iter().zip(values).try_for_each(|(which, value)| {
                writeln!(f, "mrp_tftp_{name}{{{label}=\"{which}\"}} {}", value.load(Relaxed))
            })
        };
        family(
            "requests_refused_total",
            "reason",
            "Requests answered by an error.",
            &REFUSALS,
            &counters.refused,
        )?;
        family("transfers_ended_total", "end", "Transfers that are over.", &ENDINGS, &counters.ended)
    }
}
