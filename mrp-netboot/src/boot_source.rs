//! Answers TFTP from mrp-core: what a client gets is decided there, what became of it is told there.

use async_trait::async_trait;
use mrp_core::boot::Transport;
use mrp_core::run::TftpFacts;
use mrp_core::service::boot::{BootContent, BootRequest, Transfer, TransferReport};
use mrp_core::{Error, Provisioner};
use tokio::runtime::Handle;

use crate::tftp::{Body, OpenError, Opened, Outcome, Progress, Request, Source};

/// The TFTP server's source of files: the service.
#[derive(Debug)]
pub struct BootSource {
    service: Provisioner,
    runtime: Handle,
}

impl BootSource {
    /// Answers from a service; reports are written on the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(service: Provisioner) -> Self {
        Self { service, runtime: Handle::current() }
    }

    fn report(&self, transfer: &Transfer, report: TransferReport) {
        let _runtime = self.runtime.enter();
        self.service.boot().report(transfer, report);
    }
}

#[async_trait]
impl Source for BootSource {
    type Tag = Transfer;

    async fn open(&self, request: &Request) -> Result<Opened<Transfer>, OpenError> {
        let asked = BootRequest {
            client: request.client.ip(),
            local: request.local,
            path: request.path.clone(),
            transport: Transport::Tftp,
        };
        let file = self.service.boot().file(&asked).await.map_err(|error| match error {
            Error::NotFound { .. } => OpenError::NotFound,
            Error::Forbidden(reason) => OpenError::AccessDenied(reason),
            error => {
                tracing::warn!(path = asked.path, client = %asked.client, %error, "a boot file could not be served");
                OpenError::Internal(error.to_string())
            }
        })?;
        let body = match file.content {
            BootContent::Text(bytes) => Body::Bytes(bytes),
            BootContent::Blob(blob) => Body::File { file: blob.file, len: blob.len },
        };
        Ok(Opened { body, tag: file.transfer })
    }

    fn progress(&self, transfer: &Transfer, progress: &Progress) {
        let Progress { bytes, total, blksize, windowsize, tsize, retransmissions, .. } = *progress;
        let report = TransferReport {
            bytes,
            total,
            over: false,
            detail: format!("{:.1} MB/s", progress.rate() / 1e6),
            bytes_per_second: whole(progress.rate()),
            tftp: Some(TftpFacts { blksize, windowsize, tsize, retransmissions }),
        };
        self.report(transfer, report);
    }

    fn finished(&self, transfer: &Transfer, outcome: &Outcome) {
        let Outcome { total, blksize, windowsize, tsize, retransmissions, .. } = *outcome;
        let report = TransferReport {
            bytes: outcome.bytes_acked,
            total,
            over: true,
            detail: outcome.to_string(),
            bytes_per_second: whole(outcome.rate()),
            tftp: Some(TftpFacts { blksize, windowsize, tsize, retransmissions }),
        };
        self.report(transfer, report);
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive, and no 2^64 bytes a second"
)]
fn whole(rate: f64) -> u64 {
    rate as u64
}
