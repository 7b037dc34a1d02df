//! Answer files; the API's word is mr-provisioner's.

use mrp_core::api;
use mrp_core::service::answer_files::{AnswerFileChange, AnswerFileView};

use crate::call::{Call, JSON_LIMIT};
use crate::error::{Answer, ApiError};
use crate::page::Pages;
use crate::reply;
use crate::router::{Kind, Route, Who};
use crate::schema::Fields;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/preseed", "list_preseeds", Who::User, list)
            .about("One's own answer files, or all that one may use")
            .paged()
            .query("show_all", Kind::Flag, "`true` for all that one may use")
            .answers::<Vec<api::Preseed>>(200),
        Route::new("POST", "/api/v1/preseed", "create_preseed", Who::User, create)
            .about("Makes an answer file")
            .tagged()
            .body::<api::settings::NewPreseed>()
            .answers::<api::Preseed>(201)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/preseed/{id}", "get_preseed", Who::User, get)
            .about("One answer file")
            .tagged()
            .answers::<api::Preseed>(200)
            .refuses(&[403]),
        Route::new("PUT", "/api/v1/preseed/{id}", "set_preseed", Who::Owner, set)
            .about("Changes an answer file")
            .tagged()
            .conditional()
            .body::<api::settings::PreseedSettings>()
            .answers::<api::Preseed>(200)
            .refuses(&[409]),
        Route::new("DELETE", "/api/v1/preseed/{id}", "delete_preseed", Who::Owner, delete)
            .about("Removes an answer file that no machine uses")
            .conditional()
            .answers_nothing(204)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/preseed/{id}/render", "render_preseed", Who::Holder, render)
            .about("An answer file as a machine would get it")
            .needs_query("machine", Kind::Id, "The machine's id")
            .answers::<api::RenderedPreseed>(200),
    ]
}

async fn list(call: Call) -> Answer {
    let list = call.service().answer_files().list(call.actor(), call.flag("show_all")).await?;
    Pages::of(&call)?.answer(&call, list, |found| found.answer_file.id.get(), view)
}

async fn get(call: Call) -> Answer {
    let found = call.service().answer_files().get(call.actor(), call.id(0)?).await?;
    Ok(reply::tagged(reply::ok(&view(&found)), found.answer_file.revision))
}

async fn create(call: Call) -> Answer {
    let fields = call.fields().await?;
    fields.require(&["name", "type"])?;
    let change = change(&fields)?;
    let (Some(name), Some(kind)) = (change.name.clone(), change.kind) else {
        return Err(ApiError::schema("name and type: text is needed"));
    };
    let made = call.service().answer_files().create(call.actor(), name, kind, change).await?;
    Ok(reply::tagged(reply::created(&view(&made)), made.answer_file.revision))
}

async fn set(call: Call) -> Answer {
    let change = change(&call.fields().await?)?;
    let files = call.service().answer_files().expecting(call.expected());
    let set = files.update(call.actor(), call.id(0)?, change).await?;
    Ok(reply::tagged(reply::ok(&view(&set)), set.answer_file.revision))
}

async fn delete(call: Call) -> Answer {
    call.service().answer_files().expecting(call.expected()).delete(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

async fn render(call: Call) -> Answer {
    let machine = call.id_param("machine")?;
    let machine = machine.ok_or_else(|| ApiError::schema("machine: a machine's id is needed"))?;
    let rendered = call.service().answer_files().preview(call.actor(), call.id(0)?, machine).await?;
    let warnings = rendered.warnings.iter().map(ToString::to_string).collect();
    Ok(reply::ok(&api::RenderedPreseed { text: rendered.text, warnings }))
}

fn change(fields: &Fields) -> Result<AnswerFileChange, ApiError> {
    let name = fields.text("name", 256)?;
    if name.as_ref().is_some_and(|name| name.chars().count() < 2) {
        return Err(ApiError::schema("name: at least 2 characters are needed"));
    }
    Ok(AnswerFileChange {
        name,
        kind: fields.word("type")?,
        description: fields.nullable_text("description", 1024)?,
        content: fields.nullable_text("content", JSON_LIMIT)?,
        known_good: fields.flag("known_good")?,
        public: fields.flag("public")?,
    })
}

fn view(AnswerFileView { answer_file, owner }: &AnswerFileView) -> api::Preseed {
    api::Preseed {
        content: answer_file.content.clone(),
        description: answer_file.description.clone(),
        id: answer_file.id.get(),
        known_good: answer_file.known_good,
        name: answer_file.name.clone(),
        public: answer_file.public,
        kind: answer_file.kind.as_str().to_owned(),
        user: owner.clone(),
    }
}
