//! The plugins of the folder `plugins` pass the suite, and each of three defects in each of them fails the case that names it.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mrp_bmc::plugin::{Carrier, Plugin};
use mrp_core::bmc::{Bmc, BmcConfig, BmcError, Drivers, Node};
use mrp_core::conformance::{Report, Verdict, bmc};
use serde_json::{Value, json};
use support::plugins::{
    Simulator, become_host, compile, config, executable, isolated, limits, script, sources,
};

#[test]
fn host_process() {
    become_host();
}

async fn check(path: &Path, carrier: Carrier, config: BmcConfig) -> Report {
    let plugin = Plugin::start(path, carrier, limits()).await.unwrap();
    let mut drivers = Drivers::new();
    plugin.register(&mut drivers).unwrap();
    let opened = drivers.open(&plugin.hello().driver, config).await.unwrap();
    // The nodes change at once; only a mutant uses it up.
    let report = bmc::run_within(Duration::from_secs(2), &*opened, &Node("4".into())).await;
    assert_eq!(plugin.strays().await, 0, "each call is answered once");
    report
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(sources().join(path)).unwrap()
}

/// The source with one thing broken.
fn mutant(source: &str, defect: (&str, &str)) -> String {
    assert_eq!(source.matches(defect.0).count(), 1, "{:?} stands there once", defect.0);
    source.replace(defect.0, defect.1)
}

/// The case fails, and with so many words; a mutant that is sound in the rest fails little else.
fn names(report: &Report, case: &str) {
    let failed =
        report.0.iter().any(|(name, verdict)| *name == case && matches!(verdict, Verdict::Failed(_)));
    assert!(failed, "{case:?} is not named\n{report}");
}

const IGNORES_OFF: &str = "off switches off";
const LOSES_BOOT: &str = "each boot device is read back, EFI and legacy";
const SOFT_UNDECLARED: &str = "soft shutdown is unsupported unless declared";
const BOOT_UNDECLARED: &str = "setting the boot device is unsupported unless declared";

#[tokio::test]
async fn the_plugin_in_c_passes_and_its_mutants_are_named() {
    let (source, folder) = (text_of("example-c/example.c"), tempfile::tempdir().unwrap());
    let build = |name: &str, source: &str| {
        let path = folder.path().join(name);
        compile(source, &path, &[]);
        path
    };
    let sound = build("sound.so", &source);
    for carrier in [Carrier::InProcess, isolated()] {
        let report = check(&sound, carrier, config("memory", json!({}))).await;
        assert!(report.passed(), "{report}");
    }
    for (name, defect, case) in [
        (
            "power.so",
            ("bmc->on = !strstr(json, \"\\\"action\\\":\\\"off\\\"\");", "bmc->on = 1;"),
            IGNORES_OFF,
        ),
        ("boot.so", ("\"%126[^}]\", bmc->boot)", "\"%126[^}]\", (char[128]){0})"), LOSES_BOOT),
        ("soft.so", (" && !strstr(json, \"\\\"action\\\":\\\"soft\\\"\")", ""), SOFT_UNDECLARED),
    ] {
        let broken = build(name, &mutant(&source, defect));
        for carrier in [Carrier::InProcess, isolated()] {
            names(&check(&broken, carrier, config("memory", json!({}))).await, case);
        }
    }
}

#[tokio::test]
async fn the_plugin_in_python_passes_and_its_mutants_are_named() {
    let (source, folder, simulator) =
        (text_of("example-python/example-python.py"), tempfile::tempdir().unwrap(), Simulator::start());
    let config = || config(&simulator.address, json!({}));
    let report = check(&sources().join("example-python/example-python.py"), executable(), config()).await;
    assert!(report.passed(), "{report}");
    for (defect, case) in [
        (("self.ask(f\"power {action}\")", "self.ask(\"power on\")"), IGNORES_OFF),
        (("self.ask(f\"boot {boot['device']} {mode} {times}\")", "pass"), LOSES_BOOT),
        (("\"soft_power\": True, ", ""), SOFT_UNDECLARED),
    ] {
        let broken = script(&folder.path().join("broken"), &mutant(&source, defect));
        names(&check(&broken, executable(), config()).await, case);
    }
}

/// A script that switches outlets, which are files.
const OUTLETS: &str = r#"#!/bin/sh
[ "$MRP_USERNAME:$MRP_PASSWORD" = admin:admin ] || { echo "who are you?" >&2; exit 1; }
outlet="$(dirname "$0")/outlet-$2-$3"
case $1 in
    status) cat "$outlet" 2>/dev/null || echo off;;
    *) echo "$1" > "$outlet";;
esac
"#;

fn scripts(folder: &Path) -> (PathBuf, Value) {
    let outlets = script(&folder.join("outlets"), OUTLETS);
    let run = |action: &str| json!([outlets, action]);
    let options = json!({"status": run("status"), "on": run("on"), "off": run("off")});
    (outlets, options)
}

