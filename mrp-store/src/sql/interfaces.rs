//! Interfaces of machines.

use std::net::Ipv4Addr;

use mrp_core::event::Journal;
use mrp_core::id::Id;
use mrp_core::lease::Lease;
use mrp_core::mac::MacAddr;
use mrp_core::machine::{
    Addressing, DhcpClient, DhcpEntry, Interface, InterfaceId, InterfaceView, MachineId, Netboot,
};
use mrp_core::network::{Network, NetworkAddress, NetworkId};
use mrp_core::store::{DhcpMark, Seen, StoreError, StoreResult};

use super::builder::QueryBuilder;
use super::database::Target;
use super::machines::{machine, read_netboot};
use super::networks;
use super::query::Query;
use super::rows::{damaged, get, id, maybe_id, maybe_parsed, maybe_time, parsed};
use super::{Row, SqlStore, Tx, all, commit, deleted_as_seen, failed, inserted, one, sql, updated};

fn interface(row: &Row) -> StoreResult<Interface> {
    Ok(Interface {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        machine: id(row, "machine_id")?,
        mac: parsed(row, "mac")?,
        identifier: get(row, "identifier")?,
        network: maybe_id(row, "network_id")?,
        addressing: addressing(row, "ipv4")?,
    })
}

fn addressing(row: &Row, ipv4: &'static str) -> StoreResult<Addressing> {
    match (get::<&str>(row, "addressing")?, maybe_parsed(row, ipv4)?) {
        ("dynamic", None) => Ok(Addressing::Dynamic),
        ("dynamic-reserved", Some(address)) => Ok(Addressing::Reserved(address)),
        ("static", Some(address)) => Ok(Addressing::Static(address)),
        _ => Err(damaged("addressing")),
    }
}

/// An interface with the columns of its network (`n_…`) and of its lease (`l_…`).
pub(super) fn view(row: &Row) -> StoreResult<InterfaceView> {
    let interface = interface(row)?;
    let network = match interface.network {
        None => None,
        Some(id) => Some(Network {
            id,
            revision: get(row, "n_revision")?,
            name: get(row, "n_name")?,
            subnet: parsed(row, "n_subnet")?,
            static_net: maybe_parsed(row, "n_static_net")?,
            reserved_net: maybe_parsed(row, "n_reserved_net")?,
            server_url: get(row, "n_server_url")?,
            trust_path_mac: get(row, "n_trust_path_mac")?,
        }),
    };
    let (ipv4, last_seen) = (maybe_parsed(row, "l_ipv4")?, maybe_time(row, "l_last_seen")?);
    let lease = ipv4.zip(last_seen).map(|(ipv4, last_seen)| Lease { mac: interface.mac, ipv4, last_seen });
    Ok(InterfaceView { interface, network, lease })
}

/// What [`view`] reads.
pub(super) fn views(machine: MachineId) -> Query<'static> {
    let query = sql(
        "SELECT i.*, n.revision AS n_revision, n.name AS n_name, n.subnet AS n_subnet, n.static_net AS n_static_net, n.reserved_net AS n_reserved_net, n.server_url AS n_server_url, n.trust_path_mac AS n_trust_path_mac, l.ipv4 AS l_ipv4, l.last_seen AS l_last_seen FROM interfaces i LEFT JOIN networks n ON n.id = i.network_id LEFT JOIN leases l ON l.mac = i.mac WHERE i.machine_id = $1 ORDER BY i.id",
    );
    query.bind(machine.get())
}

/// A machine with the columns of one of its interfaces (`i_…`) and the name of its boot loader.
fn client(row: &Row) -> StoreResult<DhcpClient> {
    let machine = machine(row)?;
    let interface = Interface {
        id: id(row, "i_id")?,
        revision: get(row, "i_revision")?,
        machine: machine.id,
        mac: parsed(row, "mac")?,
        identifier: get(row, "identifier")?,
        network: maybe_id(row, "network_id")?,
        addressing: addressing(row, "ipv4")?,
    };
    Ok(DhcpClient { machine, interface, boot_loader: get(row, "boot_loader")? })
}

