//! Where the bytes of images lie.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;

use async_trait::async_trait;
use bytes::Bytes;

use crate::id::Timestamp;
use crate::image::Digest;
use crate::upload::UploadKey;

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
    /// Another writer is at the same partial content.
    #[error("another request is at the same upload")]
    Busy,
    /// The content is not what it was said to be.
    #[error("the content has the SHA-256 {0}")]
    Digest(Digest),
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

/// Partial content that is being continued. Dropped, it leaves what was made durable, and perhaps more.
#[async_trait]
pub trait PartialWriter: fmt::Debug + Send {
    /// Appends bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError>;

    /// Makes durable what was appended.
    async fn sync(&mut self) -> Result<(), BlobError>;
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

    /// The digests of all blobs.
    async fn digests(&self) -> Result<Vec<Digest>, BlobError>;

    /// Continues the partial content of an upload after `offset` bytes, which were made durable before; what lies behind
    /// them is cut off. Offset 0 begins it anew. `Busy` while somebody else does.
    async fn append(&self, key: &UploadKey, offset: u64) -> Result<Box<dyn PartialWriter>, BlobError>;

    /// Makes a blob of the partial content, which has to have this length and, where it is given, this digest; else
    /// nothing becomes of it, and it stays.
    async fn complete(
        &self,
        key: &UploadKey,
        length: u64,
        digest: Option<&Digest>,
    ) -> Result<Digest, BlobError>;

    /// Removes the partial content of an upload. None is no error.
    async fn discard(&self, key: &UploadKey) -> Result<(), BlobError>;

    /// Removes the partial content, not written since `before`, of all but these uploads, and tells of how many.
    async fn sweep_partial(&self, keep: &HashSet<UploadKey>, before: Timestamp) -> Result<u64, BlobError>;

    /// The name that the store carries in itself, made up when it is first asked for: two stores are the same if their
    /// names are.
    async fn identity(&self) -> Result<String, BlobError>;
}
