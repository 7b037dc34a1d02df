//! `docs/plugins.md` goes from `mrp plugin new` to a machine that the plugin switches on in the running server. This test runs
//! its commands again and compares what they print; with `MRP_RECORD=1` it writes it.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::recorded::{normal, replayed};
use harness::{Home, Ports, Server, serve};

/// What the text calls the server, the folder of plugins, and the simulated BMC.
const URL: &str = "http://mrp.example.org:8080";
const FOLDER: &str = "/usr/lib/mrp/plugins";
const BMC: &str = "127.0.0.1:7700";

struct Stage {
    home: Home,
    ports: Ports,
    server: Option<Server>,
    simulator: Option<(Child, String)>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.simulator {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Stage {
    fn new() -> Self {
        let home = Home::new();
        fs::create_dir(home.path("plugins")).unwrap();
        fs::set_permissions(home.path("plugins"), Permissions::from_mode(0o755)).unwrap();
        home.file("mrp.toml", format!("[plugins]\ndir = {:?}\n", home.path("plugins").display().to_string()));
        home.file("bmc-password", "admin\n");
        Self { home, ports: Ports::free(), server: None, simulator: None }
    }

    fn names(&self) -> Vec<(&'static str, String)> {
        let mut names = vec![(URL, format!("http://{}", self.ports.people()))];
        names.push((FOLDER, self.home.path("plugins").display().to_string()));
        if let Some((_, address)) = &self.simulator {
            names.push((BMC, address.clone()));
        }
        names
    }

    /// What a terminal shows, in the text's words.
    fn run(&mut self, line: &str) -> String {
        if line == "systemctl restart mrp" {
            return self.restart();
        }
        let shown = match line.strip_suffix(" &") {
            Some(program) => self.simulate(program),
            None => self.shell(line),
        };
        normal(&self.names().iter().fold(shown, |shown, (text, here)| shown.replace(here, text)))
    }

    fn restart(&mut self) -> String {
        self.server = None;
        let mut command = serve(&self.home, self.ports);
        command.arg("--config").arg(self.home.path("mrp.toml"));
        self.server = Some(Server::spawn(command, self.ports));
        self.home.file("admin-password", fs::read(self.home.path("data/admin-password")).unwrap());
        String::new()
    }

    /// The simulator at a port of its own, which `bmc.json` then names.
    fn simulate(&mut self, program: &str) -> String {
        let mut simulator = Command::new(self.home.path(program));
        let mut child = simulator.arg("0").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().rsplit(' ').next().unwrap().to_owned();
        let config = self.home.path("acme/bmc.json");
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains(BMC), "{text}");
        fs::write(config, text.replace(BMC, &address)).unwrap();
        self.simulator = Some((child, address));
        line
    }

    fn shell(&self, line: &str) -> String {
        let here = self.names().iter().fold(line.to_owned(), |line, (text, here)| line.replace(text, here));
        let program = Path::new(env!("CARGO_BIN_EXE_mrp")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("umask 022; exec 2>&1; {here}")]).env_clear().env("PATH", path);
        shell.env("HOME", self.home.0.path()).current_dir(self.home.0.path()).stdin(Stdio::null());
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    }
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/plugins.md")
}

#[test]
fn the_authors_walk_is_what_happens() {
    let text = fs::read_to_string(document()).unwrap();
    let mut stage = Stage::new();
    let again = replayed(&text, |line| stage.run(line));
    drop(stage);
    if std::env::var_os("MRP_RECORD").is_some() {
        fs::write(document(), again).unwrap();
        return;
    }
    assert!(text.contains("$ mrp power node-1 on") && text.contains("FAILED"), "the walk is recorded");
    for (number, (recorded, happened)) in (1..).zip(text.lines().zip(again.lines())) {
        assert_eq!(recorded, happened, "docs/plugins.md, line {number}; if this is meant: MRP_RECORD=1");
    }
    assert_eq!(text.lines().count(), again.lines().count(), "if this is meant: MRP_RECORD=1");
}
