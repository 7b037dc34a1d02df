//! The door for other servers on the same database: `POST /peer` and the WebSocket `GET /peer/console`, proved by the key
//! that they share.

use std::sync::Arc;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use mrp_core::Error;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderValue, Method, StatusCode};

use crate::call::{Body, Call, State};
use crate::error::{Answer, ApiError};
use crate::reply::{self, Response};
use crate::router::request;
use crate::websocket::Handshake;

/// The header with the proof of a request, and of its answer.
pub const PEER_PROOF: &str = "x-mrp-peer";

/// The header with the request for a console, in JSON: a handshake has no body.
pub const PEER_ACT: &str = "x-mrp-peer-act";

/// A request names an act, a machine and an actor.
const MAX_BODY: u64 = 4096;

/// Everything that this door serves.
pub(crate) fn filter(state: &Arc<State>) -> BoxedFilter<(Response,)> {
    let asked = state.clone();
    let ask = warp::path!("peer")
        .and(warp::post())
        .and(warp::header::<String>(PEER_PROOF))
        .and(warp::body::content_length_limit(MAX_BODY))
        .and(warp::body::bytes())
        .then(move |proof: String, body: Bytes| answer(asked.clone(), proof, body))
        .boxed();
    let state = state.clone();
    let console = warp::path!("peer" / "console")
        .and(warp::get())
        .and(request())
        .and(warp::body::stream().map(Body::new))
        .and(warp::ext::optional::<OnUpgrade>())
        .then(move |(query, headers, peer), body, upgrade| {
            let (state, path) = (state.clone(), "/peer/console".to_owned());
            let (method, params, who) = (Method::GET, Vec::new(), None);
            let call = Call { state, peer, method, path, params, query, headers, body, upgrade, who };
            async move { console(call).await.unwrap_or_else(ApiError::into_text) }
        })
        .boxed();
    let other = warp::any().map(|| reply::empty(StatusCode::NOT_FOUND)).boxed();
    ask.or(console).unify().or(other).unify().boxed()
}

async fn console(call: Call) -> Answer {
    let handshake = Handshake::of(&call)?;
    let (proof, act) = (call.header(PEER_PROOF), call.header(PEER_ACT));
    let (proof, act) = (proof.unwrap_or_default(), act.unwrap_or_default());
    let (ways, opened) = call.service().consoles().attach_peer(proof, act).await?;
    handshake.accept_peer(&call, ways, opened)
}

async fn answer(state: Arc<State>, proof: String, body: Bytes) -> Response {
    let Ok(body) = std::str::from_utf8(&body) else { return reply::empty(StatusCode::BAD_REQUEST) };
    match state.service.answer_peer(&proof, body).await {
        Ok((proof, answer)) => {
            let mut response = reply::text(StatusCode::OK, answer);
            if let Ok(proof) = HeaderValue::from_str(&proof) {
                response.headers_mut().insert(PEER_PROOF, proof);
            }
            response
        }
        Err(error) => {
            let status = match &error {
                Error::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
                Error::Refused(_) => StatusCode::BAD_REQUEST,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            tracing::warn!(%error, "a peer's request was refused");
            reply::text(status, error.to_string())
        }
    }
}
