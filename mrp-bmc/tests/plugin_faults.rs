//! What bad plugins do, they do to themselves: the cause is named, other drivers notice nothing, and the plugin is started
//! again.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mrp_bmc::plugin::{Carrier, Limits, Plugin, PluginBmc};
use mrp_core::bmc::{Bmc, BmcError, Node, Power, PowerAction};
use serde_json::json;
use support::plugins::{become_host, compile, config, executable, isolated, limits, script, sources};
use tempfile::TempDir;

const BEHAVES: &str = include_str!("plugin/behaves.c");

#[test]
fn host_process() {
    become_host();
}

fn library(flags: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("behaves.so");
    compile(BEHAVES, &path, flags);
    (folder, path)
}

async fn healthy() -> (TempDir, PluginBmc) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("example-c.so");
    compile(&std::fs::read_to_string(sources().join("example-c/example.c")).unwrap(), &path, &[]);
    let plugin = Plugin::start(&path, isolated(), limits()).await.unwrap();
    let bmc = plugin.open(config("memory", json!({}))).await.unwrap();
    (folder, bmc)
}

async fn power_of(plugin: &Arc<Plugin>, behaviour: &str) -> Result<Power, BmcError> {
    plugin.open(config(behaviour, json!({}))).await?.power(&Node::default()).await
}

/// Asks until the plugin is there again, at most as long as its pauses are.
async fn recovers(plugin: &Arc<Plugin>) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match power_of(plugin, "fine").await {
            Ok(power) => return assert_eq!(power, Power::On),
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "it does not recover: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_crash_is_named_and_the_plugin_is_started_again() {
    let ((_folder, path), (_other, healthy)) = (library(&[]), healthy().await);
    for (behaviour, says) in [
        ("segfault", "it was ended by signal 11 (SIGSEGV)"),
        ("abort", "it was ended by signal 6 (SIGABRT)"),
        ("exit", "it ended with exit code 7"),
        ("leak", "(SIGABRT); its last words: out of memory"),
    ] {
        let plugin = Plugin::start(&path, isolated(), Limits { memory_mb: 64, ..limits() }).await.unwrap();
        let kept = plugin.open(config("fine", json!({}))).await.unwrap();
        assert_eq!(kept.power(&Node::default()).await.unwrap(), Power::On);
        let error = power_of(&plugin, behaviour).await.unwrap_err();
        let words = error.to_string();
        assert!(words.starts_with("BMC driver behaves: ") && words.contains(says), "{behaviour}: {words}");
        healthy.set_power(&Node::default(), PowerAction::On).await.unwrap();
        assert_eq!(healthy.power(&Node::default()).await.unwrap(), Power::On);
        recovers(&plugin).await;
        assert_eq!(kept.power(&Node::default()).await.unwrap(), Power::On, "it is told of the BMC again");
    }
}

#[tokio::test]
async fn one_that_crashes_again_and_again_rests_longer_and_longer() {
    let (_folder, path) = library(&[]);
    let plugin = Plugin::start(&path, isolated(), limits()).await.unwrap();
    let bmc = plugin.open(config("abort", json!({}))).await.unwrap();
    let first = bmc.power(&Node::default()).await.unwrap_err().to_string();
    assert!(first.ends_with("(SIGABRT)"), "{first}");
    // The first failure costs no pause.
    let second = bmc.power(&Node::default()).await.unwrap_err().to_string();
    assert!(second.ends_with("(SIGABRT)"), "{second}");
    let third = bmc.power(&Node::default()).await.unwrap_err().to_string();
    assert!(third.ends_with("(SIGABRT); it is started again in 1 s"), "{third}");
}

#[tokio::test]
async fn one_that_answers_no_more_is_killed() {
    let ((_folder, path), (_other, healthy)) = (library(&[]), healthy().await);
    for behaviour in ["spin", "sleep", "silent"] {
        let short = Limits { call: Duration::from_secs(1), ..limits() };
        let plugin = Plugin::start(&path, isolated(), short).await.unwrap();
        let stuck = plugin.open(config(behaviour, json!({}))).await.unwrap();
        let error = stuck.power(&Node::default()).await.unwrap_err();
        assert!(matches!(error, BmcError::Timeout { .. }), "{behaviour}: {error}");
        assert_eq!(healthy.power(&Node::default()).await.unwrap(), Power::Off);
        recovers(&plugin).await;
    }
}

