//! `mrp network`.

use anyhow::Result;
use mrp_core::api;

use crate::commands::Session;
use crate::output::{or_none, yes};
use crate::resolve::find;

mod addresses;

/// Networks that machines are in; admins change them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum NetworkCommand {
    List(List),
    Show(Show),
    Add(Add),
    Set(Set),
    Free(addresses::Free),
    Addresses(addresses::Addresses),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// List networks
///
/// Example:
///   mrp network list
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {}

/// Show a network
///
/// Example:
///   mrp network show lab
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// Name or id
    network: String,
}

/// Add a network
///
/// Example:
///   mrp network add lab 10.0.0.0/24 --reserved 10.0.0.64/26
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Unique name
    name: String,
    /// Subnet, CIDR
    subnet: String,
    /// Range within it for addresses that DHCP gives to one machine always
    #[arg(long, value_name = "CIDR")]
    reserved: Option<String>,
    /// Range within it for addresses that answer files put into machines
    #[arg(long = "static", value_name = "CIDR")]
    static_net: Option<String>,
    /// Where its machines reach mrp, as http://10.0.0.1:8081 [default: the address that they asked]
    #[arg(long, value_name = "URL")]
    server_url: Option<String>,
    /// Do not believe the MAC address in a boot loader's path where nothing else is known of a client
    #[arg(long)]
    distrust_path_mac: bool,
}

/// Change a network. What is not named stays; `none` clears
///
/// Examples:
///   mrp network set lab --static 10.0.0.128/26
///   mrp network set lab --server-url none
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// Name or id
    network: String,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// Subnet, CIDR
    #[arg(long, value_name = "CIDR")]
    subnet: Option<String>,
    /// Range for reserved addresses
    #[arg(long, value_name = "CIDR")]
    reserved: Option<String>,
    /// Range for static addresses
    #[arg(long = "static", value_name = "CIDR")]
    static_net: Option<String>,
    /// Where its machines reach mrp
    #[arg(long, value_name = "URL")]
    server_url: Option<String>,
    /// Believe the MAC address in a boot loader's path where nothing else is known of a client
    #[arg(long, value_name = "BOOL")]
    trust_path_mac: Option<bool>,
}

/// Remove a network that no interface is in
///
/// Example:
///   mrp network remove lab
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Name or id
    network: String,
}

impl NetworkCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            NetworkCommand::List(List {}) => list(session).await,
            NetworkCommand::Show(Show { network }) => show(session, &find(&session.client, &network).await?),
            NetworkCommand::Add(command) => command.run(session).await,
            NetworkCommand::Set(command) => command.run(session).await,
            NetworkCommand::Free(command) => command.run(session).await,
            NetworkCommand::Addresses(command) => command.run(session).await,
            NetworkCommand::Remove(Remove { network }) => {
                let network: api::Network = find(&session.client, &network).await?;
                session.client.delete(&format!("/network/{}", network.id)).await?;
                session.output.done(&network, format!("network {} was removed", network.name))
            }
        }
    }
}

async fn list(session: &Session) -> Result<()> {
    let networks: Vec<api::Network> = session.client.list("/network", &[]).await?;
    session.output.list(
        &networks,
        &[
            ("ID", &|network| network.id.to_string()),
            ("NAME", &|network| network.name.clone()),
            ("SUBNET", &|network| network.subnet.clone()),
            ("RESERVED", &|network| or_none(network.reserved_net.as_ref())),
            ("STATIC", &|network| or_none(network.static_net.as_ref())),
            ("SERVER", &|network| or_none(network.server_url.as_ref())),
            ("BELIEVES PATHS", &|network| yes(network.trust_path_mac)),
        ],
    )
}

fn show(session: &Session, network: &api::Network) -> Result<()> {
    let facts = [
        ("name", network.name.clone()),
        ("id", network.id.to_string()),
        ("subnet", network.subnet.clone()),
        ("reserved", or_none(network.reserved_net.as_ref())),
        ("static", or_none(network.static_net.as_ref())),
        ("server", or_none(network.server_url.as_ref())),
        ("believes paths", yes(network.trust_path_mac)),
    ];
    session.output.object(network, &facts)
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let new = api::NewNetwork {
            name: self.name,
            subnet: self.subnet,
            static_net: self.static_net,
            reserved_net: self.reserved,
            server_url: self.server_url,
            trust_path_mac: !self.distrust_path_mac,
        };
        let network: api::Network = session.client.post("/network", &new).await?;
        session.output.done(&network, format!("network {} was added", network.name))
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        let old: api::Network = find(&session.client, &self.network).await?;
        let change = |new: Option<String>, old: Option<String>| match new.as_deref() {
            None => old,
            Some("none") => None,
            Some(_) => new,
        };
        let new = api::NewNetwork {
            name: self.name.unwrap_or(old.name),
            subnet: self.subnet.unwrap_or(old.subnet),
            static_net: change(self.static_net, old.static_net),
            reserved_net: change(self.reserved, old.reserved_net),
            server_url: change(self.server_url, old.server_url),
            trust_path_mac: self.trust_path_mac.unwrap_or(old.trust_path_mac),
        };
        let network: api::Network = session.client.put(&format!("/network/{}", old.id), &new).await?;
        session.output.done(&network, format!("network {} was changed", network.name))
    }
}
