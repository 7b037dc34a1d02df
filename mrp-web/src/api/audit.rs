//! The audit log; admins only.

use mrp_core::event::AuditEntry;
use mrp_core::id::Id;
use mrp_core::service::audit::AuditFollower;
use mrp_core::store::AuditFilter;
use mrp_core::{Actor, Error};

use crate::api::stream::{self, Feed};
use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::page::{MAX, Pages};
use crate::router::{Kind, Route, Who};

/// What the parameter `object` may be.
const OBJECT: &str = "^(|arch|bmc|database|discovered|image|interface|key|machine|network|preseed|session|subarch|token|user)$";

pub(super) fn routes() -> Vec<Route> {
    let filtered = |route: Route| {
        route
            .query("after", Kind::Number(0, i64::MAX as u64), "Only entries after this one")
            .query("actor", Kind::Text, "Only what this user did")
            .query("object", Kind::Pattern(OBJECT), "Only what was done to this noun")
            .query("name", Kind::Text, "Only what was done to objects of this name")
            .query("since", Kind::Time, "Only those of this time (RFC 3339) or later")
    };
    vec![
        filtered(Route::new("GET", "/api/v1/audit", "list_audit", Who::Admin, list))
            .about("Who changed what, in the order of ids; at most 1,000")
            .query("last", Kind::Number(0, u32::MAX as u64), "Only the last so many")
            .paged()
            .answers::<Vec<AuditEntry>>(200),
        filtered(Route::new("GET", "/api/v1/audit/stream", "follow_audit", Who::Admin, follow))
            .about("Who changes what, as it is written")
            .note("Server-sent events; `id` is the entry's id, `event` is `audit`, `data` its JSON.")
            .header("Last-Event-ID", Kind::Id, "Go on after this entry")
            .streams::<AuditEntry>(),
    ]
}

async fn list(call: Call) -> Answer {
    let pages = Pages::of(&call)?.at_most(MAX);
    let (page, mut filter) = (pages.wanted()?, filter(&call)?);
    filter.after = filter.after.max(Some(Id::new(page.after)));
    filter.limit = page.limit;
    let entries = call.service().events().audit(call.actor(), filter).await?;
    pages.answer(&call, entries, |entry| entry.id.get(), AuditEntry::clone)
}

async fn follow(call: Call) -> Answer {
    let mut filter = filter(&call)?;
    filter.after = stream::last_id(&call)?.or(filter.after);
    let follower = call.service().events().follow_audit(call.actor(), filter).await?;
    stream::answer(call, follower)
}

impl Feed for AuditFollower {
    async fn next(&mut self) -> Result<Vec<warp::sse::Event>, Error> {
        Ok(AuditFollower::next(self).await?.iter().map(view).collect())
    }

    fn check(&self, actor: &Actor) -> Result<(), Error> {
        actor.require_admin()
    }
}

fn view(entry: &AuditEntry) -> warp::sse::Event {
    let data = serde_json::to_string(entry).expect("an audit entry has string keys only");
    warp::sse::Event::default().id(entry.id.to_string()).event("audit").data(data)
}

fn filter(call: &Call) -> Result<AuditFilter, ApiError> {
    let text = |name| call.param(name).filter(|value| !value.is_empty()).map(|value| value.into_owned());
    Ok(AuditFilter {
        after: call.after()?,
        actor: text("actor"),
        object: text("object"),
        name: text("name"),
        since: call.parsed("since", "a time such as 2026-01-31T00:00:00Z")?,
        last: call.parsed("last", "a number")?.unwrap_or(0),
        limit: 0,
    })
}

#[cfg(test)]
mod tests {
    use mrp_core::service::audit::OBJECTS;

    use super::*;

    #[test]
    fn the_document_names_all_nouns() {
        assert_eq!(OBJECT, format!("^(|{})$", OBJECTS.join("|")));
    }
}
