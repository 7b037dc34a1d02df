//! Server-sent events that go on where a client lost them.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream;
use mrp_core::id::Id;
use mrp_core::{Actor, Error};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use warp::Reply;
use warp::sse::Event;

use crate::call::Call;
use crate::error::{Answer, ApiError};

/// Longest silence on a stream, so that proxies keep it and dead clients are noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often the token of a stream is looked at again.
const RECHECK: Duration = Duration::from_secs(5);

/// What a stream gives out.
pub(super) trait Feed: Send + 'static {
    /// The next events, at least one; waits for it.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Event>, Error>> + Send;

    /// Refuses an actor whose rights have gone meanwhile.
    fn check(&self, actor: &Actor) -> Result<(), Error>;
}

/// Where a client that comes back wants to go on.
pub(super) fn last_id<T>(call: &Call) -> Result<Option<Id<T>>, ApiError> {
    let Some(id) = call.header("last-event-id") else { return Ok(None) };
    let id = id.trim().parse().map_err(|_| ApiError::schema("Last-Event-ID: an event's id is needed"))?;
    Ok(Some(Id::new(id)))
}

/// The answer that does not end by itself.
pub(super) fn answer(call: Call, from: impl Feed) -> Answer {
    let (send, mut receive) = mpsc::channel(64);
    // The stream owns its task: whoever drops the one ends the other.
    let mut feeder = JoinSet::new();
    let stop = call.state.stop.subscribe();
    feeder.spawn(feed(call, from, send, stop));
    let events = stream::poll_fn(move |context| {
        let _owner = &feeder;
        receive.poll_recv(context).map(|event| event.map(Ok::<_, Infallible>))
    });
    Ok(warp::sse::reply(warp::sse::keep_alive().interval(KEEP_ALIVE).stream(events)).into_response())
}

/// Feeds a stream until the client goes away, its token ends, the store fails or the server stops. The client comes
/// back with the last id that it has.
async fn feed(call: Call, mut from: impl Feed, send: mpsc::Sender<Event>, mut stop: watch::Receiver<bool>) {
    let mut recheck = tokio::time::interval(RECHECK);
    loop {
        let events = tokio::select! {
            () = async { let _ = stop.wait_for(|stop| *stop).await; } => return,
            () = send.closed() => return,
            _ = recheck.tick() => Ok(Vec::new()),
            events = from.next() => events,
        };
        let Ok(events) = events else { return };
        // Whoever may no longer is told nothing more, not even what was read before.
        let token = call.who.as_ref().map(|(_, token)| token.expose()).unwrap_or_default();
        match call.service().users().authenticate(token).await {
            Ok(actor) if from.check(&actor).is_ok() => {}
            _ => return,
        }
        for event in events {
            if send.send(event).await.is_err() {
                return;
            }
        }
    }
}
