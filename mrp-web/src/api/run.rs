//! Provision runs.

use mrp_core::api;
use mrp_core::id::Id;
use mrp_core::service::runs::StartRun;
use mrp_core::store::RunFilter;

use crate::call::Call;
use crate::error::Answer;
use crate::page::Pages;
use crate::reply;
use crate::router::{Kind, Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/run", "list_runs", Who::User, list)
            .about("Provision runs, newest first")
            .query("machine", Kind::Id, "Only those of this machine")
            .query("active", Kind::Flag, "`true` for those under way")
            .paged()
            .answers::<Vec<api::Run>>(200),
        Route::new("POST", "/api/v1/run", "start_run", Who::Holder, start)
            .about("Starts a run")
            .note("By the machine's BMC if it has one; otherwise a person switches it on.")
            .body::<api::NewRun>()
            .answers::<api::Run>(201)
            .refuses(&[404, 409, 502, 504]),
        Route::new("GET", "/api/v1/run/{id}", "get_run", Who::User, get)
            .about("One run")
            .answers::<api::Run>(200),
        Route::new("POST", "/api/v1/run/{id}/cancel", "cancel_run", Who::Holder, cancel)
            .about("Cancels a run")
            .answers::<api::Run>(200)
            .refuses(&[409]),
    ]
}

async fn list(call: Call) -> Answer {
    let pages = Pages::of(&call)?;
    let page = pages.wanted()?;
    let filter = RunFilter {
        machine: call.id_param("machine")?,
        active: call.flag("active"),
        before: (page.after > 0).then(|| Id::new(page.after)),
        limit: page.limit,
    };
    let runs = call.service().runs().list(call.actor(), filter).await?;
    pages.answer_newest_first(&call, runs, |run| run.id.get(), |run| api::Run::from(run))
}

async fn start(call: Call) -> Answer {
    let new: api::NewRun = call.exact().await?;
    let start = StartRun { manual: new.manual, by_bmc: false };
    let run = call.service().runs().start(call.actor(), Id::new(new.machine), start).await?;
    Ok(reply::created(&api::Run::from(&run)))
}

async fn get(call: Call) -> Answer {
    Ok(reply::ok(&api::Run::from(&call.service().runs().get(call.actor(), call.id(0)?).await?)))
}

async fn cancel(call: Call) -> Answer {
    Ok(reply::ok(&api::Run::from(&call.service().runs().cancel(call.actor(), call.id(0)?).await?)))
}
