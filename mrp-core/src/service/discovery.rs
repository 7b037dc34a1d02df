//! What DHCP servers report and ask: the contract of mr-provisioner's Kea hook, and dnsmasq's lease reports.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::actor::Actor;
use crate::error::Error;
use crate::id::Id;
use crate::lease::{Discovered, Lease};
use crate::mac::MacAddr;
use crate::machine::{Addressing, Interface, Machine, MachineView};
use crate::network::NetworkId;
use crate::run::Observation;
use crate::service::{Provisioner, lock};
use crate::store::StoreError;

/// Clients whose last report is remembered.
const MOST_REPORTS: usize = 20_000;

/// A DHCP client as a DHCP server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The client.
    pub mac: MacAddr,
    /// The host name (option 12) as it was sent.
    pub hostname: Option<String>,
    /// Its architecture (option 93): only firmware and boot loaders send one.
    pub client_arch: Option<u16>,
    /// It asked for the first time (DISCOVER), not for a certain address.
    pub discover: bool,
}

/// What DHCP is to tell a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DhcpAnswer {
    /// Address reserved for it.
    pub ipv4: Option<Ipv4Addr>,
    /// TFTP server.
    pub next_server: Option<String>,
    /// Boot file; `None` where the machine is not to netboot.
    pub boot_file: Option<String>,
}

/// A subnet of the DHCP server, with the first addresses of its pools.
#[derive(Debug, Clone)]
pub struct DhcpSubnet {
    /// The DHCP server's number.
    pub id: i64,
    /// First address of each pool.
    pub pools: Vec<Ipv4Addr>,
}

/// Which subnet a client belongs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubnetChoice {
    /// The DHCP server decides.
    Default,
    /// This one.
    Subnet(i64),
    /// It should have a reserved address, and no subnet has its range.
    None,
}

/// Where the interface of a discovered client is plugged in.
#[derive(Debug, Clone, Default)]
pub struct Plug {
    /// The name that the machine gives it.
    pub identifier: Option<String>,
    /// The network it is in.
    pub network: Option<NetworkId>,
}

/// What DHCP servers report and ask.
#[derive(Debug)]
pub struct Discovery<'a>(pub(super) &'a Provisioner);

impl Provisioner {
    /// What DHCP servers report and ask.
    pub fn discovery(&self) -> Discovery<'_> {
        Discovery(self)
    }
}

