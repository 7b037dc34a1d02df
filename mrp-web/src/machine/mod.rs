//! The routes that machines boot by, and those of the site's DHCP server; refusals are plain text.

mod boot;
mod chunks;
mod dhcp;
mod docs;
mod kea;
mod lease_event;
mod phone_home;
mod preseed;
mod range;
mod shared_chunks;
mod transfer;

pub(crate) use shared_chunks::SharedChunks;

use crate::router::Route;

/// All of them.
pub(crate) fn routes() -> Vec<Route> {
    [
        docs::routes(),
        boot::routes(),
        preseed::routes(),
        phone_home::routes(),
        dhcp::routes(),
        lease_event::routes(),
        kea::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
