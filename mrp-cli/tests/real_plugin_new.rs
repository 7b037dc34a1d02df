//! What `mrp plugin new --lang rust` makes is built with cargo and passes `mrp plugin check` against its own simulator, in
//! both carriers. Apart from the quick tests, because it builds mrp-core and all that it needs once more.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::Home;

/// Kept between runs, so that only the first one is long.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-new")
}

#[test]
fn a_new_plugin_in_rust_passes_against_its_own_simulator() {
    let (home, sources) = (Home::new(), Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    home.mrp(&["plugin", "new", "acme-9000", "--lang", "rust"]).code(2).says(&["--mrp"]);
    home.mrp(&["plugin", "new", "acme-9000", "--lang", "rust", "--mrp", "/nowhere"])
        .code(1)
        .says(&["/nowhere"]);
    assert!(!home.path("acme-9000").exists());
    home.mrp(&["plugin", "new", "acme-9000", "--lang", "rust", "--mrp", &sources.display().to_string()]).ok();
    home.run("plugin new acme-9000 --lang python").code(1).says(&["acme-9000", "exists"]);
    // The versions of these sources, which are at hand without a network.
    std::fs::copy(sources.join("Cargo.lock"), home.path("acme-9000/Cargo.lock")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--lib", "--example", "simulator"]).current_dir(home.path("acme-9000"));
    assert!(cargo.env("CARGO_TARGET_DIR", target()).status().unwrap().success());
    let mut simulator = Command::new(target().join("debug/examples/simulator"));
    let mut simulator = simulator.arg("0").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(simulator.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().rsplit(' ').next().unwrap().to_owned();
    let config = std::fs::read_to_string(home.path("acme-9000/bmc.json")).unwrap();
    let config = home.file("bmc.json", config.replace("127.0.0.1:7700", &address));
    let library = target().join("debug/libacme_9000.so").display().to_string();
    for carrier in [["--output", "table"].as_slice(), &["--in-process"]] {
        let check =
            home.mrp(&[["plugin", "check", &library, "--config", &config].as_slice(), carrier].concat()).ok();
        assert!(check.out.contains("0 failed"), "{check:#?}");
    }
    simulator.kill().unwrap();
    simulator.wait().unwrap();
}
