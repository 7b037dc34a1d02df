//! Where the bytes of images lie.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;

use async_trait::async_trait;
use bytes::Bytes;

use crate::image::Digest;

/// Why a blob could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// No blob of that digest.
    #[error("no such blob")]
    NotFound,
    /// There is no space left.
    #[error("no space left for images")]
    Full,
    /// Anything else.
    #[error("the image store failed")]
    Io(#[source] std::io::Error),
}

/// A blob that is open for reading. Its content never changes.
#[derive(Debug)]
pub struct Blob {
    /// The content, read by offset.
    pub file: File,
    /// Bytes.
    pub len: u64,
}

/// A blob that is being written. Dropped before [`BlobWriter::finish`], it leaves nothing behind.
#[async_trait]
pub trait BlobWriter: fmt::Debug + Send {
    /// Appends bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError>;

    /// Makes the blob durable and tells its digest and size. The same content a second time is no error.
    async fn finish(self: Box<Self>) -> Result<(Digest, u64), BlobError>;
}

/// A store of blobs by content.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync {
    /// Starts a blob.
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Opens a blob.
    async fn open(&self, digest: &Digest) -> Result<Blob, BlobError>;

    /// Removes a blob; readers that have it open go on. None of that digest is no error.
    async fn remove(&self, digest: &Digest) -> Result<(), BlobError>;

    /// Removes every blob but these and tells how many went: those that an upload or a removal left behind when the
    /// server was killed between file and row. Called before anything is uploaded. A store that cannot list its blobs
    /// keeps them.
    async fn sweep(&self, keep: &HashSet<Digest>) -> Result<u64, BlobError> {
        let _ = keep;
        Ok(0)
    }
}