fn entry(row: &Row) -> StoreResult<DhcpEntry> {
    let netboot: Netboot = read_netboot(get(row, "netboot")?, maybe_id(row, "netboot_run_id")?)?;
    Ok(DhcpEntry {
        mac: parsed(row, "mac")?,
        addressing: addressing(row, "ipv4")?,
        machine_name: get(row, "machine_name")?,
        netboot: netboot.is_on(),
        boot_loader: get(row, "boot_loader")?,
        server_url: get(row, "server_url")?,
    })
}

/// How many rows a table of the mark has, the last id that was given, and how often its rows were changed. Ids are never
/// used again: the three are the same only where all rows are.
fn marks(row: &Row) -> StoreResult<[i64; 3]> {
    Ok([get(row, "entries")?, get(row, "last_id")?, get(row, "revisions")?])
}

fn address(row: &Row) -> StoreResult<NetworkAddress> {
    Ok(NetworkAddress {
        address: parsed(row, "ipv4")?,
        addressing: addressing(row, "ipv4")?,
        interface: id(row, "id")?,
        mac: parsed(row, "mac")?,
        identifier: get(row, "identifier")?,
        machine: id(row, "machine_id")?,
        machine_name: get(row, "machine_name")?,
    })
}

/// Stores a new interface within a transaction; its MAC is discovered no longer.
pub(super) async fn insert(tx: &mut Tx, interface: &Interface) -> StoreResult<Interface> {
    let query = sql(
        "INSERT INTO interfaces (revision, machine_id, mac, identifier, network_id, addressing, ipv4) VALUES (1, $1, $2, $3, $4, $5, $6) RETURNING id",
    );
    let query = query.bind(interface.machine.get()).bind(interface.mac.to_string());
    let query = query.bind(&interface.identifier).bind(interface.network.map(Id::get));
    let query = query.bind(interface.addressing.kind());
    let query = query.bind(interface.addressing.address().map(|address| address.to_string()));
    let id = inserted(tx, query).await?;
    let query = sql("DELETE FROM discovered WHERE mac = $1").bind(interface.mac.to_string());
    query.execute(&mut *tx).await.map_err(failed)?;
    Ok(Interface { id, revision: 1, ..interface.clone() })
}

/// A network that was made smaller since the address was chosen has it no longer.
async fn refuse_out_of_range(tx: &mut Tx, interface: &Interface) -> StoreResult<()> {
    let Some(network) = interface.network else { return Ok(()) };
    let query = sql("SELECT * FROM networks WHERE id = $1").bind(network.get());
    let network = one(query.fetch_optional(&mut *tx).await, networks::network)?;
    match network.is_none_or(|network| network.has_room_for(interface.addressing)) {
        true => Ok(()),
        false => Err(StoreError::Stale),
    }
}

/// Addresses that interfaces of a network, or of all, have configured: in numerical order, which is not that of the texts.
pub(super) async fn addresses<'c>(
    on: impl Into<Target<'c>>,
    network: Option<NetworkId>,
) -> StoreResult<Vec<NetworkAddress>> {
    let mut query = QueryBuilder::new(
        "SELECT i.id, i.machine_id, i.mac, i.identifier, i.addressing, i.ipv4, m.name AS machine_name FROM interfaces i JOIN machines m ON m.id = i.machine_id WHERE i.ipv4 IS NOT NULL",
    );
    if let Some(network) = network {
        query.push(" AND i.network_id = ").push_bind(network.get());
    }
    let mut addresses = all(query.build().fetch_all(on).await, address)?;
    addresses.sort_by_key(|taken| (taken.address, taken.interface));
    Ok(addresses)
}

impl SqlStore {
    pub(super) async fn interfaces_of(&self, machine: MachineId) -> StoreResult<Vec<Interface>> {
        let query = sql("SELECT * FROM interfaces WHERE machine_id = $1 ORDER BY id");
        all(query.bind(machine.get()).fetch_all(&self.read).await, interface)
    }

    pub(super) async fn interface_views_of(&self, machine: MachineId) -> StoreResult<Vec<InterfaceView>> {
        all(views(machine).fetch_all(&self.read).await, view)
    }

    pub(super) async fn client_with_mac(&self, mac: MacAddr) -> StoreResult<Option<DhcpClient>> {
        let query = sql(
            "SELECT m.*, i.id AS i_id, i.revision AS i_revision, i.mac, i.identifier, i.network_id, i.addressing, i.ipv4, b.name AS boot_loader FROM interfaces i JOIN machines m ON m.id = i.machine_id LEFT JOIN subarchs s ON s.id = m.subarch_id LEFT JOIN images b ON b.id = s.bootloader_id WHERE i.mac = $1",
        );
        one(query.bind(mac.to_string()).fetch_optional(&self.read).await, client)
    }

