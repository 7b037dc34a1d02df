//! Reading events.

use crate::actor::Actor;
use crate::error::Error;
use crate::event::{Event, EventId};
use crate::service::Provisioner;
use crate::store::EventFilter;

/// Most that one list has: a page of 1,000, and one more that tells whether there is another page.
pub const MOST: u32 = 1001;

/// Events, and the audit log.
#[derive(Debug)]
pub struct Events<'a>(pub(super) &'a Provisioner);

/// Follows events as they are written; none is lost, none comes twice.
#[derive(Debug)]
pub struct Follower {
    service: Provisioner,
    filter: EventFilter,
    changed: tokio::sync::watch::Receiver<u64>,
}

impl Provisioner {
    /// Events and audit.
    pub fn events(&self) -> Events<'_> {
        Events(self)
    }
}

impl Events<'_> {
    /// Events in the order of their ids; at most [`MOST`].
    pub async fn list(&self, _actor: &Actor, mut filter: EventFilter) -> Result<Vec<Event>, Error> {
        filter.limit = if filter.limit == 0 { MOST } else { filter.limit.min(MOST) };
        Ok(self.0.store().events(&filter).await?)
    }

    /// Follows events: those after `filter.after`, by default those from now on.
    pub async fn follow(&self, _actor: &Actor, mut filter: EventFilter) -> Result<Follower, Error> {
        let changed = self.0.0.changed.subscribe();
        if filter.after.is_none() {
            filter.after = Some(self.0.store().last_event().await?);
        }
        (filter.last, filter.limit) = (0, 200);
        Ok(Follower { service: self.0.clone(), filter, changed })
    }
}

impl Follower {
    /// The next events, at least one; waits for it.
    pub async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            self.changed.mark_unchanged();
            let events = self.service.store().events(&self.filter).await?;
            if let Some(last) = events.last() {
                self.filter.after = Some(last.id);
                return Ok(events);
            }
            if self.changed.changed().await.is_err() {
                return Err(Error::Conflict("the server is shutting down".into()));
            }
        }
    }

    /// The id of the last event that was given out.
    pub fn cursor(&self) -> Option<EventId> {
        self.filter.after
    }
}
