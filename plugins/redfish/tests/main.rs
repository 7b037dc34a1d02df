//! The driver `redfish` against a simulated service: one program for all tests.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod conformance;
mod faults;
mod support;
mod trust;
mod vendors;

#[test]
fn host_process() {
    support::plugins::become_host();
}
