//! Plugins of tests: C that is compiled on the spot, executables, and a process of its own for either.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mrp_bmc::plugin::{Carrier, Limits};
use mrp_core::bmc::{BmcConfig, Privilege};
use mrp_core::secret::Secret;
use serde_json::Value;

/// The folder `plugins` of the sources.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins")
}

/// A process of its own for a library: this test program, which runs its one test `host_process`.
pub(crate) fn isolated() -> Carrier {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "host_process", "--nocapture"].map(OsString::from);
    Carrier::Process([program.into_os_string()].into_iter().chain(arguments).collect())
}

/// What the test `host_process` does: serves a plugin if the program was started by [`isolated`].
pub(crate) fn become_host() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, exact, name, nocapture, memory_mb, path] = arguments.as_slice() else { return };
    if (exact.as_str(), name.as_str(), nocapture.as_str()) == ("--exact", "host_process", "--nocapture") {
        let error = mrp_bmc::plugin::host(Path::new(path), memory_mb.parse().unwrap()).unwrap_err();
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// A process of its own for an executable.
pub(crate) fn executable() -> Carrier {
    Carrier::Process(["sh", "-c", "exec \"$2\"", "sh"].map(OsString::from).to_vec())
}

/// Limits that a test can wait for.
pub(crate) fn limits() -> Limits {
    Limits {
        call: Duration::from_secs(20),
        grace: Duration::from_millis(300),
        hello: Duration::from_secs(20),
        memory_mb: 512,
    }
}

/// The BMC at an address, with the account of the simulators.
pub(crate) fn config(address: &str, options: Value) -> BmcConfig {
    BmcConfig {
        address: address.to_owned(),
        username: "admin".into(),
        password: Secret::new("admin"),
        privilege: Privilege::Admin,
        options: options.as_object().unwrap().clone(),
    }
}

/// Compiles a library from C.
pub(crate) fn compile(source: &str, library: &Path, flags: &[&str]) {
    let file = library.with_extension("c");
    std::fs::write(&file, source).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden"])
        .args(flags);
    cc.arg("-I").arg(sources()).arg("-I").arg(sources().join("example-c")).arg("-o").arg(library).arg(&file);
    assert!(cc.status().unwrap().success(), "{}", file.display());
}

/// Writes an executable.
pub(crate) fn script(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// The simulator of the example plugins, at a port of its own.
pub(crate) struct Simulator {
    child: Child,
    pub(crate) address: String,
}

impl Simulator {
    pub(crate) fn start() -> Self {
        let mut program = Command::new(sources().join("example-python/simulator.py"));
        let mut child = program.arg("0").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().rsplit(' ').next().unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
