//! The OpenAPI document of these routes, and a page to try them by hand: Swagger UI, from inside the binary.

use std::sync::OnceLock;

use bytes::Bytes;
use mrp_core::Error;
use warp::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use warp::http::{HeaderValue, StatusCode};

use crate::call::Call;
use crate::error::Answer;
use crate::openapi;
use crate::reply::{self, Response};
use crate::router::{Kind, Route, Who};

const PAGE: &[u8] = include_bytes!("../../assets/docs/index.html");

/// The page's parts: name, content type, content.
const PARTS: [(&str, &str, &[u8]); 4] = [
    ("page.css", "text/css", include_bytes!("../../assets/docs/page.css")),
    ("page.js", "text/javascript", include_bytes!("../../assets/docs/page.js")),
    ("swagger-ui.css", "text/css", include_bytes!("../../assets/swagger-ui/swagger-ui.css")),
    (
        "swagger-ui-bundle.js",
        "text/javascript",
        include_bytes!("../../assets/swagger-ui/swagger-ui-bundle.js"),
    ),
];

/// What the page may do: run its own scripts and ask its own server. Images in its style sheets are `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/openapi.json", "get_openapi", Who::Anyone, document)
            .about("This document")
            .answers::<serde_json::Map<String, serde_json::Value>>(200),
        Route::new("GET", "/api/v1/docs", "get_docs", Who::Anyone, page)
            .about("A page to read this document and to try the API by hand")
            .answers_text(200, "text/html"),
        Route::new("GET", "/api/v1/docs/{part}", "get_docs_part", Who::Anyone, part)
            .about("A part of that page")
            .segment(
                "part",
                Kind::Pattern(r"^(page|swagger-ui)\.css$|^(page|swagger-ui-bundle)\.js$"),
                "Its name",
            )
            .answers_text(200, "text/css")
            .answers_text(200, "text/javascript"),
        Route::new("GET", "/docs", "get_old_docs", Who::Anyone, |_| async {
            Ok(reply::redirect(StatusCode::PERMANENT_REDIRECT, "/api/v1/docs"))
        })
        .about("To `/api/v1/docs`")
        .answers_nothing(308),
        Route::new("GET", "/swagger.yaml", "get_old_openapi", Who::Anyone, |_| async {
            Ok(reply::redirect(StatusCode::PERMANENT_REDIRECT, "/api/v1/openapi.json"))
        })
        .about("To `/api/v1/openapi.json`")
        .answers_nothing(308),
    ]
}

async fn document(_: Call) -> Answer {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| openapi::people_document().to_string());
    Ok(reply::with_type(StatusCode::OK, "application/json", text.clone()))
}

async fn page(_: Call) -> Answer {
    let mut response = file("text/html; charset=utf-8", PAGE);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

async fn part(call: Call) -> Answer {
    let asked = call.params.first().map(String::as_str).unwrap_or_default();
    let found = PARTS
        .iter()
        .find(|(name, ..)| *name == asked)
        .ok_or_else(|| Error::not_found("part of the page", asked))?;
    Ok(file(found.1, found.2))
}

/// A file that changes with the program alone.
fn file(kind: &'static str, content: &'static [u8]) -> Response {
    let mut response = Response::new(Bytes::from_static(content).into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
