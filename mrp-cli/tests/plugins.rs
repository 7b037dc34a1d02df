//! Plugins in a running server: what a bad one does is named, and the server and the other BMCs go on.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Home, Ports, Server, serve, until};
use mrp_bmc::sim::{BmcSimulator, SimConfig};

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn compile(source: &Path, library: &Path, flags: &[&str]) {
    let mut cc = Command::new("cc");
    let cc =
        cc.args(["-std=c99", "-fPIC", "-shared", "-fvisibility=hidden", "-I"]).arg(sources().join("plugins"));
    assert!(cc.args(flags).arg("-o").arg(library).arg(source).status().unwrap().success());
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// A folder of plugins, good and bad, and the home of who uses them.
fn folder() -> Home {
    let home = Home::new();
    let plugins = home.path("plugins");
    fs::create_dir(&plugins).unwrap();
    fs::set_permissions(&plugins, Permissions::from_mode(0o755)).unwrap();
    let behaves = sources().join("mrp-bmc/tests/plugin/behaves.c");
    compile(&behaves, &plugins.join("behaves.so"), &[]);
    compile(&behaves, &plugins.join("future.so"), &["-DVERSION=2"]);
    compile(&sources().join("plugins/example-c/example.c"), &plugins.join("example-c.so"), &[]);
    compile(&sources().join("plugins/example-c/example.c"), &plugins.join("twin.so"), &[]);
    fs::write(plugins.join("text.so"), "this is no library\n").unwrap();
    fs::write(plugins.join("README.md"), "no plugin\n").unwrap();
    executable(&plugins.join("everyones"), "#!/bin/sh\n");
    fs::set_permissions(plugins.join("everyones"), Permissions::from_mode(0o777)).unwrap();
    executable(&plugins.join("mute"), "#!/bin/sh\nexit 4\n");
    home.file(
        "mrp.toml",
        format!("[plugins]\ndir = {:?}\ntimeout = \"2s\"\nmemory_mb = 256\n", plugins.display().to_string()),
    );
    home
}

/// What the server logs goes to a file, so that it can be looked at again and again.
fn server(home: &Home, in_process: &str) -> Server {
    let ports = Ports::free();
    let mut command = serve(home, ports);
    command.arg("--config").arg(home.path("mrp.toml")).env("MRP_PLUGINS__IN_PROCESS", in_process);
    let server = Server::spawn(command, ports);
    let password = fs::read_to_string(home.path("data/admin-password")).unwrap();
    home.mrp_with(&["login", &server.url, "--user", "admin", "--password-stdin"], &password).ok();
    server
}

fn add(home: &Home, line: &str) -> harness::Ended {
    home.mrp_with(
        &format!("bmc add {line} --password-stdin").split(' ').collect::<Vec<_>>(),
        "secret of the BMC\n",
    )
}

#[test]
fn a_bad_plugin_harms_the_bmcs_of_its_own_driver_only() {
    let home = folder();
    let server = server(&home, "[]");
    for (bmc, says) in [
        ("segfault", "BMC driver behaves: it was ended by signal 11 (SIGSEGV)"),
        ("leak", "its last words: out of memory"),
        ("broken", "BMC driver behaves: its answer is broken JSON"),
        ("huge", "BMC driver behaves: its answer has 104857600 bytes"),
        ("spin", "spin did not finish reading the power state in time"),
    ] {
        add(&home, &format!("{bmc} {bmc} --driver behaves")).ok();
        if bmc == "segfault" {
            add(&home, "fine fine --driver behaves").ok();
            add(&home, "healthy memory --driver example-c").ok();
        }
        let refused = home.run(&format!("bmc test {bmc}")).code(1).says(&[says]);
        assert!(!refused.err.contains("secret of the BMC"), "{refused:#?}");
        let healthy = home.run("bmc test healthy").ok();
        assert!(healthy.out.contains("the power is off"), "{healthy:#?}");
        until("the plugin is there again", || home.run("bmc test fine").code == Some(0));
    }
    assert_eq!(server.end(rustix::process::Signal::TERM), Some(0));
}

#[test]
fn what_is_not_used_is_listed_with_the_reason() {
    let home = folder();
    let list = home.json("plugin list --config mrp.toml");
    let of = |name: &str| {
        let mut listed = list.as_array().unwrap().iter();
        listed
            .find(|it| it["file"].as_str().is_some_and(|file| file.ends_with(&format!("/{name}"))))
            .unwrap()
            .clone()
    };
    let linked = |it: &&serde_json::Value| it["file"].is_null() && it["carrier"] == "linked in";
    let linked: Vec<_> = list.as_array().unwrap().iter().filter(linked).map(|it| &it["driver"]).collect();
    assert_eq!(linked, ["moonshot", "plain", "redfish"]);
    assert_eq!(list.as_array().unwrap().len(), 7 + linked.len(), "{list}");
    assert_eq!(
        (of("behaves.so")["driver"].as_str(), of("behaves.so")["carrier"].as_str()),
        (Some("behaves"), Some("process"))
    );
    for (name, says) in [
        ("future.so", "it speaks version 2 of the ABI, this mrp speaks 1"),
        ("text.so", "it is no library that can be loaded"),
        ("everyones", "may be written by everyone"),
        ("mute", "it ended with exit code 4"),
    ] {
        let reason = of(name)["refused"].as_str().unwrap().to_owned();
        assert!(reason.contains(says), "{name}: {reason}");
    }
    let server = server(&home, "[\"example-c.so\"]");
    let refused = add(&home, "bmc-1 x --driver future").code(1);
    refused.says(&["there is no driver \"future\"", "behaves, example-c, ", "plain"]);
    let refused = add(&home, "bmc-1 x --driver example-c --option colour=3").code(1);
    refused.says(&["there is no option \"colour\""]);
    add(&home, "bmc-1 memory --driver example-c").ok();
    assert!(home.run("bmc test bmc-1").ok().out.contains("the power is off"));
    let doctor = home.mrp(&["doctor", "--config", "mrp.toml"]);
    for words in ["twin.so is not used: there is a driver \"example-c\" already", "everyones is not used"] {
        assert!(doctor.out.contains(words), "{words}: {doctor:#?}");
    }
    drop(server);
    fs::set_permissions(home.path("plugins"), Permissions::from_mode(0o777)).unwrap();
    let list = home.json("plugin list --config mrp.toml");
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .all(|it| it["file"].is_null() || it["refused"].as_str().unwrap().contains("everyone")),
        "{list}"
    );
}