#[tokio::test]
async fn wrong_answers_fail_their_call_alone() {
    let (_folder, path) = library(&[]);
    for carrier in [isolated(), Carrier::InProcess] {
        let plugin = Plugin::start(&path, carrier, limits()).await.unwrap();
        for (behaviour, says) in [
            ("broken", "its answer is broken JSON: EOF"),
            ("shape", "it answers power with {\"power\":\"perhaps\"}: unknown variant"),
            ("status", "it answered with the unknown status 77: strange"),
            ("huge", "its answer has 104857600 bytes, where 1048576 are allowed"),
        ] {
            let error = power_of(&plugin, behaviour).await.unwrap_err().to_string();
            assert!(
                error.starts_with("BMC driver behaves: ") && error.contains(says),
                "{behaviour}: {error}"
            );
        }
        let busy = power_of(&plugin, "busy").await.unwrap_err().to_string();
        assert_eq!(busy, "BMC at busy is busy: all 4 sessions are taken");
        assert_eq!(power_of(&plugin, "fine").await.unwrap(), Power::On);
    }
}

#[tokio::test]
async fn a_second_answer_and_one_after_close_answer_nothing() {
    let (_folder, path) = library(&[]);
    for carrier in [isolated(), Carrier::InProcess] {
        let plugin = Plugin::start(&path, carrier, limits()).await.unwrap();
        for (behaviour, strays) in [("twice", 1), ("late", 2)] {
            assert_eq!(power_of(&plugin, behaviour).await.unwrap(), Power::On, "{behaviour}");
            assert_eq!(power_of(&plugin, "fine").await.unwrap(), Power::On);
            for _ in 0..500 {
                if plugin.strays().await == strays {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(plugin.strays().await, strays, "{behaviour} was noticed");
        }
    }
}

#[tokio::test]
async fn lies_about_capabilities_are_named() {
    let (_folder, path) = library(&[]);
    let plugin = Plugin::start(&path, isolated(), limits()).await.unwrap();
    let (bmc, node) = (plugin.open(config("fine", json!({}))).await.unwrap(), Node::default());
    let error = bmc.boot(&node).await.unwrap_err().to_string();
    assert_eq!(error, "BMC driver behaves: it declares read_boot, but answers that it is unsupported");
    let error = bmc.set_boot(&node, None).await.unwrap_err().to_string();
    assert_eq!(error, "BMC driver behaves: it does not declare set_boot, but answers with success");
    let error = bmc.set_power(&node, PowerAction::Soft).await.unwrap_err().to_string();
    assert_eq!(error, "BMC driver behaves: it does not declare soft_power, but answers with success");
}

#[tokio::test]
async fn a_console_that_nobody_reads_is_closed() {
    let (_folder, path) = library(&[]);
    let plugin = Plugin::start(&path, isolated(), limits()).await.unwrap();
    let bmc = plugin.open(config("flood", json!({}))).await.unwrap();
    let mut console = bmc.open_console(&Node::default()).await.unwrap();
    // The next answer comes behind all that was printed.
    assert_eq!(bmc.power(&Node::default()).await.unwrap(), Power::On);
    let (mut found, mut reason) = (0, None);
    while let Some(received) = console.output.recv().await {
        match received {
            Ok(bytes) => found += bytes.len(),
            Err(error) => reason = Some(error.to_string()),
        }
    }
    assert_eq!(reason.as_deref(), Some("BMC driver behaves: nobody read what the console printed"));
    assert!(found > 1 << 20 && found < 20_000 * 4096, "{found} bytes were kept");
}

#[tokio::test]
async fn what_cannot_be_loaded_says_why() {
    let short = Limits { hello: Duration::from_millis(700), ..limits() };
    for (flags, says) in [
        (["-DVERSION=2"].as_slice(), "it speaks version 2 of the ABI, this mrp speaks 1"),
        (&["-DPROTOCOL=\"7\""], "it speaks version 7 of the protocol, this mrp speaks 1"),
        (&["-DPROTOCOL=\"nonsense\""], "it does not say hello"),
        (&["-DNULL_ENTRY"], "its entry answers nothing"),
        (&["-Dmrp_bmc_driver_v1=other"], "it has no symbol mrp_bmc_driver_v1: it is no plugin of mrp"),
    ] {
        let (_folder, path) = library(flags);
        for carrier in [isolated(), Carrier::InProcess] {
            let error = Plugin::start(&path, carrier, limits()).await.unwrap_err();
            assert!(error.contains(says), "{flags:?}: {error}");
        }
    }
    let (_folder, path) = library(&["-DHANG"]);
    let error = Plugin::start(&path, isolated(), short).await.unwrap_err();
    assert!(error.contains("it did not say hello within 0.7 s, and was killed"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.so");
    std::fs::write(&text, "this is no library\n").unwrap();
    for carrier in [isolated(), Carrier::InProcess] {
        let error = Plugin::start(&text, carrier, limits()).await.unwrap_err();
        assert!(error.contains("it is no library that can be loaded"), "{error}");
    }
    let error = Plugin::start(Path::new("/nowhere/acme.so"), isolated(), limits()).await.unwrap_err();
    assert!(error.contains("No such file"), "{error}");
}

/// An executable that says hello and then does one thing at each call.
fn bad(folder: &Path, at_call: &str) -> PathBuf {
    let text = format!(
        "#!/usr/bin/env python3
import json, os, sys, time
print(json.dumps({{'mrp_plugin': 1, 'driver': 'bad'}}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if message.get('call') == 'power':
        {at_call}
    elif 'call' in message:
        print(json.dumps({{'id': message['id']}}), flush=True)
"
    );
    script(&folder.join("bad"), &text)
}

#[tokio::test]
async fn an_executable_that_breaks_the_protocol_is_killed() {
    for (at_call, says) in [
        ("print('power is on', flush=True)", "it wrote a line that is no message, \"power is on\""),
        ("print('x' * (100 << 20), flush=True)", "it wrote a line of more than"),
        ("raise SystemExit(3)", "it ended with exit code 3"),
        ("os.close(1); time.sleep(1000)", "it closed its output without ending, and was killed"),
        ("sys.exit('the cable is loose')", "it ended with exit code 1; its last words: the cable is loose"),
        ("bytearray(1 << 30)", "its last words: MemoryError"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let plugin = Plugin::start(&bad(folder.path(), at_call), limited(), limits()).await.unwrap();
        let error = power_of(&plugin, "here").await.unwrap_err().to_string();
        assert!(error.starts_with("BMC driver bad: ") && error.contains(says), "{at_call}: {error}");
    }
}

/// A process with a limit of memory, which is the host's part for executables.
fn limited() -> Carrier {
    let text = "ulimit -d $(($1 * 1024)); exec \"$2\"";
    Carrier::Process(["sh", "-c", text, "sh"].map(std::ffi::OsString::from).to_vec())
}

#[tokio::test]
async fn an_executable_that_is_killed_takes_along_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("pid");
    let at_call = format!(
        "import subprocess; child = subprocess.Popen(['sleep', '1000']); open({:?}, 'w').write(str(child.pid)); print('junk', flush=True); time.sleep(1000)",
        mark.display().to_string()
    );
    let plugin = Plugin::start(&bad(folder.path(), &at_call), executable(), limits()).await.unwrap();
    power_of(&plugin, "here").await.unwrap_err();
    let pid = std::fs::read_to_string(&mark).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    support::eventually("the child is gone", || state().is_empty() || state().contains(") Z ")).await;
}

#[tokio::test]
async fn an_executable_that_is_wanted_no_more_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (mark, path) = (folder.path().join("ended"), folder.path().join("polite"));
    let text = format!(
        "#!/bin/sh\necho '{{\"mrp_plugin\":1,\"driver\":\"polite\"}}'\nwhile read line; do :; done\necho > {}\n",
        mark.display()
    );
    let plugin = Plugin::start(&script(&path, &text), executable(), limits()).await.unwrap();
    drop(plugin);
    support::eventually("its input has ended, and it has", || mark.exists()).await;
}

#[tokio::test]
async fn what_says_no_hello_is_refused_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let short = Limits { hello: Duration::from_millis(700), ..limits() };
    for (text, says) in [
        ("#!/bin/sh\nsleep 1000\n", "it did not say hello within 0.7 s"),
        ("#!/bin/sh\nexit 4\n", "it ended with exit code 4"),
        ("#!/bin/sh\necho hello; sleep 1000\n", "it does not say hello, but \"hello\""),
        (
            "#!/bin/sh\necho '{\"mrp_plugin\":1}'; sleep 1000\n",
            "its hello is not understood: missing field `driver`",
        ),
        ("#!/bin/sh\necho '{\"mrp_plugin\":2,\"plugin\":\"x\"}'\n", "it speaks version 2 of the protocol"),
        ("#!/nowhere/python\n", "it ended with exit code 12"),
    ] {
        let path = script(&folder.path().join("silent"), text);
        let error = Plugin::start(&path, executable(), short).await.unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}
