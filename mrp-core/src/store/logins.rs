//! Attempts to log in, as all servers on one database count them.

use async_trait::async_trait;

use super::StoreResult;
use crate::id::Timestamp;
use crate::login::{LoginLimit, LoginOutcome};

/// Attempts to log in.
#[async_trait]
pub trait LoginStore {
    /// Counts an attempt as under way for all of these subjects, unless one has reached its limit: then nothing is
    /// counted, and the answer is that subject. What was last counted before `since` is forgotten.
    async fn begin_login(
        &self,
        limits: &[LoginLimit],
        since: Timestamp,
        now: Timestamp,
    ) -> StoreResult<Option<String>>;

    /// Ends an attempt that was begun: a failure stays counted, a right login forgives the failures of the first subject.
    async fn end_login(&self, limits: &[LoginLimit], outcome: LoginOutcome) -> StoreResult<()>;

    /// Removes what was last counted before a time; tells how many rows.
    async fn delete_logins(&self, before: Timestamp) -> StoreResult<u64>;
}
