//! IPMI 2.0 over RMCP+, from the wire up: messages ([`wire`]), cipher suites ([`crypto`]), a session's packets
//! ([`channel`]), the console's state machine ([`session`]) and the driver that gives it a socket and the time.

pub(crate) mod channel;
pub(crate) mod crypto;
mod driver;
mod options;
mod session;
pub(crate) mod wire;

pub use driver::IpmiBmc;
pub(crate) use driver::override_of;
pub(crate) use options::privilege_level;
