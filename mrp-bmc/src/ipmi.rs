//! IPMI 2.0 over RMCP+, from the wire up: messages ([`wire`]), cipher suites ([`crypto`]), a session's packets
//! ([`channel`]), the state machines of a session ([`session`]) and of the serial console in it ([`sol`]), and the driver that
//! gives them a socket and the time.

mod bridge;
pub(crate) mod channel;
pub(crate) mod crypto;
mod driver;
mod options;
pub(crate) mod session;
pub(crate) mod sol;
pub(crate) mod wire;

pub(crate) use driver::override_of;
pub use driver::{Ipmi, IpmiBmc, IpmiKind, Moonshot, MoonshotBmc, Plain};
pub use options::Quirks;
pub(crate) use options::privilege_level;
