//! BMCs.

use async_trait::async_trait;
use mrp_core::bmc::Node;
use mrp_core::bmc_entry::{BmcEntry, BmcId, BmcNode, BmcSightings};
use mrp_core::event::Journal;
use mrp_core::health::BmcHealth;
use mrp_core::store::{BmcStore, Seen, StoreResult};

use super::rows::{get, id, json, to_json, to_word, word};
use super::{
    Row, SqlStore, all, commit, deleted_as_seen, failed, inserted, machine_notes, one, sql, updated,
};

fn bmc(row: &Row) -> StoreResult<BmcEntry> {
    Ok(BmcEntry {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        name: get(row, "name")?,
        address: get(row, "address")?,
        driver: get(row, "driver")?,
        username: get(row, "username")?,
        sealed_password: get(row, "sealed_password")?,
        privilege: word(row, "privilege")?,
        options: json(row, "options")?,
    })
}

#[async_trait]
impl BmcStore for SqlStore {
    async fn bmcs(&self) -> StoreResult<Vec<BmcEntry>> {
        all(sql("SELECT * FROM bmcs ORDER BY id").fetch_all(&self.read).await, bmc)
    }

    async fn bmc(&self, id: BmcId) -> StoreResult<Option<BmcEntry>> {
        let query = sql("SELECT * FROM bmcs WHERE id = $1").bind(id.get());
        one(query.fetch_optional(&self.read).await, bmc)
    }

    async fn insert_bmc(&self, bmc: &BmcEntry, journal: &Journal) -> StoreResult<BmcEntry> {
        let mut tx = self.begin().await?;
        let query = sql(
            "INSERT INTO bmcs (revision, name, address, driver, username, sealed_password, privilege, options) VALUES (1, $1, $2, $3, $4, $5, $6, $7) RETURNING id",
        );
        let query = query.bind(&bmc.name).bind(&bmc.address).bind(&bmc.driver).bind(&bmc.username);
        let query =
            query.bind(&bmc.sealed_password).bind(to_word(&bmc.privilege)?).bind(to_json(&bmc.options)?);
        let id = inserted(&mut tx, query).await?;
        commit(tx, journal).await?;
        Ok(BmcEntry { id, revision: 1, ..bmc.clone() })
    }

    async fn update_bmc(&self, bmc: &BmcEntry, journal: &Journal) -> StoreResult<BmcEntry> {
        let mut tx = self.begin().await?;
        let query = sql(
            "UPDATE bmcs SET revision = revision + 1, name = $3, address = $4, driver = $5, username = $6, sealed_password = $7, privilege = $8, options = $9 WHERE id = $1 AND revision = $2",
        );
        let query =
            query.bind(bmc.id.get()).bind(bmc.revision).bind(&bmc.name).bind(&bmc.address).bind(&bmc.driver);
        let query = query.bind(&bmc.username).bind(&bmc.sealed_password).bind(to_word(&bmc.privilege)?);
        let query = query.bind(to_json(&bmc.options)?);
        updated(&mut tx, query, "SELECT id FROM bmcs WHERE id = $1", bmc.id.get()).await?;
        commit(tx, journal).await?;
        Ok(BmcEntry { revision: bmc.revision + 1, ..bmc.clone() })
    }

    async fn delete_bmc(&self, id: BmcId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        deleted_as_seen(&mut tx, "bmcs", id.get(), seen, "machines").await?;
        commit(tx, journal).await
    }

    async fn bmc_nodes(&self) -> StoreResult<Vec<BmcNode>> {
        let query =
            sql("SELECT bmc_id, id, bmc_info FROM machines WHERE bmc_id IS NOT NULL ORDER BY bmc_id, id");
        all(query.fetch_all(&self.read).await, |row| {
            Ok(BmcNode {
                bmc: id(row, "bmc_id")?,
                machine: id(row, "id")?,
                node: Node(get(row, "bmc_info")?),
            })
        })
    }

    async fn bmc_health(&self) -> StoreResult<Vec<(BmcId, BmcHealth)>> {
        let query = sql("SELECT bmc_id, health FROM bmc_health ORDER BY bmc_id");
        all(query.fetch_all(&self.read).await, |row| Ok((id(row, "bmc_id")?, json(row, "health")?)))
    }

    async fn bmc_health_of(&self, id: BmcId) -> StoreResult<Option<BmcHealth>> {
        let query = sql("SELECT health FROM bmc_health WHERE bmc_id = $1").bind(id.get());
        one(query.fetch_optional(&self.read).await, |row| json(row, "health"))
    }

    async fn put_bmc_sightings(&self, sightings: &BmcSightings) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        for (bmc, health) in &sightings.health {
            let query = sql(
                "INSERT INTO bmc_health (bmc_id, health) SELECT id, $2 FROM bmcs WHERE id = $1 ON CONFLICT (bmc_id) DO UPDATE SET health = excluded.health",
            );
            query.bind(bmc.get()).bind(to_json(health)?).execute(&mut tx).await.map_err(failed)?;
        }
        for (machine, seen) in &sightings.power {
            machine_notes::put_power(*machine, seen).execute(&mut tx).await.map_err(failed)?;
        }
        commit(tx, &Journal::default()).await
    }
}
