//! Uploads that go on after a cut: tus 1.0.0 (<https://tus.io/protocols/resumable-upload>) with creation, termination and
//! expiration. `Upload-Metadata` says what an uploader of `POST /image` says in its part `q`, and the content's `sha256`.

use mrp_core::api;
use mrp_core::image::Digest;
use mrp_core::service::images::NewImage;
use mrp_core::service::uploads::{NewUpload, Receiving};
use mrp_core::upload::{PendingUpload, UploadKey};
use tokio::sync::oneshot;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION};
use warp::http::{HeaderMap, HeaderValue, StatusCode};

use crate::api::metadata::Metadata;
use crate::call::{Body, Call};
use crate::error::{Answer, ApiError};
use crate::reply::{self, Response};
use crate::router::{Kind, Route, Who};

const VERSION: &str = "1.0.0";
const ROOT: &str = "/api/v1/upload";
/// The content type of the bytes of an upload.
const BYTES: &str = "application/offset+octet-stream";

const ABOUT_METADATA: &str = "`Upload-Metadata` has the keys `filename`, `type` (`Kernel`, `Initrd`, `bootloader`) and \
    `arch`, and may have `description`, `public`, `known_good` (`true`) and `sha256`. Content of that `sha256` which is \
    in an image that one may use is not sent again: the answer has `X-MRP-Image` at once.";

pub(super) fn routes() -> Vec<Route> {
    let id = Kind::Pattern("^[0-9a-f]{32}$");
    let named = |route: Route| {
        route.segment("upload", id, "The last segment of the upload's `Location`").needs_header(
            "Tus-Resumable",
            Kind::Pattern("^1\\.0\\.0$"),
            "The protocol's version",
        )
    };
    vec![
        Route::new("GET", "/api/v1/upload", "list_uploads", Who::User, list)
            .about("One's own uploads that may go on; everybody's for admins")
            .answers::<Vec<api::Upload>>(200),
        Route::new("POST", "/api/v1/upload", "begin_upload", Who::User, begin)
            .about("Begins an upload that goes on after a cut (tus 1.0.0)")
            .note(ABOUT_METADATA)
            .needs_header("Tus-Resumable", Kind::Pattern("^1\\.0\\.0$"), "The protocol's version")
            .needs_header("Upload-Length", Kind::Number(1, PendingUpload::MAX_BYTES), "Bytes of the content")
            .needs_header(
                "Upload-Metadata",
                Kind::Text,
                "Pairs of a key and a value in base64, with commas between",
            )
            .answers::<api::Upload>(201)
            .refuses(&[400, 403, 404, 409, 412, 429, 507]),
        named(Route::new("HEAD", "/api/v1/upload/{upload}", "get_upload_offset", Who::Owner, offset))
            .about("Where an upload is: `Upload-Offset`, and `X-MRP-Image` once it became an image")
            .answers_nothing(200)
            .refuses(&[404, 412]),
        named(Route::new("PATCH", "/api/v1/upload/{upload}", "continue_upload", Who::Owner, go_on))
            .about("Sends bytes from an offset on; the last one makes the image, which `X-MRP-Image` names")
            .needs_header("Upload-Offset", Kind::Number(0, PendingUpload::MAX_BYTES), "Where the upload is")
            .bytes(BYTES)
            .answers_nothing(204)
            .refuses(&[400, 404, 409, 412, 415, 507]),
        named(Route::new("DELETE", "/api/v1/upload/{upload}", "cancel_upload", Who::Owner, cancel))
            .about("Ends an upload and forgets its bytes; an image that it became stays")
            .answers_nothing(204)
            .refuses(&[404, 412]),
    ]
}

