//! A program under measurement: started by path, ended by its id, its CPU time read from the kernel.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeVal;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// A running program; ended when dropped.
#[derive(Debug)]
pub struct Program(Child);

impl Program {
    /// Starts a program without output.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// True once it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
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

/// CPU seconds, user and system, of a program and of all programs that it started, those that have ended too. What lives
/// is counted in nanoseconds, what has ended in ticks.
pub fn cpu_seconds_of_all(process: u32) -> io::Result<f64> {
    let mut seconds = 0.0;
    for process in with_descendants(process) {
        let clock = clock_getcpuclockid(Pid::from_raw(process.cast_signed()));
        let Ok(used) = clock.and_then(clock_gettime) else { continue };
        seconds += used.tv_sec() as f64 + used.tv_nsec() as f64 / 1e9 + ended_children_of(process)?;
    }
    Ok(seconds)
}

/// Anonymous memory in bytes of a program and of all programs that it started (`proc_pid_status(5)`, `RssAnon`).
pub fn anonymous_memory_of_all(process: u32) -> u64 {
    let of = |process: u32| {
        let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let size = text.lines().find_map(|line| line.strip_prefix("RssAnon:")?.strip_suffix("kB"))?;
        size.trim().parse::<u64>().ok()
    };
    with_descendants(process).into_iter().filter_map(of).sum::<u64>() << 10
}

/// Looks at a program's anonymous memory fifty times a second.
#[derive(Debug)]
pub struct MemoryWatch {
    goes_on: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    watcher: JoinHandle<()>,
}

impl MemoryWatch {
    /// Starts to look.
    pub fn start(process: u32) -> Self {
        let (goes_on, most) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let (go_on, seen) = (goes_on.clone(), most.clone());
        let watcher = std::thread::spawn(move || {
            while go_on.load(Ordering::Relaxed) {
                seen.fetch_max(anonymous_memory_of_all(process), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { goes_on, most, watcher }
    }

    /// The most that was seen so far.
    pub fn so_far(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// The most that was seen. It looks no more.
    pub fn most(self) -> u64 {
        self.goes_on.store(false, Ordering::Relaxed);
        // A watcher that has panicked has told what it saw before.
        let _ = self.watcher.join();
        self.most.load(Ordering::Relaxed)
    }
}

/// A process and all below it that live.
fn with_descendants(process: u32) -> Vec<u32> {
    let (mut found, mut next) = (vec![process], 0);
    while let Some(parent) = found.get(next) {
        let threads = std::fs::read_dir(format!("/proc/{parent}/task"));
        let lists = threads.into_iter().flatten().flatten().map(|thread| thread.path().join("children"));
        let children: Vec<String> = lists.filter_map(|list| std::fs::read_to_string(list).ok()).collect();
        found.extend(
            children.iter().flat_map(|list| list.split_whitespace()).filter_map(|id| id.parse::<u32>().ok()),
        );
        next += 1;
    }
    found
}

/// CPU seconds of the children that a process has waited for.
fn ended_children_of(process: u32) -> io::Result<f64> {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return Ok(0.0) };
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(13).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as f64)
}

/// A binary of the workspace, which `make bench` has built beside the benchmark.
pub fn binary(name: &str) -> io::Result<PathBuf> {
    let benchmark = std::env::current_exe()?;
    there(benchmark.ancestors().nth(2).unwrap_or(Path::new(".")).join(name))
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

/// Writes a file that nobody else may read.
pub fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text.as_bytes())
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

/// Waits until a program listens; fails once it has ended.
pub fn wait_for_port(program: &mut Program, address: SocketAddr) -> io::Result<()> {
    for _ in 0..600 {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        if program.has_ended() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(io::Error::other(format!("the program that should listen on {address} does not; is the port free?")))
}
