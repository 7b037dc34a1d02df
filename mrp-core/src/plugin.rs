//! Drivers that are not linked in: the protocol that they speak, the C ABI that carries it, and [`export_bmc!`](crate::export_bmc).
//!
//! One contract, whatever carries it: an operation's name, a request and a reply in JSON ([`message`]). A dynamic library
//! offers it by the C ABI of [`abi`], an executable by the lines of [`line`](mod@line). `plugins/README.md` is the contract
//! on one page. Console bytes pass through JSON in an executable's lines only.
//!
//! A driver in Rust is a library of its own:
//!
//! ```
//! # use mrp_core::bmc::{Bmc, BmcConfig, BmcError, Capabilities, Node, OpenBmc, Power, PowerAction};
//! #[derive(Debug)]
//! pub struct AcmeBmc;
//!
//! #[async_trait::async_trait]
//! impl Bmc for AcmeBmc {
//! #   fn capabilities(&self) -> Capabilities { Capabilities::default() }
//! #   async fn power(&self, _: &Node) -> Result<Power, BmcError> { Ok(Power::Off) }
//! #   async fn set_power(&self, _: &Node, _: PowerAction) -> Result<(), BmcError> { Ok(()) }
//!     // …
//! }
//!
//! #[async_trait::async_trait]
//! impl OpenBmc for AcmeBmc {
//!     const DRIVER: &'static str = "acme";
//! #   fn options() -> serde_json::Value { serde_json::json!({"type": "object"}) }
//! #   async fn open(_: BmcConfig) -> Result<Self, BmcError> { Ok(Self) }
//!     // …
//! }
//!
//! mrp_core::export_bmc!(AcmeBmc);
//! ```

pub mod abi;
mod error;
pub mod export;
pub mod line;
pub mod message;

pub use error::{ErrorKind, PluginError};
pub use message::{Hello, Operation, Request};

/// The version of the protocol and of the C ABI, a number of their own. Within it fields and operations are only added.
pub const VERSION: u32 = 1;

/// The largest JSON text of a request or reply, in bytes.
pub const MAX_MESSAGE: usize = 1 << 20;

/// Makes a dynamic library out of a driver: the library exports the one symbol `mrp_bmc_driver_v1`.
///
/// The driver runs on a current-thread runtime of the plugin's own, in a thread of its own; a panic fails the call in which it
/// happens. The crate needs `crate-type = ["cdylib"]`. Where the driver is linked into a program too, put the macro into a small
/// library beside it, as `plugins/redfish/library` does: two drivers in one program cannot both define the symbol.
#[macro_export]
macro_rules! export_bmc {
    ($driver:ty) => {
        /// What mrp looks for in a library.
        ///
        /// # Safety
        /// `host` is null or points to a table that lives as long as the process.
        #[allow(
            unsafe_code,
            reason = "the one symbol by which a library is found, in C's calling convention"
        )]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn mrp_bmc_driver_v1(
            host: *const $crate::plugin::abi::MrpHostV1,
        ) -> *const $crate::plugin::abi::MrpDriverV1 {
            // SAFETY: passed on from the caller.
            unsafe { $crate::plugin::export::start::<$driver>(host) }
        }
    };
}
