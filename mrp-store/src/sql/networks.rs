//! Networks, leases and discovered clients.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use mrp_core::event::Journal;
use mrp_core::lease::{Discovered, Lease};
use mrp_core::mac::MacAddr;
use mrp_core::network::{Network, NetworkAddress, NetworkId};
use mrp_core::store::{NetworkStore, Seen, StoreError, StoreResult};

use super::builder::QueryBuilder;
use super::database::Target;
use super::rows::{damaged, get, id, maybe_parsed, parsed, time};
use super::{
    Row, SqlStore, Tx, all, commit, deleted_as_seen, failed, inserted, interfaces, one, sql, updated,
};

/// Values in one `IN (…)`: far below what a statement may bind.
const IN_LIST: usize = 500;

pub(super) fn network(row: &Row) -> StoreResult<Network> {
    Ok(Network {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        name: get(row, "name")?,
        subnet: parsed(row, "subnet")?,
        static_net: maybe_parsed(row, "static_net")?,
        reserved_net: maybe_parsed(row, "reserved_net")?,
        server_url: get(row, "server_url")?,
        trust_path_mac: get(row, "trust_path_mac")?,
    })
}

fn lease(row: &Row) -> StoreResult<Lease> {
    Ok(Lease { mac: parsed(row, "mac")?, ipv4: parsed(row, "ipv4")?, last_seen: time(row, "last_seen")? })
}

fn client(row: &Row) -> StoreResult<Discovered> {
    let client_arch = get::<Option<i64>>(row, "client_arch")?;
    Ok(Discovered {
        mac: parsed(row, "mac")?,
        hostname: get(row, "hostname")?,
        client_arch: client_arch.map(u16::try_from).transpose().map_err(|_| damaged("client_arch"))?,
        vendor_class: get(row, "vendor_class")?,
        last_seen: time(row, "last_seen")?,
    })
}

#[async_trait]
impl NetworkStore for SqlStore {
    async fn networks(&self) -> StoreResult<Vec<Network>> {
        all(sql("SELECT * FROM networks ORDER BY id").fetch_all(&self.read).await, network)
    }

    async fn network(&self, id: NetworkId) -> StoreResult<Option<Network>> {
        let query = sql("SELECT * FROM networks WHERE id = $1").bind(id.get());
        one(query.fetch_optional(&self.read).await, network)
    }

    async fn configured_addresses(&self, network: Option<NetworkId>) -> StoreResult<Vec<NetworkAddress>> {
        self.addresses_in(network).await
    }

    async fn insert_network(&self, network: &Network, journal: &Journal) -> StoreResult<Network> {
        let mut tx = self.begin().await?;
        refuse_overlap(&mut tx, network).await?;
        let query = sql(
            "INSERT INTO networks (revision, name, subnet, static_net, reserved_net, server_url, trust_path_mac) VALUES (1, $1, $2, $3, $4, $5, $6) RETURNING id",
        );
        let query = query.bind(&network.name).bind(network.subnet.to_string());
        let query = query.bind(network.static_net.map(|net| net.to_string()));
        let query = query.bind(network.reserved_net.map(|net| net.to_string()));
        let query = query.bind(&network.server_url).bind(network.trust_path_mac);
        let id = inserted(&mut tx, query).await?;
        commit(tx, journal).await?;
        Ok(Network { id, revision: 1, ..network.clone() })
    }

    async fn update_network(&self, network: &Network, journal: &Journal) -> StoreResult<Network> {
        let mut tx = self.begin().await?;
        refuse_overlap(&mut tx, network).await?;
        refuse_loss(&mut tx, network).await?;
        let query = sql(
            "UPDATE networks SET revision = revision + 1, name = $3, subnet = $4, static_net = $5, reserved_net = $6, server_url = $7, trust_path_mac = $8 WHERE id = $1 AND revision = $2",
        );
        let query = query.bind(network.id.get()).bind(network.revision).bind(&network.name);
        let query = query.bind(network.subnet.to_string());
        let query = query.bind(network.static_net.map(|net| net.to_string()));
        let query = query.bind(network.reserved_net.map(|net| net.to_string()));
        let query = query.bind(&network.server_url).bind(network.trust_path_mac);
        updated(&mut tx, query, "SELECT id FROM networks WHERE id = $1", network.id.get()).await?;
        commit(tx, journal).await?;
        Ok(Network { revision: network.revision + 1, ..network.clone() })
    }

    async fn delete_network(&self, id: NetworkId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        deleted_as_seen(&mut tx, "networks", id.get(), seen, "interfaces").await?;
        commit(tx, journal).await
    }

    async fn lease(&self, mac: MacAddr) -> StoreResult<Option<Lease>> {
        let query = sql("SELECT * FROM leases WHERE mac = $1").bind(mac.to_string());
        one(query.fetch_optional(&self.read).await, lease)
    }

