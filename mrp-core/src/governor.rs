//! The governor in front of a BMC: a bounded queue, an interval between commands, one answer for identical polls, and a
//! circuit breaker with back-off, so that one bad BMC harms nobody and is not harmed by us.
//!
//! Polls of a BMC that does not answer are refused without asking it until its back-off is over; what a person asks for
//! ([`Bmc::set_power`] and the like) is always tried, since that person may have mended it just now. After a refused
//! login nothing is polled until a command of a person succeeds or the entry changes: another attempt with the same
//! password may lock the account.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, WeakShared};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::bmc::{Bmc, BmcError, BootOverride, Capabilities, Console, Node, Power, PowerAction};
use crate::clock::Clock;
use crate::health::{BmcHealth, BmcState};
use crate::id::Timestamp;
use crate::secret::random_bytes;
use crate::service::lock;

/// How much is asked of one BMC.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Commands under way at once; a driver may have fewer sessions.
    pub at_once: usize,
    /// Commands that wait for their turn; more are refused as busy.
    pub waiting: usize,
    /// From the end of a command to the beginning of the next one.
    pub interval: Duration,
    /// Failures in a row after which a BMC counts as not answering.
    pub failures: u32,
    /// The first back-off; each failure doubles it.
    pub first_pause: Duration,
    /// The longest back-off.
    pub longest_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 1,
            waiting: 64,
            interval: Duration::ZERO,
            failures: 3,
            first_pause: Duration::from_secs(5),
            longest_pause: Duration::from_secs(5 * 60),
        }
    }
}

/// Commands that success rate and latencies are taken from.
const WINDOW: usize = 64;

/// A poll that goes on while somebody waits for it.
type Poll = WeakShared<BoxFuture<'static, Result<Power, BmcError>>>;

/// A BMC behind its governor. Clones are the same one.
#[derive(Clone)]
pub struct Governed(Arc<Inner>);

struct Inner {
    bmc: Arc<dyn Bmc>,
    address: String,
    limits: Limits,
    clock: Arc<dyn Clock>,
    turns: Semaphore,
    /// Polls under way, by node.
    polls: Mutex<HashMap<Node, Poll>>,
    record: Mutex<Record>,
}

/// What is remembered of a BMC.
#[derive(Debug, Default)]
struct Record {
    /// Milliseconds and success of the last commands.
    commands: VecDeque<(u32, bool)>,
    waiting: usize,
    last_end: Option<Instant>,
    failures: u32,
    pause: Duration,
    /// Not polled before.
    paused_until: Option<Instant>,
    /// The login was refused.
    refused: bool,
    last_error: Option<BmcError>,
    last_contact: Option<Timestamp>,
    last_failure: Option<(Timestamp, String)>,
}

impl fmt::Debug for Governed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Governed").field("bmc", &self.0.bmc).field("health", &self.health()).finish()
    }
}

impl Governed {
    /// Puts a governor in front of `bmc`; errors name `address`.
    pub fn new(bmc: Arc<dyn Bmc>, address: impl Into<String>, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            bmc,
            address: address.into(),
            turns: Semaphore::new(limits.at_once.max(1)),
            limits,
            clock,
            polls: Mutex::default(),
            record: Mutex::default(),
        }))
    }

    /// How it has been of late.
    pub fn health(&self) -> BmcHealth {
        lock(&self.0.record).health(self.0.limits.failures)
    }

    /// Reads the power state, unless the BMC is to be left alone for now: then its last error is the answer.
    pub async fn poll(&self, node: &Node) -> Result<Power, BmcError> {
        if let Some(error) = lock(&self.0.record).resting() {
            return Err(error);
        }
        self.power(node).await
    }
}

impl Inner {
    /// Waits for a turn, asks, and remembers what came of it.
    async fn command<T>(&self, call: impl Future<Output = Result<T, BmcError>>) -> Result<T, BmcError> {
        let _turn = self.turn().await?;
        let started = Instant::now();
        let result = call.await;
        lock(&self.record).note(started, result.as_ref().err(), &self.limits, self.clock.now());
        result
    }

    /// The same of the console: that there is none to be had says nothing against a BMC that answers.
    async fn console_command<T>(
        &self,
        call: impl Future<Output = Result<T, BmcError>>,
    ) -> Result<T, BmcError> {
        let _turn = self.turn().await?;
        let started = Instant::now();
        let result = call.await;
        let is_silent = |error: &&BmcError| {
            use BmcError::{Timeout, Unauthorized, Unreachable};
            matches!(error, Unreachable { .. } | Timeout { .. } | Unauthorized { .. })
        };
        let error = result.as_ref().err();
        // Nothing was asked of the BMC.
        if !matches!(error, Some(BmcError::Unsupported(_) | BmcError::Config(_))) {
            let error = error.filter(is_silent);
            lock(&self.record).note(started, error, &self.limits, self.clock.now());
        }
        result
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, BmcError> {
        let _place = Place::take(self)?;
        let closed =
            |_| BmcError::Busy { address: self.address.clone(), reason: "it is being closed".into() };
        let turn = self.turns.acquire().await.map_err(closed)?;
        let last_end = lock(&self.record).last_end;
        if let Some(end) = last_end {
            tokio::time::sleep_until(end + self.limits.interval).await;
        }
        Ok(turn)
    }
}

/// A place in the queue; given back when the turn comes or the caller goes away.
struct Place<'a>(&'a Inner);

