//! Removing what is old, in small transactions, and counting what there is.

use async_trait::async_trait;
use mrp_core::id::Timestamp;
use mrp_core::image::ImageId;
use mrp_core::retention::{Holdings, Outdated};
use mrp_core::store::{RetentionStore, StoreResult};

use super::database::Database;
use super::rows::{first, get, id};
use super::{SqlStore, all, failed, sql};

#[async_trait]
impl RetentionStore for SqlStore {
    async fn delete_old_events(&self, outdated: &Outdated, most: u32) -> StoreResult<u64> {
        let newest = "SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET $1";
        let old = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE (at < $1 OR id <= $2) AND (run_id IS NULL OR run_id NOT IN (SELECT id FROM runs WHERE status = 'active')) ORDER BY id LIMIT $3)";
        self.delete_old(newest, old, outdated, most).await
    }

    async fn delete_old_audit(&self, outdated: &Outdated, most: u32) -> StoreResult<u64> {
        let newest = "SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET $1";
        let old = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 OR id <= $2 ORDER BY id LIMIT $3)";
        self.delete_old(newest, old, outdated, most).await
    }

    async fn delete_old_runs(&self, outdated: &Outdated, most: u32) -> StoreResult<u64> {
        let newest = "SELECT id FROM runs ORDER BY id DESC LIMIT 1 OFFSET $1";
        let old = "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE status <> 'active' AND (COALESCE(ended, started) < $1 OR id <= $2) ORDER BY id LIMIT $3)";
        self.delete_old(newest, old, outdated, most).await
    }

    async fn delete_expired_tokens(&self, now: Timestamp, most: u32) -> StoreResult<u64> {
        let query = sql(
            "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires <= $1 ORDER BY id LIMIT $2)",
        );
        query.bind(now.0).bind(i64::from(most)).execute(&self.write).await.map_err(failed)
    }

    async fn unused_images(&self, before: Timestamp, most: u32) -> StoreResult<Vec<ImageId>> {
        let query = sql(
            "SELECT id FROM images WHERE uploaded < $1 AND NOT (kind = 'bootloader' AND public) AND NOT EXISTS (SELECT id FROM machines WHERE kernel_id = images.id) AND NOT EXISTS (SELECT id FROM machines WHERE initrd_id = images.id) AND NOT EXISTS (SELECT id FROM subarchs WHERE bootloader_id = images.id) ORDER BY id LIMIT $2",
        );
        let query = query.bind(before.0).bind(i64::from(most));
        all(query.fetch_all(&self.read).await, |row| id(row, "id"))
    }

    async fn holdings(&self) -> StoreResult<Holdings> {
        let rows = sql(
            "SELECT 'answer_files' AS what, COUNT(*) AS held FROM answer_files UNION ALL SELECT 'audit', COUNT(*) FROM audit UNION ALL SELECT 'events', COUNT(*) FROM events UNION ALL SELECT 'images', COUNT(*) FROM images UNION ALL SELECT 'machines', COUNT(*) FROM machines UNION ALL SELECT 'runs', COUNT(*) FROM runs UNION ALL SELECT 'tokens', COUNT(*) FROM tokens UNION ALL SELECT 'users', COUNT(*) FROM users",
        );
        let mut rows: Vec<(String, u64)> =
            all(rows.fetch_all(&self.read).await, |row| Ok((get(row, "what")?, count(get(row, "held")?))))?;
        rows.sort();
        let images = sql(
            "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM (SELECT DISTINCT digest, size FROM images) AS contents",
        );
        let images = images.fetch_one(&self.read).await.map_err(failed)?;
        let size = match self.database {
            Database::Postgres(_) => sql("SELECT pg_database_size(current_database())"),
            _ => sql("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"),
        };
        let size = size.fetch_one(&self.read).await.map_err(failed)?;
        Ok(Holdings { rows, database_bytes: count(first(&size)?), image_bytes: count(first(&images)?) })
    }
}

impl SqlStore {
    /// `newest` finds the newest row that is beyond a number; `old` removes what is older than $1 or not younger than $2.
    async fn delete_old(
        &self,
        newest: &'static str,
        old: &'static str,
        outdated: &Outdated,
        most: u32,
    ) -> StoreResult<u64> {
        let mut beyond = 0;
        if let Some(number) = outdated.beyond {
            let query = sql(newest).bind(i64::try_from(number).unwrap_or(i64::MAX));
            if let Some(row) = query.fetch_optional(&self.read).await.map_err(failed)? {
                beyond = first(&row)?;
            }
        }
        let before = outdated.before.map_or(i64::MIN, |before| before.0);
        let query = sql(old).bind(before).bind(beyond).bind(i64::from(most));
        query.execute(&self.write).await.map_err(failed)
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
