//! `docs/session.md` is a terminal session that was recorded. This test runs its commands again, against a new server and
//! simulated machines, and compares what they print. `docs/record-session.sh` writes the outputs anew.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::recorded::{normal, replayed};
use harness::{Home, Ports, Server};
use mrp_cli::demo::rack::{PASSWORD, Rack};
use rustix::process::Signal;
use tokio::runtime::Runtime;

/// What the text calls the server.
const URL: &str = "http://mrp.example.org:8080";
/// And the server's door for machines.
const MACHINES_URL: &str = "http://mrp.example.org:8081";

/// The server, two machines, and the files that the session's people have.
struct Stage {
    home: Home,
    server: Server,
    rack: Rack,
    runtime: Runtime,
}

impl Stage {
    fn new() -> Self {
        let (home, ports) = (Home::new(), Ports::free());
        let server = Server::start(&home, ports);
        let runtime = Runtime::new().unwrap();
        let rack = runtime.block_on(Rack::start(2, ports.machines(), ports.tftp().port(), false)).unwrap();
        home.file("admin-password", std::fs::read(home.path("data/admin-password")).unwrap());
        home.file("alice-password", "correct horse battery\n");
        home.file("bmc-password", format!("{PASSWORD}\n"));
        home.file("bootx64.efi", vec![7; 300_000]);
        home.file("vmlinuz", vec![1; 2_000_000]);
        home.file("initrd.gz", vec![2; 5_000_000]);
        home.file(
            "preseed.cfg",
            "d-i netcfg/get_hostname string {{ hostname }}\n\
             d-i preseed/late_command string wget -qO- {{ phone_home_url }}\n",
        );
        Self { home, server, rack, runtime }
    }

    /// What the text calls things, and what they are here.
    fn names(&self) -> Vec<(String, String)> {
        let machines = format!("http://{}", self.server.ports.machines());
        let mut names = vec![(URL.to_owned(), self.server.url.clone()), (MACHINES_URL.to_owned(), machines)];
        for (number, unit) in (1..).zip(self.rack.units()) {
            names.push((format!("10.1.0.{number}"), unit.bmc_address.to_string()));
        }
        names
    }

    /// Runs a command line in a shell and answers what a terminal shows, in the text's words.
    fn run(&self, line: &str) -> String {
        let here = self.names().iter().fold(line.to_owned(), |line, (text, here)| line.replace(text, here));
        let program = Path::new(env!("CARGO_BIN_EXE_mrp")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1; {here}")]).env_clear().env("PATH", path);
        shell.env("HOME", self.home.0.path()).current_dir(self.home.0.path()).stdin(Stdio::null());
        let output = shell.output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let shown = self.names().iter().fold(shown, |shown, (text, here)| {
            // Tables keep their columns.
            let padded = format!("{text:<width$}", width = here.len());
            shown.replace(here, if text.starts_with("http") { text } else { &padded })
        });
        normal(&shown)
    }

    fn end(self) {
        self.runtime.block_on(self.rack.stop());
        assert_eq!(self.server.end(Signal::TERM), Some(0));
    }
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/session.md")
}

#[test]
fn the_recorded_session_is_what_happens() {
    let text = std::fs::read_to_string(document()).unwrap();
    let stage = Stage::new();
    let again = replayed(&text, |line| stage.run(line));
    stage.end();
    if std::env::var_os("MRP_RECORD").is_some() {
        std::fs::write(document(), again).unwrap();
        return;
    }
    let commands = text.lines().filter(|line| line.starts_with("$ mrp ")).count();
    assert!(commands > 25, "the commands were found: {commands}");
    let (text, again) = (in_order(&text), in_order(&again));
    for (number, (recorded, happened)) in (1..).zip(text.iter().zip(&again)) {
        assert_eq!(
            recorded, happened,
            "docs/session.md, line {number}; if this is meant: docs/record-session.sh"
        );
    }
    assert_eq!(text.len(), again.len(), "if this is meant: docs/record-session.sh");
}

/// The lines, with those of a timeline sorted: the end of one transfer and the start of the next are told in either order.
fn in_order(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    let is_stage = |line: &str| line.starts_with("   0.1 s  ");
    for block in lines.chunk_by_mut(|a, b| is_stage(a) && is_stage(b)) {
        block.sort_unstable();
    }
    lines
}

#[test]
fn what_differs_between_two_runs_is_normal() {
    let shown = "run 1: alice/vmlinuz.0099ffee, debian\n  12.3 s  kernel  1.91 MiB, TFTP, 43.7 MB/s, windowsize 16, 3 blocks sent again\n1  2026-11-25 08:31:51Z  ready";
    let same = "run 1: alice/vmlinuz.1a2b3c4d, debian\n   0.1 s  kernel  1.91 MiB, TFTP, 100 MB/s, windowsize 16, no block sent again\n1  2026-01-01 12:00:00Z  ready";
    assert_eq!(normal(shown), same);
    assert_eq!(normal(same), same);
}
