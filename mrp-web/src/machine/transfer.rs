//! Streams an image and tells the service how far it came: twice a second, and at the end, whichever end it is.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mrp_core::blob::{Blob, BlobError};
use mrp_core::service::boot::{Transfer, TransferReport};
use mrp_core::{Error, Provisioner};
use tokio::sync::oneshot;
use warp::Reply;
use warp::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use warp::http::{HeaderValue, Method, StatusCode};

use crate::call::Call;
use crate::error::Answer;
use crate::machine::chunks::Chunks;
use crate::machine::range::{self, Wanted};
use crate::machine::shared_chunks::SharedFile;
use crate::reply::{self, Response};

/// How often progress is told.
const TELL: Duration = Duration::from_millis(500);

/// The answer with an image, or with a part of it.
pub(super) fn serve(call: &Call, blob: Blob, transfer: Transfer) -> Answer {
    let total = blob.len;
    let (status, part) = match range::parse(call.header(RANGE.as_str()), total) {
        Wanted::Whole => (StatusCode::OK, 0..total),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Nothing => {
            let mut response =
                reply::text(StatusCode::RANGE_NOT_SATISFIABLE, format!("the file has {total} bytes\n"));
            set(&mut response, CONTENT_RANGE, &format!("bytes */{total}"));
            return Ok(response);
        }
    };
    let mut response = if call.method == Method::HEAD || part.is_empty() {
        Response::default()
    } else {
        let file =
            call.state.chunks.of(blob.file, total).map_err(|error| Error::from(BlobError::Io(error)))?;
        start(call, file, part.clone(), total, transfer)
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, (part.end - part.start).into());
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, CONTENT_RANGE, &format!("bytes {}-{}/{total}", part.start, part.end - 1));
    }
    Ok(response)
}

fn set(response: &mut Response, name: warp::http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn start(call: &Call, file: SharedFile, part: Range<u64>, total: u64, transfer: Transfer) -> Response {
    let (ended, end) = oneshot::channel();
    let sent = Arc::new(AtomicU64::new(0));
    let chunks = Chunks::new(file, part.clone(), sent.clone(), ended);
    let (service, started) = (call.service().clone(), Instant::now());
    call.state.start_task(Sending { service, transfer, part, total, sent, started }.watch(end));
    warp::reply::stream(chunks).into_response()
}

/// An image on its way to a client.
struct Sending {
    service: Provisioner,
    transfer: Transfer,
    part: Range<u64>,
    total: u64,
    /// Bytes that were handed to the connection.
    sent: Arc<AtomicU64>,
    started: Instant,
}

impl Sending {
    /// Tells of it until the connection lets go of the stream: when it has the last byte, or when the client is gone.
    async fn watch(self, mut end: oneshot::Receiver<()>) {
        let mut tell = tokio::time::interval(TELL);
        tell.tick().await;
        loop {
            tokio::select! {
                _ = &mut end => break,
                _ = tell.tick() => self.report(false).await,
            }
        }
        self.report(true).await;
    }

    /// Tells how far the client is in the file. A part from the middle that is complete says nothing of the whole.
    async fn report(&self, ended: bool) {
        let sent = self.sent.load(Ordering::Relaxed);
        let whole_part = sent == self.part.end - self.part.start;
        let (bytes, total) = (self.part.start + sent, self.total);
        let over = ended && (!whole_part || bytes == total);
        let elapsed = self.started.elapsed().as_micros().max(1);
        let bytes_per_second = u64::try_from(u128::from(sent) * 1_000_000 / elapsed).unwrap_or(u64::MAX);
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = bytes_per_second as f64 / 1e6;
        let detail = if whole_part || !ended {
            format!("{rate:.1} MB/s")
        } else {
            format!("{rate:.1} MB/s, the connection was cut off")
        };
        let report = TransferReport { bytes, total, over, detail, bytes_per_second, tftp: None };
        if let Err(error) = self.service.boot().transferred(&self.transfer, report).await {
            tracing::warn!(%error, "a transfer could not be written down");
        }
    }
}
