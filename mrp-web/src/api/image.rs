//! Images: list, look, change, remove. Uploads are in `upload`.

use mrp_core::api;
use mrp_core::id::Id;
use mrp_core::image::ImageUse;
use mrp_core::service::images::replace::Kept;
use mrp_core::service::images::{ImageChange, ImageView};

use crate::api::upload;
use crate::call::Call;
use crate::error::Answer;
use crate::page::Pages;
use crate::reply;
use crate::router::{Kind, Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/image", "list_images", Who::User, list)
            .about("One's own images, or all that one may use")
            .paged()
            .query("show_all", Kind::Flag, "`true` for all that one may use")
            .answers::<Vec<api::Image>>(200),
        Route::new("POST", "/api/v1/image", "upload_image", Who::User, upload::upload)
            .about("Uploads an image")
            .tagged()
            .multipart::<api::settings::NewImage>()
            .answers::<api::Image>(201)
            .refuses(&[409, 507]),
        Route::new("GET", "/api/v1/image/{id}", "get_image", Who::User, get)
            .about("One image")
            .tagged()
            .answers::<api::Image>(200)
            .refuses(&[403]),
        Route::new("PUT", "/api/v1/image/{id}", "set_image", Who::Owner, set)
            .about("Changes what is said of an image")
            .tagged()
            .conditional()
            .body::<api::settings::ImageSettings>()
            .answers::<api::Image>(200)
            .refuses(&[409]),
        Route::new("DELETE", "/api/v1/image/{id}", "delete_image", Who::Owner, delete)
            .about("Removes an image that nothing uses")
            .conditional()
            .answers_nothing(204)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/image/{id}/detail", "get_image_detail", Who::User, detail)
            .about("An image with size and checksum, and what uses it")
            .tagged()
            .answers::<api::ImageDetail>(200)
            .refuses(&[403]),
        Route::new("POST", "/api/v1/image/{id}/replace", "replace_image", Who::User, replace)
            .about("Lets what uses an image use another one of the same type and architecture")
            .note("Machines that one does not hold stay, and machines whose run is under way; boot loaders are admins'.")
            .body::<api::ReplaceImage>()
            .answers::<api::ReplacedImage>(200)
            .refuses(&[403, 409]),
    ]
}

async fn list(call: Call) -> Answer {
    let images = call.service().images().list(call.actor(), call.flag("show_all")).await?;
    Pages::of(&call)?.answer(&call, images, |found| found.image.id.get(), view)
}

async fn get(call: Call) -> Answer {
    let found = call.service().images().get(call.actor(), call.id(0)?).await?;
    Ok(reply::tagged(reply::ok(&view(&found)), found.image.revision))
}

async fn set(call: Call) -> Answer {
    let fields = call.fields().await?;
    let change = ImageChange {
        kind: fields.word("type")?,
        arch: fields.nullable_text("arch", 64)?,
        description: fields.nullable_text("description", 1024)?,
        known_good: fields.flag("known_good")?,
        public: fields.flag("public")?,
    };
    let images = call.service().images().expecting(call.expected());
    let set = images.update(call.actor(), call.id(0)?, change).await?;
    Ok(reply::tagged(reply::ok(&view(&set)), set.image.revision))
}

async fn delete(call: Call) -> Answer {
    call.service().images().expecting(call.expected()).delete(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

async fn detail(call: Call) -> Answer {
    let found = call.service().images().get(call.actor(), call.id(0)?).await?;
    let used_by = users(&call.service().images().used_by(call.actor(), found.image.id).await?);
    let (sha256, size) = (found.image.digest.to_string(), found.image.size);
    let detail = api::ImageDetail { image: view(&found), sha256, size, used_by };
    Ok(reply::tagged(reply::ok(&detail), found.image.revision))
}

async fn replace(call: Call) -> Answer {
    let api::ReplaceImage { by } = call.exact().await?;
    let replaced = call.service().images().replace(call.actor(), call.id(0)?, Id::new(by)).await?;
    let kept = replaced.kept.into_iter().map(|kept| {
        let Kept { noun, id, name, reason } = kept;
        api::KeptImageUser { id, kind: noun.to_owned(), name, reason }
    });
    let (by, changed) = (view(&replaced.by), users(&replaced.changed));
    Ok(reply::ok(&api::ReplacedImage { by, changed, kept: kept.collect() }))
}

fn users(used: &ImageUse) -> api::ImageUsers {
    let machines = used.machines.iter().map(|machine| api::ImageMachine {
        id: machine.id.get(),
        initrd: machine.initrd,
        kernel: machine.kernel,
        name: machine.name.clone(),
    });
    let subarchs = used
        .subarchs
        .iter()
        .map(|subarch| api::ImageSubarch { id: subarch.id.get(), name: subarch.name.clone() });
    api::ImageUsers { machines: machines.collect(), subarchs: subarchs.collect() }
}

pub(super) fn view(ImageView { image, arch, owner }: &ImageView) -> api::Image {
    api::Image {
        arch: arch.clone(),
        description: image.description.clone(),
        id: image.id.get(),
        known_good: image.known_good,
        name: image.name.clone(),
        public: image.public,
        kind: image.kind.as_str().to_owned(),
        upload_date: reply::http_date(image.uploaded),
        user: owner.clone(),
    }
}
