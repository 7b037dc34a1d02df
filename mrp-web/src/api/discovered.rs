//! Clients that asked for an address and belong to no machine.

use mrp_core::api;
use mrp_core::lease::Discovered;

use crate::call::Call;
use crate::error::Answer;
use crate::page::Pages;
use crate::reply;
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/discovered", "list_discovered", Who::User, list)
            .about("Clients that asked for an address and belong to no machine")
            .paged()
            .answers::<Vec<api::Discovered>>(200),
    ]
}

async fn list(call: Call) -> Answer {
    let mut clients = call.service().discovery().list(call.actor()).await?;
    let pages = Pages::of(&call)?;
    // Newest first moves while it is read; pages are sorted by what does not.
    if pages.are_asked() {
        clients.sort_by_key(|client| client.mac.to_string());
        return Ok(pages.answer_by_key(&call, clients, |client| client.mac.to_string(), view));
    }
    Ok(reply::ok(&clients.iter().map(view).collect::<Vec<_>>()))
}

fn view(client: &Discovered) -> api::Discovered {
    api::Discovered {
        mac: client.mac.to_string(),
        hostname: client.hostname.clone(),
        client_arch: client.client_arch,
        last_seen: client.last_seen,
    }
}