    pub(super) async fn entries_for_dhcp(&self) -> StoreResult<Vec<DhcpEntry>> {
        let query = sql(
            "SELECT i.mac, i.addressing, i.ipv4, m.name AS machine_name, m.netboot, m.netboot_run_id, b.name AS boot_loader, n.server_url FROM interfaces i JOIN machines m ON m.id = i.machine_id LEFT JOIN subarchs s ON s.id = m.subarch_id LEFT JOIN images b ON b.id = s.bootloader_id LEFT JOIN networks n ON n.id = i.network_id",
        );
        let mut entries = all(query.fetch_all(&self.read).await, entry)?;
        entries.sort_by_key(|entry| entry.mac);
        Ok(entries)
    }

    pub(super) async fn mark_for_dhcp(&self) -> StoreResult<DhcpMark> {
        let of = |table: &str| {
            format!(
                "SELECT '{table}' AS part, COUNT(*) AS entries, COALESCE(MAX(id), 0) AS last_id, CAST(COALESCE(SUM(revision), 0) AS BIGINT) AS revisions FROM {table}"
            )
        };
        let mut query = QueryBuilder::new("");
        query.push(&["interfaces", "machines", "networks", "subarchs"].map(of).join(" UNION ALL "));
        query.push(" ORDER BY part");
        let marks = all(query.build().fetch_all(&self.read).await, marks)?;
        Ok(DhcpMark(marks.concat()))
    }

    pub(super) async fn addresses_in(&self, network: Option<NetworkId>) -> StoreResult<Vec<NetworkAddress>> {
        addresses(&self.read, network).await
    }

    pub(super) async fn every_interface(&self) -> StoreResult<Vec<Interface>> {
        all(sql("SELECT * FROM interfaces ORDER BY id").fetch_all(&self.read).await, interface)
    }

    pub(super) async fn interface_with_mac(&self, mac: MacAddr) -> StoreResult<Option<Interface>> {
        let query = sql("SELECT * FROM interfaces WHERE mac = $1").bind(mac.to_string());
        one(query.fetch_optional(&self.read).await, interface)
    }

    pub(super) async fn interface_with_address(&self, address: Ipv4Addr) -> StoreResult<Option<Interface>> {
        let query = sql("SELECT * FROM interfaces WHERE ipv4 = $1 ORDER BY id LIMIT 1");
        one(query.bind(address.to_string()).fetch_optional(&self.read).await, interface)
    }

    pub(super) async fn add_interface(
        &self,
        interface: &Interface,
        journal: &Journal,
    ) -> StoreResult<Interface> {
        let mut tx = self.begin().await?;
        let stored = insert(&mut tx, interface).await?;
        commit(tx, journal).await?;
        Ok(stored)
    }

    pub(super) async fn change_interface(
        &self,
        interface: &Interface,
        journal: &Journal,
    ) -> StoreResult<Interface> {
        let mut tx = self.begin().await?;
        let query = sql(
            "UPDATE interfaces SET revision = revision + 1, machine_id = $3, mac = $4, identifier = $5, network_id = $6, addressing = $7, ipv4 = $8 WHERE id = $1 AND revision = $2",
        );
        let query = query.bind(interface.id.get()).bind(interface.revision).bind(interface.machine.get());
        let query = query.bind(interface.mac.to_string()).bind(&interface.identifier);
        let query = query.bind(interface.network.map(Id::get)).bind(interface.addressing.kind());
        let query = query.bind(interface.addressing.address().map(|address| address.to_string()));
        updated(&mut tx, query, "SELECT id FROM interfaces WHERE id = $1", interface.id.get()).await?;
        refuse_out_of_range(&mut tx, interface).await?;
        commit(tx, journal).await?;
        Ok(Interface { revision: interface.revision + 1, ..interface.clone() })
    }

    pub(super) async fn remove_interface(
        &self,
        id: InterfaceId,
        seen: Seen<'_>,
        journal: &Journal,
    ) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        deleted_as_seen(&mut tx, "interfaces", id.get(), seen, "other objects").await?;
        commit(tx, journal).await
    }
}
