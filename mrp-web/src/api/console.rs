//! Tickets for consoles.

use mrp_core::api;

use crate::call::Call;
use crate::error::Answer;
use crate::reply;
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("POST", "/api/v1/machine/{id}/console", "open_console", Who::Holder, open)
            .about("A ticket for a machine's console")
            .note(
                "Good once, within five minutes; it ends when the machine is given back. 400 without a BMC.",
            )
            .answers::<api::ConsoleTicket>(200)
            .refuses(&[400]),
    ]
}

async fn open(call: Call) -> Answer {
    let token = call.service().consoles().issue_ticket(call.actor(), call.id(0)?).await?;
    let (port, token) = (call.peer.local.port(), token.expose().to_owned());
    Ok(reply::ok(&api::ConsoleTicket { host: None, port, token }))
}
