//! What the tests of the driver share: a driver that is pointed at a simulator.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;

use mrp_bmc::IpmiBmc;
use mrp_bmc::sim::{BmcSimulator, SimConfig};
use mrp_core::bmc::{BmcConfig, OpenBmc, Privilege};
use mrp_core::secret::Secret;
use serde_json::{Value, json};

/// A simulated BMC on a free port of the loopback.
pub(crate) async fn simulator(config: SimConfig) -> BmcSimulator {
    BmcSimulator::start(SocketAddr::from(([127, 0, 0, 1], 0)), config)
        .await
        .expect("a free port of the loopback")
}

/// What opens a BMC with the simulator's account.
pub(crate) fn config(address: SocketAddr, options: Value) -> BmcConfig {
    let Value::Object(options) = options else { panic!("options are an object") };
    BmcConfig {
        address: address.to_string(),
        username: "admin".into(),
        password: Secret::new("admin"),
        privilege: Privilege::Admin,
        options,
    }
}

/// The driver; it waits long enough for a busy machine not to make it repeat itself.
pub(crate) async fn driver(address: SocketAddr) -> IpmiBmc {
    driver_with(address, json!({"retry_ms": 1000, "tries": 4})).await
}

/// The driver with options.
pub(crate) async fn driver_with(address: SocketAddr, options: Value) -> IpmiBmc {
    IpmiBmc::open(config(address, options)).await.expect("the configuration is right")
}

/// Waits for something that happens without anybody saying so.
pub(crate) async fn eventually(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..1000 {
        if happened() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it does not happen: {what}");
}