    async fn lease_by_address(&self, address: Ipv4Addr) -> StoreResult<Option<Lease>> {
        let query = sql("SELECT * FROM leases WHERE ipv4 = $1 ORDER BY last_seen DESC, mac DESC LIMIT 1");
        one(query.bind(address.to_string()).fetch_optional(&self.read).await, lease)
    }

    async fn leases(&self, macs: &[MacAddr]) -> StoreResult<Vec<Lease>> {
        let mut found = Vec::new();
        for macs in macs.chunks(IN_LIST) {
            let mut query = QueryBuilder::new("SELECT * FROM leases WHERE mac IN (");
            query.push_list(macs.iter().map(ToString::to_string)).push(") ORDER BY mac");
            found.extend(all(query.build().fetch_all(&self.read).await, lease)?);
        }
        Ok(found)
    }

    async fn put_lease(&self, lease: &Lease, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        write_lease(&mut tx, lease).await?;
        commit(tx, journal).await
    }

    async fn delete_lease(&self, mac: MacAddr) -> StoreResult<()> {
        let query = sql("DELETE FROM leases WHERE mac = $1").bind(mac.to_string());
        query.execute(&self.write).await.map_err(failed).map(drop)
    }

    async fn discovered(&self) -> StoreResult<Vec<Discovered>> {
        let query = sql("SELECT * FROM discovered ORDER BY last_seen DESC, mac");
        all(query.fetch_all(&self.read).await, client)
    }

    async fn discovered_client(&self, mac: MacAddr) -> StoreResult<Option<Discovered>> {
        let query = sql("SELECT * FROM discovered WHERE mac = $1").bind(mac.to_string());
        one(query.fetch_optional(&self.read).await, client)
    }

    async fn put_discovered(&self, client: &Discovered) -> StoreResult<()> {
        write_discovered(&self.write, client).await
    }

    async fn delete_discovered(&self, mac: MacAddr, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let query = sql("DELETE FROM discovered WHERE mac = $1").bind(mac.to_string());
        query.execute(&mut tx).await.map_err(failed)?;
        commit(tx, journal).await
    }
}

/// Stores or renews a lease.
pub(super) async fn write_lease<'c>(on: impl Into<Target<'c>>, lease: &Lease) -> StoreResult<()> {
    let query = sql(
        "INSERT INTO leases (mac, ipv4, last_seen) VALUES ($1, $2, $3) ON CONFLICT (mac) DO UPDATE SET ipv4 = excluded.ipv4, last_seen = excluded.last_seen",
    );
    let query = query.bind(lease.mac.to_string()).bind(lease.ipv4.to_string()).bind(lease.last_seen.0);
    query.execute(on).await.map_err(failed).map(drop)
}

/// Stores or renews a discovered client.
pub(super) async fn write_discovered<'c>(on: impl Into<Target<'c>>, client: &Discovered) -> StoreResult<()> {
    let query = sql(
        "INSERT INTO discovered (mac, hostname, client_arch, vendor_class, last_seen) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (mac) DO UPDATE SET hostname = COALESCE(excluded.hostname, discovered.hostname), client_arch = COALESCE(excluded.client_arch, discovered.client_arch), vendor_class = COALESCE(excluded.vendor_class, discovered.vendor_class), last_seen = excluded.last_seen",
    );
    let query = query.bind(client.mac.to_string()).bind(&client.hostname);
    let query =
        query.bind(client.client_arch.map(i64::from)).bind(&client.vendor_class).bind(client.last_seen.0);
    query.execute(on).await.map_err(failed).map(drop)
}

async fn refuse_loss(tx: &mut Tx, new: &Network) -> StoreResult<()> {
    let query = sql("SELECT * FROM networks WHERE id = $1").bind(new.id.get());
    let Some(old) = one(query.fetch_optional(&mut *tx).await, network)? else {
        return Err(StoreError::NotFound);
    };
    if old.has_ranges_of(new) {
        return Ok(());
    }
    let addresses = interfaces::addresses(&mut *tx, Some(new.id)).await?;
    old.refuse_loss(new, &addresses).map_err(|what| StoreError::InUse { what })
}

async fn refuse_overlap(tx: &mut Tx, new: &Network) -> StoreResult<()> {
    let others = all(sql("SELECT * FROM networks").fetch_all(&mut *tx).await, network)?;
    match others.iter().find(|other| other.id != new.id && other.overlaps(new)) {
        Some(other) => Err(StoreError::Conflict {
            what: format!("a part of {} (subnet {} of network {})", new.subnet, other.subnet, other.name),
        }),
        None => Ok(()),
    }
}