impl<'a> Place<'a> {
    fn take(inner: &'a Inner) -> Result<Self, BmcError> {
        let mut record = lock(&inner.record);
        if record.waiting >= inner.limits.waiting {
            let reason = format!("{} commands wait for it already", record.waiting);
            return Err(BmcError::Busy { address: inner.address.clone(), reason });
        }
        record.waiting += 1;
        Ok(Self(inner))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.0.record).waiting -= 1;
    }
}

impl Record {
    /// The error that a poll is answered with in place of asking.
    fn resting(&self) -> Option<BmcError> {
        let rests = self.refused || self.paused_until.is_some_and(|until| Instant::now() < until);
        self.last_error.clone().filter(|_| rests)
    }

    fn note(&mut self, started: Instant, error: Option<&BmcError>, limits: &Limits, now: Timestamp) {
        let ended = Instant::now();
        self.last_end = Some(ended);
        // What the driver refuses by itself says nothing of the BMC.
        if matches!(error, Some(BmcError::Unsupported(_) | BmcError::Config(_))) {
            return;
        }
        let took = u32::try_from((ended - started).as_millis()).unwrap_or(u32::MAX);
        if self.commands.len() == WINDOW {
            self.commands.pop_front();
        }
        self.commands.push_back((took, error.is_none()));
        if !matches!(error, Some(BmcError::Unreachable { .. } | BmcError::Timeout { .. })) {
            self.last_contact = Some(now);
        }
        let Some(error) = error else {
            (self.failures, self.pause, self.paused_until) = (0, Duration::ZERO, None);
            (self.refused, self.last_error) = (false, None);
            return;
        };
        self.last_failure = Some((now, error.to_string()));
        self.last_error = Some(error.clone());
        self.refused = matches!(error, BmcError::Unauthorized { .. });
        self.failures = self.failures.saturating_add(1);
        if self.failures >= limits.failures {
            self.pause = (self.pause * 2).clamp(limits.first_pause, limits.longest_pause);
            self.paused_until = Some(ended + jittered(self.pause));
        }
    }

    fn health(&self, failures: u32) -> BmcHealth {
        let mut times: Vec<u32> =
            self.commands.iter().filter(|(_, good)| *good).map(|(took, _)| *took).collect();
        times.sort_unstable();
        let quantile = |percent: usize| times.get(times.len() * percent / 100).copied();
        let state = if self.refused {
            BmcState::Refused
        } else if self.failures >= failures {
            BmcState::Silent
        } else if self.failures > 0 {
            BmcState::Failing
        } else if self.last_contact.is_some() {
            BmcState::Answering
        } else {
            BmcState::Unknown
        };
        BmcHealth {
            state,
            commands: u32::try_from(self.commands.len()).unwrap_or(u32::MAX),
            succeeded: u32::try_from(times.len()).unwrap_or(u32::MAX),
            p50_ms: quantile(50),
            p95_ms: quantile(95),
            last_contact: self.last_contact,
            last_failure: self.last_failure.as_ref().map(|(at, _)| *at),
            failure: self.last_failure.as_ref().map(|(_, words)| words.clone()),
        }
    }
}

/// Between three and five quarters of a time, so that BMCs that fell silent together are not asked together.
fn jittered(pause: Duration) -> Duration {
    let [byte] = random_bytes::<1>();
    pause * 3 / 4 + pause * u32::from(byte) / 510
}

// A method that is added to the trait must be passed on here as well.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Bmc for Governed {
    fn capabilities(&self) -> Capabilities {
        self.0.bmc.capabilities()
    }

    fn check_node(&self, node: &Node) -> Result<(), BmcError> {
        self.0.bmc.check_node(node)
    }

    /// Callers that ask while somebody else does share the answer.
    async fn power(&self, node: &Node) -> Result<Power, BmcError> {
        let poll = {
            let mut polls = lock(&self.0.polls);
            match polls.get(node).and_then(WeakShared::upgrade) {
                Some(poll) => poll,
                None => {
                    let (inner, asked) = (self.0.clone(), node.clone());
                    let poll = async move { inner.command(inner.bmc.power(&asked)).await }.boxed().shared();
                    polls.retain(|_, poll| poll.upgrade().is_some());
                    polls.extend(poll.downgrade().map(|poll| (node.clone(), poll)));
                    poll
                }
            }
        };
        poll.await
    }

    async fn set_power(&self, node: &Node, action: PowerAction) -> Result<(), BmcError> {
        let result = self.0.command(self.0.bmc.set_power(node, action)).await;
        // A poll that is under way may tell the state of before.
        lock(&self.0.polls).remove(node);
        result
    }

    async fn set_boot(&self, node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        self.0.command(self.0.bmc.set_boot(node, boot)).await
    }

    async fn boot(&self, node: &Node) -> Result<Option<BootOverride>, BmcError> {
        self.0.command(self.0.bmc.boot(node)).await
    }

    async fn open_console(&self, node: &Node) -> Result<Console, BmcError> {
        self.0.console_command(self.0.bmc.open_console(node)).await
    }

    async fn reset_console(&self, node: &Node) -> Result<(), BmcError> {
        self.0.console_command(self.0.bmc.reset_console(node)).await
    }

    async fn close(&self) {
        self.0.bmc.close().await;
    }
}

#[cfg(test)]
mod tests;
