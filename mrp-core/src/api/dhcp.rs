//! Bodies of mr-provisioner's contract with its Kea hook, under `/dhcp` on the machines' door.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mac::MacAddr;

/// A DHCP option.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DhcpOption {
    /// Its number.
    pub option: u64,
    /// Text for 12 and 67, a number for 93.
    #[schemars(with = "OptionValue")]
    pub value: Value,
}

/// The value of a DHCP option, for the document.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it exists for its schema")]
enum OptionValue {
    Text(String),
    Number(i64),
}

/// `POST /dhcp/ipv4/seen`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DhcpSeen {
    /// It was a DISCOVER.
    pub discover: bool,
    /// The client.
    pub mac: MacAddr,
    /// What it sent: host name (12) and architecture (93).
    pub options: Vec<DhcpOption>,
}

/// `POST /dhcp/ipv4/lease`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DhcpLease {
    /// Seconds.
    pub duration: u64,
    /// The address.
    pub ipv4: Ipv4Addr,
    /// The client.
    pub mac: MacAddr,
}

/// A pool of a subnet of the DHCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DhcpPool {
    /// Its first address.
    #[serde(rename = "firstIP")]
    pub first_ip: Ipv4Addr,
}

/// A subnet of the DHCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DhcpSubnet {
    /// The DHCP server's id.
    #[serde(rename = "subnetId")]
    pub subnet_id: i64,
    /// Its pools.
    pub pools: Vec<DhcpPool>,
}

/// `POST /dhcp/ipv4/subnet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DhcpSubnets {
    /// The client.
    pub mac: MacAddr,
    /// What there is to choose from.
    pub subnets: Vec<DhcpSubnet>,
}

/// Answer of `POST /dhcp/ipv4/subnet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DhcpChoice {
    /// The subnet; `null` for the server's own choice, absent where none fits.
    #[serde(rename = "subnetId", default, skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<i64>,
}

/// Answer of `GET /dhcp/ipv4`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DhcpAnswer {
    /// The reserved address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Ipv4Addr>,
    /// Where boot files are.
    #[serde(rename = "next-server", default, skip_serializing_if = "Option::is_none")]
    pub next_server: Option<Ipv4Addr>,
    /// The boot file (67), if the machine netboots.
    pub options: Vec<DhcpOption>,
}
