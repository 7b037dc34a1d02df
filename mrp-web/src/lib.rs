//! HTTP: the REST API for people and programs, and the routes that machines boot by, on two doors.
//!
//! A request goes `server` (socket, TLS) → `router` (one table of routes) → `api/<noun>.rs` or `machine/<part>.rs`
//! (extract, one call of the service, view) → `error` (the only place that decides status codes). mr-provisioner's
//! clients go on working; `docs/api-differences.md` lists what differs and why.

mod api;
mod auth;
mod call;
mod error;
mod machine;
mod metrics;
mod openapi;
mod page;
mod peer;
mod reply;
mod route;
mod router;
mod schema;
mod server;
mod stall;
mod tls;
mod websocket;

pub use openapi::{machine_document, people_document};
pub use peer::{PEER_ACT, PEER_PROOF};
pub use router::{RouteInfo, Who, machine_routes, people_routes};
pub use server::{ListenError, Listener, MachineConfig, PeopleConfig, Web};
pub use tls::{Tls, TlsError};
