//! TFTP, boot configurations, answer files and the dnsmasq backend.

pub mod dnsmasq;
pub mod neighbours;
pub mod render;
