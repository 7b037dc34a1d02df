//! Reading the audit log. It is written with each change and never by itself; only [`Retention`](crate::retention::Retention)
//! removes entries.

use std::time::Duration;

use tokio::sync::watch;

use crate::actor::Actor;
use crate::error::Error;
use crate::event::AuditEntry;
use crate::machine::check_text;
use crate::service::Provisioner;
use crate::service::events::{Events, MOST};
pub use crate::service::journal::OBJECTS;
use crate::store::AuditFilter;

/// How often a follower looks where no event has told it to.
const LOOK: Duration = Duration::from_secs(1);

/// Follows the audit log as it is written, on all servers of a database; none is lost, none comes twice.
#[derive(Debug)]
pub struct AuditFollower {
    service: Provisioner,
    filter: AuditFilter,
    changed: watch::Receiver<u64>,
}

impl Events<'_> {
    /// Audit entries in the order of their ids, at most [`MOST`]; admins only.
    pub async fn audit(&self, actor: &Actor, mut filter: AuditFilter) -> Result<Vec<AuditEntry>, Error> {
        actor.require_admin()?;
        check(&filter)?;
        filter.limit = if filter.limit == 0 { MOST } else { filter.limit.min(MOST) };
        Ok(self.0.store().audit_log(&filter).await?)
    }

    /// Follows the audit log: entries after `filter.after`, by default those from now on; admins only.
    pub async fn follow_audit(&self, actor: &Actor, mut filter: AuditFilter) -> Result<AuditFollower, Error> {
        actor.require_admin()?;
        check(&filter)?;
        let changed = self.0.0.changed.subscribe();
        if filter.after.is_none() {
            filter.after = Some(self.0.store().last_audit().await?);
        }
        (filter.last, filter.limit) = (0, 200);
        Ok(AuditFollower { service: self.0.clone(), filter, changed })
    }
}

impl AuditFollower {
    /// The next entries, at least one; waits for it.
    pub async fn next(&mut self) -> Result<Vec<AuditEntry>, Error> {
        loop {
            self.changed.mark_unchanged();
            let entries = self.service.store().audit_log(&self.filter).await?;
            if let Some(last) = entries.last() {
                self.filter.after = Some(last.id);
                return Ok(entries);
            }
            // Not every change has an event, and other servers tell of events alone.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, self.changed.changed()).await {
                return Err(Error::Conflict("the server is shutting down".into()));
            }
        }
    }
}

fn check(filter: &AuditFilter) -> Result<(), Error> {
    if let Some(object) = filter.object.as_deref().filter(|object| !OBJECTS.contains(object)) {
        let message = format!("{object:?} is none; the nouns are {}", OBJECTS.join(", "));
        return Err(Error::invalid("object", message));
    }
    for (field, text) in [("actor", &filter.actor), ("object", &filter.object), ("name", &filter.name)] {
        check_text(field, text.as_deref().unwrap_or(""), 0, 1024)?;
    }
    Ok(())
}
