//! Interfaces of machines.

use std::net::Ipv4Addr;

use mrp_core::event::Journal;
use mrp_core::id::Id;
use mrp_core::mac::MacAddr;
use mrp_core::machine::{Addressing, Interface, InterfaceId, MachineId};
use mrp_core::store::StoreResult;

use super::rows::{damaged, get, id, maybe_id, maybe_parsed, parsed};
use super::{Row, SqlStore, all, commit, deleted, inserted, one, sql, updated};

fn interface(row: &Row) -> StoreResult<Interface> {
    let addressing = match (get::<&str>(row, "addressing")?, maybe_parsed(row, "ipv4")?) {
        ("dynamic", None) => Addressing::Dynamic,
        ("dynamic-reserved", Some(address)) => Addressing::Reserved(address),
        ("static", Some(address)) => Addressing::Static(address),
        _ => return Err(damaged("addressing")),
    };
    Ok(Interface {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        machine: id(row, "machine_id")?,
        mac: parsed(row, "mac")?,
        identifier: get(row, "identifier")?,
        network: maybe_id(row, "network_id")?,
        addressing,
    })
}

impl SqlStore {
    pub(super) async fn interfaces_of(&self, machine: MachineId) -> StoreResult<Vec<Interface>> {
        let query = sql("SELECT * FROM interfaces WHERE machine_id = $1 ORDER BY id");
        all(query.bind(machine.get()).fetch_all(&self.read).await, interface)
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
        let query = sql(
            "INSERT INTO interfaces (revision, machine_id, mac, identifier, network_id, addressing, ipv4) VALUES (1, $1, $2, $3, $4, $5, $6) RETURNING id",
        );
        let query = query.bind(interface.machine.get()).bind(interface.mac.to_string());
        let query = query.bind(&interface.identifier).bind(interface.network.map(Id::get));
        let query = query.bind(interface.addressing.kind());
        let query = query.bind(interface.addressing.address().map(|address| address.to_string()));
        let id = inserted(&mut tx, query).await?;
        commit(tx, journal).await?;
        Ok(Interface { id, revision: 1, ..interface.clone() })
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
        commit(tx, journal).await?;
        Ok(Interface { revision: interface.revision + 1, ..interface.clone() })
    }

    pub(super) async fn remove_interface(&self, id: InterfaceId, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let query = sql("DELETE FROM interfaces WHERE id = $1").bind(id.get());
        deleted(&mut tx, query, "other objects").await?;
        commit(tx, journal).await
    }
}
