//! The thread that writes for all machines.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use mrp_core::console::{Frame, FrameContent};
use mrp_core::id::Timestamp;
use mrp_core::machine::MachineId;
use tokio::sync::oneshot;

use super::{ConsoleLimits, make_folder, segment};

/// How long frames are gathered before they are written.
const GATHER: Duration = Duration::from_millis(25);
/// So many bytes are written at once though there is time.
const PASS: usize = 4 << 20;
/// Files that are kept open: those of a large lab's consoles, since opening one costs more than writing to it.
const OPEN_FILES: usize = 2048;
/// How long an idle file is kept open.
const IDLE: Duration = Duration::from_secs(10);

/// What the thread is to do, in this order.
pub(super) enum Order {
    /// Write a frame.
    Append(MachineId, Frame),
    /// Tell when all before is written.
    Flush(oneshot::Sender<()>),
    /// Remove what is old, and machines that are gone.
    Tidy { now: Timestamp, gone: HashSet<MachineId>, done: oneshot::Sender<io::Result<()>> },
}

/// What is known of a machine's newest segment.
#[derive(Debug)]
struct Newest {
    segment: i64,
    length: u64,
    file: Option<File>,
    used: Instant,
}

/// Frames of one machine that wait to be written.
#[derive(Debug)]
struct Waiting {
    first: Timestamp,
    bytes: Vec<u8>,
}

pub(super) struct Writer {
    root: PathBuf,
    limits: ConsoleLimits,
    newest: HashMap<MachineId, Newest>,
    waiting: HashMap<MachineId, Waiting>,
    waiting_bytes: usize,
    /// At most so many files are open.
    open_files: usize,
    /// Bytes that could not be written, by machine.
    lost: HashMap<MachineId, usize>,
}

impl Writer {
    pub(super) fn new(root: PathBuf, limits: ConsoleLimits) -> Self {
        let (newest, waiting, lost) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { root, limits, newest, waiting, waiting_bytes: 0, open_files: 0, lost }
    }

