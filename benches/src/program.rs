//! A program under measurement: started by path, ended by its id, its CPU time read from the kernel.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeVal;
use nix::unistd::{Pid, SysconfVar, sysconf};

/// A running program; ended when dropped.
#[derive(Debug)]
pub struct Program(Child);

impl Program {
    /// Starts a program without output.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }

    /// CPU seconds so far, as [`cpu_seconds_of`] counts them.
    pub fn cpu_seconds(&self) -> io::Result<f64> {
        cpu_seconds_of(self.0.id())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        for _ in 0..50 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU seconds, user and system, of a running process, its threads and the children that it waited for
/// (`proc(5)`, `/proc/pid/stat`, fields 14 to 17).
pub fn cpu_seconds_of(process: u32) -> io::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(11).take(4).filter_map(|n| n.parse::<u64>().ok()).sum();
    let per_second = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100);
    Ok(ticks as f64 / per_second as f64)
}

/// An example program of the workspace, which `make bench` has built beside the benchmark.
pub fn example(name: &str) -> io::Result<PathBuf> {
    let benchmark = std::env::current_exe()?;
    there(benchmark.ancestors().nth(2).unwrap_or(Path::new(".")).join("examples").join(name))
}

/// A peer that `make bench` unpacks and does not install, by its package.
pub fn unpacked(package: &str, program: &str) -> io::Result<PathBuf> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab/packages");
    there(packages.join(package).join("usr/sbin").join(program))
}

/// A program of the distribution.
pub fn installed(name: &str) -> io::Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found =
        std::env::split_paths(&paths).chain(more).map(|folder| folder.join(name)).find(|path| path.is_file());
    there(found.unwrap_or_else(|| name.into()))
}

fn there(path: PathBuf) -> io::Result<PathBuf> {
    if path.is_file() {
        return Ok(path);
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("{} is not there: run `make bench`", path.display())))
}

/// Raises the limit of open files to what the system allows: a thousand clients have a thousand sockets.
pub fn allow_many_files() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// CPU seconds, user and system, of this process.
pub fn own_cpu_seconds() -> io::Result<f64> {
    used(UsageWho::RUSAGE_SELF)
}

/// CPU seconds, user and system, of all programs that were started and have ended.
pub fn ended_cpu_seconds() -> io::Result<f64> {
    used(UsageWho::RUSAGE_CHILDREN)
}

fn used(who: UsageWho) -> io::Result<f64> {
    let usage = getrusage(who)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
