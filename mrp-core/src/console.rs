//! Serial consoles: what is recorded of them, when they are kept open, and the tickets that open one.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::api::ConsoleLineKind;
use crate::id::Timestamp;
use crate::machine::MachineId;
use crate::user::UserId;

/// How long a ticket may wait to be redeemed.
pub const TICKET_LIFE: Duration = Duration::from_secs(5 * 60);
/// How much of the record whoever joins a console is shown.
pub const REPLAY_BYTES: usize = 64 * 1024;

/// The right of a user to open a machine's console, once and soon. The token itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleTicket {
    /// SHA-256 of the token, in hexadecimal.
    pub hash: String,
    /// The machine.
    pub machine: MachineId,
    /// Who may open its console.
    pub user: UserId,
    /// It is void from then on.
    pub expires: Timestamp,
}

/// When a machine's console is kept open though nobody watches, so that everything is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeepOpen {
    /// While somebody holds the machine, and during its runs.
    #[default]
    Held,
    /// Never: it is recorded while somebody watches.
    Watched,
    /// Always.
    Always,
}

/// What a site configures of consoles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// When consoles are kept open.
    pub keep_open: KeepOpen,
    /// Record what is typed too; passwords are typed on consoles.
    pub record_typed: bool,
}

/// A piece of a console's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it came.
    pub at: Timestamp,
    /// What.
    pub content: FrameContent,
}

/// What a piece of a console's record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameContent {
    /// The machine printed it.
    Output(Bytes),
    /// It was typed.
    Typed(Bytes),
    /// What happened to the console or the machine, in words.
    Mark(String),
}

impl FrameContent {
    /// What it is, and its bytes.
    pub fn parts(&self) -> (ConsoleLineKind, &[u8]) {
        match self {
            Self::Output(bytes) => (ConsoleLineKind::Output, bytes),
            Self::Typed(bytes) => (ConsoleLineKind::Typed, bytes),
            Self::Mark(text) => (ConsoleLineKind::Mark, text.as_bytes()),
        }
    }
}

/// A place in a console's record, from which reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    /// A time, or the first time of the segment that the place is in, in milliseconds.
    pub segment: i64,
    /// Bytes into the segment.
    pub offset: u64,
}

impl RecordPlace {
    /// A place at or before which everything of a time and later begins. The frames there may be older.
    pub fn at(since: Timestamp) -> Self {
        Self { segment: since.0, offset: 0 }
    }
}

/// Some frames in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// The frames.
    pub frames: Vec<Frame>,
    /// Where to read on; `None` at the end of what there is.
    pub next: Option<RecordPlace>,
}

/// The record cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the record of consoles cannot be read")]
pub struct RecordError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Keeps what consoles show, by machine, in the order in which it came.
///
/// What was appended is in every answer that is asked for afterwards. Old frames go when the site's limits ask for it.
#[async_trait]
pub trait ConsoleRecord: std::fmt::Debug + Send + Sync {
    /// Adds a frame; waits while the record is behind. A record that fails loses frames, and says so in a mark once it
    /// works again.
    async fn append(&self, machine: MachineId, frame: Frame);
    /// The last frames that are not older than `since`, with at most `bytes` of output.
    async fn tail(
        &self,
        machine: MachineId,
        since: Timestamp,
        bytes: usize,
    ) -> Result<Vec<Frame>, RecordError>;
    /// Frames from a place on, some hundred kilobytes at most.
    async fn read(&self, machine: MachineId, from: RecordPlace) -> Result<RecordPage, RecordError>;
    /// The machines that have a record.
    async fn machines(&self) -> Result<Vec<MachineId>, RecordError>;
    /// Removes what is older than the site keeps, and all of the machines that are `gone`.
    async fn tidy(&self, now: Timestamp, gone: &HashSet<MachineId>) -> Result<(), RecordError>;
    /// Waits until everything that was appended is written.
    async fn flush(&self);
}

/// No record: whoever joins a console sees what comes from then on.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRecord;

#[async_trait]
impl ConsoleRecord for NoRecord {
    async fn append(&self, _machine: MachineId, _frame: Frame) {}

    async fn tail(
        &self,
        _machine: MachineId,
        _since: Timestamp,
        _bytes: usize,
    ) -> Result<Vec<Frame>, RecordError> {
        Ok(Vec::new())
    }

    async fn read(&self, _machine: MachineId, _from: RecordPlace) -> Result<RecordPage, RecordError> {
        Ok(RecordPage::default())
    }

    async fn machines(&self) -> Result<Vec<MachineId>, RecordError> {
        Ok(Vec::new())
    }

    async fn tidy(&self, _now: Timestamp, _gone: &HashSet<MachineId>) -> Result<(), RecordError> {
        Ok(())
    }

    async fn flush(&self) {}
}
