//! What an observer hears of DHCP on the network: who asks, which servers answer, and what is wrong with it.

use std::fmt;
use std::net::Ipv4Addr;

use crate::firmware::client_arch_name;
use crate::mac::MacAddr;

/// A DHCP client, as its own messages describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenClient {
    /// Its hardware address (`chaddr`), which a relay does not change.
    pub mac: MacAddr,
    /// The host name it sent (option 12).
    pub hostname: Option<String>,
    /// Its architecture (option 93): only firmware and boot loaders send one.
    pub client_arch: Option<u16>,
    /// Its vendor class (option 60).
    pub vendor_class: Option<String>,
    /// Its client identifier (option 61), where that is not made of the hardware address (RFC 2132, 9.14).
    pub client_id: Option<Vec<u8>>,
    /// The relay that passed its messages on (`giaddr`).
    pub relay: Option<Ipv4Addr>,
}

/// A DHCP server, as its answers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeenServer {
    /// The server identifier (option 54).
    pub id: Ipv4Addr,
    /// Who sent the frame: the server itself, or the last relay or router before the observer. `None` where only the
    /// client's answer to it was heard.
    pub mac: Option<MacAddr>,
}

/// Something that was heard, told once and ever more rarely while it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The interface that it was heard on.
    pub interface: String,
    /// Whom it is about; `None` where it is about the network.
    pub client: Option<SeenClient>,
    /// What was heard.
    pub what: Heard,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Heard {
    /// The client asks for an address.
    Asked {
        /// For any (DISCOVER); otherwise for the one that it had (REQUEST).
        discover: bool,
    },
    /// A server offered an address.
    Offered {
        /// The server.
        server: SeenServer,
        /// The address.
        address: Ipv4Addr,
        /// The boot file that came with it.
        boot_file: Option<String>,
    },
    /// The client took an offer that was not heard itself: it went to the client alone.
    Took {
        /// The server.
        server: SeenServer,
        /// The address.
        address: Ipv4Addr,
    },
    /// A server gave an address.
    Gave {
        /// The server.
        server: SeenServer,
        /// The address.
        address: Ipv4Addr,
    },
    /// A server refused the address that the client asked for.
    Refused {
        /// The server.
        server: SeenServer,
        /// The address, where it is known.
        address: Option<Ipv4Addr>,
        /// The server's reason (option 56).
        reason: Option<String>,
    },
    /// The client found its address in use and gave it back.
    Declined {
        /// The address.
        address: Option<Ipv4Addr>,
    },
    /// The client asked several times, and no offer was heard.
    Unanswered,
    /// The client asks again and again although it gets offers.
    OffersIgnored,
    /// Several servers made offers for the same request.
    SeveralOffers {
        /// The servers, sorted.
        servers: Vec<Ipv4Addr>,
    },
    /// Two machines, told apart by their UUIDs (option 97), have this hardware address.
    SharedMac {
        /// The UUIDs in hexadecimal digits, sorted.
        machines: [String; 2],
    },
    /// A client without an Ethernet address asks, for example on InfiniBand (RFC 4390).
    NoEthernet {
        /// Its hardware type.
        hardware: u8,
        /// Its client identifier, else its address, in hexadecimal digits.
        id: String,
    },
    /// A server answers that is none of those that are known.
    UnknownServer {
        /// The server.
        server: SeenServer,
    },
    /// A second server answers, and nothing says which ones are to.
    SecondServer {
        /// The servers, sorted.
        servers: [SeenServer; 2],
    },
    /// One server identifier is used by two hosts.
    SharedServerId {
        /// The server identifier.
        id: Ipv4Addr,
        /// The hosts, sorted.
        macs: [MacAddr; 2],
    },
}

