//! What the DHCP server said.

use std::net::Ipv4Addr;

use crate::id::Timestamp;
use crate::mac::MacAddr;

/// The last lease of a MAC address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The client.
    pub mac: MacAddr,
    /// Its address.
    pub ipv4: Ipv4Addr,
    /// When the lease was last given or renewed.
    pub last_seen: Timestamp,
}

/// A MAC address that asked for an address and belongs to no machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// The client.
    pub mac: MacAddr,
    /// The host name it sent (option 12).
    pub hostname: Option<String>,
    /// Its architecture (option 93, RFC 4578, 2.1).
    pub client_arch: Option<u16>,
    /// Its vendor class (option 60).
    pub vendor_class: Option<String>,
    /// When it last asked.
    pub last_seen: Timestamp,
}
