//! The driver `redfish`: BMCs that speak Redfish (DMTF DSP0266) over HTTPS.
//!
//! Everything is found by following links from the service root; no path but that one is known. What vendors do differently
//! is told from their answers, so that no list of vendors is kept: see `boot` and `power`, and the tests named after them.

mod answer;
mod boot;
mod console;
mod driver;
mod options;
mod power;
mod service;
mod system;
mod task;
mod trust;

pub use driver::RedfishBmc;
