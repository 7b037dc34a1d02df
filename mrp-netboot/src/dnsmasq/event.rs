//! What dnsmasq tells the script that it runs for each lease.

use std::net::Ipv4Addr;

use mrp_core::mac::MacAddr;
use serde::{Deserialize, Serialize};

/// What happened to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was given.
    Add,
    /// It was renewed, its host name changed, or dnsmasq started or read its files again.
    Old,
    /// It ended.
    Del,
}

/// A report about a lease: the body of `POST /dhcp/lease-event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptEvent {
    /// What happened.
    pub action: Action,
    /// The client.
    pub mac: MacAddr,
    /// Its address.
    pub ipv4: Ipv4Addr,
    /// The host name that the client sent, else the one that dnsmasq knows.
    pub hostname: Option<String>,
    /// The client's architecture (option 93), as far as its vendor class tells it.
    pub client_arch: Option<u16>,
    /// Firmware or a boot loader asked, not an operating system; `None` where dnsmasq did not hear the client itself.
    pub firmware: Option<bool>,
    /// When the lease ends, in seconds since 1970; `None` for ever, or where dnsmasq does not say.
    pub expires: Option<i64>,
    /// When it was reported, in milliseconds since 1970.
    pub at: i64,
}

/// Arguments that are not those of dnsmasq's script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Too few.
    #[error(
        "dnsmasq gives its script an action, a MAC address and an IP address; run this as dnsmasq's dhcp-script"
    )]
    Missing,
    /// No MAC address of an Ethernet client.
    #[error("{0:?} is not the MAC address of an Ethernet client")]
    Mac(String),
    /// No address.
    #[error("{0:?} is not an IPv4 address")]
    Address(String),
}

impl ScriptEvent {
    /// Reads dnsmasq's arguments and environment. `None` for calls that are about no IPv4 lease: TFTP, ARP, DHCPv6, the
    /// lease database.
    pub fn from_args_and_env(
        args: &[String],
        env: impl Fn(&str) -> Option<String>,
        at: i64,
    ) -> Result<Option<Self>, ScriptError> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let action = match args.first().map(String::as_str) {
            None => return Err(ScriptError::Missing),
            Some("add") => Action::Add,
            Some("old") => Action::Old,
            Some("del") => Action::Del,
            Some(_) => return Ok(None),
        };
        let [_, mac, address, rest @ ..] = args else { return Err(ScriptError::Missing) };
        if env("DNSMASQ_IAID").is_some() || address.contains(':') {
            return Ok(None);
        }
        let vendor_class = env("DNSMASQ_VENDOR_CLASS");
        let unheard = env("DNSMASQ_DATA_MISSING").is_some() || action == Action::Del;
        let hostname = env("DNSMASQ_SUPPLIED_HOSTNAME").or_else(|| rest.first().cloned());
        Ok(Some(Self {
            action,
            mac: mac.parse().map_err(|_| ScriptError::Mac(mac.clone()))?,
            ipv4: address.parse().map_err(|_| ScriptError::Address(address.clone()))?,
            hostname: hostname.filter(|name| !name.is_empty()),
            client_arch: vendor_class.as_deref().and_then(architecture),
            firmware: (!unheard).then(|| vendor_class.as_deref().is_some_and(is_firmware)),
            expires: env("DNSMASQ_LEASE_EXPIRES").and_then(|at| at.parse().ok()).filter(|at| *at > 0),
            at,
        }))
    }
}

fn is_firmware(vendor_class: &str) -> bool {
    vendor_class.starts_with("PXEClient") || vendor_class.starts_with("HTTPClient")
}

/// The architecture in `PXEClient:Arch:00007:UNDI:003000`.
fn architecture(vendor_class: &str) -> Option<u16> {
    let mut parts = vendor_class.split(':').skip_while(|part| *part != "Arch");
    is_firmware(vendor_class).then(|| parts.nth(1))??.parse().ok()
}
