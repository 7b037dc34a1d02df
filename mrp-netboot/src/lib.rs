//! TFTP, boot configurations, answer files and the dnsmasq backend.

pub mod boot_source;
pub mod dnsmasq;
mod lint;
pub mod neighbours;
pub mod render;
pub mod tftp;
