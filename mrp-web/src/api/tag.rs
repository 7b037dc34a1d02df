//! Tags of machines. They are changed one by one, so that nobody loses what somebody else added.

use mrp_core::api;

use crate::call::Call;
use crate::error::Answer;
use crate::reply;
use crate::router::{Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/machine/{id}/tags", "get_machine_tags", Who::User, get)
            .about("Tags of a machine")
            .answers::<api::Tags>(200),
        Route::new("PATCH", "/api/v1/machine/{id}/tags", "change_machine_tags", Who::Admin, change)
            .about("Adds and removes tags of a machine; the others stay")
            .body::<api::TagChange>()
            .answers::<api::Tags>(200)
            .refuses(&[409]),
    ]
}

async fn get(call: Call) -> Answer {
    let tags = call.service().machines().tags(call.actor(), call.id(0)?).await?;
    Ok(reply::ok(&api::Tags { tags }))
}

async fn change(call: Call) -> Answer {
    let api::TagChange { add, remove } = call.exact().await?;
    let tags = call.service().machines().change_tags(call.actor(), call.id(0)?, &add, &remove).await?;
    Ok(reply::ok(&api::Tags { tags }))
}
