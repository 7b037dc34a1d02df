//! The door for other servers on the same database: `POST /peer`, proved by the key that they share.

use std::sync::Arc;

use bytes::Bytes;
use mrp_core::Error;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderValue, StatusCode};

use crate::call::State;
use crate::reply::{self, Response};

/// The header with the proof of a request, and of its answer.
pub const PEER_PROOF: &str = "x-mrp-peer";

/// A request names an act, a machine and an actor.
const MAX_BODY: u64 = 4096;

/// Everything that this door serves.
pub(crate) fn filter(state: &Arc<State>) -> BoxedFilter<(Response,)> {
    let state = state.clone();
    let ask = warp::path!("peer")
        .and(warp::post())
        .and(warp::header::<String>(PEER_PROOF))
        .and(warp::body::content_length_limit(MAX_BODY))
        .and(warp::body::bytes())
        .then(move |proof: String, body: Bytes| answer(state.clone(), proof, body))
        .boxed();
    let other = warp::any().map(|| reply::empty(StatusCode::NOT_FOUND)).boxed();
    ask.or(other).unify().boxed()
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
