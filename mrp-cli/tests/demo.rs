//! `mrp demo`: it ends ready, each broken part has its verdict, and what it shows is what happened.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;

use std::process::{Command, Stdio};

use harness::{Home, wait_for};
use mrp_cli::client::Client;
use mrp_core::api;
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn each_broken_part_has_its_verdict() {
    let breaks = [
        ("tftp", "address given by DHCP, but no boot loader requested within 4 s"),
        ("bmc", "refuses the login"),
        ("http", "kernel fetched, but no answer file requested within 4 s"),
        ("answer-file", "cannot be rendered"),
        ("loop", "a netboot loop, broken"),
    ];
    let demos = breaks.map(|(part, verdict)| {
        std::thread::spawn(move || {
            let home = Home::new();
            let ended = home.mrp(&["demo", "--break", part]).code(1);
            let last = ended.out.lines().last().unwrap();
            assert!(last.contains("failed") && last.contains(verdict), "{part}: {}", ended.out);
            let left: Vec<_> = std::fs::read_dir(home.0.path()).unwrap().collect();
            assert!(left.is_empty(), "{part} leaves {left:?}");
        })
    });
    for demo in demos {
        demo.join().unwrap();
    }
}

#[test]
fn once_ends_when_the_machine_is_ready() {
    let ended = Home::new().run("demo --once").ok();
    assert!(ended.out.trim_end().ends_with("ready: the machine phoned home"), "{}", ended.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_what_happened_and_what_is_proposed_works() {
    let home = Home::new();
    let mut demo = home.command(&["demo"]).stdout(Stdio::piped()).spawn().unwrap();
    let shown = wait_for(demo.stdout.take().unwrap(), "Ctrl-C ends it.");
    let url =
        shown.iter().find_map(|line| line.split("mrp serves at ").nth(1)).unwrap().split(',').next().unwrap();

    let client = Client::login(url, "demo", "demo-password").await.unwrap();
    let run: api::Run = client.get("/run/1").await.unwrap();
    for stage in &run.stages {
        let line = format!(" s  {}", stage.stage.as_str());
        assert!(shown.iter().any(|shown| shown.contains(&line)), "{line}: {shown:#?}");
    }
    for image in client.get::<Vec<api::Image>>("/image").await.unwrap() {
        let detail: api::ImageDetail = client.get(&format!("/image/{}/detail", image.id)).await.unwrap();
        let fetched = run.stages.iter().filter(|stage| stage.bytes == Some(detail.size)).count();
        assert_eq!(fetched, 1, "{} was fetched whole: {:?}", image.name, run.stages);
    }
    let commands: Vec<&String> =
        shown.iter().filter(|line| line.starts_with("  ") && line.contains("/mrp ")).collect();
    assert_eq!(commands.len(), 3, "{shown:#?}");
    for command in commands {
        let output = Command::new("sh").args(["-c", command]).env("HOME", home.0.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}: {said} {}", String::from_utf8_lossy(&output.stderr));
    }
    let runs: Vec<api::Run> = client.get("/run").await.unwrap();
    assert_eq!(runs.iter().map(|run| run.status.as_str()).collect::<Vec<_>>(), ["ready", "ready"]);

    kill_process(Pid::from_raw(i32::try_from(demo.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    let left = std::fs::read_dir(home.0.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name() != ".config")
        .count();
    assert_eq!(left, 0, "the demo's folder goes with it");
}
