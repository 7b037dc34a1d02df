//! Interfaces of machines and their addresses.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::actor::Actor;
use crate::dhcp::DhcpHost;
use crate::error::Error;
use crate::id::Id;
use crate::lease::Lease;
use crate::mac::MacAddr;
use crate::machine::{Addressing, Interface, InterfaceId, Machine, MachineId, check_text};
use crate::network::{Network, NetworkId, assignable};
use crate::service::Provisioner;
use crate::service::expected::Expected;
use crate::store::{MachineFilter, StoreError};

/// An interface with its network and lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceView {
    /// The interface.
    pub interface: Interface,
    /// The network it is in.
    pub network: Option<Network>,
    /// Its last lease.
    pub lease: Option<Lease>,
}

/// Which address an interface is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedAddress {
    /// Any free one of the range.
    Auto,
    /// This one.
    Fixed(Ipv4Addr),
}

/// What is to be changed of an interface; `None` leaves it, an inner `None` clears it.
#[derive(Debug, Clone, Default)]
pub struct InterfaceChange {
    /// The name that the machine gives it.
    pub identifier: Option<Option<String>>,
    /// `dynamic`, `dynamic-reserved` or `static`.
    pub kind: Option<AddressKind>,
    /// The address, for the last two.
    pub address: Option<Option<WantedAddress>>,
    /// MAC address; admins only.
    pub mac: Option<MacAddr>,
    /// Network; admins only.
    pub network: Option<Option<NetworkId>>,
}

/// The kinds of addressing, without the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// From a pool.
    Dynamic,
    /// Reserved by DHCP.
    Reserved,
    /// Configured on the machine.
    Static,
}

/// Interfaces of machines.
#[derive(Debug)]
pub struct Interfaces<'a>(&'a Provisioner, Expected);

impl Provisioner {
    /// Interfaces of machines.
    pub fn interfaces(&self) -> Interfaces<'_> {
        Interfaces(self, Expected::Any)
    }

    /// Tells the DHCP server all addresses, in the background.
    pub(crate) fn sync_dhcp(&self) {
        if !self.0.dhcp.steers() {
            return;
        }
        let this = self.clone();
        self.start_task(async move {
            if let Err(error) = this.apply_dhcp().await {
                tracing::error!(%error, "the DHCP server could not be told the addresses");
            }
        });
    }

    async fn apply_dhcp(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // One at a time, so that the table that was read last is told last.
        let _turn = self.0.dhcp_turn.lock().await;
        let machines = self.store().machines(&MachineFilter::default()).await?;
        let mut hosts = Vec::new();
        for interface in self.store().all_interfaces().await? {
            let machine = machines.iter().find(|machine| machine.id == interface.machine);
            if let (Some(ipv4), Some(machine)) = (interface.addressing.address(), machine) {
                hosts.push(DhcpHost { mac: interface.mac, ipv4, hostname: machine.hostname() });
            }
        }
        hosts.sort();
        Ok(self.0.dhcp.apply(&hosts).await?)
    }
}

