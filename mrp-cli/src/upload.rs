//! Sends an image so that a cut costs only what had not arrived: tus 1.0.0 (<https://tus.io/protocols/resumable-upload>).
//! What the server has already, from an earlier attempt or as an image that may be used, is not sent again.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use mrp_core::api;
use mrp_core::image::safe_file_name;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;
use tokio_util::io::ReaderStream;

use crate::client::{Client, ClientError};

/// How long it is tried again without a byte that arrives.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Bytes read at once.
const CHUNK: usize = 1 << 18;

/// An image that is to be sent.
#[derive(Debug)]
pub struct Upload<'a> {
    /// The file's name.
    pub file_name: &'a str,
    /// `Kernel`, `Initrd`, `bootloader`.
    pub kind: &'a str,
    /// Architecture's name.
    pub arch: &'a str,
    /// For people.
    pub description: Option<&'a str>,
    /// Usable by everybody.
    pub public: bool,
    /// Marked as working.
    pub known_good: bool,
}

/// Where the bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// In a file, which is read twice.
    File(PathBuf),
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// So many bytes were read for the SHA-256.
    Read(u64),
    /// So many bytes are on the server or on their way.
    Sent(u64),
    /// The server is away, for this reason; it is tried again.
    Waiting(String),
}

/// Where an upload stands on the server.
struct Standing {
    offset: u64,
    /// Path of the image that it became, below `/api/v1`.
    image: Option<String>,
}

impl Upload<'_> {
    fn metadata(&self, sha256: &str) -> String {
        let truth = |value: bool| if value { "true" } else { "false" };
        let pairs = [
            ("filename", self.file_name),
            ("type", self.kind),
            ("arch", self.arch),
            ("description", self.description.unwrap_or("")),
            ("public", truth(self.public)),
            ("known_good", truth(self.known_good)),
            ("sha256", sha256),
        ];
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        pairs.map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect::<Vec<_>>().join(",")
    }

    /// True for an earlier attempt at the same.
    fn is(&self, other: &api::Upload, length: u64, sha256: &str) -> bool {
        other.image_id.is_none()
            && other.length == length
            && other.sha256.as_deref() == Some(sha256)
            && other.file_name == safe_file_name(self.file_name)
            && (other.kind.as_str(), other.arch.as_str()) == (self.kind, self.arch)
            && other.description.as_deref().unwrap_or("") == self.description.unwrap_or("")
            && (other.public, other.known_good) == (self.public, self.known_good)
    }
}

impl Content {
    /// Bytes, and their SHA-256.
    async fn digest(&self, step: &(dyn Fn(Step) + Sync)) -> Result<(u64, String), ClientError> {
        let (mut hash, mut length) = (Sha256::new(), 0);
        let mut pieces = self.from(0, u64::MAX).await?;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.unreadable(&error))?;
            hash.update(&piece);
            length += piece.len() as u64;
            step(Step::Read(length));
        }
        Ok((length, hex::encode(hash.finalize())))
    }

    async fn from(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<futures_util::stream::BoxStream<'static, std::io::Result<Bytes>>, ClientError> {
        match self {
            Content::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let rest = bytes.slice(start..);
                Ok(futures_util::stream::once(async move { Ok(rest) }).boxed())
            }
            Content::File(path) => {
                let mut file = File::open(path).await.map_err(|error| self.unreadable(&error))?;
                file.seek(std::io::SeekFrom::Start(offset)).await.map_err(|error| self.unreadable(&error))?;
                Ok(ReaderStream::with_capacity(file.take(length.saturating_sub(offset)), CHUNK).boxed())
            }
        }
    }

    fn unreadable(&self, error: &std::io::Error) -> ClientError {
        let name = match self {
            Content::Bytes(_) => "the content".to_owned(),
            Content::File(path) => path.display().to_string(),
        };
        ClientError::Invalid(format!("{name}: {error}"))
    }
}

impl Client {
    /// Sends an image. Once it has begun, it goes on when the server or the network was away for some minutes.
    pub async fn upload(
        &self,
        upload: &Upload<'_>,
        content: &Content,
        step: &(dyn Fn(Step) + Sync),
    ) -> Result<api::Image, ClientError> {
        let (length, sha256) = content.digest(step).await?;
        let (mut path, mut standing) = self.find_or_begin(upload, length, &sha256).await?;
        let (mut progress, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            if let Some(image) = &standing.image {
                step(Step::Sent(length));
                return self.get(image).await;
            }
            let before = standing.offset;
            let outcome = match self.send_rest(&path, content, &standing, length, step).await {
                Ok(after) => Ok(after),
                Err(error) if is_passing(&error) => self.wait(&path, error, progress, &mut pause, step).await,
                Err(error) => Err(error),
            };
            standing = match outcome {
                Ok(after) => after,
                // It was forgotten: by its time, or with its server.
                Err(error) if error.status() == Some(404) && progress.elapsed() < PATIENCE => {
                    let begun = self.begin(upload, length, &sha256).await?;
                    path = begun.0;
                    begun.1
                }
                Err(error) => return Err(error),
            };
            if standing.offset > before || standing.image.is_some() {
                (progress, pause) = (Instant::now(), FIRST_PAUSE);
            }
        }
    }

