//! What stands outside the API: where it is, whether it works, figures for Prometheus.

use mrp_core::Actor;
use mrp_core::store::EventFilter;
use warp::http::StatusCode;

use crate::auth;
use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::metrics;
use crate::reply;
use crate::router::{Route, Who};

const START_PAGE: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>mrp</title></head><body>
<h1>mrp</h1>
<p>This server provisions and manages the machines of a lab.</p>
<p>Use it with the program <code>mrp</code>: <code>mrp login &lt;this address&gt; --user &lt;name&gt;</code>, then
<code>mrp --help</code>. The REST API is at <code>/api/v1/</code>: <a href=\"/api/v1/docs\">read it and try it out</a>, or give
<a href=\"/api/v1/openapi.json\">openapi.json</a> to a program;
docs/api-differences.md of mrp says what differs from mr-provisioner's.
<a href=\"/healthz\">/healthz</a> tells whether the store is reachable, <code>/metrics</code> has figures for Prometheus.</p>
</body></html>
";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/", "get_root", Who::Anyone, |_| async {
            Ok(reply::redirect(StatusCode::FOUND, "/admin/"))
        })
        .about("To the start page")
        .answers_nothing(302),
        Route::new("GET", "/admin/", "get_start_page", Who::Anyone, start_page)
            .about("The start page")
            .answers_text(200, "text/html"),
        Route::new("GET", "/api/v1", "get_api", Who::Anyone, |_| async {
            Ok(reply::redirect(StatusCode::PERMANENT_REDIRECT, "/api/v1/"))
        })
        .about("To the start page")
        .answers_nothing(308),
        Route::new("GET", "/api/v1/", "get_api_root", Who::Anyone, |_| async {
            Ok(reply::redirect(StatusCode::FOUND, "/api/v1/docs"))
        })
        .about("To `/api/v1/docs`")
        .answers_nothing(302),
        Route::new("GET", "/healthz", "get_health", Who::Anyone, health)
            .about("Whether the store can be reached")
            .answers_text(200, "text/plain")
            .refuses(&[503]),
        Route::new("GET", "/metrics", "get_metrics", Who::Anyone, figures)
            .about("Figures for Prometheus")
            .note("With a token, or from an address of `metrics.from`.")
            .answers_text(200, "text/plain")
            .refuses(&[401, 503]),
    ]
}

async fn start_page(_: Call) -> Answer {
    Ok(reply::with_type(StatusCode::OK, "text/html; charset=utf-8", START_PAGE.into()))
}

async fn health(call: Call) -> Answer {
    let newest = EventFilter { last: 1, ..EventFilter::default() };
    call.service().events().list(&Actor::system(), newest).await?;
    Ok(reply::text(StatusCode::OK, "ok\n"))
}

async fn figures(mut call: Call) -> Answer {
    let address = call.peer.address.ip();
    let allowed = call.state.people.metrics_from.iter().any(|net| net.contains(&address));
    if !allowed && !auth::is_logged_in(&mut call).await {
        return Err(ApiError::Unauthorized);
    }
    let mut text = metrics::text(&call.state.metrics, call.service()).await?;
    if let Some(more) = &call.state.people.extra_metrics {
        text.push_str(&more());
    }
    Ok(reply::with_type(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}
