//! Events: a list, and a stream that goes on where a client lost it.

use mrp_core::event::{Event, EventKind};
use mrp_core::id::Id;
use mrp_core::service::events::Follower;
use mrp_core::store::EventFilter;
use mrp_core::{Actor, Error};

use crate::api::stream::{self, Feed};
use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::page::{MAX, Pages};
use crate::router::{Kind, Route, Who};

/// What the parameter `kind` may be.
const KIND: &str = "^(power|boot_device|dhcp|boot|answer_file|phone_home|state|netboot|assignment|run|refused|image|console)$";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/event", "list_events", Who::User, list)
            .about("Events in the order of their ids; at most 1,000")
            .query("machine", Kind::Id, "Only those of this machine")
            .query("run", Kind::Id, "Only those of this run")
            .query("kind", Kind::Pattern(KIND), "Only those of this kind")
            .query("after", Kind::Number(0, i64::MAX as u64), "Only those after this event")
            .query("last", Kind::Number(0, u32::MAX as u64), "Only the last so many")
            .paged()
            .answers::<Vec<Event>>(200),
        Route::new("GET", "/api/v1/event/stream", "follow_events", Who::User, follow)
            .about("Events as they are written")
            .note("Server-sent events; `id` is the event's id, `event` its kind, `data` its JSON.")
            .query("machine", Kind::Id, "Only those of this machine")
            .query("run", Kind::Id, "Only those of this run")
            .query("kind", Kind::Pattern(KIND), "Only those of this kind")
            .query("after", Kind::Number(0, i64::MAX as u64), "Only those after this event")
            .header("Last-Event-ID", Kind::Id, "Go on after this event")
            .streams::<Event>(),
    ]
}

async fn list(call: Call) -> Answer {
    let pages = Pages::of(&call)?.at_most(MAX);
    let (page, mut filter) = (pages.wanted()?, filter(&call)?);
    filter.after = filter.after.max(Some(Id::new(page.after)));
    filter.limit = page.limit;
    let events = call.service().events().list(call.actor(), filter).await?;
    pages.answer(&call, events, |event| event.id.get(), Event::clone)
}

async fn follow(call: Call) -> Answer {
    let mut filter = filter(&call)?;
    filter.after = stream::last_id(&call)?.or(filter.after);
    let follower = call.service().events().follow(call.actor(), filter).await?;
    stream::answer(call, follower)
}

impl Feed for Follower {
    async fn next(&mut self) -> Result<Vec<warp::sse::Event>, Error> {
        Ok(Follower::next(self).await?.iter().map(view).collect())
    }

    fn check(&self, _actor: &Actor) -> Result<(), Error> {
        Ok(())
    }
}

fn view(event: &Event) -> warp::sse::Event {
    let data = serde_json::to_string(event).expect("an event has string keys only");
    warp::sse::Event::default().id(event.id.to_string()).event(event.kind.as_str()).data(data)
}

fn filter(call: &Call) -> Result<EventFilter, ApiError> {
    Ok(EventFilter {
        machine: call.id_param("machine")?,
        run: call.id_param("run")?,
        kind: call.param("kind").map(|kind| kind_of(&kind)).transpose()?,
        after: call.after()?,
        last: call.parsed("last", "a number")?.unwrap_or(0),
        limit: 0,
    })
}

fn kind_of(name: &str) -> Result<EventKind, ApiError> {
    EventKind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = EventKind::ALL.into_iter().map(EventKind::as_str).collect();
        ApiError::schema(format!("kind: one of {} is needed", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_all_kinds() {
        let kinds = EventKind::ALL.map(EventKind::as_str);
        assert_eq!(KIND, format!("^({})$", kinds.join("|")));
    }
}
