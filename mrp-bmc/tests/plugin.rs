//! A driver passes the suite in every carrier, and its console's bytes come through as they are.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use mrp_bmc::IpmiBmc;
use mrp_bmc::plugin::{Carrier, Linked, Plugin};
use mrp_bmc::sim::SimConfig;
use mrp_core::bmc::{
    Bmc, BmcConfig, BmcError, Capabilities, Console, ConsoleInput, Drivers, Node, OpenBmc, Power, PowerAction,
};
use mrp_core::conformance::bmc;
use serde_json::{Value, json};
use support::plugins::{Simulator, become_host, compile, config, executable, isolated, limits, script};
use support::simulator;
use tokio::sync::mpsc;

#[test]
fn host_process() {
    become_host();
}

/// The library that cargo has made of the example in Rust, as a dependency of this test.
fn example_rust() -> PathBuf {
    assert_eq!(example_rust::ExampleRustBmc::DRIVER, "example-rust");
    std::env::current_exe().unwrap().parent().unwrap().join("libexample_rust.so")
}

async fn passes(plugin: &Arc<Plugin>, config: BmcConfig) {
    let mut drivers = Drivers::new();
    plugin.register(&mut drivers).unwrap();
    let opened = drivers.open(&plugin.hello().driver, config).await.unwrap();
    let report = bmc::run(&*opened, &Node::default()).await;
    assert!(report.passed(), "{}\n{report}", plugin.path().display());
    assert_eq!(plugin.strays().await, 0, "each call is answered once");
}

#[tokio::test]
async fn the_ipmi_driver_passes_behind_the_c_abi() {
    let simulator = simulator(SimConfig::default()).await;
    let carrier = Carrier::Linked(Linked::of::<IpmiBmc>());
    let plugin = Plugin::start(Path::new("ipmi"), carrier, limits()).await.unwrap();
    passes(&plugin, config(&simulator.local_addr().to_string(), json!({"retry_ms": 1000}))).await;
    drop(plugin);
    support::eventually("the session is closed", || simulator.sessions() == 0).await;
}

#[tokio::test]
async fn a_library_in_rust_passes_in_process_and_isolated() {
    let simulator = Simulator::start();
    for carrier in [Carrier::InProcess, isolated()] {
        let plugin = Plugin::start(&example_rust(), carrier, limits()).await.unwrap();
        passes(&plugin, config(&simulator.address, json!({"timeout_s": 20}))).await;
    }
}

#[tokio::test]
async fn errors_keep_their_kind_and_name_the_bmc() {
    let simulator = Simulator::start();
    let plugin = Plugin::start(&example_rust(), isolated(), limits()).await.unwrap();
    let mut wrong = config(&simulator.address, json!({}));
    wrong.password = mrp_core::secret::Secret::new("hunter2");
    let error = plugin.open(wrong).await.unwrap().power(&Node::default()).await.unwrap_err();
    assert!(matches!(error, BmcError::Unauthorized { .. }), "{error}");
    assert!(
        error.to_string().contains(&simulator.address) && !error.to_string().contains("hunter2"),
        "{error}"
    );
    let nobody = plugin.open(config("127.0.0.1:9", json!({}))).await.unwrap();
    let error = nobody.power(&Node::default()).await.unwrap_err();
    assert!(matches!(error, BmcError::Unreachable { ref address } if address == "127.0.0.1:9"), "{error}");
    let mut drivers = Drivers::new();
    plugin.register(&mut drivers).unwrap();
    let refused = drivers.open("example-rust", config("x:1", json!({"timeout_s": 0}))).await.unwrap_err();
    assert_eq!(refused.to_string(), "BMC configuration: option timeout_s: 0 is less than the minimum of 1");
}

/// A driver whose console echoes, and which panics where its address says so.
#[derive(Debug)]
struct Odd(String);

#[async_trait]
impl OpenBmc for Odd {
    const DRIVER: &'static str = "odd";

    fn options() -> Value {
        json!({"type": "object"})
    }

    async fn open(config: BmcConfig) -> Result<Self, BmcError> {
        assert_ne!(config.address, "open", "opening panics");
        Ok(Self(config.address))
    }
}

#[async_trait]
impl Bmc for Odd {
    fn capabilities(&self) -> Capabilities {
        assert_ne!(self.0, "capabilities", "capabilities panics");
        Capabilities { console: true, ..Capabilities::default() }
    }

    async fn power(&self, _: &Node) -> Result<Power, BmcError> {
        assert_ne!(self.0, "power", "power panics");
        if self.0 == "hangs" {
            std::future::pending::<()>().await;
        }
        Ok(Power::On)
    }

    async fn set_power(&self, _: &Node, _: PowerAction) -> Result<(), BmcError> {
        Ok(())
    }

    async fn open_console(&self, _: &Node) -> Result<Console, BmcError> {
        let ((printed, output), (input, mut typed)) = (mpsc::channel(4), mpsc::channel(4));
        tokio::spawn(async move {
            while let Some(input) = typed.recv().await {
                match input {
                    ConsoleInput::Bytes(bytes) => {
                        if printed.send(Ok(bytes)).await.is_err() {
                            break;
                        }
                    }
                    ConsoleInput::Break => {
                        let (address, reason) = (String::new(), "a break ends this one".into());
                        let _ = printed.send(Err(BmcError::Busy { address, reason })).await;
                        break;
                    }
                }
            }
        });
        Ok(Console { output, input, session: None })
    }
}

