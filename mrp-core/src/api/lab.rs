//! Bodies of the routes about tags, power as seen, consoles, addresses and discovered clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LINE, NAME};
use crate::id::Timestamp;

/// `GET /machine/{id}/tags`, answer of `PATCH /machine/{id}/tags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tags {
    /// All tags of the machine, sorted.
    pub tags: Vec<String>,
}

/// `PATCH /machine/{id}/tags` (admins): tags that are in neither list stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TagChange {
    /// Tags to add: 1 to 64 letters, digits and `. _ - : / =`; a machine has at most 32.
    #[serde(default)]
    #[schemars(length(max = 32), inner(regex(pattern = r"^[0-9A-Za-z._:/=][0-9A-Za-z._:/=-]{0,63}$")))]
    pub add: Vec<String>,
    /// Tags to remove.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// A machine's power as its BMC told it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeenPower {
    /// `on`, `off`.
    pub state: String,
    /// When.
    pub at: Timestamp,
}

/// `GET /network/{id}/addresses`: an address that an interface has configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkAddress {
    /// The address.
    pub ipv4: String,
    /// `dynamic-reserved`, `static`.
    pub config_type_v4: String,
    /// Interface's MAC address.
    pub mac: String,
    /// Interface's name.
    pub identifier: Option<String>,
    /// Interface's id.
    pub interface_id: i64,
    /// Machine's id.
    pub machine_id: i64,
    /// Machine's name.
    pub machine: String,
}

/// `GET /network/{id}/free?pool=static|reserved&limit=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FreeAddresses {
    /// `static`, `reserved`.
    pub pool: String,
    /// The pool's range, CIDR.
    pub range: String,
    /// How many addresses may be given, taken or not: those ending in 0 and 255 are not.
    pub size: u64,
    /// How many are free.
    pub free: u64,
    /// The first free ones.
    pub addresses: Vec<String>,
}

/// `POST /discovered/{mac}/machine` (admins): makes a machine of a discovered client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscoveredMachine {
    /// Unique name.
    #[schemars(length(min = 1, max = 256), regex(pattern = NAME))]
    pub name: String,
    /// Architecture's name.
    pub arch: String,
    /// Subarchitecture's name.
    #[serde(default)]
    pub subarch: Option<String>,
    /// BMC's name.
    #[serde(default)]
    pub bmc: Option<String>,
    /// Address behind the BMC.
    #[serde(default)]
    #[schemars(length(max = 256), regex(pattern = LINE))]
    pub bmc_info: String,
    /// The machine's name for the interface.
    #[serde(default)]
    #[schemars(length(max = 64), regex(pattern = LINE))]
    pub identifier: Option<String>,
    /// Network's name.
    #[serde(default)]
    pub network: Option<String>,
}
