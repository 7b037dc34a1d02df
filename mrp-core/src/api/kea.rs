//! What mrp and its Kea hook say to each other, under `/dhcp` on the machines' door: the table by which the hook
//! answers DHCP clients by itself, and the hook's reports of what Kea saw.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mac::MacAddr;

/// Most reports in one batch.
pub const MOST_REPORTS: usize = 1000;

/// A line of `GET /dhcp/table`: the whole table from `begin` to `complete`, then each change as it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableLine {
    /// A whole table follows.
    Begin(TableHead),
    /// A client of the table, new or in place of the one with its MAC address.
    Client(TableClient),
    /// The client with this MAC address is a machine's no longer.
    Gone(MacAddr),
    /// The table was whole: so many clients were told since `begin`.
    Complete(u64),
}

/// What holds for all clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableHead {
    /// Where boot files are (`boot.next_server`); without it they are at the DHCP server's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_server: Option<Ipv4Addr>,
    /// Port of the machines' HTTP.
    pub http_port: u16,
}

/// A DHCP client that is a machine's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableClient {
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its own address: reserved, or static on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Ipv4Addr>,
    /// The machine's host name.
    pub hostname: String,
    /// Whether it is to netboot.
    pub netboot: bool,
    /// Boot file for firmware whose architecture has no boot loader's name of its own: that of the subarchitecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_loader: Option<String>,
    /// Base of its URLs (`server_url` of its network); without it the next server and the port of the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_url: Option<String>,
}

/// `POST /dhcp/report`: what Kea saw, oldest first. A batch that comes again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reports {
    /// Names one life of a hook, by chance: 1 to 64 letters and digits.
    #[schemars(regex(pattern = "^[0-9A-Za-z]{1,64}$"))]
    pub source: String,
    /// The reports; at most 1,000.
    #[schemars(length(max = 1000))]
    pub reports: Vec<Report>,
}

/// Something that Kea saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Grows from report to report of one source.
    pub number: u64,
    /// How long it waited for its way to mrp, in milliseconds.
    pub age_ms: u64,
    /// The client.
    pub mac: MacAddr,
    /// What happened.
    pub what: Seen,
}

/// What happened to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Seen {
    /// It asked for an address. A REQUEST that takes an offer is not told: its DISCOVER was.
    Asked {
        /// For the first time (DISCOVER), not for one that it had (REQUEST).
        discover: bool,
        /// The host name it sent (option 12).
        #[serde(default)]
        hostname: Option<String>,
        /// Its architecture (option 93).
        #[serde(default)]
        client_arch: Option<u16>,
        /// Firmware or a boot loader asked, not an operating system.
        firmware: bool,
    },
    /// A lease was given or renewed.
    Lease {
        /// Its address.
        ipv4: Ipv4Addr,
        /// How long it holds, in seconds.
        seconds: u32,
        /// Firmware or a boot loader asked, not an operating system.
        firmware: bool,
    },
    /// The client gave its address back.
    Released {
        /// The address.
        ipv4: Ipv4Addr,
    },
    /// A lease ended without having been renewed.
    Expired {
        /// Its address.
        ipv4: Ipv4Addr,
    },
    /// The client found that somebody else uses the address.
    Declined {
        /// The address.
        ipv4: Ipv4Addr,
    },
}