/// True for the paths of this protocol.
pub(crate) fn is_at(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Tells a client what of the protocol is spoken here.
pub(crate) fn announce(headers: &mut HeaderMap) {
    set(headers, "tus-resumable", VERSION);
    set(headers, "tus-version", VERSION);
    set(headers, "tus-extension", "creation,termination,expiration");
    set(headers, "tus-max-size", &PendingUpload::MAX_BYTES.to_string());
}

async fn list(call: Call) -> Answer {
    let uploads = call.service().uploads().list(call.actor()).await?;
    Ok(reply::ok(&uploads.iter().map(|upload| view(&call, upload)).collect::<Vec<_>>()))
}

async fn begin(call: Call) -> Answer {
    check_version(&call)?;
    let new = described(&call)?;
    let upload = call.service().uploads().begin(call.actor(), new).await?;
    let mut response = answer(&call, &upload, reply::created(&view(&call, &upload)));
    set(response.headers_mut(), LOCATION.as_str(), &format!("{ROOT}/{}", upload.key));
    Ok(response)
}

async fn offset(call: Call) -> Answer {
    check_version(&call)?;
    let upload = call.service().uploads().get(call.actor(), &key(&call)?).await?;
    let mut response = answer(&call, &upload, reply::empty(StatusCode::OK));
    set(response.headers_mut(), "upload-length", &upload.length.to_string());
    set(response.headers_mut(), CACHE_CONTROL.as_str(), "no-store");
    Ok(response)
}

async fn go_on(call: Call) -> Answer {
    check_version(&call)?;
    let kind = call.header(CONTENT_TYPE.as_str()).unwrap_or("");
    if !kind.trim().eq_ignore_ascii_case(BYTES) {
        return Err(ApiError::ContentType(BYTES));
    }
    let offset = number(&call, "upload-offset")?;
    let receiving = call.service().uploads().receive(call.actor(), &key(&call)?, offset).await?;
    // A task of its own: when the client is cut off, what has come is still kept.
    let (done, result) = oneshot::channel();
    let body = call.body.clone();
    call.state.start_task(async move {
        let _ = done.send(store(receiving, &body).await);
    });
    let stored =
        result.await.map_err(|_| ApiError::malformed("the upload was cut off by the server's end"))?;
    let upload = stored?;
    Ok(answer(&call, &upload, reply::no_content()))
}

async fn store(mut receiving: Receiving, body: &Body) -> Result<PendingUpload, ApiError> {
    while let Some(piece) = body.piece().await {
        match piece {
            Ok(bytes) => receiving.write(bytes).await?,
            Err(cut) => {
                receiving.pause().await?;
                return Err(cut.into());
            }
        }
    }
    Ok(receiving.end().await?)
}

async fn cancel(call: Call) -> Answer {
    check_version(&call)?;
    call.service().uploads().cancel(call.actor(), &key(&call)?).await?;
    let mut response = reply::no_content();
    set(response.headers_mut(), "tus-resumable", VERSION);
    Ok(response)
}

/// What every answer about an upload says.
fn answer(call: &Call, upload: &PendingUpload, mut response: Response) -> Response {
    let headers = response.headers_mut();
    set(headers, "tus-resumable", VERSION);
    set(headers, "upload-offset", &upload.received.to_string());
    match upload.image {
        Some(image) => set(headers, "x-mrp-image", &format!("/api/v1/image/{image}")),
        None => set(headers, "upload-expires", &reply::http_date(expires(call, upload))),
    }
    let exposed = "Location, Tus-Resumable, Upload-Expires, Upload-Length, Upload-Offset, X-MRP-Image";
    set(headers, "access-control-expose-headers", exposed);
    response
}

fn expires(call: &Call, upload: &PendingUpload) -> mrp_core::id::Timestamp {
    upload.advanced + call.service().settings().upload_expiry
}

fn check_version(call: &Call) -> Result<(), ApiError> {
    if call.header("tus-resumable") == Some(VERSION) { Ok(()) } else { Err(ApiError::TusVersion) }
}

fn key(call: &Call) -> Result<UploadKey, ApiError> {
    call.params.first().and_then(|text| UploadKey::from_hex(text)).ok_or(ApiError::NoRoute)
}

fn number(call: &Call, name: &'static str) -> Result<u64, ApiError> {
    let text = call.header(name).unwrap_or("");
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number =
        digits.then(|| text.parse::<u64>().ok()).flatten().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| ApiError::schema(format!("{name}: a number of bytes is needed")))
}

fn described(call: &Call) -> Result<NewUpload, ApiError> {
    let length = number(call, "upload-length")?;
    let metadata = Metadata::parse(call.header("upload-metadata").unwrap_or(""))?;
    let word = |name: &'static str| {
        metadata.text(name).ok_or_else(|| ApiError::schema(format!("upload-metadata: {name} is needed")))
    };
    let kind =
        word("type")?.parse().map_err(|error| ApiError::schema(format!("upload-metadata: type: {error}")))?;
    let digest = metadata.text("sha256").map(|text| {
        let words = "upload-metadata: sha256: 64 hexadecimal digits are needed";
        Digest::from_hex(&text.to_ascii_lowercase()).ok_or_else(|| ApiError::schema(words))
    });
    Ok(NewUpload {
        image: NewImage {
            kind,
            arch: word("arch")?.to_owned(),
            description: metadata.text("description").map(str::to_owned),
            known_good: metadata.flag("known_good")?,
            public: metadata.flag("public")?,
        },
        file_name: word("filename")?.to_owned(),
        length,
        digest: digest.transpose()?,
    })
}

fn view(call: &Call, upload: &PendingUpload) -> api::Upload {
    api::Upload {
        advanced: upload.advanced,
        arch: upload.arch.clone(),
        created: upload.created,
        description: upload.description.clone(),
        expires: expires(call, upload),
        file_name: upload.file_name.clone(),
        id: upload.key.to_string(),
        image_id: upload.image.map(mrp_core::id::Id::get),
        known_good: upload.known_good,
        length: upload.length,
        offset: upload.received,
        public: upload.public,
        sha256: upload.digest.as_ref().map(ToString::to_string),
        kind: upload.kind.as_str().to_owned(),
    }
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}
