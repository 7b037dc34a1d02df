//! What consoles showed, on disk: `<folder>/<machine id>/<time of the first frame>.rec`, segments that are only appended to.
//!
//! One thread writes for all machines, in passes of some milliseconds, so that a thousand consoles cost few system calls
//! and an idle one no memory but a few numbers. What a pass has written survives the end of the process, also by `kill
//! -9`; a segment is synced when the next one begins, so that a power failure may cost the last minutes. A frame that was
//! torn by either is cut off when its machine is written next, and never read.

use std::collections::HashSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use mrp_core::console::{ConsoleRecord, Frame, RecordError, RecordPage, RecordPlace};
use mrp_core::id::Timestamp;
use mrp_core::machine::MachineId;
use tokio::sync::oneshot;

mod read;
mod segment;
mod writer;

use writer::{Order, Writer};

/// Frames that wait for the disk.
const WAITING: usize = 4096;
/// How long a frame waits where the disk is behind, before it is tried again.
const BEHIND: Duration = Duration::from_millis(5);

/// How much of a machine's console is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsoleLimits {
    /// Bytes on disk of one machine; the oldest segment goes when there are more.
    pub bytes: u64,
    /// What is older goes; `None` for no limit.
    pub age: Option<Duration>,
}

impl ConsoleLimits {
    /// Small enough that a machine has several, large enough that files are few.
    fn segment(self) -> u64 {
        (self.bytes / 8).clamp(64 << 10, 1 << 20)
    }
}

impl Default for ConsoleLimits {
    fn default() -> Self {
        Self { bytes: 32 << 20, age: Some(Duration::from_secs(90 * 24 * 60 * 60)) }
    }
}

/// The record of consoles in a folder. Clones share it; one process at a time writes to a folder.
#[derive(Debug, Clone)]
pub struct FsConsoles {
    root: Arc<PathBuf>,
    orders: SyncSender<Order>,
}

impl FsConsoles {
    /// Opens a folder, making it where it is missing, and starts the thread that writes to it. The thread ends with the
    /// last clone.
    pub fn open(folder: &Path, limits: ConsoleLimits) -> io::Result<Self> {
        make_folder(folder)?;
        let (orders, receiver) = sync_channel(WAITING);
        let writer = Writer::new(folder.to_owned(), limits);
        std::thread::Builder::new().name("console-record".into()).spawn(move || writer.run(&receiver))?;
        Ok(Self { root: Arc::new(folder.to_owned()), orders })
    }

    async fn order(&self, mut order: Order) {
        loop {
            match self.orders.try_send(order) {
                // The thread ends after the last sender only, unless it has panicked.
                Ok(()) | Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(back)) => order = back,
            }
            tokio::time::sleep(BEHIND).await;
        }
    }

    fn folder(&self, machine: MachineId) -> PathBuf {
        self.root.join(machine.to_string())
    }
}

#[async_trait]
impl ConsoleRecord for FsConsoles {
    async fn append(&self, machine: MachineId, frame: Frame) {
        self.order(Order::Append(machine, frame)).await;
    }

    async fn tail(
        &self,
        machine: MachineId,
        since: Timestamp,
        bytes: usize,
    ) -> Result<Vec<Frame>, RecordError> {
        self.flush().await;
        let folder = self.folder(machine);
        blocking(move || read::tail(&folder, since, bytes)).await
    }

    async fn read(&self, machine: MachineId, from: RecordPlace) -> Result<RecordPage, RecordError> {
        self.flush().await;
        let folder = self.folder(machine);
        blocking(move || read::page(&folder, from)).await
    }

    async fn machines(&self) -> Result<Vec<MachineId>, RecordError> {
        let root = self.root.clone();
        blocking(move || writer::machines(&root)).await
    }

    async fn tidy(&self, now: Timestamp, gone: &HashSet<MachineId>) -> Result<(), RecordError> {
        let (done, finished) = oneshot::channel();
        self.order(Order::Tidy { now, gone: gone.clone(), done }).await;
        finished.await.unwrap_or_else(|_| Err(io::Error::other("the writer has ended"))).map_err(failed)
    }

    async fn flush(&self) {
        let (done, finished) = oneshot::channel();
        self.order(Order::Flush(done)).await;
        let _ = finished.await;
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, RecordError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panicked| RecordError(Box::new(panicked)))?.map_err(failed)
}

fn failed(error: io::Error) -> RecordError {
    RecordError(Box::new(error))
}

/// Consoles show passwords: nobody else may look.
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
