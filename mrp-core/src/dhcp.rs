//! What mrp tells the site's DHCP server, and what it hears of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;

use crate::mac::MacAddr;
use crate::machine::hostname_of;
use crate::network::NetworkAddress;

/// An address that the DHCP server gives to one client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DhcpHost {
    /// The client.
    pub mac: MacAddr,
    /// Its address.
    pub ipv4: Ipv4Addr,
    /// Its host name.
    pub hostname: String,
}

impl From<NetworkAddress> for DhcpHost {
    fn from(address: NetworkAddress) -> Self {
        let hostname = hostname_of(&address.machine_name);
        Self { mac: address.mac, ipv4: address.address, hostname }
    }
}

/// Why the DHCP server could not be told.
#[derive(Debug, thiserror::Error)]
#[error("the DHCP backend failed: {message}")]
pub struct DhcpError {
    /// What went wrong and what to do.
    pub message: String,
}

/// The site's DHCP server, as far as mrp steers it.
#[async_trait]
pub trait DhcpBackend: fmt::Debug + Send + Sync {
    /// False for a server that is not steered: the table is not even made for it.
    fn steers(&self) -> bool {
        true
    }

    /// Makes the server give exactly these addresses. Called at start and after each change; calling it
    /// again with the same table changes nothing.
    async fn apply(&self, hosts: &[DhcpHost]) -> Result<(), DhcpError>;

    /// Looks whether the server has what was applied last, and mends it where it does not; called every few seconds. Says
    /// what was mended, in words.
    async fn tend(&self) -> Result<Option<String>, DhcpError> {
        Ok(None)
    }
}

/// A DHCP server that mrp does not steer, or one whose hook fetches what it needs by HTTP.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDhcpBackend;

#[async_trait]
impl DhcpBackend for NoDhcpBackend {
    fn steers(&self) -> bool {
        false
    }

    async fn apply(&self, _hosts: &[DhcpHost]) -> Result<(), DhcpError> {
        Ok(())
    }
}

/// Tells which MAC address the kernel sees behind an address of a directly connected network.
pub trait Neighbours: fmt::Debug + Send + Sync {
    /// The MAC address behind an IP address, if the kernel knows it.
    fn mac(&self, address: IpAddr) -> Option<MacAddr>;
}

/// No knowledge of neighbours.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNeighbours;

impl Neighbours for NoNeighbours {
    fn mac(&self, _address: IpAddr) -> Option<MacAddr> {
        None
    }
}
