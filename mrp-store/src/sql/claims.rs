//! Claims of servers.

use async_trait::async_trait;
use mrp_core::claim::Claim;
use mrp_core::id::Timestamp;
use mrp_core::store::{ClaimStore, StoreError, StoreResult};

use super::rows::{get, time};
use super::{Row, SqlStore, Tx, all, failed, one, sql};

fn claim(row: &Row) -> StoreResult<Claim> {
    Ok(Claim {
        name: get(row, "name")?,
        holder: get(row, "holder")?,
        url: get(row, "url")?,
        until: time(row, "until")?,
    })
}

/// Ends a claim that a change is made under. `Stale` if it is not there.
pub(super) async fn end(tx: &mut Tx, name: &str) -> StoreResult<()> {
    let ended = sql("DELETE FROM claims WHERE name = $1").bind(name).execute(tx).await.map_err(failed)?;
    if ended == 1 { Ok(()) } else { Err(StoreError::Stale) }
}

/// Ends claims that have lapsed.
pub(super) async fn end_lapsed(tx: &mut Tx, prefix: &str, now: Timestamp) -> StoreResult<()> {
    let query = sql("DELETE FROM claims WHERE name >= $1 AND name < $2 AND until <= $3");
    let query = query.bind(prefix).bind(behind(prefix)).bind(now.0);
    query.execute(tx).await.map_err(failed).map(drop)
}

/// Who holds a claim whose name begins so: the first of them, if there is one.
pub(super) async fn any_holder(tx: &mut Tx, prefix: &str) -> StoreResult<Option<String>> {
    let query = sql("SELECT holder FROM claims WHERE name >= $1 AND name < $2 ORDER BY name LIMIT 1");
    let found = query.bind(prefix).bind(behind(prefix)).fetch_optional(tx).await;
    found.map_err(failed)?.map(|row| get(&row, "holder")).transpose()
}

/// Texts are compared by their bytes: after every text with the prefix comes the prefix with the last character.
fn behind(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

#[async_trait]
impl ClaimStore for SqlStore {
    async fn claim(&self, wanted: &Claim, now: Timestamp) -> StoreResult<Claim> {
        let mut tx = self.begin().await?;
        let query = sql(
            "INSERT INTO claims (name, holder, url, until) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, url = excluded.url, until = excluded.until WHERE claims.holder = excluded.holder OR claims.until <= $5",
        );
        let query = query.bind(&wanted.name).bind(&wanted.holder).bind(&wanted.url);
        query.bind(wanted.until.0).bind(now.0).execute(&mut tx).await.map_err(failed)?;
        let query = sql("SELECT * FROM claims WHERE name = $1").bind(&wanted.name);
        let held = one(query.fetch_optional(&mut tx).await, claim)?.ok_or(StoreError::NotFound)?;
        tx.commit().await.map_err(failed)?;
        Ok(held)
    }

    async fn renew_claims(&self, holder: &str, until: Timestamp) -> StoreResult<()> {
        let query = sql("UPDATE claims SET until = $2 WHERE holder = $1").bind(holder).bind(until.0);
        query.execute(&self.write).await.map_err(failed).map(drop)
    }

    async fn release_claim(&self, name: &str, holder: &str) -> StoreResult<()> {
        let query = sql("DELETE FROM claims WHERE name = $1 AND holder = $2").bind(name).bind(holder);
        query.execute(&self.write).await.map_err(failed).map(drop)
    }

    async fn release_claims(&self, holder: &str) -> StoreResult<()> {
        let query = sql("DELETE FROM claims WHERE holder = $1").bind(holder);
        query.execute(&self.write).await.map_err(failed).map(drop)
    }

    async fn claim_named(&self, name: &str) -> StoreResult<Option<Claim>> {
        let query = sql("SELECT * FROM claims WHERE name = $1").bind(name);
        one(query.fetch_optional(&self.read).await, claim)
    }

    async fn claims(&self, prefix: &str) -> StoreResult<Vec<Claim>> {
        let query = sql("SELECT * FROM claims WHERE name >= $1 AND name < $2 ORDER BY name");
        let query = query.bind(prefix).bind(behind(prefix));
        all(query.fetch_all(&self.read).await, claim)
    }
}
