//! `mrp interface`.

use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::ValueEnum;
use mrp_core::api;
use mrp_core::mac::MacAddr;
use serde_json::{Map, json};

use crate::client::Client;
use crate::commands::Session;
use crate::commands::machine::not_held;
use crate::exit::Usage;
use crate::output::or_none;
use crate::resolve::{self, find};

/// Network interfaces of a machine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum InterfaceCommand {
    List(List),
    Add(Add),
    Set(Set),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// An interface as it is written on a command line: `52:54:00:12:34:56,eth0,lab`.
#[derive(Debug, Clone)]
pub struct Mac {
    mac: MacAddr,
    identifier: Option<String>,
    network: Option<String>,
}

impl FromStr for Mac {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ',').map(str::trim);
        let mac = parts.next().unwrap_or_default().parse::<MacAddr>().map_err(|error| error.to_string())?;
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        Ok(Self { mac, identifier: next(), network: next() })
    }
}

impl Mac {
    /// As the API takes it, its network looked up.
    pub(super) async fn resolve(&self, client: &Client) -> Result<api::NewInterface> {
        let network = match &self.network {
            Some(network) => Some(find::<api::Network>(client, network).await?.name),
            None => None,
        };
        Ok(api::NewInterface { mac: self.mac.to_string(), identifier: self.identifier.clone(), network })
    }
}

impl InterfaceCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            InterfaceCommand::List(command) => command.run(session).await,
            InterfaceCommand::Add(command) => command.run(session).await,
            InterfaceCommand::Set(command) => command.run(session).await,
            InterfaceCommand::Remove(command) => command.run(session).await,
        }
    }
}

/// List the interfaces of a machine
///
/// Example:
///   mrp interface list node-01
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// Machine
    machine: String,
}

impl List {
    async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let path = format!("/machine/{}/interface", machine.id);
        let interfaces: Vec<api::Interface> = session.client.list(&path, &[]).await?;
        session.output.list(
            &interfaces,
            &[
                ("ID", &|interface| interface.id.to_string()),
                ("MAC", &|interface| interface.mac.clone()),
                ("NAME", &|interface| or_none(interface.identifier.as_ref())),
                ("NETWORK", &|interface| or_none(interface.network_name.as_ref())),
                ("ADDRESSING", &|interface| interface.config_type_v4.clone()),
                ("ADDRESS", &|interface| or_none(interface.configured_ipv4.as_ref())),
                ("LEASE", &|interface| or_none(interface.lease_ipv4.as_ref())),
            ],
        )
    }
}

/// Add an interface to a machine (admins)
///
/// Example:
///   mrp interface add node-01 52:54:00:12:34:57,eth1,lab
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Machine
    machine: String,
    /// MAC address, then its name and network if they are known
    #[arg(value_name = "MAC[,IDENTIFIER[,NETWORK]]")]
    mac: Mac,
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let interface = self.mac.resolve(&session.client).await?;
        let path = format!("/machine/{}/interface", machine.id);
        let interface: api::Interface = session.client.post(&path, &interface).await?;
        session.output.done(&interface, format!("interface {} was added to {}", interface.mac, machine.name))
    }
}

/// Change how an interface gets its address
///
/// Examples:
///   mrp interface set node-01 eth0 --address 10.0.0.70     (reserved: DHCP gives it)
///   mrp interface set node-01 eth0 --address auto
///   mrp interface set node-01 eth0 --type static --address 10.0.0.200
///   mrp interface set node-01 52:54:00:12:34:56 --type dynamic
///   mrp interface set node-01 eth0 --network lab --mac 52:54:00:12:34:57      (admins)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// Machine
    machine: String,
    /// MAC address, name or id of the interface
    interface: String,
    /// Where its address comes from [default: reserved, if an address is given]
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
    /// The address, or `auto` for a free one
    #[arg(long, value_name = "IPV4|auto", value_parser = address)]
    address: Option<String>,
    /// New name
    #[arg(long)]
    identifier: Option<String>,
    /// Another MAC address (admins)
    #[arg(long)]
    mac: Option<MacAddr>,
    /// The network it is in, or `none` (admins)
    #[arg(long)]
    network: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// From the DHCP server's pool
    Dynamic,
    /// By DHCP, always the same
    Reserved,
    /// Put into the machine by its answer file
    Static,
}

