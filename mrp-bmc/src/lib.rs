//! Native IPMI 2.0, BMC drivers and a BMC simulator.
//!
//! [`IpmiBmc`] is the driver `plain`, [`MoonshotBmc`] the driver `moonshot`; [`sim`] is a BMC with a machine behind it that
//! speaks the same protocol, for tests, demonstrations and benchmarks; [`decorators`] wrap any driver; [`plugin`] has the
//! drivers that are not linked in.

pub mod decorators;
mod ipmi;
pub mod plugin;
pub mod sim;

pub use ipmi::{Ipmi, IpmiBmc, IpmiKind, Moonshot, MoonshotBmc, Plain, Quirks};
