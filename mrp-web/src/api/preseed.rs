//! Answer files; the API's word is mr-provisioner's.

use mrp_core::answer_file::AnswerFileVersion;
use mrp_core::api;
use mrp_core::id::Id;
use mrp_core::lint::{Finding, Severity};
use mrp_core::render::Rendered;
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
        Route::new("POST", "/api/v1/preseed/render", "render_unsaved_preseed", Who::Holder, render_unsaved)
            .about("A template that is not saved, as a machine would get it")
            .looks()
            .body::<api::RenderPreseed>()
            .answers::<api::RenderedPreseed>(200)
            .refuses(&[404]),
        Route::new("GET", "/api/v1/preseed/{id}/lint", "lint_preseed", Who::User, lint)
            .about("What is wrong with an answer file")
            .query(
                "machine",
                Kind::Id,
                "Id of a machine that one holds; by default one that has everything is made up",
            )
            .answers::<api::PreseedLint>(200)
            .refuses(&[403]),
        Route::new("POST", "/api/v1/preseed/lint", "lint_unsaved_preseed", Who::User, lint_unsaved)
            .about("What is wrong with a template that is not saved")
            .looks()
            .body::<api::LintPreseed>()
            .answers::<api::PreseedLint>(200)
            .refuses(&[403, 404]),
        Route::new("GET", "/api/v1/preseed/{id}/version", "list_preseed_versions", Who::User, versions)
            .about("What an answer file was before, newest first")
            .answers::<Vec<api::PreseedVersion>>(200)
            .refuses(&[403]),
        Route::new("POST", "/api/v1/preseed/{id}/version", "restore_preseed_version", Who::Owner, restore)
            .about("Saves an old version as a new one")
            .body::<api::RestorePreseed>()
            .answers::<api::Preseed>(201)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/preseed/{id}/version/{n}", "get_preseed_version", Who::User, version)
            .about("One version with its content")
            .answers::<api::PreseedVersionContent>(200)
            .refuses(&[403]),
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
    Ok(reply::ok(&rendered_view(rendered)))
}

async fn render_unsaved(call: Call) -> Answer {
    let api::RenderPreseed { content, machine, .. } = call.exact().await?;
    let files = call.service().answer_files();
    let rendered = files.preview_text(call.actor(), &content, Id::new(machine)).await?;
    Ok(reply::ok(&rendered_view(rendered)))
}

async fn lint(call: Call) -> Answer {
    let machine = call.id_param("machine")?;
    let findings = call.service().answer_files().lint(call.actor(), call.id(0)?, machine).await?;
    Ok(reply::ok(&lint_view(findings)))
}

async fn lint_unsaved(call: Call) -> Answer {
    let api::LintPreseed { content, kind, machine } = call.exact().await?;
    let files = call.service().answer_files();
    let findings = files.lint_text(call.actor(), kind, &content, machine.map(Id::new)).await?;
    Ok(reply::ok(&lint_view(findings)))
}

async fn versions(call: Call) -> Answer {
    let versions = call.service().answer_files().versions(call.actor(), call.id(0)?).await?;
    Ok(reply::ok(&versions.iter().map(version_view).collect::<Vec<_>>()))
}

async fn version(call: Call) -> Answer {
    let (id, number) = (call.id(0)?, call.id::<AnswerFileVersion>(1)?.get());
    let (version, content) = call.service().answer_files().version(call.actor(), id, number).await?;
    Ok(reply::ok(&api::PreseedVersionContent { content, version: version_view(&version) }))
}

async fn restore(call: Call) -> Answer {
    let api::RestorePreseed { restore } = call.exact().await?;
    let restored = call.service().answer_files().restore(call.actor(), call.id(0)?, restore).await?;
    Ok(reply::created(&view(&restored)))
}

fn rendered_view(rendered: Rendered) -> api::RenderedPreseed {
    let warnings = rendered.warnings.iter().map(ToString::to_string).collect();
    api::RenderedPreseed { text: rendered.text, warnings }
}

fn lint_view(findings: Vec<Finding>) -> api::PreseedLint {
    let ok = findings.iter().all(|finding| finding.severity != Severity::Error);
    let view = |Finding { severity, line, rendered, message }| {
        let line = line.and_then(|line| u64::try_from(line).ok());
        api::LintFinding { line, message, rendered, severity }
    };
    api::PreseedLint { findings: findings.into_iter().map(view).collect(), ok }
}

fn version_view(version: &AnswerFileVersion) -> api::PreseedVersion {
    let AnswerFileVersion { number, saved, saved_by, bytes } = version.clone();
    api::PreseedVersion { bytes, saved, saved_by, version: number }
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
