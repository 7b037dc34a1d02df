//! What the tests of the driver share: a driver that is pointed at a simulator.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use mrp_bmc::sim::{BmcSimulator, SimConfig};
use mrp_bmc::{IpmiBmc, MoonshotBmc};
use mrp_core::bmc::{BmcConfig, Console, ConsoleInput, OpenBmc, Privilege};
use mrp_core::secret::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub(crate) mod plugins;

/// A simulated BMC on a free port of the loopback.
pub(crate) async fn simulator(config: SimConfig) -> BmcSimulator {
    BmcSimulator::start(SocketAddr::from(([127, 0, 0, 1], 0)), config)
        .await
        .expect("a free port of the loopback")
}

/// What opens a BMC with the simulator's account.
pub(crate) fn config(address: SocketAddr, options: Value) -> BmcConfig {
    let Value::Object(options) = options else { panic!("options are an object") };
    BmcConfig {
        address: address.to_string(),
        username: "admin".into(),
        password: Secret::new("admin"),
        privilege: Privilege::Admin,
        options,
    }
}

/// The driver; it waits long enough for a busy machine not to make it repeat itself.
pub(crate) async fn driver(address: SocketAddr) -> IpmiBmc {
    driver_with(address, json!({"retry_ms": 1000, "tries": 4})).await
}

/// The driver with options.
pub(crate) async fn driver_with(address: SocketAddr, options: Value) -> IpmiBmc {
    IpmiBmc::open(config(address, options)).await.expect("the configuration is right")
}

/// The driver of a chassis.
pub(crate) async fn moonshot(address: SocketAddr) -> MoonshotBmc {
    let options = json!({"retry_ms": 1000, "tries": 4});
    MoonshotBmc::open(config(address, options)).await.expect("the configuration is right")
}

/// Waits for something that happens without anybody saying so.
pub(crate) async fn eventually(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..1000 {
        if happened() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it does not happen: {what}");
}

/// Types at a console.
pub(crate) async fn type_in(console: &Console, text: &'static str) {
    console.input.send(ConsoleInput::Bytes(text.into())).await.expect("the console takes input");
}

/// Reads so many characters of a console.
pub(crate) async fn read(console: &mut Console, count: usize) -> Vec<u8> {
    let seen = read_at_least(console, count).await;
    assert_eq!(seen.len(), count, "{}", String::from_utf8_lossy(&seen));
    seen
}

/// Reads so many characters of a console, and the rest of the last piece.
pub(crate) async fn read_at_least(console: &mut Console, count: usize) -> Vec<u8> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let received = console.output.recv().await.expect("the console goes on");
        seen.extend_from_slice(&received.expect("the console goes on"));
    }
    seen
}

/// `ipmitool sol activate`. It wants a terminal, which `script` gives it.
pub(crate) struct SolByIpmitool {
    shown: String,
    from: ChildStdout,
    to: ChildStdin,
    _process: Child,
}

impl SolByIpmitool {
    pub(crate) fn start(address: SocketAddr, suite: &str, password: &str) -> Self {
        let port = address.port();
        let sol = format!("ipmitool -I lanplus -H 127.0.0.1 -p {port} -U admin -E -C {suite} sol activate");
        let mut process = Command::new("script")
            .args(["-qefc", &sol, "/dev/null"])
            .env("IPMI_PASSWORD", password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("script and ipmitool start");
        let from = process.stdout.take().expect("its output is a pipe");
        let to = process.stdin.take().expect("its input is a pipe");
        Self { shown: String::new(), from, to, _process: process }
    }

    /// Reads until a text was shown.
    pub(crate) async fn shows(&mut self, text: &str) {
        let mut buffer = [0; 1024];
        while !self.shown.contains(text) {
            let read = tokio::time::timeout(Duration::from_secs(30), self.from.read(&mut buffer)).await;
            let length = read.map_or(0, |length| length.unwrap_or(0));
            assert!(length > 0, "{text:?} is missing: {}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }

    pub(crate) async fn type_in(&mut self, text: &str) {
        self.to.write_all(text.as_bytes()).await.expect("ipmitool reads");
    }
}
