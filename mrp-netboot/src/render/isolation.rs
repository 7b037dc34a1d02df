//! Renders in another process and puts into words how that ended.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use mrp_core::render::{RenderError, Rendered};
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::failure;
use super::sandbox::{Job, OUTPUT};
use super::worker::{MEMORY_MB, PROCESSOR_S};

/// Longest reply: JSON writes a control character as six bytes; warnings and the frame come on top.
const REPLY: u64 = 6 * OUTPUT as u64 + (64 << 10);
/// What is read of the other process's complaints.
const COMPLAINTS: u64 = 4096;

/// The command that starts the other process.
#[derive(Debug)]
pub(super) struct Isolation(Vec<OsString>);

impl Isolation {
    pub(super) fn new(command: Vec<OsString>) -> Self {
        Self(command)
    }

    /// Renders; a caller that gives up kills the process.
    pub(super) async fn render(&self, job: &Job) -> Result<Rendered, RenderError> {
        let (status, reply, complaints) = self.run(job).await.map_err(|error| {
            failure(&format!("the process that renders templates could not be started: {error}"))
        })?;
        match serde_json::from_slice(&reply) {
            Ok(result) if status.success() => result,
            _ => Err(ended(status, &String::from_utf8_lossy(&complaints))),
        }
    }

    async fn run(&self, job: &Job) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
        let request = serde_json::to_vec(job)?;
        let (program, arguments) = self.0.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let send = async move {
            if let Some(mut stdin) = stdin {
                // A process that does not read says why by its end.
                let _ = stdin.write_all(&request).await;
            }
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ((), reply, complaints) =
            tokio::join!(send, start_of(stdout, REPLY), start_of(stderr, COMPLAINTS));
        Ok((child.wait().await?, reply?, complaints?))
    }
}

/// All of a stream, up to a limit.
async fn start_of(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
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