impl Heard {
    /// Its name in the data of events.
    pub fn as_str(&self) -> &'static str {
        match self {
            Heard::Asked { .. } => "asked",
            Heard::Offered { .. } => "offered",
            Heard::Took { .. } => "took",
            Heard::Gave { .. } => "gave",
            Heard::Refused { .. } => "refused",
            Heard::Declined { .. } => "declined",
            Heard::Unanswered => "unanswered",
            Heard::OffersIgnored => "offers_ignored",
            Heard::SeveralOffers { .. } => "several_offers",
            Heard::SharedMac { .. } => "shared_mac",
            Heard::NoEthernet { .. } => "no_ethernet",
            Heard::UnknownServer { .. } => "unknown_server",
            Heard::SecondServer { .. } => "second_server",
            Heard::SharedServerId { .. } => "shared_server_id",
        }
    }

    /// A step of an exchange as it should be; everything else is a problem.
    pub fn is_routine(&self) -> bool {
        matches!(self, Heard::Asked { .. } | Heard::Offered { .. } | Heard::Took { .. } | Heard::Gave { .. })
    }

    /// The server of whom it tells, and the address.
    pub fn server_and_address(&self) -> (Option<SeenServer>, Option<Ipv4Addr>) {
        match self {
            Heard::Offered { server, address, .. }
            | Heard::Took { server, address }
            | Heard::Gave { server, address } => (Some(*server), Some(*address)),
            Heard::Refused { server, address, .. } => (Some(*server), *address),
            Heard::Declined { address } => (None, *address),
            Heard::UnknownServer { server } => (Some(*server), None),
            _ => (None, None),
        }
    }
}

impl fmt::Display for SeenServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mac {
            Some(mac) => write!(f, "{} ({mac})", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

impl fmt::Display for SeenClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mac)?;
        if let Some(arch) = self.client_arch {
            write!(f, ", firmware of {}", ArchName(arch))?;
        }
        if let Some(hostname) = &self.hostname {
            write!(f, ", {hostname}")?;
        }
        if let Some(relay) = self.relay {
            write!(f, ", by the relay {relay}")?;
        }
        Ok(())
    }
}

/// An architecture's name, else its number.
struct ArchName(u16);

impl fmt::Display for ArchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match client_arch_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "architecture {}", self.0),
        }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Heard::Asked { discover: true } => f.write_str("asks for an address (DISCOVER)"),
            Heard::Asked { discover: false } => f.write_str("asks for the address that it had (REQUEST)"),
            Heard::Offered { server, address, boot_file } => {
                write!(f, "{server} offers {address}")?;
                match boot_file {
                    Some(file) => write!(f, " and the boot file {file}"),
                    None => f.write_str(" and no boot file"),
                }
            }
            Heard::Took { server, address } => write!(f, "takes {address} of {server}"),
            Heard::Gave { server, address } => write!(f, "{server} gave {address}"),
            Heard::Refused { server, address, reason } => {
                write!(f, "{server} refuses ")?;
                match address {
                    Some(address) => write!(f, "{address}")?,
                    None => f.write_str("the address that it asks for")?,
                }
                reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
            }
            Heard::Declined { address } => {
                f.write_str("found its address ")?;
                address.map_or(Ok(()), |address| write!(f, "{address} "))?;
                f.write_str("in use by another host and gave it back (DECLINE)")
            }
            Heard::Unanswered => f.write_str(
                "asks again and again, and no server is heard to offer an address: \
                 no server for this network, or its pool is exhausted",
            ),
            Heard::OffersIgnored => f.write_str(
                "asks again and again and takes no offer; firmware takes none without a boot file",
            ),
            Heard::SeveralOffers { servers } => {
                let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
                write!(f, "several servers make offers: {}; which one it takes is chance", servers.join(", "))
            }
            Heard::SharedMac { machines: [one, other] } => {
                write!(f, "two machines have this MAC address: their UUIDs are {one} and {other}")
            }
            Heard::NoEthernet { hardware, id } => {
                let kind =
                    if *hardware == 32 { "InfiniBand".into() } else { format!("hardware type {hardware}") };
                write!(
                    f,
                    "a client without an Ethernet address asks ({kind}, identifier {id}): no machine of mrp's"
                )
            }
            Heard::UnknownServer { server } => {
                write!(f, "the DHCP server {server} answers, which is none of dhcp.servers")
            }
            Heard::SecondServer { servers: [one, other] } => write!(
                f,
                "two DHCP servers answer: {one} and {other}; name those that belong here in dhcp.servers"
            ),
            Heard::SharedServerId { id, macs: [one, other] } => {
                write!(f, "two hosts answer as DHCP server {id}: {one} and {other}")
            }
        }
    }
}
