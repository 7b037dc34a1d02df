//! One table of routes feeds the filters, the answers 404 and 405, and the tests.
//!
//! Every route and every `or` is boxed (types of 80 filters overflow the compiler otherwise), and routes are grouped by
//! the first segment of their path. Filters reject to route on; handlers answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::upgrade::OnUpgrade;
use percent_encoding::percent_decode_str;
use warp::filters::BoxedFilter;
use warp::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, EXPECT, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::path::FullPath;
use warp::{Filter, Rejection};

use crate::auth;
use crate::call::{Body, Call, Peer, State};
use crate::error::ApiError;
use crate::reply::{self, Response};
pub use crate::route::RouteInfo;
pub use crate::route::Who;
pub(crate) use crate::route::{Kind, Route};
use crate::{api, machine};

/// The routes of the door for people and programs.
pub fn people_routes() -> Vec<RouteInfo> {
    api::routes().iter().map(|route| route.info).collect()
}

/// The routes of the machines' door.
pub fn machine_routes() -> Vec<RouteInfo> {
    machine::routes().iter().map(|route| route.info).collect()
}

/// Whose language refusals are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// JSON, and CORS for tokens.
    People,
    /// Plain text.
    Machines,
}

/// Everything that one door serves.
pub(crate) fn filter(door: Door, state: &Arc<State>) -> BoxedFilter<(Response,)> {
    let routes = match door {
        Door::People => api::routes(),
        Door::Machines => machine::routes(),
    };
    let mut groups: BTreeMap<(bool, &str), BoxedFilter<(Response,)>> = BTreeMap::new();
    for route in &routes {
        let filter = route_filter(route.clone(), door, state.clone());
        let key = (route.info.path.starts_with("/api/v1/"), route.first_segment());
        let group = match groups.remove(&key) {
            Some(group) => group.or(filter).unify().boxed(),
            None => filter,
        };
        groups.insert(key, group);
    }
    let mut all = fallback(routes, door, state.clone());
    for ((api, segment), group) in groups {
        let prefix = if api { warp::path!("api" / "v1" / ..).boxed() } else { warp::any().boxed() };
        let here = match segment {
            "" => prefix.and(group).boxed(),
            segment => prefix.and(warp::path(segment)).and(group).boxed(),
        };
        all = here.or(all).unify().boxed();
    }
    all
}

fn route_filter(route: Route, door: Door, state: Arc<State>) -> BoxedFilter<(Response,)> {
    let (RouteInfo { path, method, .. }, has_head) = (route.info, route.head);
    let matching = warp::path::full().and_then(move |full: FullPath| async move {
        let found = match_path(path, full.as_str(), is_id);
        found.map(|params| (full.as_str().to_owned(), params)).ok_or_else(warp::reject::not_found)
    });
    let right_method = warp::method().and_then(move |asked: Method| async move {
        let head = has_head && asked == Method::HEAD;
        if head || asked == method { Ok(asked) } else { Err::<Method, Rejection>(warp::reject::not_found()) }
    });
    matching
        .and(right_method)
        .and(request())
        .and(warp::body::stream().map(Body::new))
        .and(warp::ext::optional::<OnUpgrade>())
        .then(
            move |(path, params),
                  method,
                  (query, headers, peer): (String, HeaderMap, Peer),
                  body,
                  upgrade| {
                let (route, state) = (route.clone(), state.clone());
                let call =
                    Call { state, peer, method, path, params, query, headers, body, upgrade, who: None };
                async move { answer(&route, door, call).await }
            },
        )
        .boxed()
}

/// Query, headers and peer of a request.
pub(crate) fn request() -> BoxedFilter<((String, HeaderMap, Peer),)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    query
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Peer>())
        .map(|query, headers, peer| (query, headers, peer))
        .boxed()
}

async fn answer(route: &Route, door: Door, mut call: Call) -> Response {
    let started = Instant::now();
    let (state, body) = (call.state.clone(), call.body.clone());
    let waits = call.headers.contains_key(EXPECT);
    let answer = match auth::admit(route.info.who, route.info.looks, &mut call).await {
        Ok(()) => (route.handler)(call).await,
        Err(refusal) => Err(refusal),
    };
    let response = answer.unwrap_or_else(|refusal| match door {
        Door::People => refusal.into_json(),
        Door::Machines => refusal.into_text(),
    });
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && !waits {
        body.drain().await;
    }
    let (operation, status) = (route.info.operation, response.status());
    state.metrics.note(operation, status.as_u16(), started.elapsed());
    tracing::debug!(operation, status = status.as_u16(), "answered");
    dressed(response, door)
}

/// What no route takes: 404, 405 with `Allow`, and the answers to `OPTIONS`.
fn fallback(routes: Vec<Route>, door: Door, state: Arc<State>) -> BoxedFilter<(Response,)> {
    let routes: Arc<[Route]> = routes.into();
    warp::method()
        .and(warp::path::full())
        .and(request())
        .and(warp::body::stream().map(Body::new))
        .then(move |method, full: FullPath, (query, headers, peer): (String, HeaderMap, Peer), body| {
            let (routes, state) = (routes.clone(), state.clone());
            let (path, params) = (full.as_str().to_owned(), Vec::new());
            let call =
                Call { state, peer, method, path, params, query, headers, body, upgrade: None, who: None };
            async move { unrouted(&routes, door, call, &full).await }
        })
        .boxed()
}

