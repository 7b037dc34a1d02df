//! `docs/session.md` is a terminal session that was recorded. This test runs its commands again, against a new server and
//! simulated machines, and compares what they print. `docs/record-session.sh` writes the outputs anew.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// Times, durations, rates and what is drawn by lot, as they are in the text.
fn normal(shown: &str) -> String {
    let lines = shown.lines().map(|line| {
        let (mut words, mut rest) = (String::new(), line);
        while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
            let (blank, from) = rest.split_at(start);
            let (word, after) = from.split_at(from.find(char::is_whitespace).unwrap_or(from.len()));
            match normal_word(word, after) {
                // The first column of a run is as wide as it was.
                Some(normal) if words.is_empty() => {
                    words = format!("{normal:>width$}", width = (blank.len() + word.len()))
                }
                normal => words.extend([blank, normal.as_deref().unwrap_or(word)]),
            }
            rest = after;
        }
        // The run may be over before what the BMC says after the command is looked at.
        if let Some(stage) = words.strip_suffix("  power on") {
            return format!("{stage}  the BMC took the power command");
        }
        match words.split_once("windowsize 16, ") {
            Some((before, _)) => format!("{before}windowsize 16, no block sent again"),
            None => words,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn normal_word(word: &str, after: &str) -> Option<String> {
    let (bare, comma) = word.strip_suffix(',').map_or((word, ""), |bare| (bare, ","));
    let has_digits_as = |like: &str| {
        bare.len() == like.len()
            && bare.chars().zip(like.chars()).all(|(c, l)| c == l || c.is_ascii_digit() && l.is_ascii_digit())
    };
    for like in ["2026-01-01", "12:00:00Z", "2026-01-01T12:00:00.000Z"] {
        if has_digits_as(like) {
            return Some(format!("{like}{comma}"));
        }
    }
    let is_number = word.chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_number && after.starts_with(" s ") {
        return Some("0.1".into());
    }
    if is_number && [" B/s", " kB/s", " MB/s", " GB/s"].iter().any(|unit| after.starts_with(unit)) {
        return Some("100".into());
    }
    // Names of images end in eight hexadecimal digits that are drawn by lot.
    match bare.rsplit_once('.') {
        Some((name, lot))
            if name.contains('/') && lot.len() == 8 && lot.chars().all(|c| c.is_ascii_hexdigit()) =>
        {
            Some(format!("{name}.1a2b3c4d{comma}"))
        }
        _ => None,
    }
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/session.md")
}

/// The text with the outputs of its commands as they are here.
fn replayed(text: &str, stage: &Stage) -> String {
    let mut lines = Vec::new();
    let mut in_session = false;
    let mut source = text.lines().peekable();
    while let Some(line) = source.next() {
        match (in_session, line) {
            (false, "```console") => {
                in_session = true;
                lines.push(line.to_owned());
                // What stands before the first command is output of nothing.
                while source.next_if(|line| !line.starts_with("$ ") && *line != "```").is_some() {}
            }
            (true, "```") => {
                in_session = false;
                lines.push(line.to_owned());
            }
            (true, line) => {
                let mut command = line.strip_prefix("$ ").unwrap_or(line).to_owned();
                lines.push(line.to_owned());
                while command.ends_with('\\') {
                    let more = source.next().unwrap();
                    lines.push(more.to_owned());
                    command = format!("{command}\n{more}");
                }
                let output = stage.run(&command);
                lines.extend(output.lines().map(str::to_owned));
                while source.next_if(|line| !line.starts_with("$ ") && *line != "```").is_some() {}
            }
            (false, line) => lines.push(line.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_recorded_session_is_what_happens() {
    let text = std::fs::read_to_string(document()).unwrap();
    let stage = Stage::new();
    let again = replayed(&text, &stage);
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