#[test]
fn a_configuration_that_names_no_library_is_refused() {
    let home = folder();
    let refused = serve(&home, Ports::free())
        .arg("--config")
        .arg(home.path("mrp.toml"))
        .env("MRP_PLUGINS__IN_PROCESS", "[\"acme.so\"]")
        .output()
        .unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && words.contains("has no library \"acme.so\"; there is: behaves.so"),
        "{words}"
    );
    let refused = serve(&home, Ports::free()).env("MRP_PLUGINS__DIR", "/nowhere").output().unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("plugins.dir /nowhere"), "{words}");
}

#[test]
fn check_describe_and_their_exit_codes() {
    let home = folder();
    home.file("memory.json", r#"{"address": "memory"}"#);
    let check = home.run("plugin check plugins/example-c.so --config memory.json").ok();
    assert!(check.out.contains("ok       off switches off") && check.out.contains("0 failed"), "{check:#?}");
    home.run("plugin check plugins/example-c.so --config memory.json --in-process").ok();
    let json = home.json("plugin check plugins/example-c.so --config memory.json");
    let case = json.as_array().unwrap().iter().find(|it| it["verdict"] == "skipped").unwrap();
    assert!(case["undeclared"].is_string(), "{case}");
    home.file("twice.json", r#"{"address": "twice"}"#);
    let check = home.run("plugin check plugins/behaves.so --config twice.json --patience 1s").code(1);
    assert!(check.out.contains("FAILED   each call is answered once"), "{check:#?}");
    home.file("wrong.json", r#"{"address": "memory", "options": {"colour": 3}}"#);
    home.run("plugin check plugins/example-c.so --config wrong.json")
        .code(1)
        .says(&["wrong.json", "there is no option \"colour\""]);
    home.file("typo.json", r#"{"adress": "memory"}"#);
    home.run("plugin check plugins/example-c.so --config typo.json").code(1).says(&["typo.json", "adress"]);
    home.run("plugin check plugins/text.so --config memory.json").code(1).says(&["plugins/text.so: it "]);
    let described = home.run("plugin describe plugins/behaves.so").ok();
    assert!(described.out.contains("behaves") && described.out.contains("console"), "{described:#?}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let ipmi = BmcSimulator::start(([127, 0, 0, 1], 0).into(), SimConfig::default());
    let ipmi = runtime.block_on(ipmi).unwrap();
    home.file(
        "plain.json",
        format!(r#"{{"address": "{}", "username": "admin", "password": "admin"}}"#, ipmi.local_addr()),
    );
    let check = home.run("plugin check plain --config plain.json").ok();
    assert!(check.out.contains("ok       off switches off") && check.out.contains("0 failed"), "{check:#?}");
    assert_eq!(ipmi.sessions(), 0, "its session was closed");
    let described = home.run("plugin describe redfish").ok();
    assert!(described.out.contains("option fingerprint, string: SHA-256"), "{described:#?}");
    let schema = &home.json("plugin describe redfish")["options"];
    assert_eq!(schema["properties"]["auth"]["default"], "session");
    let described =
        home.mrp(&["plugin", "describe", &sources().join("plugins/shell/shell").display().to_string()]).ok();
    assert!(described.out.contains("option status (required), array"), "{described:#?}");
}
