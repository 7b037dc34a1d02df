//! Removing what is old, in small transactions, and counting what there is.

use async_trait::async_trait;

use super::StoreResult;
use crate::id::Timestamp;
use crate::image::ImageId;
use crate::retention::{Holdings, Outdated};

/// Removing what is old. Each method removes at most `most` rows, the oldest first, and tells how many.
#[async_trait]
pub trait RetentionStore {
    /// Removes events, except those of runs under way.
    async fn delete_old_events(&self, outdated: &Outdated, most: u32) -> StoreResult<u64>;
    /// Removes audit entries: the only way in which any goes.
    async fn delete_old_audit(&self, outdated: &Outdated, most: u32) -> StoreResult<u64>;
    /// Removes runs that have ended, with their events. Their age counts from their end.
    async fn delete_old_runs(&self, outdated: &Outdated, most: u32) -> StoreResult<u64>;
    /// Removes tokens that have expired.
    async fn delete_expired_tokens(&self, now: Timestamp, most: u32) -> StoreResult<u64>;
    /// Images that were uploaded before a time and that no machine and no subarchitecture uses, public boot loaders aside.
    async fn unused_images(&self, before: Timestamp, most: u32) -> StoreResult<Vec<ImageId>>;
    /// What there is.
    async fn holdings(&self) -> StoreResult<Holdings>;
}
