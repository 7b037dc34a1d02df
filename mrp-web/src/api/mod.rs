//! The routes for people and programs, one file a noun. A handler is: extract, one call of the service, view.

mod address;
mod arch;
mod assignee;
mod audit;
mod bmc;
mod console;
mod discovered;
mod docs;
mod event;
mod image;
mod interface;
mod machine;
mod metadata;
mod network;
mod power;
mod preseed;
mod run;
mod session;
mod status;
mod stream;
mod tag;
mod token;
pub(crate) mod tus;
mod upload;
mod user;

use crate::router::Route;

/// All of them.
pub(crate) fn routes() -> Vec<Route> {
    [
        machine::routes(),
        interface::routes(),
        assignee::routes(),
        power::routes(),
        image::routes(),
        tus::routes(),
        preseed::routes(),
        session::routes(),
        token::routes(),
        user::routes(),
        arch::routes(),
        bmc::routes(),
        network::routes(),
        run::routes(),
        event::routes(),
        audit::routes(),
        discovered::routes(),
        docs::routes(),
        status::routes(),
        tag::routes(),
        console::routes(),
        address::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