async fn odd(limits: mrp_bmc::plugin::Limits) -> Arc<Plugin> {
    Plugin::start(Path::new("odd"), Carrier::Linked(Linked::of::<Odd>()), limits).await.unwrap()
}

#[tokio::test]
async fn a_panic_fails_its_call_alone() {
    let plugin = odd(limits()).await;
    for address in ["open", "capabilities"] {
        let error = plugin.open(config(address, json!({}))).await.unwrap_err().to_string();
        assert!(error.contains("BMC driver odd: it panicked") && error.contains("panics"), "{error}");
    }
    let bmc = plugin.open(config("power", json!({}))).await.unwrap();
    let error = bmc.power(&Node::default()).await.unwrap_err().to_string();
    assert!(error.contains("BMC driver odd: it panicked") && error.contains("power panics"), "{error}");
    let fine = plugin.open(config("fine", json!({}))).await.unwrap();
    assert_eq!(fine.power(&Node::default()).await.unwrap(), Power::On);
    bmc.set_power(&Node::default(), PowerAction::On).await.unwrap();
    assert_eq!(plugin.strays().await, 0);
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_cancelled_and_holds_up_no_other() {
    let short = mrp_bmc::plugin::Limits { call: std::time::Duration::from_millis(300), ..limits() };
    let plugin = odd(short).await;
    let hangs = plugin.open(config("hangs", json!({}))).await.unwrap();
    let fine = plugin.open(config("fine", json!({}))).await.unwrap();
    let (node, other) = (Node::default(), Node::default());
    let (late, power) = tokio::join!(hangs.power(&node), fine.power(&other));
    let error = late.unwrap_err();
    assert!(matches!(error, BmcError::Timeout { .. }), "{error}");
    assert_eq!(error.to_string(), "BMC at hangs did not finish reading the power state in time");
    assert_eq!(power.unwrap(), Power::On);
    assert_eq!(fine.power(&node).await.unwrap(), Power::On);
    assert_eq!(plugin.strays().await, 0, "the cancelled call was answered once");
}

/// Types every byte there is and reads it back, then a break, after which the console ends with a reason. Twice.
async fn echoes(plugin: &Arc<Plugin>) {
    let bmc = plugin.open(config("fine", json!({}))).await.unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for _ in 0..2 {
        let Console { mut output, input, .. } = bmc.open_console(&Node::default()).await.unwrap();
        let typed = bytes.clone();
        let typing = tokio::spawn(async move {
            for chunk in typed.chunks(1000) {
                input.send(ConsoleInput::Bytes(chunk.to_vec().into())).await.unwrap();
            }
            input
        });
        let mut found = Vec::new();
        while found.len() < bytes.len() {
            found.extend(output.recv().await.expect("the console is open").unwrap());
        }
        assert!(found == bytes, "the bytes are as they were typed");
        let input = typing.await.unwrap();
        input.send(ConsoleInput::Break).await.unwrap();
        let reason = output.recv().await.expect("a reason comes before the end").unwrap_err().to_string();
        assert_eq!(reason, "BMC at fine is busy: a break ends this one");
        assert!(output.recv().await.is_none(), "it is closed");
    }
}

const ECHO: &str = r#"#!/usr/bin/env python3
import json, sys
def say(message): print(json.dumps(message), flush=True)
say({"mrp_plugin": 1, "driver": "echo", "capabilities": {"console": True}})
consoles = set()
for line in sys.stdin:
    message = json.loads(line)
    if "call" in message:
        say({"id": message["id"]})
        if message["call"] == "open_console": consoles.add(message["id"])
    elif "break" in message:
        say({"console": message["console"], "end": True, "error": {"kind": "busy", "message": "a break ends this one"}})
    elif "console" in message:
        say(message)
    elif message["cancel"] in consoles:
        say({"console": message["cancel"], "end": True})
"#;

#[tokio::test]
async fn a_consoles_bytes_come_through_every_carrier() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("behaves.so");
    compile(include_str!("plugin/behaves.c"), &library, &[]);
    echoes(&odd(limits()).await).await;
    for carrier in [Carrier::InProcess, isolated()] {
        echoes(&Plugin::start(&library, carrier, limits()).await.unwrap()).await;
    }
    let echo = script(&folder.path().join("echo"), ECHO);
    echoes(&Plugin::start(&echo, executable(), limits()).await.unwrap()).await;
}

#[tokio::test]
async fn a_plugin_says_what_a_node_is() {
    let folder = tempfile::tempdir().unwrap();
    let started = async |name: &str, node: Value| {
        let hello = json!({"mrp_plugin": 1, "driver": name, "node": node});
        let text = format!("#!/bin/sh\necho '{hello}'\nexec cat > /dev/null\n");
        Plugin::start(&script(&folder.path().join(name), &text), executable(), limits()).await.unwrap()
    };
    let mut drivers = Drivers::new();
    let slots = json!({"type": "string", "pattern": "^[1-8]$", "description": "a slot, 1 to 8"});
    started("blades", slots).await.register(&mut drivers).unwrap();
    drivers.check_node("blades", &Node("8".into())).unwrap();
    let error = drivers.check_node("blades", &Node("9".into())).unwrap_err().to_string();
    assert!(error.contains("\"9\"") && error.ends_with("; it is: a slot, 1 to 8"), "{error}");
    let error =
        started("broken", json!({"pattern": 3})).await.register(&mut drivers).unwrap_err().to_string();
    assert!(error.contains("schema of its nodes"), "{error}");
}
