//! The API and the machines' routes through real sockets, over SQLite in memory; one module a noun.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab;

mod arch;
mod assignee;
mod audit;
mod bmc;
mod boot;
mod compat;
mod console;
mod dhcp;
mod etag;
mod event;
mod hostile;
mod image;
mod interface;
mod kea;
mod machine;
mod network;
mod openapi;
mod page;
mod power;
mod preseed;
mod replay;
mod routes;
mod run;
mod secrets;
mod server;
mod session;
mod status;
mod tour;
mod upload;
mod user;
