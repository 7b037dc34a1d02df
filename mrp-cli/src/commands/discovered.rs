//! `mrp discovered`.

use anyhow::{Result, bail};
use mrp_core::api;
use mrp_core::mac::MacAddr;
use serde_json::json;

use crate::client::Client;
use crate::commands::Session;
use crate::output::{or_none, when};
use crate::resolve::{self, find, hint, shown};

/// DHCP clients that belong to no machine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum DiscoveredCommand {
    List(List),
    Adopt(Adopt),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// List them, the newest first
///
/// Example:
///   mrp discovered list
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {}

/// Make a machine of one (admins)
///
/// Examples:
///   mrp discovered adopt 52:54:00:12:34:56 node-03 --arch x86_64/efi
///   mrp discovered adopt 52:54:00:12:34:56 node-03 --arch arm64 --bmc bmc-03 --identifier eth0 --network lab
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Adopt {
    /// MAC address, as mrp discovered list shows it
    mac: String,
    /// Unique name of the machine
    name: String,
    /// Architecture, or `arch/subarch`
    #[arg(long)]
    arch: String,
    /// The BMC in front of it
    #[arg(long)]
    bmc: Option<String>,
    /// Its address behind the BMC, where the BMC serves several
    #[arg(long, default_value = "")]
    bmc_info: String,
    /// The machine's name for the interface
    #[arg(long)]
    identifier: Option<String>,
    /// The network it is in
    #[arg(long)]
    network: Option<String>,
}

/// Forget one (admins); it comes back when it asks again
///
/// Example:
///   mrp discovered remove 52:54:00:12:34:56
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// MAC address
    mac: String,
}

impl DiscoveredCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            DiscoveredCommand::List(List {}) => list(session).await,
            DiscoveredCommand::Adopt(command) => command.run(session).await,
            DiscoveredCommand::Remove(Remove { mac }) => {
                let found = discovered(&session.client, &mac).await?;
                session.client.delete(&format!("/discovered/{}", found.mac)).await?;
                session.output.done(&found, format!("{} is forgotten", found.mac))
            }
        }
    }
}

async fn list(session: &Session) -> Result<()> {
    // Pages come in the order of MAC addresses.
    let mut found: Vec<api::Discovered> = session.client.list("/discovered", &[]).await?;
    found.sort_by_key(|client| std::cmp::Reverse(client.last_seen));
    session.output.list(
        &found,
        &[
            ("MAC", &|client| client.mac.clone()),
            ("VENDOR", &|client| or_none(client.vendor.as_ref())),
            ("HOSTNAME", &|client| or_none(client.hostname.as_ref())),
            ("CLIENT ARCH", &|client| {
                client.client_arch_name.clone().unwrap_or_else(|| or_none(client.client_arch))
            }),
            ("VENDOR CLASS", &|client| or_none(client.vendor_class.as_ref())),
            ("LAST SEEN", &|client| when(client.last_seen)),
        ],
    )
}

/// By its MAC address in any notation.
async fn discovered(client: &Client, given: &str) -> Result<api::Discovered> {
    let all: Vec<api::Discovered> = client.list("/discovered", &[]).await?;
    let mac = given.parse::<MacAddr>().map_or_else(|_| given.to_owned(), |mac| mac.to_string());
    let known: Vec<String> = all.iter().map(|found| found.mac.clone()).collect();
    match all.into_iter().find(|found| found.mac == mac) {
        Some(found) => Ok(found),
        None => bail!("no client {} was discovered{}", shown(given), hint(&known, &mac)),
    }
}

impl Adopt {
    async fn run(self, session: &Session) -> Result<()> {
        let client = &session.client;
        let found = discovered(client, &self.mac).await?;
        let (arch, subarch) = resolve::arch_and_subarch(client, &self.arch, None).await?;
        let bmc = match &self.bmc {
            Some(bmc) => Some(find::<api::Bmc>(client, bmc).await?.name),
            None => None,
        };
        let network = match &self.network {
            Some(network) => Some(find::<api::Network>(client, network).await?.name),
            None => None,
        };
        let body = json!({
            "name": self.name, "arch": arch, "subarch": subarch, "bmc": bmc, "bmc_info": self.bmc_info,
            "identifier": self.identifier, "network": network,
        });
        let machine: api::Machine = client.post(&format!("/discovered/{}/machine", found.mac), &body).await?;
        session.output.done(&machine, format!("{} is machine {}", found.mac, machine.name))
    }
}
