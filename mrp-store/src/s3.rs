//! Images in an S3-compatible store: each content once, as `<first two digits>/<digest>` in a bucket.
//!
//! TFTP and HTTP read by offset from local files, so what is read goes through a [`Cache`]. A new image is written there
//! too and sent to the bucket when it is whole. Partial content is in the bucket, as `partial/<key>/<offset>`: any server on
//! the bucket continues an upload, and completing one reads its pieces back to learn their digest. The object `identity`
//! names the bucket.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use mrp_core::blob::{Blob, BlobError, BlobStore, BlobWriter, PartialWriter};
use mrp_core::id::Timestamp;
use mrp_core::image::Digest;
use mrp_core::upload::UploadKey;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart,
};

use crate::blobs::FsBlobs;

mod cache;
mod partial;

use cache::Cache;

/// Bytes of a part of a large object.
const PART: usize = 8 << 20;
/// Parts that are on their way at once.
const PARTS_AT_ONCE: usize = 4;

/// Where the bucket is. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct S3Config {
    /// `https://s3.example.org`; by default Amazon's.
    pub endpoint: Option<String>,
    /// Region; by default `us-east-1`, which most other servers take.
    pub region: String,
    /// Bucket.
    pub bucket: String,
    /// Key id and secret; by default those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`).
    pub credentials: Option<(String, mrp_core::secret::Secret)>,
    /// Folder for what is read and written.
    pub cache: PathBuf,
    /// Bytes that may stay there.
    pub cache_bytes: u64,
}

impl std::fmt::Debug for S3Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { endpoint, region, bucket, cache, .. } = self;
        write!(f, "S3Config {{ {bucket:?} at {endpoint:?} in {region:?}, cache {cache:?} }}")
    }
}

/// A blob store in a bucket. Clones share it.
#[derive(Debug, Clone)]
pub struct S3Blobs {
    bucket: Arc<dyn ObjectStore>,
    cache: Arc<Cache>,
}

impl S3Blobs {
    /// Opens a bucket, which has to be there, and the cache's folder.
    pub async fn open(config: &S3Config) -> Result<Self, BlobError> {
        // An error says that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some((id, secret)) = &config.credentials {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
        }
        let bucket = Arc::new(builder.build().map_err(failed)?);
        let cache = Arc::new(Cache::open(&config.cache, config.cache_bytes).await?);
        Ok(Self { bucket, cache })
    }

    /// Sends a file in parts; nothing is there until all of it is.
    async fn send(&self, file: File, len: u64, to: &Path) -> Result<(), BlobError> {
        if len <= PART as u64 {
            let whole = cache::read(&file, 0, len).await?;
            return self.bucket.put(to, PutPayload::from_bytes(whole)).await.map_err(failed).map(drop);
        }
        let upload = self.bucket.put_multipart(to).await.map_err(failed)?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART);
        let mut at = 0;
        while at < len {
            let sent = async {
                parts.wait_for_capacity(PARTS_AT_ONCE).await.map_err(failed)?;
                cache::read(&file, at, (len - at).min(PART as u64)).await
            };
            match sent.await {
                Ok(bytes) => {
                    at += bytes.len() as u64;
                    parts.put(bytes);
                }
                Err(error) => {
                    let _ = parts.abort().await;
                    return Err(error);
                }
            }
        }
        parts.finish().await.map_err(failed).map(drop)
    }

    /// Fetches an object into the cache.
    async fn fetch(&self, digest: &Digest) -> Result<Blob, BlobError> {
        let found = self.bucket.get(&object(digest)?).await.map_err(failed)?;
        let mut writer = self.cache.files().create().await?;
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            writer.write(piece).await?;
        }
        let (came, _) = writer.finish().await?;
        if came != *digest {
            self.cache.files().remove(&came).await?;
            return Err(BlobError::Io(io::Error::other(format!(
                "the object of {digest} has the content of {came}"
            ))));
        }
        self.cache.make_room(digest).await?;
        self.cache.files().open(digest).await
    }

    async fn list(&self, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>, BlobError> {
        self.bucket.list(prefix).try_collect().await.map_err(failed)
    }

    async fn delete(&self, path: &Path) -> Result<(), BlobError> {
        match self.bucket.delete(path).await.map_err(failed) {
            Err(BlobError::NotFound) => Ok(()),
            other => other,
        }
    }
}

