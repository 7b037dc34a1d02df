//! A server and a client as users run them: processes, with a home folder of their own.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) mod recorded;

/// Far above what anything here takes; it ends a test that would hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a user's home, a server's data, and files.
pub(crate) struct Home(pub(crate) TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// `mrp`, without anything of the environment that could steer it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mrp"));
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.0.path()).env("TMPDIR", self.0.path()).current_dir(self.0.path());
        command
    }

    /// Runs `mrp` with a line of input.
    pub(crate) fn mrp_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that does not want the input may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ended::of(arguments, child.wait_with_output().unwrap())
    }

    pub(crate) fn mrp(&self, arguments: &[&str]) -> Ended {
        self.mrp_with(arguments, "")
    }

    /// The same in one string, split at spaces.
    pub(crate) fn run(&self, line: &str) -> Ended {
        self.mrp(&line.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn json(&self, line: &str) -> serde_json::Value {
        let ended = self.run(&format!("{line} -o json")).ok();
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{line}: {error}: {}", ended.out))
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) what: String,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    fn of(arguments: &[&str], output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (code, signal) = (output.status.code(), output.status.signal());
        Self { what: arguments.join(" "), code, signal, out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The error names all of this.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing in {self:#?}");
        }
        self
    }
}

/// Ports that were free a moment ago: people's, machines', TFTP's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports([u16; 3]);

impl Ports {
    pub(crate) fn free() -> Self {
        let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (people, machines, tftp) = (tcp(), tcp(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let tcp = |listener: &TcpListener| listener.local_addr().unwrap().port();
        Self([tcp(&people), tcp(&machines), tftp.local_addr().unwrap().port()])
    }

    pub(crate) fn people(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.0[0]))
    }

    pub(crate) fn machines(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.0[1]))
    }

    pub(crate) fn tftp(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.0[2]))
    }
}

/// `mrp serve`; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) ports: Ports,
    pub(crate) url: String,
}

pub(crate) fn serve(home: &Home, ports: Ports) -> Command {
    let mut command = home.command(&["serve"]);
    command
        .env("MRP_SERVER__DATA_DIR", home.path("data"))
        .env("MRP_WEB__LISTEN", ports.people().to_string())
        .env("MRP_MACHINE__LISTEN", ports.machines().to_string())
        .env("MRP_TFTP__LISTEN", ports.tftp().to_string())
        .env("MRP_BOOT__NEXT_SERVER", "127.0.0.1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

impl Server {
    pub(crate) fn start(home: &Home, ports: Ports) -> Self {
        Self::spawn(serve(home, ports), ports)
    }

    pub(crate) fn spawn(mut command: Command, ports: Ports) -> Self {
        let mut child = command.spawn().unwrap();
        wait_for(child.stderr.take().unwrap(), "serving");
        Self { child, ports, url: format!("http://{}", ports.people()) }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Sends a signal and waits for the end: its exit code, or `None` if the signal ended it.
    pub(crate) fn end(mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines until one contains `text`, and goes on reading in the background so that the writer never blocks. Answers
/// the lines up to it.
pub(crate) fn wait_for(from: impl std::io::Read + Send + 'static, text: &'static str) -> Vec<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut read = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let found = line.contains(text);
                read.push(line);
                if found {
                    return read;
                }
            }
            Err(error) => panic!("{error}: {text:?} did not come; it said: {read:#?}"),
        }
    }
}

/// Asks until the answer is yes.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(files_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
