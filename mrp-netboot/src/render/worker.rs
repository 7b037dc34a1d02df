//! The process that renders templates: a line with a job comes by standard input, a line with the result goes to standard
//! output. It ends with its input, or by itself after a template that failed or left it with much memory.

use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::{panic, thread};

use mrp_core::render::{RenderError, Rendered};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

use super::failure;
use super::sandbox::{self, Job};

/// Memory for a template, in MB.
pub(super) const MEMORY_MB: u64 = 256;
/// Processor time for a template, in seconds.
pub(super) const PROCESSOR_S: u64 = 2;
/// Stack of a rendering, of which only what is used is taken.
const STACK: usize = 64 << 20;
/// Memory in MB that a process may be left with to go on with the next template.
const KEPT_MB: u64 = 16;

/// What comes of a job.
#[derive(Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) result: Result<Rendered, RenderError>,
    /// The process takes another job; otherwise it ends.
    pub(super) again: bool,
}

/// The whole of the process that [`MiniRenderer::isolated`](super::MiniRenderer::isolated) starts.
///
/// Limits the process for good: a program calls it and then ends.
pub fn worker() -> io::Result<()> {
    let memory = Memory::open()?;
    limit_process()?;
    // The engine descends for each operator of an expression.
    thread::scope(|scope| {
        let thread = large_stack().spawn_scoped(scope, || work(&memory))?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that renders failed")))
    })
}

fn work(memory: &Memory) -> io::Result<()> {
    let (mut requests, mut replies) = (io::stdin().lock(), io::stdout().lock());
    let mut request = Vec::new();
    loop {
        request.clear();
        if requests.read_until(b'\n', &mut request)? == 0 {
            return Ok(());
        }
        let job: Job = serde_json::from_slice(&request)?;
        limit_processor_time()?;
        let result = caught(&job);
        let again = result.is_ok() && memory.anonymous()? < KEPT_MB << 20;
        let mut reply = serde_json::to_vec(&Reply { result, again })?;
        reply.push(b'\n');
        replies.write_all(&reply)?;
        replies.flush()?;
        if !again {
            return Ok(());
        }
    }
}

/// Renders on a thread of its own, in a process that does other things too.
pub(super) fn on_large_stack(job: &Job) -> Result<Rendered, RenderError> {
    thread::scope(|scope| {
        let thread = large_stack().spawn_scoped(scope, || caught(job));
        let thread =
            thread.map_err(|error| failure(&format!("no thread for rendering could be started: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(failed()))
    })
}

fn large_stack() -> thread::Builder {
    thread::Builder::new().name("render".into()).stack_size(STACK)
}

/// Renders; a panic is the template's failure.
fn caught(job: &Job) -> Result<Rendered, RenderError> {
    panic::catch_unwind(|| sandbox::render(job)).unwrap_or_else(|_| Err(failed()))
}

fn failed() -> RenderError {
    failure("the template made the renderer fail")
}

fn limit_process() -> io::Result<()> {
    // What the program has mapped before it does anything is not the template's.
    let memory = address_space()? + (STACK as u64) + (MEMORY_MB << 20);
    for (resource, soft, hard) in [
        (Resource::RLIMIT_CORE, 0, 0),
        (Resource::RLIMIT_FSIZE, 0, 0),
        (Resource::RLIMIT_NOFILE, 0, 0),
        (Resource::RLIMIT_AS, memory, memory),
    ] {
        let (_, most) = getrlimit(resource)?;
        setrlimit(resource, soft.min(most), hard.min(most))?;
    }
    Ok(())
}

/// From here on the process has so many seconds; their end comes as a signal that names the reason.
fn limit_processor_time() -> io::Result<()> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let used = usage.user_time().tv_sec() + usage.system_time().tv_sec();
    let (_, most) = getrlimit(Resource::RLIMIT_CPU)?;
    // Both have begun a second that does not count.
    let limit = used.unsigned_abs() + 2 + PROCESSOR_S;
    Ok(setrlimit(Resource::RLIMIT_CPU, limit.min(most), most)?)
}

/// The memory of this process: opened before it may open nothing more.
struct Memory(fs::File);

impl Memory {
    fn open() -> io::Result<Self> {
        fs::File::open("/proc/self/statm").map(Self)
    }

    /// Bytes that are no file's (proc_pid_statm(5)).
    fn anonymous(&self) -> io::Result<u64> {
        let mut text = [0; 128];
        let length = self.0.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(&text[..length]);
        let mut pages = text.split(' ').skip(1).filter_map(|pages| pages.parse::<u64>().ok());
        match (pages.next(), pages.next(), sysconf(SysconfVar::PAGE_SIZE)?) {
            (Some(resident), Some(shared), Some(size)) => {
                Ok(resident.saturating_sub(shared) * size.unsigned_abs())
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Bytes of address space that this process has (proc_pid_status(5)).
fn address_space() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let size = text.lines().find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB"));
    let kilobytes: Option<u64> = size.and_then(|size| size.trim().parse().ok());
    kilobytes.map(|size| size << 10).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