fn object(digest: &Digest) -> Result<Path, BlobError> {
    // A digest may come from anywhere: nothing but 64 hexadecimal digits becomes a path.
    let digest = Digest::from_hex(digest.as_str()).ok_or(BlobError::NotFound)?;
    Ok(Path::from(format!("{}/{digest}", &digest.as_str()[..2])))
}

fn failed(error: object_store::Error) -> BlobError {
    match error {
        object_store::Error::NotFound { .. } => BlobError::NotFound,
        error => BlobError::Io(io::Error::other(error)),
    }
}

/// True for an object that was last written before then.
fn is_older(meta: &ObjectMeta, before: Timestamp) -> bool {
    Timestamp(meta.last_modified.timestamp_millis()) < before
}

/// A new image on its way into the cache; sent to the bucket when it is whole.
#[derive(Debug)]
struct S3Writer {
    store: S3Blobs,
    local: Box<dyn BlobWriter>,
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.local.write(bytes).await
    }

    async fn finish(self: Box<Self>) -> Result<(Digest, u64), BlobError> {
        let Self { store, local } = *self;
        let (digest, len) = local.finish().await?;
        let blob = store.cache.files().open(&digest).await?;
        if let Err(error) = store.send(blob.file, len, &object(&digest)?).await {
            store.cache.files().remove(&digest).await?;
            return Err(error);
        }
        store.cache.make_room(&digest).await?;
        Ok((digest, len))
    }
}

#[async_trait]
impl BlobStore for S3Blobs {
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        let local = self.cache.files().create().await?;
        Ok(Box::new(S3Writer { store: self.clone(), local }))
    }

    async fn open(&self, digest: &Digest) -> Result<Blob, BlobError> {
        // However many machines ask for it, it is fetched once.
        let _turn = self.cache.turn(digest).await;
        match self.cache.open_noted(digest).await {
            Err(BlobError::NotFound) => self.fetch(digest).await,
            opened => opened,
        }
    }

    async fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        self.delete(&object(digest)?).await?;
        self.cache.files().remove(digest).await
    }

    async fn digests(&self) -> Result<Vec<Digest>, BlobError> {
        let objects = self.list(None).await?;
        // What is named otherwise was not written by us.
        let digest = |meta: ObjectMeta| {
            let digest = meta.location.filename().and_then(Digest::from_hex)?;
            object(&digest).is_ok_and(|path| path == meta.location).then_some(digest)
        };
        Ok(objects.into_iter().filter_map(digest).collect())
    }

    async fn append(&self, key: &UploadKey, offset: u64) -> Result<Box<dyn PartialWriter>, BlobError> {
        Ok(Box::new(self.append_partial(key, offset).await?))
    }

    async fn complete(
        &self,
        key: &UploadKey,
        length: u64,
        digest: Option<&Digest>,
    ) -> Result<Digest, BlobError> {
        self.complete_partial(key, length, digest).await
    }

    async fn discard(&self, key: &UploadKey) -> Result<(), BlobError> {
        self.discard_partial(key).await
    }

    async fn sweep_partial(&self, keep: &HashSet<UploadKey>, before: Timestamp) -> Result<u64, BlobError> {
        self.sweep_partials(keep, before).await
    }

    async fn identity(&self) -> Result<String, BlobError> {
        let path = Path::from("identity");
        for _ in 0..2 {
            match self.bucket.get(&path).await.map_err(failed) {
                Ok(found) => {
                    let bytes = found.bytes().await.map_err(failed)?;
                    return Ok(String::from_utf8_lossy(&bytes).trim().to_owned());
                }
                Err(BlobError::NotFound) => {}
                Err(error) => return Err(error),
            }
            let name = PutPayload::from(format!("{}\n", UploadKey::generate()));
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match self.bucket.put_opts(&path, name, options).await {
                Ok(_)
                | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) =>
                    {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(BlobError::Io(io::Error::other("the object identity cannot be made")))
    }
}
