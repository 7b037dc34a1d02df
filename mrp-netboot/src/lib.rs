//! TFTP, boot configurations, answer files, the dnsmasq backend and the observer of DHCP.

pub mod boot_source;
pub mod dnsmasq;
mod lint;
pub mod neighbours;
pub mod observer;
pub mod render;
pub mod tftp;
pub mod vendors;
