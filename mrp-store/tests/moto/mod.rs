//! An S3 server that is not ours: moto's, which `.ci/install-packages` puts into `target/lab/moto`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// moto's server; ends with the test.
#[derive(Debug)]
pub(crate) struct Moto {
    child: Child,
    pub(crate) url: String,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab/moto/bin/moto_server");
        let program = std::env::var_os("MRP_MOTO").map_or(program, PathBuf::from);
        let mut command = Command::new(&program);
        command
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; .ci/install-packages installs it", program.display())
        });
        let moto = Self { child, url: format!("http://127.0.0.1:{port}") };
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return moto;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("moto does not listen");
    }

    /// A bucket of its own; S3 makes one by an empty PUT.
    pub(crate) fn bucket(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("images-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let made = Command::new("curl").args(["-sf", "-X", "PUT", &format!("{}/{name}", self.url)]).status();
        assert!(made.unwrap().success());
        name
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