    /// Writes until the last sender is gone.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let first = match orders.recv_timeout(IDLE) {
                Ok(order) => order,
                Err(RecvTimeoutError::Timeout) => {
                    self.close_idle();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut urgent = self.take(first);
            let due = Instant::now() + GATHER;
            while urgent.is_none() && self.waiting_bytes < PASS {
                match orders.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Ok(order) => urgent = self.take(order),
                    Err(_) => break,
                }
            }
            self.write_all();
            match urgent {
                Some(Order::Flush(done)) => {
                    let _ = done.send(());
                }
                Some(Order::Tidy { now, gone, done }) => {
                    let _ = done.send(self.tidy(now, &gone));
                }
                Some(Order::Append(..)) | None => {}
            }
            self.close_idle();
        }
        for newest in self.newest.into_values() {
            sync(newest.file);
        }
    }

    /// Takes a frame to the others; gives back what somebody waits for.
    fn take(&mut self, order: Order) -> Option<Order> {
        let Order::Append(machine, frame) = order else { return Some(order) };
        let waiting = self.waiting.entry(machine);
        let waiting = waiting.or_insert_with(|| Waiting { first: frame.at, bytes: Vec::new() });
        let before = waiting.bytes.len();
        segment::encode(&frame, &mut waiting.bytes);
        self.waiting_bytes += waiting.bytes.len() - before;
        None
    }

    fn write_all(&mut self) {
        self.waiting_bytes = 0;
        for (machine, waiting) in std::mem::take(&mut self.waiting) {
            if let Err(error) = self.write(machine, &waiting) {
                let lost = self.lost.entry(machine).or_default();
                if *lost == 0 {
                    tracing::error!(%machine, %error, "a console cannot be recorded");
                }
                *lost += waiting.bytes.len();
                // What is on the disk is looked at anew.
                self.newest.remove(&machine);
            }
        }
    }

    fn write(&mut self, machine: MachineId, waiting: &Waiting) -> io::Result<()> {
        let folder = self.root.join(machine.to_string());
        if self.open_files >= OPEN_FILES {
            self.newest.values_mut().for_each(|newest| newest.file = None);
            self.open_files = 0;
        }
        let mut marked = Vec::new();
        if let Some(lost) = self.lost.get(&machine) {
            let text = format!("{lost} bytes were not recorded: the disk did not take them");
            segment::encode(&Frame { at: waiting.first, content: FrameContent::Mark(text) }, &mut marked);
            marked.extend_from_slice(&waiting.bytes);
        }
        let bytes = if marked.is_empty() { &waiting.bytes } else { &marked };
        let newest = match self.newest.entry(machine) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                make_folder(&folder)?;
                unknown.insert(newest(&folder, waiting.first)?)
            }
        };
        let is_full = newest.length > 0 && newest.length + bytes.len() as u64 > self.limits.segment();
        if is_full {
            sync(newest.file.take());
            newest.segment = waiting.first.0.max(newest.segment.saturating_add(1));
            newest.length = 0;
        }
        let path = segment::path(&folder, newest.segment);
        if newest.file.is_none() {
            newest.file = Some(OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?);
            self.open_files += 1;
        }
        let Some(file) = &mut newest.file else { return Ok(()) };
        if let Err(error) = file.write_all(bytes) {
            // Half a frame would hide what is written after it.
            let _ = file.set_len(newest.length);
            return Err(error);
        }
        newest.length += bytes.len() as u64;
        newest.used = Instant::now();
        self.lost.remove(&machine);
        if is_full { self.trim(machine) } else { Ok(()) }
    }

    /// Removes the oldest segments of a machine that has more than is kept.
    fn trim(&self, machine: MachineId) -> io::Result<()> {
        let folder = self.root.join(machine.to_string());
        let mut left = self.limits.bytes;
        let mut is_newest = true;
        for name in segment::list(&folder)?.into_iter().rev() {
            let path = segment::path(&folder, name);
            let length = fs::metadata(&path)?.len();
            if left < length && !is_newest {
                fs::remove_file(&path)?;
            }
            (left, is_newest) = (left.saturating_sub(length), false);
        }
        Ok(())
    }

    fn tidy(&mut self, now: Timestamp, gone: &HashSet<MachineId>) -> io::Result<()> {
        for machine in machines(&self.root)? {
            let folder = self.root.join(machine.to_string());
            if gone.contains(&machine) {
                self.newest.remove(&machine);
                fs::remove_dir_all(folder)?;
                continue;
            }
            let Some(age) = self.limits.age else { continue };
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            let cutoff = Timestamp(now.0.saturating_sub(age));
            for name in segment::list(&folder)?.into_iter().take_while(|name| *name < cutoff.0) {
                let path = segment::path(&folder, name);
                if last_time(&path)? < cutoff {
                    self.newest.remove(&machine);
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    fn close_idle(&mut self) {
        for newest in self.newest.values_mut() {
            if newest.file.is_some() && newest.used.elapsed() > IDLE {
                newest.file = None;
            }
        }
        self.open_files = self.newest.values().filter(|newest| newest.file.is_some()).count();
    }
}

/// The machines that have a record below a folder.
pub(super) fn machines(root: &std::path::Path) -> io::Result<Vec<MachineId>> {
    let mut machines = Vec::new();
    for entry in fs::read_dir(root)? {
        let id = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        machines.extend(id.map(MachineId::new));
    }
    Ok(machines)
}

/// The newest segment of a machine, without what a killed process has left torn at its end; a new one where there is none.
fn newest(folder: &std::path::Path, now: Timestamp) -> io::Result<Newest> {
    let Some(segment) = segment::list(folder)?.pop() else {
        return Ok(Newest { segment: now.0, length: 0, file: None, used: Instant::now() });
    };
    let path = segment::path(folder, segment);
    let content = fs::read(&path)?;
    let whole = segment::decode_all(&content).1;
    if whole < content.len() {
        tracing::info!(path = %path.display(), torn = content.len() - whole, "a torn end of a record was cut off");
        OpenOptions::new().write(true).open(&path)?.set_len(whole as u64)?;
    }
    Ok(Newest { segment, length: whole as u64, file: None, used: Instant::now() })
}

fn last_time(path: &std::path::Path) -> io::Result<Timestamp> {
    let frames = segment::decode_all(&fs::read(path)?).0;
    Ok(frames.last().map_or(Timestamp(i64::MIN), |frame| frame.at))
}

fn sync(file: Option<File>) {
    if let Some(file) = file
        && let Err(error) = file.sync_data()
    {
        tracing::warn!(%error, "a record of a console was not synced");
    }
}
