//! Network namespaces of a test's own, and programs in them. Needs root.

#![allow(dead_code, reason = "each test uses its part")]

use std::process::{Child, Command};

/// Runs a program and gives its output; panics where it fails.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run ({error}); install it"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}");
    text
}

/// A program that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace that ends with the test.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    /// Makes one.
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("mrp-{name}-{}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let this = Self(name);
        this.ip("link set lo up");
        this
    }

    /// Runs `ip` in it.
    pub(crate) fn ip(&self, arguments: &str) {
        let arguments: Vec<&str> = ["-n", &self.0].into_iter().chain(arguments.split(' ')).collect();
        run("ip", &arguments);
    }

    /// A program in it, to be started.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }

    /// Moves the current thread into it; threads that it starts are there too.
    pub(crate) fn enter(&self) {
        let file = std::fs::File::open(format!("/run/netns/{}", self.0)).expect("the namespace is there");
        nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET)
            .expect("the tests of the network run as root");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}
