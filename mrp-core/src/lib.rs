//! The nouns of mrp, their rules, the traits behind which the world lies, and the service layer.
//!
//! Nouns, one a file: [`user`], [`token`], [`arch`], [`bmc_entry`], [`network`], [`machine`], [`image`], [`answer_file`], [`run`],
//! [`event`], [`lease`], [`sighting`], [`console`], [`claim`]. Traits: [`bmc`], [`store`], [`blob`], [`dhcp`], [`render`], [`clock`], [`peer`].
//! Drivers that are not linked in: [`plugin`].
//! In front of each BMC stands its [`governor`], which knows its [`health`].
//! What a client that netboots gets is decided in [`boot`] and in the service.

pub mod actor;
pub mod answer_file;
pub mod api;
pub mod arch;
pub mod blob;
pub mod bmc;
pub mod bmc_entry;
pub mod boot;
pub mod claim;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod console;
pub mod dhcp;
pub mod error;
pub mod event;
pub mod firmware;
pub mod governor;
pub mod health;
pub mod id;
pub mod image;
pub mod import;
pub mod lease;
pub mod lint;
pub mod login;
pub mod mac;
pub mod machine;
pub mod network;
pub mod password;
pub mod peer;
pub mod plugin;
pub mod query;
pub mod render;
pub mod retention;
pub mod run;
pub mod secret;
pub mod service;
pub mod sighting;
pub mod store;
pub mod token;
pub mod upload;
pub mod user;

pub use actor::Actor;
pub use error::Error;
pub use service::{Provisioner, Settings};
