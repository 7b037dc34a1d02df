//! Who holds a machine. `self` stands for one's own assignment.

use mrp_core::api;
use mrp_core::machine::MachineId;
use mrp_core::service::assignments::{AssignmentView, Whose};

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::page::Pages;
use crate::reply;
use crate::router::{Kind, Route, Who};

/// An assignment in a path.
const ASSIGNEE: &str = "^([1-9][0-9]{0,17}|self)$";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/machine/{id}/assignee", "list_assignees", Who::User, list)
            .about("Who holds a machine")
            .paged()
            .answers::<Vec<api::Assignee>>(200),
        Route::new("POST", "/api/v1/machine/{id}/assignee", "assign_machine", Who::Admin, create)
            .about("Gives a machine to a user")
            .tagged()
            .body::<api::settings::NewAssignee>()
            .answers::<api::Assignee>(201)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/machine/{id}/assignee/{assignee}", "get_assignee", Who::User, get)
            .about("One assignment")
            .tagged()
            .segment("assignee", Kind::Pattern(ASSIGNEE), "Its id, or `self`")
            .answers::<api::Assignee>(200),
        Route::new("PUT", "/api/v1/machine/{id}/assignee/{assignee}", "set_assignee", Who::Owner, set)
            .about("Changes the reason of an assignment")
            .tagged()
            .conditional()
            .segment("assignee", Kind::Pattern(ASSIGNEE), "Its id, or `self`")
            .body::<api::settings::AssigneeReason>()
            .answers::<api::Assignee>(200)
            .refuses(&[409]),
        Route::new(
            "DELETE",
            "/api/v1/machine/{id}/assignee/{assignee}",
            "release_machine",
            Who::Owner,
            delete,
        )
        .about("Gives a machine back")
        .conditional()
        .note("Ends the holder's run; with the last holder, netboot and boot device are reset.")
        .segment("assignee", Kind::Pattern(ASSIGNEE), "Its id, or `self`")
        .answers_nothing(204)
        .refuses(&[409]),
    ]
}

async fn list(call: Call) -> Answer {
    let list = call.service().assignments().list(call.actor(), call.id(0)?).await?;
    Pages::of(&call)?.answer(&call, list, |found| found.assignment.id.get(), view)
}

async fn create(call: Call) -> Answer {
    let fields = call.fields().await?;
    fields.require(&["user"])?;
    let user = fields.text("user", 256)?.unwrap_or_default();
    let reason = fields.nullable_text("reason", 128)?.flatten().unwrap_or_default();
    let until = fields.time("until")?.flatten();
    let made = call.service().assignments().assign(call.actor(), call.id(0)?, &user, &reason, until).await?;
    Ok(reply::tagged(reply::created(&view(&made)), made.assignment.revision))
}

async fn get(call: Call) -> Answer {
    let (machine, whose) = named(&call)?;
    let found = call.service().assignments().get(call.actor(), machine, whose).await?;
    Ok(reply::tagged(reply::ok(&view(&found)), found.assignment.revision))
}

async fn set(call: Call) -> Answer {
    let fields = call.fields().await?;
    fields.require(&["reason"])?;
    let reason = fields.text("reason", 128)?.unwrap_or_default();
    let until = fields.time("until")?;
    let (machine, whose) = named(&call)?;
    let assignments = call.service().assignments().expecting(call.expected());
    let set = assignments.explain(call.actor(), machine, whose, &reason, until).await?;
    Ok(reply::tagged(reply::ok(&view(&set)), set.assignment.revision))
}

async fn delete(call: Call) -> Answer {
    let (machine, whose) = named(&call)?;
    call.service().assignments().expecting(call.expected()).give_back(call.actor(), machine, whose).await?;
    Ok(reply::no_content())
}

/// The assignment that the path names.
fn named(call: &Call) -> Result<(MachineId, Whose), ApiError> {
    let is_own = call.params.get(1).is_some_and(|name| name == "self");
    Ok((call.id(0)?, if is_own { Whose::Own } else { Whose::Id(call.id(1)?) }))
}

pub(super) fn view(AssignmentView { assignment, user }: &AssignmentView) -> api::Assignee {
    api::Assignee {
        id: assignment.id.get(),
        reason: assignment.reason.clone(),
        until: assignment.until,
        user: user.clone(),
    }
}
