//! The process of a plugin: started with next to no environment in a process group of its own, watched, and killed with all
//! that it started when it breaks the contract.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mrp_core::plugin::line::{FromPlugin, ToPlugin};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::client::{Exchange, Outlet};
use super::{Limits, executable, host, is_library};

/// What a plugin sees of the server's environment.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];
/// How often it is looked for calls whose cancellation was not answered.
const LOOK: Duration = Duration::from_millis(200);
/// How much of a line on standard error is logged.
const LOGGED: usize = 400;

type Reader = BufReader<Box<dyn AsyncRead + Send + Unpin>>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// The way to a plugin's process. Once it is dropped the process is asked to end, and then made to.
#[derive(Debug)]
pub(super) struct Process(mpsc::UnboundedSender<ToPlugin>);

impl Outlet for Process {
    fn send(&self, message: ToPlugin) {
        // Without a receiver the process has ended, and every call has failed.
        let _ = self.0.send(message);
    }
}

/// How messages lie in the stream.
#[derive(Debug, Clone, Copy)]
enum Form {
    Lines,
    Frames,
}

impl Form {
    fn encode(self, message: &ToPlugin) -> Vec<u8> {
        match self {
            Form::Lines => executable::encode(message),
            Form::Frames => host::encode(message),
        }
    }

    async fn read_hello(self, reader: &mut Reader) -> Result<Option<Vec<u8>>, String> {
        match self {
            Form::Lines => {
                let mut line = Vec::new();
                Ok(executable::read_line(reader, &mut line).await?.map(|()| line))
            }
            Form::Frames => Ok(host::read_frame(reader).await?.map(|(_, _, payload)| payload)),
        }
    }

    async fn read(self, reader: &mut Reader, line: &mut Vec<u8>) -> Result<Option<FromPlugin>, String> {
        match self {
            Form::Lines => executable::read(reader, line).await,
            Form::Frames => host::read(reader).await,
        }
    }
}

/// A process that was started and has not said hello yet.
struct Started {
    child: Child,
    group: Option<Pid>,
    reader: Reader,
    writer: Writer,
    form: Form,
    /// The tasks that log what it writes for people.
    logs: JoinSet<()>,
    last_words: LastWords,
}

/// What a process last wrote to standard error.
#[derive(Clone, Default)]
struct LastWords(Arc<Mutex<String>>);

/// Starts a plugin's process and reads its hello; what it says later goes to `exchange`.
pub(super) async fn start(
    command: &[OsString],
    path: &Path,
    name: &str,
    limits: Limits,
    exchange: Arc<Exchange>,
) -> Result<(Process, Vec<u8>), String> {
    let mut started =
        spawn(command, path, name, limits).map_err(|error| format!("it cannot be started: {error}"))?;
    let hello = tokio::time::timeout(limits.hello, started.form.read_hello(&mut started.reader)).await;
    let failure = match hello {
        Ok(Ok(Some(hello))) => {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(supervise(started, receiver, name.to_owned(), limits, exchange));
            return Ok((Process(sender), hello));
        }
        Ok(Ok(None)) => None,
        Ok(Err(words)) => Some(words),
        Err(_) => {
            Some(format!("it did not say hello within {} s, and was killed", limits.hello.as_secs_f32()))
        }
    };
    Err(started.end(failure).await)
}

fn spawn(program: &[OsString], path: &Path, name: &str, limits: Limits) -> std::io::Result<Started> {
    let form = if is_library(path) { Form::Frames } else { Form::Lines };
    let path: PathBuf = path.canonicalize()?;
    let mut command = Command::new(program.first().map(OsString::as_os_str).unwrap_or_default());
    command.args(program.iter().skip(1)).arg(limits.memory_mb.to_string()).arg(&path);
    command.env_clear().process_group(0).kill_on_drop(true).stderr(Stdio::piped());
    for variable in ENVIRONMENT {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    let ours = match form {
        Form::Lines => {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            None
        }
        Form::Frames => {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::piped());
            ours.set_nonblocking(true)?;
            Some(UnixStream::from_std(ours)?)
        }
    };
    let mut child = command.spawn()?;
    // With it goes this process's copy of the plugin's end of the socket.
    drop(command);
    let (last_words, mut logs) = (LastWords::default(), JoinSet::new());
    if let Some(stderr) = child.stderr.take() {
        logs.spawn(log_lines(Box::new(stderr), name.to_owned(), last_words.clone()));
    }
    let (reader, writer): (Box<dyn AsyncRead + Send + Unpin>, Writer) =
        match (ours, child.stdin.take(), child.stdout.take()) {
            (Some(socket), _, stdout) => {
                if let Some(stdout) = stdout {
                    logs.spawn(log_lines(Box::new(stdout), name.to_owned(), LastWords::default()));
                }
                let (reader, writer) = socket.into_split();
                (Box::new(reader), Box::new(writer))
            }
            (None, Some(stdin), Some(stdout)) => (Box::new(stdout), Box::new(stdin)),
            _ => return Err(std::io::Error::other("it has no standard input or output")),
        };
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok(Started { child, group, reader: BufReader::new(reader), writer, form, logs, last_words })
}

