//! Interfaces of machines and their addresses.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::actor::{Actor, forbidden};
use crate::dhcp::DhcpHost;
use crate::error::Error;
use crate::event::{EventKind, NewEvent};
use crate::id::Id;
use crate::mac::MacAddr;
pub use crate::machine::InterfaceView;
use crate::machine::{Addressing, Interface, InterfaceId, Machine, MachineId, check_text};
use crate::network::{Free, Network, NetworkId};
use crate::service::Provisioner;
use crate::service::expected::Expected;
use crate::service::journal::{between, of, said};
use crate::store::StoreError;

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

/// How often what the DHCP server was told is looked after.
const TEND: Duration = Duration::from_secs(5);

/// How often an address is chosen anew because another request was faster.
const ATTEMPTS: usize = 1000;

/// Interfaces of machines.
#[derive(Debug)]
pub struct Interfaces<'a>(&'a Provisioner, Expected);

impl Provisioner {
    /// Interfaces of machines.
    pub fn interfaces(&self) -> Interfaces<'_> {
        Interfaces(self, Expected::Any)
    }

    /// Tells the DHCP server all addresses, in the background. Changes that come while it is told are told together.
    pub(crate) fn sync_dhcp(&self) {
        self.announce();
        if !self.0.dhcp.steers() {
            return;
        }
        let change = self.0.dhcp_changes.fetch_add(1, Ordering::SeqCst) + 1;
        let this = self.clone();
        self.start_task(async move {
            if let Err(error) = this.apply_dhcp(change).await {
                tracing::error!(%error, "the DHCP server could not be told the addresses");
            }
        });
    }

    /// Tells the DHCP server all addresses, unless it was told since this change.
    async fn apply_dhcp(&self, change: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // One at a time, so that the table that was read last is told last.
        let mut told = self.0.dhcp_turn.lock().await;
        if *told >= change {
            return Ok(());
        }
        let read = self.0.dhcp_changes.load(Ordering::SeqCst);
        let addresses = self.store().configured_addresses(None).await?;
        let mut hosts: Vec<DhcpHost> = addresses.into_iter().map(DhcpHost::from).collect();
        hosts.sort();
        self.0.dhcp.apply(&hosts).await?;
        *told = read;
        Ok(())
    }

    /// Starts to look after what the DHCP server was told: somebody may edit it, and it may not have been told at all.
    pub(crate) fn tend_dhcp(&self) {
        if !self.0.dhcp.steers() {
            return;
        }
        let service = self.clone();
        self.start_loop(async move {
            let mut problem = None;
            loop {
                tokio::time::sleep(TEND).await;
                match service.tend_dhcp_once().await {
                    Ok(()) => {
                        if problem.take().is_some() {
                            tracing::info!("the DHCP server has all addresses again");
                        }
                    }
                    Err(error) => {
                        let text = error.to_string();
                        if problem.as_ref() != Some(&text) {
                            tracing::error!("{text}; it is tried again every {} seconds", TEND.as_secs());
                        }
                        problem = Some(text);
                    }
                }
            }
        });
    }

    async fn tend_dhcp_once(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if let Some(text) = self.0.dhcp.tend().await? {
            self.tell_mended(text).await;
        }
        self.apply_dhcp(self.0.dhcp_changes.load(Ordering::SeqCst)).await
    }

    async fn tell_mended(&self, text: String) {
        tracing::warn!("{text}");
        let (at, kind, actor) = (self.now(), EventKind::Dhcp, "mrp".to_owned());
        let data = json!({"heard": "mended"});
        let event = NewEvent { at, machine: None, run: None, kind, actor, text, data };
        if let Err(error) = self.record_event(event).await {
            tracing::warn!(%error, "an event could not be written down");
        }
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
        Ok(self.0.store().interface_views(machine).await?)
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
        let interface = self.fresh(machine, mac, identifier, network).await?;
        self.check_identifier(&interface).await?;
        let plugged = match network {
            Some(id) => self.0.store().network(id).await?,
            None => None,
        };
        let changes = said(described(&interface, &owner, plugged.as_ref()));
        let journal = self.0.draft(actor)?.audit("create", "interface", &mac.to_string(), changes).done();
        let interface = self.0.store().insert_interface(&interface, &journal).await?;
        self.0.announce();
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
        if (change.mac.is_some() || change.network.is_some()) && !actor.admin {
            return Err(forbidden("only an admin may change the MAC address or the network of an interface"));
        }
        change.mac.map_or(Ok(()), check_mac)?;
        let mut interface = found.interface;
        let old = interface.clone();
        let before = described(&old, &owner, found.network.as_ref());
        self.1.check(interface.revision)?;
        if let Some(identifier) = &change.identifier {
            check_text("identifier", identifier.as_deref().unwrap_or(""), 0, 64)?;
            interface.identifier.clone_from(identifier);
            if interface.identifier != old.identifier {
                self.check_identifier(&interface).await?;
            }
        }
        interface.mac = change.mac.unwrap_or(interface.mac);
        if let Some(network) = change.network {
            self.check_network(network).await?;
            interface.network = network;
        }
        let network = match interface.network {
            Some(id) => self.0.store().network(id).await?,
            None => None,
        };
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
        let network = network.as_ref();
        self.store_with_address(actor, &owner, (old, before, interface), kind, wanted, network).await?;
        self.0.sync_dhcp();
        self.get(actor, machine, id).await
    }

    /// Stores an interface, as it was, was described and is to be, with the address that is wanted. Of several who want any address at
    /// once, each gets its own: whoever finds an address taken chooses again among those that are free then.
    async fn store_with_address(
        &self,
        actor: &Actor,
        owner: &Machine,
        (old, before, mut interface): (Interface, Value, Interface),
        kind: AddressKind,
        wanted: Option<WantedAddress>,
        network: Option<&Network>,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            interface.addressing = self.addressing(kind, wanted, network, &old).await?;
            let changes = between(&before, &described(&interface, owner, network));
            let changes = of(changes, "machine", json!(owner.name));
            let name = interface.mac.to_string();
            let journal = self.0.draft(actor)?.audit("update", "interface", &name, changes).done();
            match self.0.store().update_interface(&interface, &journal).await {
                Err(StoreError::Conflict { what }) if wanted == Some(WantedAddress::Auto) => {
                    tracing::debug!(%what, "address taken, choosing another");
                }
                Err(error) => return self.1.settle(Err(error), interface.revision),
                Ok(_) => return Ok(()),
            }
        }
        Err(Error::Conflict("too many ask for an address of this range at once; try again".into()))
    }

    /// Removes an interface; admins only.
    pub async fn delete(&self, actor: &Actor, machine: MachineId, id: InterfaceId) -> Result<(), Error> {
        let found = self.get(actor, machine, id).await?;
        actor.require_admin()?;
        self.1.check(found.interface.revision)?;
        let name = found.interface.mac.to_string();
        let owner = self.0.load_machine(machine).await?;
        let changes = said(described(&found.interface, &owner, found.network.as_ref()));
        let journal = self.0.draft(actor)?.audit("delete", "interface", &name, changes).done();
        let deleted = self.0.store().delete_interface(id, self.1.seen(), &journal).await;
        self.1.settle(deleted, found.interface.revision)?;
        self.0.sync_dhcp();
        Ok(())
    }

    /// The machine and interface behind a MAC address.
    pub(crate) async fn owner_of(&self, mac: MacAddr) -> Result<Option<(Machine, Interface)>, Error> {
        let client = self.0.store().dhcp_client(mac).await?;
        Ok(client.map(|client| (client.machine, client.interface)))
    }

    /// An interface that may be stored: with an address of one card that no machine has, a name of decent length, in a
    /// network that is there.
    pub(crate) async fn fresh(
        &self,
        machine: MachineId,
        mac: MacAddr,
        identifier: Option<String>,
        network: Option<NetworkId>,
    ) -> Result<Interface, Error> {
        check_mac(mac)?;
        check_text("identifier", identifier.as_deref().unwrap_or(""), 0, 64)?;
        self.check_network(network).await?;
        if let Some((owner, _)) = self.owner_of(mac).await? {
            return Err(Error::Conflict(format!("{mac} is taken already, by machine {}", owner.name)));
        }
        let addressing = Addressing::Dynamic;
        Ok(Interface { id: Id::NEW, revision: 0, machine, mac, identifier, network, addressing })
    }

    /// Refuses a second interface of a name: `eth0` of a machine has to be one.
    async fn check_identifier(&self, interface: &Interface) -> Result<(), Error> {
        let Some(name) = interface.identifier.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        let others = self.0.store().interface_views(interface.machine).await?;
        let mut others = others.into_iter().map(|view| view.interface);
        match others.find(|other| other.id != interface.id && other.identifier.as_deref() == Some(name)) {
            Some(other) => Err(Error::Conflict(format!("{name} is taken already, by {}", other.mac))),
            None => Ok(()),
        }
    }

    pub(crate) async fn check_network(&self, network: Option<NetworkId>) -> Result<(), Error> {
        let Some(id) = network else { return Ok(()) };
        match self.0.store().network(id).await? {
            Some(_) => Ok(()),
            None => Err(Error::not_found("network", id)),
        }
    }

    /// The addressing that is wanted: for `auto` the address that the interface has, if it is one of the range, or else a
    /// free one by chance.
    async fn addressing(
        &self,
        kind: AddressKind,
        wanted: Option<WantedAddress>,
        network: Option<&Network>,
        old: &Interface,
    ) -> Result<Addressing, Error> {
        let (name, make, range): (_, fn(Ipv4Addr) -> Addressing, _) = match kind {
            AddressKind::Dynamic => return Ok(Addressing::Dynamic),
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
                Ok(make(address))
            }
            Some(WantedAddress::Fixed(_)) => {
                let kind = if kind == AddressKind::Static { "static" } else { "dynamic-reserved" };
                Err(Error::Refused(format!("{kind} IP out of range")))
            }
            Some(WantedAddress::Auto) => {
                let range =
                    range.ok_or_else(|| Error::Refused(format!("network has no {name} IPv4 range")))?;
                let mine = old.addressing.address().filter(|own| range.contains(own));
                if let Some(own) = mine.filter(|own| make(*own) == old.addressing) {
                    return Ok(make(own));
                }
                let taken = self.0.store().configured_addresses(network.map(|network| network.id)).await?;
                let taken = taken.iter().filter(|taken| taken.interface != old.id).map(|taken| taken.address);
                let free = Free::new(range, taken);
                let chance = u64::from_le_bytes(crate::secret::random_bytes());
                let address = free.pick(chance);
                address.map(make).ok_or_else(|| Error::Conflict(format!("no more IPs available in {range}")))
            }
        }
    }
}

/// What the audit log says of an interface in its network.
fn described(interface: &Interface, owner: &Machine, network: Option<&Network>) -> Value {
    json!({
        "machine": owner.name,
        "mac": interface.mac,
        "identifier": interface.identifier,
        "network": network.map(|network| &network.name),
        "kind": interface.addressing.kind(),
        "address": interface.addressing.address(),
    })
}

/// Refuses an address that no network card has.
pub(crate) fn check_mac(mac: MacAddr) -> Result<(), Error> {
    if mac.is_of_a_card() {
        return Ok(());
    }
    Err(Error::invalid("mac", format!("{mac} is no network card's address, but a group's or none")))
}