async fn unrouted(routes: &[Route], door: Door, mut call: Call, full: &FullPath) -> Response {
    let (state, body) = (call.state.clone(), call.body.clone());
    let allowed = allowed_methods(routes, full.as_str());
    // `DELETE /arch/x`: a path of ours whose id is none.
    let near = routes.iter().any(|route| {
        call.method == route.info.method && match_path(route.info.path, full.as_str(), |_| true).is_some()
    });
    if call.method == Method::OPTIONS && !allowed.is_empty() {
        let mut response = preflight(&allowed, call.headers.get(ORIGIN), door);
        if door == Door::People && api::tus::is_at(full.as_str()) {
            api::tus::announce(response.headers_mut());
        }
        return response;
    }
    let inside = door == Door::People && full.as_str().starts_with("/api/v1/");
    let who = if inside { Who::User } else { Who::Anyone };
    let looks = matches!(call.method, Method::GET | Method::HEAD);
    let refusal = match auth::admit(who, looks, &mut call).await {
        Err(refusal) => refusal,
        // As mr-provisioner: below its API every path can be read, if only to find nothing.
        Ok(()) if allowed.is_empty() && near => ApiError::NoRoute,
        Ok(()) if allowed.is_empty() && inside && !looks => ApiError::NoMethod("GET, HEAD, OPTIONS".into()),
        Ok(()) if allowed.is_empty() => ApiError::NoRoute,
        Ok(()) => ApiError::NoMethod(allowed),
    };
    let response = match door {
        Door::People => refusal.into_json(),
        Door::Machines => refusal.into_text(),
    };
    if !call.headers.contains_key(EXPECT) {
        body.drain().await;
    }
    state.metrics.note("unrouted", response.status().as_u16(), Duration::ZERO);
    dressed(response, door)
}

/// The methods that a path has, as `Allow` writes them; empty for no path.
fn allowed_methods(routes: &[Route], path: &str) -> String {
    let here: Vec<&Route> =
        routes.iter().filter(|r| match_path(r.info.path, path, is_id).is_some()).collect();
    let mut methods: Vec<&str> = here.iter().map(|route| route.info.method).collect();
    if methods.is_empty() {
        return String::new();
    }
    if here.iter().any(|route| route.head) {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

fn preflight(allowed: &str, origin: Option<&HeaderValue>, door: Door) -> Response {
    let mut response = dressed(reply::empty(StatusCode::OK), door);
    let headers = response.headers_mut();
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        headers.insert(ALLOW, allowed.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, allowed);
    }
    if door == Door::People {
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "Authorization, Content-Type, If-Match, Last-Event-ID, Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset",
            ),
        );
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
    }
    response
}

/// Headers that every answer has. Pages of other sites may use tokens that they have; cookies stay closed to them,
/// since `Access-Control-Allow-Credentials` is never sent.
fn dressed(mut response: Response, door: Door) -> Response {
    let headers = response.headers_mut();
    if door == Door::People {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("ETag, Link, Location"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What is no number is no id: `/machine/reservation` is no machine.
fn is_id(segment: &str) -> bool {
    segment.bytes().all(|byte| byte.is_ascii_digit())
}

/// The variable parts of a path that a pattern matches, where `id` says what an id is. A slash at the end is part of
/// the path.
fn match_path(pattern: &str, path: &str, id: fn(&str) -> bool) -> Option<Vec<String>> {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    let mut params = Vec::new();
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return Some(params),
            (Some(wanted), Some(found)) if wanted.ends_with("*}") => {
                let rest: Vec<&str> = std::iter::once(found).chain(path).collect();
                params.push(decoded(&rest.join("/"))?);
                return Some(params);
            }
            (Some(wanted), Some(found)) if wanted.starts_with('{') => {
                if found.is_empty() || (matches!(wanted, "{id}" | "{interface}") && !id(found)) {
                    return None;
                }
                params.push(decoded(found)?);
            }
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => return None,
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        let matched =
            |pattern: &str, path: &str| match_path(pattern, path, is_id).map(|params| params.join(","));
        assert_eq!(matched("/a/{id}", "/a/5").as_deref(), Some("5"));
        assert_eq!(matched("/a/{id}/b/{x}", "/a/5/b/c%20d").as_deref(), Some("5,c d"));
        assert_eq!(matched("/boot/{path*}", "/boot/x/y.z").as_deref(), Some("x/y.z"));
        for (pattern, path) in [
            ("/a", "/a/"),
            ("/a/{id}", "/a/"),
            ("/a/{id}", "/a"),
            ("/a/{x}", "/a/%ff"),
            ("/a/{id}", "/a/x"),
            ("/a", "/b"),
        ] {
            assert_eq!(matched(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn no_two_routes_are_the_same() {
        for mut routes in [people_routes(), machine_routes()] {
            let count = routes.len();
            routes.sort_by_key(|route| (route.method, route.path));
            routes.dedup_by_key(|route| (route.method, route.path));
            assert_eq!(routes.len(), count);
            routes.sort_by_key(|route| route.operation);
            routes.dedup_by_key(|route| route.operation);
            assert_eq!(routes.len(), count, "operations are named once");
        }
    }
}