impl Discovery<'_> {
    /// Clients that asked for an address and belong to no machine, newest first.
    pub async fn list(&self, _actor: &Actor) -> Result<Vec<Discovered>, Error> {
        Ok(self.0.store().discovered().await?)
    }

    /// Who made the network card with this address, if that is known.
    pub fn vendor(&self, mac: MacAddr) -> Option<String> {
        self.0.0.vendors.vendor(mac)
    }

    /// Makes a machine of a discovered client, with the interface by which it was seen; admins only. The client is
    /// discovered no longer, in the same transaction.
    pub async fn adopt(
        &self,
        actor: &Actor,
        mac: MacAddr,
        machine: Machine,
        subarch: Option<&str>,
        plug: Plug,
    ) -> Result<MachineView, Error> {
        actor.require_admin()?;
        let missing = || Error::not_found("discovered MAC", mac);
        self.0.store().discovered_client(mac).await?.ok_or_else(missing)?;
        let machine = self.0.machines().checked(machine, subarch).await?;
        let interface = self.0.interfaces().fresh(Id::NEW, mac, plug.identifier, plug.network).await?;
        let changes = self.0.machines().made(&machine, std::slice::from_ref(&interface)).await?;
        let journal = self.0.draft(actor)?.audit("create", "machine", &machine.name, changes).done();
        let stored = self.0.store().insert_discovered_machine(&machine, &interface, &journal).await;
        match stored {
            Ok(machine) => {
                self.0.announce();
                self.0.machines().view(machine).await
            }
            Err(StoreError::NotFound) => Err(missing()),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets a discovered client until it asks again; admins only.
    pub async fn forget(&self, actor: &Actor, mac: MacAddr) -> Result<(), Error> {
        actor.require_admin()?;
        let found = self.0.store().discovered_client(mac).await?;
        found.ok_or_else(|| Error::not_found("discovered MAC", mac))?;
        let draft = self.0.draft(actor)?.audit("delete", "discovered", &mac.to_string(), Value::Null);
        Ok(self.0.store().delete_discovered(mac, &draft.done()).await?)
    }

    /// A client asked for an address. True if it is a machine's. Who sends an architecture counts as firmware.
    pub async fn seen(&self, seen: Seen) -> Result<bool, Error> {
        let firmware = seen.client_arch.is_some();
        self.seen_by(seen, firmware).await
    }

    /// The same where it is known whether firmware asked.
    pub(crate) async fn seen_by(&self, seen: Seen, firmware: bool) -> Result<bool, Error> {
        let now = self.0.now();
        let Some((machine, interface)) = self.0.interfaces().owner_of(seen.mac).await? else {
            let Seen { mac, hostname, client_arch, .. } = seen;
            let (hostname, vendor_class) = (hostname.map(printable), None);
            let client = Discovered { mac, hostname, client_arch, vendor_class, last_seen: now };
            self.0.store().put_discovered(&client).await?;
            return Ok(false);
        };
        let message = if seen.discover { "DISCOVER" } else { "REQUEST" };
        let who = if firmware { "firmware" } else { "operating system" };
        let data = json!({"mac": seen.mac, "discover": seen.discover, "arch": seen.client_arch});
        let text = format!("{message} of {} ({who})", interface.mac);
        let observation = Observation::Dhcp { firmware: Some(firmware), address: None };
        let event = self.machine_event(&machine, text, data);
        self.0.note_machine(&machine, observation, Some(event)).await?;
        Ok(true)
    }

    /// A lease was given or renewed. `firmware` where it is known who asked.
    pub async fn lease(&self, mac: MacAddr, ipv4: Ipv4Addr, firmware: Option<bool>) -> Result<(), Error> {
        self.lease_of(mac, ipv4, firmware, None).await
    }

    /// The same, for `seconds` where it is known for how long.
    pub(crate) async fn lease_of(
        &self,
        mac: MacAddr,
        ipv4: Ipv4Addr,
        firmware: Option<bool>,
        seconds: Option<u32>,
    ) -> Result<(), Error> {
        let now = self.0.now();
        let known = self.0.store().lease(mac).await?;
        let moved = known.as_ref().is_none_or(|known| known.ipv4 != ipv4);
        let lease = Lease { mac, ipv4, last_seen: now };
        self.0.store().put_lease(&lease, &crate::event::Journal::default()).await?;
        if moved {
            self.tell_holder(mac, ipv4, json!({"heard": "taken", "mac": mac, "ipv4": ipv4})).await?;
        }
        let Some((machine, _)) = self.0.interfaces().owner_of(mac).await? else { return Ok(()) };
        let news = moved || firmware.is_some();
        let who =
            firmware.map_or("", |firmware| if firmware { " (firmware)" } else { " (operating system)" });
        let data = json!({"mac": mac, "ipv4": ipv4, "firmware": firmware, "seconds": seconds});
        let happened = news.then(|| self.machine_event(&machine, format!("{mac} has {ipv4}{who}"), data));
        let observation = Observation::Dhcp { firmware, address: Some(ipv4) };
        self.0.note_machine(&machine, observation, happened).await
    }

    /// A lease that was there already: told again after a restart of the DHCP server, which is no evidence of anything.
    pub async fn lease_repeated(&self, mac: MacAddr, ipv4: Ipv4Addr) -> Result<(), Error> {
        let lease = Lease { mac, ipv4, last_seen: self.0.now() };
        if self.0.store().lease(mac).await?.is_some_and(|known| known.ipv4 == ipv4) {
            return Ok(());
        }
        Ok(self.0.store().put_lease(&lease, &crate::event::Journal::default()).await?)
    }

    /// True for a report of a DHCP server that is the same as the last one of this client: it was sent twice because mrp's
    /// answer to it was lost.
    pub fn is_repeated(&self, mac: MacAddr, report: &str) -> bool {
        let mut last = lock(&self.0.0.last_reports);
        if last.get(&mac).is_some_and(|known| known == report) {
            return true;
        }
        if last.len() >= MOST_REPORTS {
            last.clear();
        }
        last.insert(mac, report.to_owned());
        false
    }

    /// The lease of an address ended. The client may have another one by then, which it keeps.
    pub async fn lease_ended(&self, mac: MacAddr, ipv4: Ipv4Addr) -> Result<(), Error> {
        match self.0.store().lease(mac).await? {
            Some(known) if known.ipv4 == ipv4 => Ok(self.0.store().delete_lease(mac).await?),
            _ => Ok(()),
        }
    }

    /// What DHCP is to tell a client; `None` for one that is no machine's.
    pub async fn answer(&self, mac: MacAddr) -> Result<Option<DhcpAnswer>, Error> {
        let Some(client) = self.0.store().dhcp_client(mac).await? else { return Ok(None) };
        let mut answer = DhcpAnswer { ipv4: reserved(&client.interface), ..DhcpAnswer::default() };
        if client.machine.netboot.is_on() {
            let settings = self.0.settings();
            answer.next_server = settings.next_server.map(|address| address.to_string());
            answer.boot_file = Some(client.boot_loader.unwrap_or_else(|| settings.default_bootfile.clone()));
        }
        Ok(Some(answer))
    }

    /// The subnet whose pools hold the reserved range of the client's network; `None` for an unknown client.
    pub async fn subnet(&self, mac: MacAddr, subnets: &[DhcpSubnet]) -> Result<Option<SubnetChoice>, Error> {
        let Some((_, interface)) = self.0.interfaces().owner_of(mac).await? else { return Ok(None) };
        let Some(id) = interface.network else { return Ok(None) };
        let Some(network) = self.0.store().network(id).await? else { return Ok(None) };
        if reserved(&interface).is_none() {
            return Ok(Some(SubnetChoice::Default));
        }
        let inside = |net: Ipv4Net| subnets.iter().find(|s| s.pools.iter().any(|first| net.contains(first)));
        let found = network.reserved_net.and_then(inside);
        Ok(Some(found.map_or(SubnetChoice::None, |subnet| SubnetChoice::Subnet(subnet.id))))
    }
}

pub(super) fn reserved(interface: &Interface) -> Option<Ipv4Addr> {
    match interface.addressing {
        Addressing::Reserved(address) => Some(address),
        Addressing::Dynamic | Addressing::Static(_) => None,
    }
}

/// A host name that a client sent, as it is kept.
pub(super) fn printable(hostname: String) -> String {
    hostname.chars().filter(|c| !c.is_control()).take(255).collect()
}
