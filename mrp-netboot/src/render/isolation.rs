//! Renders in other processes, which are kept, and puts into words how one ended.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mrp_core::render::{RenderError, Rendered};
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::failure;
use super::sandbox::{Job, OUTPUT};
use super::worker::{MEMORY_MB, PROCESSOR_S, Reply};

/// Longest reply: JSON writes a control character as six bytes; warnings and the frame come on top.
const REPLY: u64 = 6 * OUTPUT as u64 + (64 << 10);
/// What is read of the other process's complaints.
const COMPLAINTS: u64 = 4096;

/// Processes that render one template after the other, each with a whole one before it.
#[derive(Debug)]
pub(super) struct Isolation {
    command: Vec<OsString>,
    /// Processes without work.
    idle: Mutex<Vec<Worker>>,
}

impl Isolation {
    /// With the command that starts a process.
    pub(super) fn new(command: Vec<OsString>) -> Self {
        Self { command, idle: Mutex::default() }
    }

    /// Renders; a caller that gives up kills the process.
    pub(super) async fn render(&self, job: &Job) -> Result<Rendered, RenderError> {
        let unstarted = |error: io::Error| {
            failure(&format!("the process that renders templates could not be started: {error}"))
        };
        if let Some(worker) = self.waiting() {
            match self.answer(worker, job).await {
                // It may have been killed while it waited: a new one tells whether the template does that.
                Err(End { killed: true, .. }) => {}
                Err(end) => return Err(end.error),
                Ok(result) => return result,
            }
        }
        let worker = Worker::start(&self.command).map_err(unstarted)?;
        self.answer(worker, job).await.unwrap_or_else(|end| Err(end.error))
    }

    async fn answer(&self, mut worker: Worker, job: &Job) -> Result<Result<Rendered, RenderError>, End> {
        let Ok(Reply { result, again }) = worker.ask(job).await else { return Err(worker.end().await) };
        if again {
            lock(&self.idle).push(worker);
        }
        Ok(result)
    }

    /// A process without work that lives.
    fn waiting(&self) -> Option<Worker> {
        let mut idle = lock(&self.idle);
        std::iter::from_fn(|| idle.pop()).find_map(|mut worker| worker.lives().then_some(worker))
    }
}

/// How a process without a result ended.
#[derive(Debug)]
struct End {
    /// By a signal that no template sends.
    killed: bool,
    error: RenderError,
}

/// A process, and its pipes.
#[derive(Debug)]
struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
}

impl Worker {
    fn start(command: &[OsString]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => {
                Ok(Self { child, stdin, stdout: BufReader::new(stdout), stderr })
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// A line with the job goes there, a line with the result comes back.
    async fn ask(&mut self, job: &Job) -> io::Result<Reply> {
        let mut request = serde_json::to_vec(job)?;
        request.push(b'\n');
        // A process that does not read says why by its end.
        let _ = self.stdin.write_all(&request).await;
        let mut reply = Vec::new();
        (&mut self.stdout).take(REPLY).read_until(b'\n', &mut reply).await?;
        Ok(serde_json::from_slice(&reply)?)
    }

    /// Why a process without a result ended. One that goes on is left without input and output.
    async fn end(self) -> End {
        let Self { mut child, stdin, stdout, stderr } = self;
        drop((stdin, stdout));
        let mut complaints = Vec::new();
        let _ = stderr.take(COMPLAINTS).read_to_end(&mut complaints).await;
        match child.wait().await {
            Ok(status) => {
                let killed = status.signal() == Some(Signal::SIGKILL as i32);
                End { killed, error: ended(status, &String::from_utf8_lossy(&complaints)) }
            }
            Err(error) => {
                let error = failure(&format!("the process that renders templates is lost: {error}"));
                End { killed: false, error }
            }
        }
    }
}

/// Why a process that gave no result ended.
fn ended(status: ExitStatus, complaints: &str) -> RenderError {
    match status.signal().and_then(|signal| Signal::try_from(signal).ok()) {
        Some(Signal::SIGXCPU) => {
            failure(&format!("the template takes longer than {PROCESSOR_S} s of processor time"))
        }
        Some(Signal::SIGABRT | Signal::SIGSEGV) if complaints.contains("overflowed its stack") => {
            failure("the template nests its expressions or values too deeply")
        }
        Some(Signal::SIGABRT | Signal::SIGSEGV) => {
            failure(&format!("the template needs more memory than {MEMORY_MB} MB"))
        }
        Some(Signal::SIGKILL) => failure(
            "the process that rendered the template was killed; see whether the server's memory is used up",
        ),
        _ => {
            tracing::error!(%status, complaints, "the process that renders templates failed");
            failure(&format!(
                "the process that renders templates failed ({status}); the server's log says more"
            ))
        }
    }
}

fn lock(idle: &Mutex<Vec<Worker>>) -> MutexGuard<'_, Vec<Worker>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
