//! Which key the secrets are sealed with.

use async_trait::async_trait;
use mrp_core::claim::Claim;
use mrp_core::event::Journal;
use mrp_core::id::Timestamp;
use mrp_core::store::{KeyStore, Resealed, StoreError, StoreResult};

use super::rows::{first, get};
use super::{SqlStore, claims, commit, failed, sql};

const CHECK: &str = "SELECT check_value FROM server_key WHERE id = 1";

#[async_trait]
impl KeyStore for SqlStore {
    async fn key_check(&self) -> StoreResult<Option<String>> {
        let row = sql(CHECK).fetch_optional(&self.read).await.map_err(failed)?;
        row.map(|row| get(&row, "check_value")).transpose()
    }

    async fn note_key(&self, check: &str) -> StoreResult<String> {
        let mut tx = self.begin().await?;
        let query =
            sql("INSERT INTO server_key (id, check_value) VALUES (1, $1) ON CONFLICT (id) DO NOTHING");
        query.bind(check).execute(&mut tx).await.map_err(failed)?;
        let row = sql(CHECK).fetch_one(&mut tx).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        get(&row, "check_value")
    }

    async fn rotate_key(
        &self,
        old: &str,
        new: &str,
        resealed: &[Resealed],
        now: Timestamp,
        journal: &Journal,
    ) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        claims::end_lapsed(&mut tx, Claim::SERVER, now).await?;
        if let Some(server) = claims::any_holder(&mut tx, Claim::SERVER).await? {
            return Err(StoreError::InUse { what: format!("server {server}") });
        }
        let query = sql("UPDATE server_key SET check_value = $2 WHERE id = 1 AND check_value = $1");
        if query.bind(old).bind(new).execute(&mut tx).await.map_err(failed)? != 1 {
            return Err(StoreError::Stale);
        }
        let bmcs = sql("SELECT COUNT(*) FROM bmcs").fetch_one(&mut tx).await.map_err(failed)?;
        if first::<i64>(&bmcs)? != i64::try_from(resealed.len()).unwrap_or(i64::MAX) {
            return Err(StoreError::Stale);
        }
        for bmc in resealed {
            let query = sql(
                "UPDATE bmcs SET sealed_password = $3, revision = revision + 1 WHERE id = $1 AND revision = $2",
            );
            let query = query.bind(bmc.bmc.get()).bind(bmc.revision).bind(&bmc.sealed_password);
            if query.execute(&mut tx).await.map_err(failed)? != 1 {
                return Err(StoreError::Stale);
            }
        }
        commit(tx, journal).await
    }
}
