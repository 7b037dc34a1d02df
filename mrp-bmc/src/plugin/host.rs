//! A library in a process of its own. The two processes have a socket pair between them, on the plugin's side standard input,
//! and send frames: `u32` length of the payload, `u8` kind, `u64` number of the call, big-endian, then the payload. Kind 0 is
//! JSON, the same text as an executable's line; kind 1 is a console's bytes. The first frame is the hello.

use std::convert::Infallible;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mrp_core::plugin::MAX_MESSAGE;
use mrp_core::plugin::line::{FromPlugin, ToPlugin};
use rustix::process::{Resource, Rlimit, Signal, geteuid, getpid, kill_process, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::client::Outlet;
use super::is_library;
use super::library::{Library, Sink, Source};

const HEADER: usize = 13;
const MAX_FRAME: usize = MAX_MESSAGE + 1024;
const JSON: u8 = 0;
const CONSOLE: u8 = 1;
/// The server has its own, shorter limit.
const LOAD: Duration = Duration::from_secs(60);

fn frame(kind: u8, id: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER + payload.len());
    frame.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.push(kind);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    frame
}

fn header(bytes: [u8; HEADER]) -> Result<(usize, u8, u64), String> {
    let [a, b, c, d, kind, rest @ ..] = bytes;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > MAX_FRAME {
        return Err(format!(
            "it sent a frame of {length} bytes, where {MAX_FRAME} are allowed, and was killed"
        ));
    }
    Ok((length, kind, u64::from_be_bytes(rest)))
}

pub(super) fn encode(message: &ToPlugin) -> Vec<u8> {
    match message {
        ToPlugin::Console(id, bytes) => frame(CONSOLE, *id, bytes),
        ToPlugin::Call { id, .. } | ToPlugin::Cancel(id) | ToPlugin::Break(id) => {
            frame(JSON, *id, message.to_line().as_bytes())
        }
    }
}

/// Reads a frame: its kind, the number of the call, the payload. `None` where there are no more.
pub(super) async fn read_frame(
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<Option<(u8, u64, Vec<u8>)>, String> {
    let mut bytes = [0; HEADER];
    match reader.read_exact(&mut bytes).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(format!("its socket cannot be read: {error}")),
        Ok(_) => {}
    }
    let (length, kind, id) = header(bytes)?;
    let mut payload = vec![0; length];
    let read = reader.read_exact(&mut payload).await;
    read.map_err(|error| format!("its socket cannot be read: {error}"))?;
    Ok(Some((kind, id, payload)))
}

/// Reads a message; `None` where there are no more.
pub(super) async fn read(reader: &mut (impl AsyncRead + Unpin)) -> Result<Option<FromPlugin>, String> {
    Ok(match read_frame(reader).await? {
        None => None,
        Some((CONSOLE, id, bytes)) => Some(FromPlugin::Console(id, bytes)),
        Some((JSON, _, text)) => {
            let message = FromPlugin::parse(&text);
            Some(message.map_err(|error| format!("it sent a frame that is no message: {error}"))?)
        }
        Some((kind, ..)) => return Err(format!("it sent a frame of the unknown kind {kind}")),
    })
}

/// Why a plugin's process could not begin.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HostError(String);

/// What a plugin's process does: limits itself to so many MiB of memory, drops capabilities, then becomes the executable, or loads the library
/// and serves it on standard input, which is a socket, until the other side closes it.
pub fn host(path: &Path, memory_mb: u64) -> Result<Infallible, HostError> {
    let error = |what: &str, error: io::Error| HostError(format!("{}: {what}: {error}", path.display()));
    let memory = Some(memory_mb.saturating_mul(1 << 20));
    let limited = setrlimit(Resource::Data, Rlimit { current: memory, maximum: memory });
    limited.map_err(|cause| error("limiting its memory", cause.into()))?;
    // A crash of a driver that has passwords in its memory leaves no copy of it.
    let none = Some(0);
    let limited = setrlimit(Resource::Core, Rlimit { current: none, maximum: none });
    limited.map_err(|cause| error("forbidding core dumps", cause.into()))?;
    drop_privileges().map_err(|cause| error("dropping privileges", cause))?;
    if !is_library(path) {
        return Err(error("it cannot be run", Command::new(path).exec()));
    }
    let socket = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let socket = socket.map_err(|cause| error("standard input", cause))?;
    let writer = socket.try_clone().map_err(|cause| error("standard input", cause))?;
    serve(path, socket, writer).map_err(|words| HostError(format!("{}: {words}", path.display())))
}

/// What an ordinary user's server was granted for ports below 1024 and raw sockets is not for plugins. Root stays root.
fn drop_privileges() -> io::Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}

fn serve(path: &Path, socket: UnixStream, writer: UnixStream) -> Result<Infallible, String> {
    let sink = Arc::new(Frames(Mutex::new(writer)));
    let loaded = Library::load(Source::File(path.to_owned()), Box::new(sink.clone()), LOAD);
    let (library, hello) = loaded?;
    sink.send(&frame(JSON, 0, &hello));
    let mut reader = BufReader::new(socket);
    loop {
        let mut bytes = [0; HEADER];
        if reader.read_exact(&mut bytes).is_err() {
            // The server is gone, or wants this process to end: neither a thread nor an exit handler of the library holds it up.
            let _ = kill_process(getpid(), Signal::KILL);
        }
        let (length, kind, id) = header(bytes)?;
        let mut payload = vec![0; length];
        reader.read_exact(&mut payload).map_err(|error| error.to_string())?;
        library.send(match kind {
            CONSOLE => ToPlugin::Console(id, payload),
            _ => ToPlugin::parse(&payload).map_err(|error| error.to_string())?,
        });
    }
}

/// The way from a library to the server.
struct Frames(Mutex<UnixStream>);

impl Frames {
    fn send(&self, frame: &[u8]) {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A server that is gone is noticed where its frames are read.
        let _ = socket.write_all(frame);
    }
}

impl Sink for Arc<Frames> {
    fn message(&self, message: FromPlugin) {
        self.send(&match message {
            FromPlugin::Console(id, bytes) => frame(CONSOLE, id, &bytes),
            FromPlugin::Reply(id, _) | FromPlugin::ConsoleEnd(id, _) => {
                frame(JSON, id, message.to_line().as_bytes())
            }
        });
    }

    fn log(&self, level: u32, text: &str) {
        let level = ["error", "warning", "info"].get(level as usize).copied().unwrap_or("debug");
        eprintln!("{level}: {text}");
    }
}
