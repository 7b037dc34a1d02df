//! Events: a list, and a stream that goes on where a client lost it.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream;
use mrp_core::event::Event;
use mrp_core::id::Id;
use mrp_core::service::events::Follower;
use mrp_core::store::EventFilter;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use warp::Reply;

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::page::{MAX, Pages};
use crate::router::{Kind, Route, Who};

/// Longest silence on a stream, so that proxies keep it and dead clients are noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often the token of a stream is looked at again.
const RECHECK: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/event", "list_events", Who::User, list)
            .about("Events in the order of their ids; at most 1,000")
            .query("machine", Kind::Id, "Only those of this machine")
            .query("run", Kind::Id, "Only those of this run")
            .query("after", Kind::Number(0, i64::MAX as u64), "Only those after this event")
            .query("last", Kind::Number(0, u32::MAX as u64), "Only the last so many")
            .paged()
            .answers::<Vec<Event>>(200),
        Route::new("GET", "/api/v1/event/stream", "follow_events", Who::User, follow)
            .about("Events as they are written")
            .note("Server-sent events; `id` is the event's id, `event` its kind, `data` its JSON.")
            .query("machine", Kind::Id, "Only those of this machine")
            .query("run", Kind::Id, "Only those of this run")
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
    if let Some(id) = call.header("last-event-id") {
        let id = id.trim().parse().map_err(|_| ApiError::schema("Last-Event-ID: an event's id is needed"))?;
        filter.after = Some(Id::new(id));
    }
    let follower = call.service().events().follow(call.actor(), filter).await?;
    let (send, mut receive) = mpsc::channel(64);
    // The stream owns its task: whoever drops the one ends the other.
    let mut feeder = JoinSet::new();
    let stop = call.state.stop.subscribe();
    feeder.spawn(feed(call, follower, send, stop));
    let events = stream::poll_fn(move |context| {
        let _owner = &feeder;
        receive.poll_recv(context).map(|event| event.map(Ok::<_, Infallible>))
    });
    Ok(warp::sse::reply(warp::sse::keep_alive().interval(KEEP_ALIVE).stream(events)).into_response())
}

/// Feeds a stream until the client goes away, its token ends, the store fails or the server stops. The client comes
/// back with the last id that it has.
async fn feed(
    call: Call,
    mut follower: Follower,
    send: mpsc::Sender<warp::sse::Event>,
    mut stop: watch::Receiver<bool>,
) {
    let mut recheck = tokio::time::interval(RECHECK);
    loop {
        let events = tokio::select! {
            () = async { let _ = stop.wait_for(|stop| *stop).await; } => return,
            () = send.closed() => return,
            _ = recheck.tick() => {
                let token = call.who.as_ref().map(|(_, token)| token.expose()).unwrap_or_default();
                if call.service().users().authenticate(token).await.is_err() {
                    return;
                }
                continue;
            }
            events = follower.next() => events,
        };
        let Ok(events) = events else { return };
        for event in &events {
            if send.send(view(event)).await.is_err() {
                return;
            }
        }
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
        after: call.id_param("after")?,
        last: call.parsed("last", "a number")?.unwrap_or(0),
        limit: 0,
    })
}
