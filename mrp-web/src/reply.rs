//! Answers that succeed.

use std::time::{Duration, SystemTime};

use mrp_core::id::Timestamp;
use serde::Serialize;
use warp::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use warp::http::{HeaderValue, StatusCode};

pub(crate) use warp::reply::Response;

/// Nothing but a status. The content type is the one that mr-provisioner gave its empty answers.
pub(crate) fn empty(status: StatusCode) -> Response {
    with_type(status, "text/html; charset=utf-8", String::new())
}

/// 204.
pub(crate) fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// JSON, with a line's end for terminals.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => with_type(status, "application/json", text + "\n"),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// 200 with JSON.
pub(crate) fn ok<T: Serialize>(value: &T) -> Response {
    json(StatusCode::OK, value)
}

/// 201 with JSON.
pub(crate) fn created<T: Serialize>(value: &T) -> Response {
    json(StatusCode::CREATED, value)
}

/// An answer that shows an object at a revision.
pub(crate) fn tagged(mut response: Response, revision: i64) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// Elsewhere on this server.
pub(crate) fn redirect(status: StatusCode, to: &'static str) -> Response {
    let mut response = empty(status);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    response
}

/// Plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    with_type(status, "text/plain; charset=utf-8", text.into())
}

/// A body of a content type.
pub(crate) fn with_type(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A time as mr-provisioner's routes have it (RFC 1123).
pub(crate) fn http_date(at: Timestamp) -> String {
    // RFC 1123 has four digits for a year.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(at.system_time().min(last))
}