/// Where an address was refused, what would be possible.
fn refused_address(address: &str, interface: &api::Interface) -> String {
    let ranges = [("reserved", &interface.reserved_pool_v4), ("static", &interface.static_pool_v4)];
    let ranges =
        ranges.iter().filter_map(|(kind, range)| range.as_ref().map(|range| format!("{kind} {range}")));
    let ranges = ranges.collect::<Vec<_>>().join(", ");
    match (&interface.network_name, ranges.as_str()) {
        (None, _) => format!("{address}: the interface is in no network"),
        (Some(network), "") => format!("{address}: {network} has no range for addresses"),
        (Some(network), ranges) => format!("{address}: the ranges of {network} are {ranges}"),
    }
}

fn address(text: &str) -> Result<String, String> {
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) if text == "auto" => Ok(text.to_owned()),
        Err(_) => Err("write an IPv4 address, or auto".into()),
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        if self.kind == Some(Kind::Dynamic) && self.address.is_some() {
            let message = "--type dynamic takes an address from the pool; leave --address out, or --type";
            bail!(Usage(message.into()));
        }
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let interface = resolve::interface(&session.client, &machine, &self.interface).await?;
        let kind = self.kind.or(self.address.as_ref().map(|_| Kind::Reserved));
        let mut change = Map::new();
        if let Some(kind) = kind {
            let word = match kind {
                Kind::Dynamic => "dynamic",
                Kind::Reserved => "dynamic-reserved",
                Kind::Static => "static",
            };
            change.insert("config_type_v4".into(), json!(word));
        }
        change.extend(self.address.as_ref().map(|address| ("configured_ipv4".into(), json!(address))));
        change.extend(self.identifier.map(|identifier| ("identifier".into(), json!(identifier))));
        change.extend(self.mac.map(|mac| ("mac".into(), json!(mac.to_string()))));
        match self.network.as_deref() {
            None => {}
            Some("none") => drop(change.insert("network".into(), json!(null))),
            Some(network) => {
                let network: api::Network = find(&session.client, network).await?;
                change.insert("network".into(), json!(network.name));
            }
        }
        if change.is_empty() {
            bail!(Usage("nothing to change was named; see mrp interface set --help".into()));
        }
        let path = format!("/machine/{}/interface/{}", machine.id, interface.id);
        let changed = session.client.put(&path, &change).await;
        let changed: api::Interface = changed.map_err(|error| match &self.address {
            Some(address) if error.status() == Some(400) => {
                anyhow::Error::new(error).context(refused_address(address, &interface))
            }
            _ => not_held(error, &machine.name),
        })?;
        let address = changed.configured_ipv4.as_deref().unwrap_or("the pool");
        let words =
            format!("interface {} of {}: {}, {address}", changed.mac, machine.name, changed.config_type_v4);
        session.output.done(&changed, words)
    }
}

/// Remove an interface (admins)
///
/// Example:
///   mrp interface remove node-01 eth1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Machine
    machine: String,
    /// MAC address, name or id of the interface
    interface: String,
}

impl Remove {
    async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let interface = resolve::interface(&session.client, &machine, &self.interface).await?;
        session.client.delete(&format!("/machine/{}/interface/{}", machine.id, interface.id)).await?;
        session.output.done(&interface, format!("interface {} was removed", interface.mac))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_written_in_one_word() {
        let full: Mac = "52-54-00-12-34-56,eth0,lab".parse().unwrap();
        assert_eq!(full.mac.to_string(), "52:54:00:12:34:56");
        assert_eq!((full.identifier.as_deref(), full.network.as_deref()), (Some("eth0"), Some("lab")));
        let network_only: Mac = "52:54:00:12:34:56,,lab".parse().unwrap();
        assert_eq!((network_only.identifier, network_only.network.as_deref()), (None, Some("lab")));
        assert!("eth0".parse::<Mac>().is_err());
    }
}