/// Carries messages until the process ends, breaks the contract, or is wanted no more.
async fn supervise(
    mut started: Started,
    messages: mpsc::UnboundedReceiver<ToPlugin>,
    name: String,
    limits: Limits,
    exchange: Arc<Exchange>,
) {
    let (form, writer) = (started.form, std::mem::replace(&mut started.writer, Box::new(tokio::io::sink())));
    let (no_more, wanted_no_more) = oneshot::channel();
    let writing = tokio::spawn(write(form, writer, messages, no_more));
    let reading = async {
        let mut line = Vec::new();
        loop {
            match form.read(&mut started.reader, &mut line).await {
                Ok(Some(message)) => exchange.handle(message),
                Ok(None) => return None,
                Err(words) => return Some(words),
            }
        }
    };
    let stopped = async {
        let _ = wanted_no_more.await;
        tokio::time::sleep(limits.grace).await;
    };
    let failure = tokio::select! {
        failure = reading => failure,
        failure = exchange.overdue(LOOK) => Some(failure),
        () = stopped => Some("it did not end when it was wanted no more, and was killed".to_owned()),
    };
    let was_wanted = !writing.is_finished();
    writing.abort();
    let reason = started.end(failure).await;
    if was_wanted {
        tracing::error!(plugin = %name, %reason, "a plugin has ended");
    }
    exchange.end(reason);
}

async fn write(
    form: Form,
    mut writer: Writer,
    mut messages: mpsc::UnboundedReceiver<ToPlugin>,
    no_more: oneshot::Sender<()>,
) {
    while let Some(message) = messages.recv().await {
        if writer.write_all(&form.encode(&message)).await.is_err() || writer.flush().await.is_err() {
            // The process has closed its input; that it ends is noticed where it is read from. Until then its calls wait.
            messages.close();
            while messages.recv().await.is_some() {}
            return std::future::pending().await;
        }
    }
    drop(writer);
    let _ = no_more.send(());
}

impl Started {
    /// Kills what is left of the process and says why it has ended: by that failure, or by itself.
    async fn end(mut self, failure: Option<String>) -> String {
        // Who has closed its output ends by itself, unless it does not.
        let patience = if failure.is_none() { Duration::from_secs(2) } else { Duration::ZERO };
        let ended = tokio::time::timeout(patience, self.child.wait()).await;
        if let Some(group) = self.group {
            // What it has started goes too. There may be nobody left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let status = match ended {
            Ok(status) => status.map(Some),
            Err(_) => self.child.wait().await.map(|_| None),
        };
        let reason = failure.unwrap_or_else(|| match status {
            Ok(Some(status)) => ending(status),
            Ok(None) => "it closed its output without ending, and was killed".to_owned(),
            Err(error) => format!("it has ended: {error}"),
        });
        // Its last words may still be on the way.
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            while self.logs.join_next().await.is_some() {}
        })
        .await;
        match self.last_words.get() {
            words if words.is_empty() => reason,
            words => format!("{reason}; its last words: {words}"),
        }
    }
}

fn ending(status: ExitStatus) -> String {
    let name = |signal| match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}{}", name(signal)),
        (None, None) => "it ended".to_owned(),
    }
}

/// Logs what a plugin writes for people, by lines.
async fn log_lines(stream: Box<dyn AsyncRead + Send + Unpin>, plugin: String, last_words: LastWords) {
    let (mut reader, mut line) = (BufReader::new(stream), Vec::new());
    while let Ok(Some(())) = executable::read_line(&mut reader, &mut line).await {
        let text = String::from_utf8_lossy(&line[..line.len().min(LOGGED)]);
        let text = text.trim_end();
        if text.is_empty() {
            continue;
        }
        tracing::info!(%plugin, "{text}");
        last_words.set(text);
    }
}

impl LastWords {
    fn set(&self, words: &str) {
        words.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
