//! Images: list, look, change, remove. Uploads are in `upload`.

use mrp_core::api;
use mrp_core::service::images::{ImageChange, ImageView};

use crate::api::upload;
use crate::call::Call;
use crate::error::Answer;
use crate::reply;
use crate::router::{Kind, Route, Who};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/image", "list_images", Who::User, list)
            .about("One's own images, or all that one may use")
            .query("show_all", Kind::Flag, "`true` for all that one may use")
            .answers::<Vec<api::Image>>(200),
        Route::new("POST", "/api/v1/image", "upload_image", Who::User, upload::upload)
            .about("Uploads an image")
            .multipart::<api::settings::NewImage>()
            .answers::<api::Image>(201)
            .refuses(&[409, 507]),
        Route::new("GET", "/api/v1/image/{id}", "get_image", Who::User, get)
            .about("One image")
            .answers::<api::Image>(200)
            .refuses(&[403]),
        Route::new("PUT", "/api/v1/image/{id}", "set_image", Who::Owner, set)
            .about("Changes what is said of an image")
            .body::<api::settings::ImageSettings>()
            .answers::<api::Image>(200)
            .refuses(&[409]),
        Route::new("DELETE", "/api/v1/image/{id}", "delete_image", Who::Owner, delete)
            .about("Removes an image that nothing uses")
            .answers_nothing(204)
            .refuses(&[409]),
        Route::new("GET", "/api/v1/image/{id}/detail", "get_image_detail", Who::User, detail)
            .about("An image with size and checksum")
            .answers::<api::ImageDetail>(200)
            .refuses(&[403]),
    ]
}

async fn list(call: Call) -> Answer {
    let images = call.service().images().list(call.actor(), call.flag("show_all")).await?;
    Ok(reply::ok(&images.iter().map(view).collect::<Vec<_>>()))
}

async fn get(call: Call) -> Answer {
    Ok(reply::ok(&view(&call.service().images().get(call.actor(), call.id(0)?).await?)))
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
    let image = call.service().images().update(call.actor(), call.id(0)?, change).await?;
    Ok(reply::ok(&view(&image)))
}

async fn delete(call: Call) -> Answer {
    call.service().images().delete(call.actor(), call.id(0)?).await?;
    Ok(reply::no_content())
}

async fn detail(call: Call) -> Answer {
    let found = call.service().images().get(call.actor(), call.id(0)?).await?;
    let (sha256, size) = (found.image.digest.to_string(), found.image.size);
    Ok(reply::ok(&api::ImageDetail { image: view(&found), sha256, size }))
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
