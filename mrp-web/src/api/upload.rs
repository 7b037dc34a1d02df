//! Uploads of images: `multipart/form-data` with the parts `q` (JSON) and `file`, in any order.
//!
//! The file goes to the image store as it comes in and never lies in memory. What is cut off, or lacks a part, leaves
//! nothing behind: the row is made when the whole body has come.

use bytes::BytesMut;
use mrp_core::service::images::{NewImage, Upload};
use warp::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::api::image::view;
use crate::call::{BodyError, Call};
use crate::error::{Answer, ApiError};
use crate::reply;
use crate::schema::Fields;

/// Largest part `q`.
const DESCRIPTION_LIMIT: usize = 64 << 10;

/// `POST /image`.
pub(super) async fn upload(call: Call) -> Answer {
    let parts = read_parts(&call).await?;
    let (upload, name) = parts.file.ok_or_else(|| ApiError::refused("multipart `file` is required"))?;
    let new = parts.described.ok_or_else(|| ApiError::refused("multipart `q` is required"))?;
    let made = upload.finish(new, &name).await?;
    Ok(reply::tagged(reply::created(&view(&made)), made.image.revision))
}

#[derive(Default)]
struct Parts {
    described: Option<NewImage>,
    file: Option<(Upload, String)>,
}

async fn read_parts(call: &Call) -> Result<Parts, ApiError> {
    let kind = call.header(CONTENT_TYPE.as_str()).unwrap_or("");
    let boundary = multer::parse_boundary(kind)
        .map_err(|_| ApiError::refused("send multipart/form-data with the parts `q` (JSON) and `file`"))?;
    let mut multipart = multer::Multipart::new(call.body.pieces(), boundary);
    let mut parts = Parts::default();
    while let Some(field) = multipart.next_field().await.map_err(broken)? {
        match field.name() {
            Some("q") => {
                let new = described(field).await?;
                call.service().images().check(call.actor(), &new).await?;
                parts.described = Some(new);
            }
            Some("file") if parts.file.is_none() => {
                let name = file_name(&field);
                parts.file = Some((store(call, field).await?, name));
            }
            _ => {}
        }
    }
    Ok(parts)
}

async fn store(call: &Call, mut field: multer::Field<'_>) -> Result<Upload, ApiError> {
    let mut upload = call.service().images().upload(call.actor()).await?;
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        upload.write(piece).await?;
    }
    Ok(upload)
}

async fn described(mut field: multer::Field<'_>) -> Result<NewImage, ApiError> {
    let mut text = BytesMut::new();
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        if text.len() + piece.len() > DESCRIPTION_LIMIT {
            return Err(ApiError::TooLarge(DESCRIPTION_LIMIT));
        }
        text.extend_from_slice(&piece);
    }
    let value = serde_json::from_slice(&text).map_err(|error| ApiError::Malformed {
        class: "JSONDecodeError",
        message: format!("multipart `q` is not JSON: {error}"),
    })?;
    let fields = Fields::of(value)?;
    fields.require(&["type"])?;
    let kind = fields.word("type")?.ok_or_else(|| ApiError::schema("type: text is needed"))?;
    let arch = fields.nullable_text("arch", 64)?.flatten();
    Ok(NewImage {
        kind,
        arch: arch.ok_or_else(|| ApiError::refused("arch is required"))?,
        description: fields.nullable_text("description", 1024)?.flatten(),
        known_good: fields.flag("known_good")?.unwrap_or(false),
        public: fields.flag("public")?.unwrap_or(false),
    })
}

/// The name that the client gives the file; one that is no UTF-8 loses what is none.
fn file_name(field: &multer::Field<'_>) -> String {
    if let Some(name) = field.file_name() {
        return name.to_owned();
    }
    let header = field.headers().get(CONTENT_DISPOSITION).map(|value| value.as_bytes()).unwrap_or_default();
    let header = String::from_utf8_lossy(header);
    let name = header.split_once("filename=\"").map_or("", |(_, rest)| rest);
    name.split('"').next().unwrap_or("").to_owned()
}

fn broken(error: multer::Error) -> ApiError {
    match &error {
        multer::Error::StreamReadFailed(cause) if is_silence(&**cause) => ApiError::TooSlow,
        _ => ApiError::malformed("the multipart body is broken or was cut off"),
    }
}

fn is_silence(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(cause.downcast_ref::<BodyError>(), Some(BodyError::Silent))
}
