//! The process that renders one template and ends: a job comes by standard input, the result goes to standard output.

use std::fs;
use std::io::{self, Read, Write};
use std::thread;

use mrp_core::render::{RenderError, Rendered};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::failure;
use super::sandbox::{self, Job};

/// Memory for a template, in MB.
pub(super) const MEMORY_MB: u64 = 256;
/// Processor time for a template, in seconds.
pub(super) const PROCESSOR_S: u64 = 2;
/// Stack of a rendering, of which only what is used is taken.
const STACK: usize = 64 << 20;

/// The whole of the process that [`MiniRenderer::isolated`](super::MiniRenderer::isolated) starts.
///
/// Limits the process for good: a program calls it and then ends.
pub fn worker() -> io::Result<()> {
    limit_process()?;
    let mut request = Vec::new();
    io::stdin().read_to_end(&mut request)?;
    let job: Job = serde_json::from_slice(&request)?;
    let reply = serde_json::to_vec(&on_large_stack(&job))?;
    let mut stdout = io::stdout();
    stdout.write_all(&reply)?;
    stdout.flush()
}

/// Renders on a thread of its own: the engine descends for each operator of an expression.
pub(super) fn on_large_stack(job: &Job) -> Result<Rendered, RenderError> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("render".into()).stack_size(STACK);
        let thread = builder.spawn_scoped(scope, || sandbox::render(job));
        let thread =
            thread.map_err(|error| failure(&format!("no thread for rendering could be started: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(failure("the template made the renderer fail")))
    })
}

fn limit_process() -> io::Result<()> {
    // What the program has mapped before it does anything is not the template's.
    let memory = address_space()? + (STACK as u64) + (MEMORY_MB << 20);
    for (resource, soft, hard) in [
        (Resource::RLIMIT_CORE, 0, 0),
        (Resource::RLIMIT_FSIZE, 0, 0),
        (Resource::RLIMIT_NOFILE, 0, 0),
        (Resource::RLIMIT_AS, memory, memory),
        // The soft limit comes as a signal that names the reason.
        (Resource::RLIMIT_CPU, PROCESSOR_S, PROCESSOR_S + 1),
    ] {
        let (_, most) = getrlimit(resource)?;
        setrlimit(resource, soft.min(most), hard.min(most))?;
    }
    Ok(())
}

/// Bytes of address space that this process has (proc_pid_status(5)).
fn address_space() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let size = text.lines().find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB"));
    let kilobytes: Option<u64> = size.and_then(|size| size.trim().parse().ok());
    kilobytes.map(|size| size << 10).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
