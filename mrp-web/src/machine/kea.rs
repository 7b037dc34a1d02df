//! The Kea hook's table and its reports.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream;
use mrp_core::api::kea::{Reports, TableLine};
use mrp_core::service::kea::TableFollower;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use warp::Reply;
use warp::sse::Event;

use crate::call::Call;
use crate::error::Answer;
use crate::reply;
use crate::router::{Route, Who};

/// Longest silence on the stream: the hook gives up on one that is silent for three times as long.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/dhcp/table", "follow_dhcp_table", Who::Dhcp, table)
            .without_head()
            .about("All clients that are machines', then each change as it happens")
            .note("Server-sent events; the stream does not end by itself.")
            .streams::<TableLine>(),
        Route::new("POST", "/dhcp/report", "report_dhcp", Who::Dhcp, report)
            .about("What Kea saw: clients that asked, leases that began and ended")
            .note("A report whose number is not greater than the last one of its source was taken already.")
            .body::<Reports>()
            .answers_nothing(204),
    ]
}

async fn report(call: Call) -> Answer {
    let reports: Reports = call.exact().await?;
    call.service().kea().report(reports).await?;
    Ok(reply::no_content())
}

async fn table(call: Call) -> Answer {
    let (send, mut receive) = mpsc::channel(64);
    // The stream owns its task: whoever drops the one ends the other.
    let mut feeder = JoinSet::new();
    feeder.spawn(feed(call.service().kea().follow(), send, call.state.stop.subscribe()));
    let events = stream::poll_fn(move |context| {
        let _owner = &feeder;
        receive.poll_recv(context).map(|event| event.map(Ok::<_, Infallible>))
    });
    Ok(warp::sse::reply(warp::sse::keep_alive().interval(KEEP_ALIVE).stream(events)).into_response())
}

/// Feeds a stream until the hook goes away, the store fails or the server stops; the hook comes back for a whole table.
async fn feed(mut follower: TableFollower, send: mpsc::Sender<Event>, mut stop: watch::Receiver<bool>) {
    loop {
        let lines = tokio::select! {
            () = async { let _ = stop.wait_for(|stop| *stop).await; } => return,
            () = send.closed() => return,
            lines = follower.next() => lines,
        };
        let lines = match lines {
            Ok(lines) => lines,
            Err(error) => {
                tracing::warn!(%error, "the Kea hook's table could not be read");
                return;
            }
        };
        for line in lines {
            let data = serde_json::to_string(&line).expect("a line has text keys only");
            if send.send(Event::default().data(data)).await.is_err() {
                return;
            }
        }
    }
}