    /// Waits until the server says again where the upload is.
    async fn wait(
        &self,
        path: &str,
        error: ClientError,
        progress: Instant,
        pause: &mut Duration,
        step: &(dyn Fn(Step) + Sync),
    ) -> Result<Standing, ClientError> {
        let mut error = error;
        loop {
            if progress.elapsed() > PATIENCE {
                return Err(error);
            }
            step(Step::Waiting(error.to_string()));
            tokio::time::sleep(*pause).await;
            *pause = (*pause * 2).min(LONGEST_PAUSE);
            match self.ask(path).await {
                Err(again) if is_passing(&again) => error = again,
                answered => return answered,
            }
        }
    }

    async fn find_or_begin(
        &self,
        upload: &Upload<'_>,
        length: u64,
        sha256: &str,
    ) -> Result<(String, Standing), ClientError> {
        let earlier: Vec<api::Upload> = self.get("/upload").await?;
        if let Some(found) = earlier.iter().rfind(|other| upload.is(other, length, sha256)) {
            return Ok((format!("/upload/{}", found.id), Standing { offset: found.offset, image: None }));
        }
        self.begin(upload, length, sha256).await
    }

    async fn begin(
        &self,
        upload: &Upload<'_>,
        length: u64,
        sha256: &str,
    ) -> Result<(String, Standing), ClientError> {
        let request = self.tus(Method::POST, "/upload").header("Upload-Length", length);
        let request = request.header("Upload-Metadata", upload.metadata(sha256)).timeout(PATIENCE);
        let response = self.send(request).await?;
        let location = text(response.headers(), "location");
        let path = location.strip_prefix("/api/v1").filter(|path| path.starts_with("/upload/"));
        let path = path.ok_or_else(|| self.foreign("it names no upload".into()))?.to_owned();
        Ok((path, self.standing(&response)?))
    }

    async fn send_rest(
        &self,
        path: &str,
        content: &Content,
        standing: &Standing,
        length: u64,
        step: &(dyn Fn(Step) + Sync),
    ) -> Result<Standing, ClientError> {
        let (sender, mut sent) = tokio::sync::mpsc::unbounded_channel();
        let mut at = standing.offset;
        let pieces = content.from(standing.offset, length).await?.inspect(move |piece| {
            if let Ok(piece) = piece {
                at += piece.len() as u64;
                let _ = sender.send(at);
            }
        });
        let request = self.tus(Method::PATCH, path).header("Upload-Offset", standing.offset);
        let request = request.header("Content-Type", "application/offset+octet-stream");
        let request = request.header("Content-Length", length.saturating_sub(standing.offset));
        let response = self.send(request.body(reqwest::Body::wrap_stream(pieces)));
        tokio::pin!(response);
        loop {
            tokio::select! {
                response = &mut response => return self.standing(&response?),
                Some(at) = sent.recv() => step(Step::Sent(at)),
            }
        }
    }

    /// Asks where an upload is.
    async fn ask(&self, path: &str) -> Result<Standing, ClientError> {
        let request = self.tus(Method::HEAD, path).timeout(Duration::from_secs(30));
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        // The answer has no body that could say why.
        let (status, error_type) = (response.status(), "NotFound".to_owned());
        match status {
            status if status.is_success() => self.standing(&response),
            StatusCode::UNAUTHORIZED => Err(self.ended()),
            status => {
                let message = format!("the server answers {status} when asked for the upload");
                Err(ClientError::Refused { status: status.as_u16(), error_type, message })
            }
        }
    }

    fn tus(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.request(method, path).header("Tus-Resumable", "1.0.0")
    }

    fn standing(&self, response: &Response) -> Result<Standing, ClientError> {
        let headers = response.headers();
        let offset = text(headers, "upload-offset").parse();
        let offset = offset.map_err(|_| self.foreign("it does not say how much has come".into()))?;
        let image = text(headers, "x-mrp-image").strip_prefix("/api/v1").map(str::to_owned);
        Ok(Standing { offset, image })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// True for what may be otherwise in a moment: a server that is away, an older request that still holds the upload.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Refused { status, .. } => matches!(status, 408 | 409 | 423 | 429 | 500 | 502..=504),
        _ => false,
    }
}
