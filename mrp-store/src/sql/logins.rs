//! Attempts to log in.

use async_trait::async_trait;
use mrp_core::id::Timestamp;
use mrp_core::login::{LoginLimit, LoginOutcome};
use mrp_core::store::{LoginStore, StoreResult};

use super::rows::get;
use super::{SqlStore, failed, sql};

#[async_trait]
impl LoginStore for SqlStore {
    async fn begin_login(
        &self,
        limits: &[LoginLimit],
        since: Timestamp,
        now: Timestamp,
    ) -> StoreResult<Option<String>> {
        let mut tx = self.begin().await?;
        // Counts first and looks then; what is refused is not kept.
        for limit in limits {
            let query = sql(
                "INSERT INTO logins (subject, failures, under_way, last) VALUES ($1, 0, 1, $3) ON CONFLICT (subject) DO UPDATE SET failures = CASE WHEN logins.last < $2 THEN 0 ELSE logins.failures END, under_way = CASE WHEN logins.last < $2 THEN 1 ELSE logins.under_way + 1 END, last = $3 RETURNING failures, under_way",
            );
            let query = query.bind(&limit.subject).bind(since.0).bind(now.0);
            let row = query.fetch_one(&mut tx).await.map_err(failed)?;
            let (failures, under_way): (i64, i64) = (get(&row, "failures")?, get(&row, "under_way")?);
            let number = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
            if limit.is_reached(number(failures), number(under_way - 1)) {
                return Ok(Some(limit.subject.clone()));
            }
        }
        tx.commit().await.map_err(failed)?;
        Ok(None)
    }

    async fn end_login(&self, limits: &[LoginLimit], outcome: LoginOutcome) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let failed_one = i64::from(outcome == LoginOutcome::Failed);
        for (number, limit) in limits.iter().enumerate() {
            let forgiven = outcome == LoginOutcome::Right && number == 0;
            let query = sql(
                "UPDATE logins SET failures = CASE WHEN $2 THEN 0 ELSE failures + $3 END, under_way = CASE WHEN under_way > 0 THEN under_way - 1 ELSE 0 END WHERE subject = $1",
            );
            let query = query.bind(&limit.subject).bind(forgiven).bind(failed_one);
            query.execute(&mut tx).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }

    async fn delete_logins(&self, before: Timestamp) -> StoreResult<u64> {
        let query = sql("DELETE FROM logins WHERE last < $1").bind(before.0);
        query.execute(&self.write).await.map_err(failed)
    }
}
