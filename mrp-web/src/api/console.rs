//! Consoles: tickets, the record, and the WebSocket.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use mrp_core::api;
use mrp_core::console::{Frame, FrameContent};
use mrp_core::id::Timestamp;
use mrp_core::run::RunId;
use mrp_core::service::consoles::{ConsoleLog, LogFilter};
use mrp_core::{Actor, Error};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use warp::Reply;
use warp::http::HeaderValue;
use warp::http::header::CONTENT_TYPE;

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::reply;
use crate::router::{Kind, Route, Who};
use crate::websocket;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("POST", "/api/v1/machine/{id}/console", "open_console", Who::Holder, open)
            .about("A ticket for a machine's console")
            .note(
                "Good once, within five minutes, for `GET …/console/ws?token=…`; it ends when the machine is given back. 400 without a BMC.",
            )
            .answers::<api::ConsoleTicket>(200)
            .refuses(&[400]),
        Route::new("DELETE", "/api/v1/machine/{id}/console", "take_console", Who::Holder, take)
            .about("Takes a machine's console from whatever session has it")
            .note(
                "For a console that is active in a session outside of mrp. Those who watch it here stay, and see what comes from then on.",
            )
            .answers_nothing(204)
            .refuses(&[400, 409, 502, 504]),
        Route::new("GET", "/api/v1/machine/{id}/console/log", "read_console", Who::Holder, log)
            .about("What a machine's console showed")
            .note(
                "Holders see what came since they have the machine. As text it is what the machine printed, byte for byte; with `text` it is the lines that have it, each after its time. As `ndjson` each line is a JSON object (`ConsoleLine`), with what happened between (`mark`).",
            )
            .query("since", Kind::Time, "Only what came then or later")
            .query("until", Kind::Time, "Only what came before")
            .query("run", Kind::Id, "Only what came during this run of the machine")
            .query("text", Kind::Text, "Only lines that have this text, whatever its case")
            .query("format", Kind::Pattern("^(text|ndjson)$"), "`text` by default")
            .answers_text(200, "text/plain")
            .answers_text(200, "application/x-ndjson")
            .refuses(&[409, 502, 504]),
        Route::new("GET", "/api/v1/machine/{id}/console/ws", "attach_console", Who::Ticket, attach)
            .about("A machine's console, as a WebSocket")
            .note(
                "Binary frames are what the machine prints and what is typed. Text frames are JSON: `ConsoleNotice` to the client, `ConsoleRequest` to the server; docs/console.md describes both. 426 without an upgrade; 409 where no server drives the machine's BMC.",
            )
            .query("token", Kind::Text, "A ticket of `POST …/console`, in place of a token in the header")
            .query("watch", Kind::Flag, "Never type")
            .answers_nothing(101)
            .refuses(&[400, 409, 426, 429, 502, 504])
            .without_head(),
    ]
}

async fn open(call: Call) -> Answer {
    let token = call.service().consoles().issue_ticket(call.actor(), call.id(0)?).await?;
    let (port, token) = (call.peer.local.port(), token.expose().to_owned());
    Ok(reply::ok(&api::ConsoleTicket { host: None, port, token }))
}

async fn take(call: Call) -> Answer {
    call.service().consoles().take(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

async fn attach(call: Call) -> Answer {
    let (machine, watch) = (call.id(0)?, call.flag("watch"));
    let handshake = websocket::Handshake::of(&call)?;
    let actor: Actor = match call.param("token") {
        None => call.actor().clone(),
        Some(ticket) => {
            let (found, actor) = call.service().consoles().redeem_ticket(&ticket).await?;
            if found.id != machine {
                return Err(Error::Unauthenticated("this ticket is for another machine".into()).into());
            }
            actor
        }
    };
    let viewer = call.service().consoles().attach(&actor, machine, watch).await?;
    handshake.accept(&call, viewer)
}

async fn log(call: Call) -> Answer {
    let time = |name| call.parsed::<Timestamp>(name, "a time of RFC 3339");
    let filter = LogFilter {
        since: time("since")?,
        until: time("until")?,
        run: call.id_param("run")?,
        text: call.param("text").map(|text| text.into_owned()),
    };
    let format = match call.param("format").as_deref() {
        None | Some("text") if filter.text.is_none() => Format::Raw,
        None | Some("text") => Format::Lines,
        Some("ndjson") => Format::Json,
        Some(_) => return Err(ApiError::schema("format: text or ndjson is needed")),
    };
    let log = call.service().consoles().log(call.actor(), call.id(0)?, filter).await?;
    let (send, mut receive) = mpsc::channel(2);
    // The answer owns its task: whoever drops the one ends the other.
    let mut feeder = JoinSet::new();
    feeder.spawn(feed(log, format, send));
    let pieces = stream::poll_fn(move |context| {
        let _owner = &feeder;
        receive.poll_recv(context)
    });
    let mut response = warp::reply::stream(pieces).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    Ok(response)
}

/// How a record is written.
#[derive(Debug, Clone, Copy)]
enum Format {
    /// What the machine printed.
    Raw,
    /// Lines after their times.
    Lines,
    /// Objects.
    Json,
}

/// Reads a record for as long as the client does. One that cannot be read ends the connection: the client sees that it is
/// not whole.
async fn feed(mut log: ConsoleLog, format: Format, send: mpsc::Sender<Result<Bytes, Error>>) {
    loop {
        let piece = match log.next().await {
            Ok(None) => return,
            Ok(Some(frames)) => Ok(format.write(&frames, &log)),
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        if send.send(piece).await.is_err() || failed {
            return;
        }
    }
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Raw | Format::Lines => "text/plain; charset=utf-8",
            Format::Json => "application/x-ndjson",
        }
    }

    fn write(self, frames: &[Frame], log: &ConsoleLog) -> Bytes {
        let mut written = Vec::new();
        for frame in frames {
            match (self, &frame.content) {
                (Format::Raw, FrameContent::Output(bytes)) => written.extend_from_slice(bytes),
                (Format::Raw, _) => {}
                (Format::Lines, content) => {
                    let (_, bytes) = content.parts();
                    let _ = write!(written, "{} ", frame.at);
                    written.extend_from_slice(bytes);
                    written.push(b'\n');
                }
                (Format::Json, _) => {
                    written
                        .extend(serde_json::to_vec(&line(frame, log.run_at(frame.at))).unwrap_or_default());
                    written.push(b'\n');
                }
            }
        }
        written.into()
    }
}

fn line(frame: &Frame, run: Option<RunId>) -> api::ConsoleLine {
    let (kind, bytes) = frame.content.parts();
    let (text, base64) = match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    };
    api::ConsoleLine { at: frame.at, kind, run: run.map(RunId::get), text, base64 }
}
