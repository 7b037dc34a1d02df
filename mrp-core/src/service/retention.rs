//! Removing what is old: events, audit entries, runs, tokens, records of consoles, images that nobody uses.

use std::collections::HashSet;
use std::time::Duration;

use crate::actor::Actor;
use crate::error::Error;
use crate::login::LOCKOUT;
use crate::retention::{Holdings, Removed, earlier};
use crate::service::Provisioner;

/// How often it is done.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// How long after the start for the first time.
const FIRST: Duration = Duration::from_secs(60);
/// Rows of one transaction: milliseconds, so that other writers hardly wait.
const BATCH: u32 = 500;
/// Runs of one transaction; their events go with them.
const RUNS: u32 = 10;
/// Between two transactions, for the others.
const PAUSE: Duration = Duration::from_millis(20);

impl Provisioner {
    /// Removes what is outdated by the site's settings. The background work does so every hour.
    pub async fn remove_outdated(&self) -> Result<Removed, Error> {
        let (store, now, kept) = (self.store(), self.now(), self.settings().retention);
        let (events, audit, runs) =
            (kept.events.outdated(now), kept.audit.outdated(now), kept.runs.outdated(now));
        let mut removed = Removed {
            runs: all(RUNS, || store.delete_old_runs(&runs, RUNS)).await?,
            events: all(BATCH, || store.delete_old_events(&events, BATCH)).await?,
            audit: all(BATCH, || store.delete_old_audit(&audit, BATCH)).await?,
            tokens: all(BATCH, || store.delete_expired_tokens(now, BATCH)).await?,
            images: 0,
        };
        store.delete_logins(earlier(now, LOCKOUT)).await?;
        let mut gone = HashSet::new();
        for machine in self.0.console_record.machines().await? {
            if store.machine(machine).await?.is_none() {
                gone.insert(machine);
            }
        }
        self.0.console_record.tidy(now, &gone).await?;
        if let Some(age) = kept.unused_images {
            removed.images = self.remove_unused_images(age).await?;
        }
        if removed != Removed::default() {
            let Removed { events, audit, runs, tokens, images } = removed;
            tracing::info!(
                events,
                audit,
                runs,
                tokens,
                images,
                "removed what is older than [retention] keeps"
            );
        }
        Ok(removed)
    }

    /// What the database holds; admins only.
    pub async fn holdings(&self, actor: &Actor) -> Result<Holdings, Error> {
        actor.require_admin()?;
        Ok(self.store().holdings().await?)
    }

    /// One after the other as a person would, so that the content goes too and an entry is left in the audit log.
    async fn remove_unused_images(&self, age: Duration) -> Result<u64, Error> {
        let mut removed = 0;
        for id in self.store().unused_images(earlier(self.now(), age), BATCH).await? {
            match self.images().delete(&Actor::system(), id).await {
                Ok(()) => removed += 1,
                // Somebody took it into use, or removed it, meanwhile.
                Err(Error::Conflict(_) | Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(removed)
    }

    /// Starts to remove what is old.
    pub(crate) fn start_removing(&self) {
        let service = self.clone();
        self.start_loop(async move {
            tokio::time::sleep(FIRST).await;
            loop {
                if let Err(error) = service.remove_outdated().await {
                    tracing::warn!(%error, "what is outdated could not be removed");
                }
                tokio::time::sleep(EVERY).await;
            }
        });
    }
}

/// Removes batches until one is not full.
async fn all<F, E>(batch: u32, mut remove: impl FnMut() -> F) -> Result<u64, E>
where
    F: Future<Output = Result<u64, E>>,
{
    let mut removed = 0;
    loop {
        let now = remove().await?;
        removed += now;
        if now < u64::from(batch) {
            return Ok(removed);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
