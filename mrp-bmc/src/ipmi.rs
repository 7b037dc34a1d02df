//! IPMI 2.0 over RMCP+, from the wire up: messages ([`wire`]), cipher suites ([`crypto`]), a session's packets
//! ([`channel`]), the state machines of a session ([`session`]) and of the serial console in it ([`sol`]), and the driver that
//! gives them a socket and the time.

pub(crate) mod channel;
pub(crate) mod crypto;
mod driver;
mod options;
pub(crate) mod session;
pub(crate) mod sol;
pub(crate) mod wire;

pub use driver::IpmiBmc;
pub(crate) use driver::override_of;
pub(crate) use options::privilege_level;