impl Interfaces<'_> {
    /// The same, for changes of an object as it was seen.
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.1 = expected;
        self
    }

    /// A machine's interfaces.
    pub async fn list(&self, _actor: &Actor, machine: MachineId) -> Result<Vec<InterfaceView>, Error> {
        self.0.load_machine(machine).await?;
        let interfaces = self.0.store().interfaces(machine).await?;
        let macs: Vec<MacAddr> = interfaces.iter().map(|interface| interface.mac).collect();
        let (networks, leases) = (self.0.store().networks().await?, self.0.store().leases(&macs).await?);
        let view = |interface: Interface| InterfaceView {
            network: networks.iter().find(|network| Some(network.id) == interface.network).cloned(),
            lease: leases.iter().find(|lease| lease.mac == interface.mac).cloned(),
            interface,
        };
        Ok(interfaces.into_iter().map(view).collect())
    }

    /// One interface of a machine.
    pub async fn get(
        &self,
        actor: &Actor,
        machine: MachineId,
        id: InterfaceId,
    ) -> Result<InterfaceView, Error> {
        let found = self.list(actor, machine).await?.into_iter().find(|view| view.interface.id == id);
        found.ok_or_else(|| Error::not_found("interface", id))
    }

    /// Adds an interface to a machine; admins only.
    pub async fn create(
        &self,
        actor: &Actor,
        machine: MachineId,
        mac: MacAddr,
        identifier: Option<String>,
        network: Option<NetworkId>,
    ) -> Result<InterfaceView, Error> {
        let owner = self.0.load_machine(machine).await?;
        actor.require_admin()?;
        check_text("identifier", identifier.as_deref().unwrap_or(""), 0, 64)?;
        self.check_network(network).await?;
        let interface = Interface {
            id: Id::NEW,
            revision: 0,
            machine,
            mac,
            identifier,
            network,
            addressing: Addressing::Dynamic,
        };
        let changes = json!({"mac": mac, "machine": owner.name});
        let journal = self.0.draft(actor)?.audit("create", "interface", &mac.to_string(), changes).done();
        let interface = self.0.store().insert_interface(&interface, &journal).await?;
        self.0.store().delete_discovered(mac).await?;
        self.get(actor, machine, interface.id).await
    }

    /// Changes an interface; its holders may change name and addressing, admins everything.
    pub async fn update(
        &self,
        actor: &Actor,
        machine: MachineId,
        id: InterfaceId,
        change: InterfaceChange,
    ) -> Result<InterfaceView, Error> {
        let found = self.get(actor, machine, id).await?;
        let owner = self.0.held_machine(actor, machine).await?;
        if change.mac.is_some() || change.network.is_some() {
            actor.require_admin()?;
        }
        let mut interface = found.interface;
        self.1.check(interface.revision)?;
        if let Some(identifier) = &change.identifier {
            check_text("identifier", identifier.as_deref().unwrap_or(""), 0, 64)?;
            interface.identifier.clone_from(identifier);
        }
        interface.mac = change.mac.unwrap_or(interface.mac);
        if let Some(network) = change.network {
            self.check_network(network).await?;
            interface.network = network;
        }
        let networks = self.0.store().networks().await?;
        let network = networks.iter().find(|network| Some(network.id) == interface.network);
        let kind = change.kind.unwrap_or(match interface.addressing {
            Addressing::Dynamic => AddressKind::Dynamic,
            Addressing::Reserved(_) => AddressKind::Reserved,
            Addressing::Static(_) => AddressKind::Static,
        });
        // A change of kind alone keeps no address of another range.
        let kept = if change.kind.is_none() { interface.addressing.address() } else { None };
        let wanted = match change.address {
            Some(wanted) => wanted,
            None => kept.map(WantedAddress::Fixed),
        };
        if wanted == Some(WantedAddress::Auto) && network.is_none() {
            return Err(Error::Refused("interface has no network".into()));
        }
        let moved = |interface: &Interface| {
            json!({
                "machine": owner.name,
                "identifier": interface.identifier,
                "kind": interface.addressing.kind(),
                "address": interface.addressing.address(),
            })
        };
        for candidate in self.candidates(kind, wanted, network)? {
            interface.addressing = candidate;
            let name = interface.mac.to_string();
            let journal = self.0.draft(actor)?.audit("update", "interface", &name, moved(&interface)).done();
            match self.0.store().update_interface(&interface, &journal).await {
                // Another request took the address first: the next one.
                Err(StoreError::Conflict { what }) if wanted == Some(WantedAddress::Auto) => {
                    tracing::debug!(%what, address = ?candidate.address(), "address taken, trying the next");
                }
                Err(error) => return self.1.settle(Err(error), interface.revision),
                Ok(_) => {
                    self.0.sync_dhcp();
                    return self.get(actor, machine, id).await;
                }
            }
        }
        Err(Error::Conflict("no more IPs available".into()))
    }

    /// Removes an interface; admins only.
    pub async fn delete(&self, actor: &Actor, machine: MachineId, id: InterfaceId) -> Result<(), Error> {
        let found = self.get(actor, machine, id).await?;
        actor.require_admin()?;
        self.1.check(found.interface.revision)?;
        let name = found.interface.mac.to_string();
        let journal = self.0.draft(actor)?.audit("delete", "interface", &name, Value::Null).done();
        self.0.store().delete_interface(id, &journal).await?;
        self.0.sync_dhcp();
        Ok(())
    }

    /// The machine and interface behind a MAC address.
    pub(crate) async fn owner_of(&self, mac: MacAddr) -> Result<Option<(Machine, Interface)>, Error> {
        let Some(interface) = self.0.store().interface_by_mac(mac).await? else { return Ok(None) };
        let machine = self.0.store().machine(interface.machine).await?;
        Ok(machine.map(|machine| (machine, interface)))
    }

    async fn check_network(&self, network: Option<NetworkId>) -> Result<(), Error> {
        let Some(id) = network else { return Ok(()) };
        let found = self.0.store().networks().await?.iter().any(|network| network.id == id);
        if found { Ok(()) } else { Err(Error::not_found("network", id)) }
    }

    /// The addressings to try in turn: one, or for `auto` every free-looking address of the range from a random start.
    fn candidates(
        &self,
        kind: AddressKind,
        wanted: Option<WantedAddress>,
        network: Option<&Network>,
    ) -> Result<Vec<Addressing>, Error> {
        let (name, make, range): (_, fn(Ipv4Addr) -> Addressing, _) = match kind {
            AddressKind::Dynamic => return Ok(vec![Addressing::Dynamic]),
            AddressKind::Reserved => {
                ("reserved", Addressing::Reserved, network.and_then(|network| network.reserved_net))
            }
            AddressKind::Static => {
                ("static", Addressing::Static, network.and_then(|network| network.static_net))
            }
        };
        match wanted {
            None => Err(Error::Refused("dynamic-reserved configuration requires an IPv4".into())),
            Some(WantedAddress::Fixed(address)) if range.is_some_and(|range| range.contains(&address)) => {
                Ok(vec![make(address)])
            }
            Some(WantedAddress::Fixed(_)) => {
                let kind = if kind == AddressKind::Static { "static" } else { "dynamic-reserved" };
                Err(Error::Refused(format!("{kind} IP out of range")))
            }
            Some(WantedAddress::Auto) => {
                let range =
                    range.ok_or_else(|| Error::Refused(format!("network has no {name} IPv4 range")))?;
                let mut all: Vec<Addressing> = assignable(range).take(1 << 16).map(make).collect();
                if !all.is_empty() {
                    let start = u64::from_le_bytes(crate::secret::random_bytes()) % all.len() as u64;
                    all.rotate_left(usize::try_from(start).unwrap_or(0));
                }
                Ok(all)
            }
        }
    }
}