#[tokio::test]
async fn the_plugin_for_scripts_passes_and_its_mutants_are_named() {
    let (source, folder) = (text_of("shell/shell"), tempfile::tempdir().unwrap());
    let (outlets, options) = scripts(folder.path());
    let report = check(&sources().join("shell/shell"), executable(), config("rack", options.clone())).await;
    assert!(report.passed(), "{report}");
    let mut more = options.clone();
    more["soft"] = json!([outlets, "off"]);
    more["reset"] = json!([outlets, "on"]);
    let report = check(&sources().join("shell/shell"), executable(), config("rack", more)).await;
    assert!(report.passed() && report.0.contains(&("reset leaves the node on", Verdict::Passed)), "{report}");
    for (defect, case) in [
        (("            self.run(action, node)\n", "            self.run(\"on\", node)\n"), IGNORES_OFF),
        (("raise Failed(\"unsupported\", f\"there is no script for {action}\")", "pass"), SOFT_UNDECLARED),
        (("raise Failed(\"unsupported\", f\"{call} is not what scripts do\")", "return {}"), BOOT_UNDECLARED),
    ] {
        let broken = script(&folder.path().join("broken"), &mutant(&source, defect));
        names(&check(&broken, executable(), config("rack", options.clone())).await, case);
    }
}

#[tokio::test]
async fn what_scripts_do_wrong_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = Plugin::start(&sources().join("shell/shell"), executable(), limits()).await.unwrap();
    let (_, sound) = scripts(folder.path());
    let asked = async |status: Value| {
        let mut options = sound.clone();
        options["status"] = status;
        options["timeout_s"] = json!(1);
        let bmc = plugin.open(config("10.0.0.7", options)).await.unwrap();
        bmc.power(&Node("4".into())).await
    };
    for (status, kind, says) in [
        (json!(["/nowhere/script"]), "config", "option status: /nowhere/script: No such file"),
        (json!(["sh", "-c", "echo perhaps"]), "protocol", "printed 'perhaps'"),
        (json!(["sh", "-c", "echo dead fuse >&2; exit 1"]), "protocol", "ended with 1: dead fuse"),
        (json!(["sh", "-c", "exit 2"]), "unreachable", "10.0.0.7 does not answer"),
        (json!(["sh", "-c", "sleep 1000 & sleep 1000"]), "timeout", "in time"),
        (json!(["sh", "-c", "echo $1 $2", "sh"]), "protocol", "'10.0.0.7 4'"),
    ] {
        let error = asked(status.clone()).await.unwrap_err();
        let found = match error {
            BmcError::Config(_) => "config",
            BmcError::Protocol { .. } => "protocol",
            BmcError::Unreachable { .. } => "unreachable",
            BmcError::Timeout { .. } => "timeout",
            _ => "other",
        };
        assert!(found == kind && error.to_string().contains(says), "{status}: {error}");
    }
    let mut drivers = Drivers::new();
    plugin.register(&mut drivers).unwrap();
    let mut wrong = sound.clone();
    wrong["on"] = json!("reboot");
    let refused = drivers.open("shell", config("x", wrong)).await.unwrap_err().to_string();
    assert!(refused.contains("option on: \"reboot\" is not of type \"array\""), "{refused}");
}

/// A smart plug with the Tasmota firmware.
fn plug() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut power = "OFF".to_owned();
        for client in listener.incoming().map(Result::unwrap) {
            let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            for _ in lines.take_while(|line| !line.is_empty()) {}
            let wanted =
                request.strip_prefix("GET /cm?cmnd=Power%20").and_then(|rest| rest.split(' ').next());
            if let Some(wanted @ ("on" | "off")) = wanted {
                power = wanted.to_uppercase();
            }
            let body = json!({"POWER": power}).to_string();
            let _ = write!(&client, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[tokio::test]
async fn the_first_plugin_of_the_readme_passes() {
    let (readme, folder) = (text_of("README.md"), tempfile::tempdir().unwrap());
    let source = readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let path = script(&folder.path().join("tasmota"), source);
    let report = check(&path, executable(), config(&plug(), json!({}))).await;
    assert!(report.passed(), "{report}");
    let plugin = Plugin::start(&path, executable(), limits()).await.unwrap();
    let nobody = plugin.open(config("127.0.0.1:9", json!({}))).await.unwrap();
    let error = nobody.power(&Node::default()).await.unwrap_err();
    assert!(matches!(error, BmcError::Unreachable { .. }), "{error}");
}

#[test]
fn the_lines_of_the_readme_are_the_protocols() {
    let readme = text_of("README.md");
    let blocks: Vec<&str> =
        readme.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [written, read] = blocks.as_slice() else { panic!("two blocks of JSON") };
    for line in written.lines() {
        mrp_core::plugin::line::ToPlugin::parse(line.as_bytes()).unwrap();
    }
    let (hello, messages) = read.split_once('\n').unwrap();
    let hello: mrp_core::plugin::Hello = serde_json::from_str(hello).unwrap();
    assert!(hello.mrp_plugin == mrp_core::plugin::VERSION && hello.capabilities.set_boot);
    for line in messages.lines() {
        mrp_core::plugin::line::FromPlugin::parse(line.as_bytes()).unwrap();
    }
}
