//! Which key the secrets are sealed with.

use async_trait::async_trait;

use super::StoreResult;
use crate::bmc_entry::BmcId;
use crate::event::Journal;
use crate::id::Timestamp;

/// A BMC's password, sealed with another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    /// The BMC.
    pub bmc: BmcId,
    /// The revision that was read.
    pub revision: i64,
    /// The password, sealed.
    pub sealed_password: Vec<u8>,
}

/// The key's check value: what the key makes of a fixed message.
#[async_trait]
pub trait KeyStore {
    /// The check value of the key in force; `None` where none was noted yet.
    async fn key_check(&self) -> StoreResult<Option<String>>;
    /// Notes the first check value; answers the one in force, which may be another server's.
    async fn note_key(&self, check: &str) -> StoreResult<String>;
    /// Replaces all sealed passwords and the check value at once. `Stale` if the check value is not `old`, or if the BMCs
    /// are not exactly these with these revisions. `InUse` by a server that has a [claim](crate::claim::Claim::SERVER) at
    /// that time.
    async fn rotate_key(
        &self,
        old: &str,
        new: &str,
        resealed: &[Resealed],
        now: Timestamp,
        journal: &Journal,
    ) -> StoreResult<()>;
}
