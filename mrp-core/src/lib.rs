//! The nouns of mrp, their rules, the traits behind which the world lies, and the service layer.
pub mod bmc;
pub mod secret;
