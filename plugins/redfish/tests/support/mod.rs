//! What the tests share: a simulated service and the driver that is pointed at it.

pub(crate) mod machine;
/// How tests host a plugin.
#[path = "../../../../mrp-bmc/tests/support/plugins.rs"]
#[allow(dead_code, reason = "it has plugins in C and Python too")]
pub(crate) mod plugins;
pub(crate) mod service;
pub(crate) mod sim;

use mrp_core::bmc::{Bmc, BmcConfig, BmcError, Node, OpenBmc};
use mrp_redfish::RedfishBmc;
use serde_json::{Value, json};

use machine::merge;
use service::Shape;
use sim::Simulator;

/// What opens the simulated service: its certificate pinned, and more options.
pub(crate) fn config(simulator: &Simulator, options: Value) -> BmcConfig {
    let mut all = json!({"fingerprint": fingerprint(&simulator.der)});
    merge(&mut all, &options);
    plugins::config(&simulator.address.to_string(), all)
}

/// As openssl prints it.
pub(crate) fn fingerprint(certificate: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(certificate).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// A service of a shape and the driver.
pub(crate) async fn start(shape: Shape) -> (Simulator, RedfishBmc) {
    start_with(shape, json!({})).await
}

/// The same with options.
pub(crate) async fn start_with(shape: Shape, options: Value) -> (Simulator, RedfishBmc) {
    let simulator = Simulator::start(shape).await;
    let bmc = open(&simulator, options).await;
    (simulator, bmc)
}

pub(crate) async fn open(simulator: &Simulator, options: Value) -> RedfishBmc {
    RedfishBmc::open(config(simulator, options)).await.expect("the configuration is right")
}

/// The error of reading the power state.
pub(crate) async fn power_error(bmc: &dyn Bmc) -> BmcError {
    bmc.power(&Node::default()).await.expect_err("it fails")
}
