//! The OpenAPI document of these routes.

use std::sync::OnceLock;

use warp::http::StatusCode;

use crate::call::Call;
use crate::error::Answer;
use crate::openapi;
use crate::reply;
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/openapi.json", "get_openapi", Who::Anyone, document)
            .about("This document")
            .answers::<serde_json::Map<String, serde_json::Value>>(200),
    ]
}

async fn document(_: Call) -> Answer {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| openapi::people_document().to_string());
    Ok(reply::with_type(StatusCode::OK, "application/json", text.clone()))
}
