//! The invariants of README.md, "The map of the code".

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Names of the packages that a crate depends on, at any depth, without those for its tests.
fn depends_on(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "-e",
            "normal",
            "--prefix",
            "none",
            "-f",
            "{lib}",
            "-p",
            package,
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn core_depends_on_no_socket_sql_or_http() {
    let tree = depends_on("mrp-core");
    assert!(tree.contains("tokio"), "the tree was read: {tree:?}");
    for forbidden in
        ["mio", "socket2", "sqlx", "hyper", "http", "warp", "reqwest", "minijinja", "rustls", "libloading"]
    {
        assert!(!tree.contains(forbidden), "mrp-core depends on {forbidden}");
    }
    let features = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "-e",
            "normal,features",
            "--prefix",
            "none",
            "-p",
            "mrp-core",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let features = String::from_utf8(features.stdout).unwrap();
    for forbidden in ["net", "fs", "process", "full"] {
        let feature = format!("tokio feature \"{forbidden}\"");
        assert!(!features.lines().any(|line| line.starts_with(&feature)), "mrp-core uses {feature}");
    }
}

#[test]
fn web_netboot_bmc_and_store_do_not_know_each_other() {
    let crates = ["mrp-web", "mrp-netboot", "mrp-bmc", "mrp-store"];
    for package in crates {
        let tree = depends_on(package);
        assert!(tree.contains("mrp_core"), "{package} knows mrp-core: {tree:?}");
        for other in crates.into_iter().filter(|other| *other != package) {
            assert!(!tree.contains(&other.replace('-', "_")), "{package} depends on {other}");
        }
    }
}

#[test]
fn only_wiring_names_concrete_types() {
    let mut files = Vec::new();
    sources(&root().join("mrp-cli/src"), &mut files);
    assert!(files.len() > 10, "the sources were found");
    for file in files.into_iter().filter(|file| !file.ends_with("wiring.rs")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for concrete in [
            "IpmiBmc",
            "MoonshotBmc",
            "RedfishBmc",
            "SqlStore",
            "FsBlobs",
            "MiniRenderer",
            "DnsmasqBackend",
            "KernelNeighbours",
            "ImageFolder",
        ] {
            assert!(!text.contains(concrete), "{} names {concrete}", file.display());
        }
    }
}

#[test]
fn state_machines_have_no_clock_randomness_await_or_log() {
    for file in [
        "mrp-core/src/run.rs",
        "mrp-bmc/src/ipmi/session.rs",
        "mrp-bmc/src/ipmi/session/login.rs",
        "mrp-bmc/src/ipmi/sol.rs",
        "mrp-bmc/src/ipmi/bridge.rs",
        "mrp-netboot/src/tftp/transfer.rs",
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        for forbidden in ["::now()", "rand", ".await", "async ", "tracing::"] {
            let line =
                text.lines().find(|line| line.contains(forbidden) && !line.trim_start().starts_with("//"));
            assert_eq!(line, None, "{file} has {forbidden}");
        }
    }
}

#[test]
fn the_audit_log_is_only_added_to() {
    let mut files = Vec::new();
    sources(&root().join("mrp-store/src"), &mut files);
    let mut removes = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("UPDATE audit"), "{} changes audit entries", file.display());
        if text.contains("DELETE FROM audit") {
            removes.push(file);
        }
    }
    assert_eq!(removes, [root().join("mrp-store/src/sql/retention.rs")]);
}

#[test]
fn the_map_of_the_readme_is_the_disk() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let map =
        readme.split("## The map of the code").nth(1).and_then(|rest| rest.split("```").nth(1)).unwrap();
    let (mut folder, mut named) = (String::new(), BTreeSet::new());
    for line in map.lines().filter(|line| !line.is_empty()) {
        let word = line.split_whitespace().next().unwrap();
        if !line.starts_with(' ') {
            folder = word.to_owned();
            named.insert(folder.clone());
        }
        // A path is a word with a slash or an ending, up to the first comma or semicolon.
        let paths = line.split([' ', ',', ';', '(', ')', ':']).filter(|word| word.starts_with("src/"));
        for path in paths {
            let full = root().join(&folder).join(path.trim_end_matches('.'));
            assert!(full.exists() || full.with_extension("rs").exists(), "README names {folder}/{path}");
        }
        assert!(root().join(&folder).is_dir(), "README names {folder}");
    }
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    for member in members.split(',').map(|member| member.trim().trim_matches('"')).filter(|m| !m.is_empty()) {
        assert!(named.contains(member), "README's map lacks {member}");
    }
}

/// Splits a command line as a shell does with double quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[test]
fn the_commands_of_the_readme_are_understood() {
    let text = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let readme = text("README.md") + &text("docs/cli.md");
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let mut commands = 0;
    for block in readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        for line in block.lines().map(|line| line.split(['<', '>']).next().unwrap().trim()) {
            commands += 1;
            if let Some(target) = line.strip_prefix("make ") {
                assert!(makefile.contains(&format!("\n{target}:")), "make has no target {target}");
            } else if let Some(arguments) =
                line.strip_prefix("mrp ").or(line.strip_prefix("target/release/mrp "))
            {
                // `--help` behind the arguments: clap refuses what it does not know before it prints help.
                let words = words(arguments);
                let mut command = Command::new(env!("CARGO_BIN_EXE_mrp"));
                let status = command.args(&words).arg("--help").output().unwrap();
                assert!(status.status.success(), "{line}: {}", String::from_utf8_lossy(&status.stderr));
            }
        }
    }
    assert!(commands > 15, "the commands were found: {commands}");
}
