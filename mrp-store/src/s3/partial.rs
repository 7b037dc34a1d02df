//! Partial content in the bucket: `partial/<key>/<offset>`, one object for each step that was made durable.
//!
//! Two servers that continue the same upload at once overwrite each other's pieces; the database lets one of them note its
//! step, and the digest is that of what is read in the end, so no content gets another's name.

use std::collections::{HashMap, HashSet};
use std::io;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use mrp_core::blob::{BlobError, BlobStore, PartialWriter};
use mrp_core::id::Timestamp;
use mrp_core::image::Digest;
use mrp_core::upload::UploadKey;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutPayload};

use super::{S3Blobs, TryStreamExt, failed, is_older};

fn folder(key: &UploadKey) -> Result<Path, BlobError> {
    let key = UploadKey::from_hex(key.as_str()).ok_or(BlobError::NotFound)?;
    Ok(Path::from(format!("partial/{key}")))
}

fn piece(key: &UploadKey, offset: u64) -> Path {
    Path::from(format!("partial/{key}/{offset:020}"))
}

fn offset_of(meta: &ObjectMeta) -> Option<u64> {
    meta.location.filename().and_then(|name| name.parse().ok())
}

impl S3Blobs {
    /// The pieces of an upload in their order.
    async fn pieces(&self, key: &UploadKey) -> Result<Vec<(u64, ObjectMeta)>, BlobError> {
        let list = self.list(Some(&folder(key)?)).await?;
        let mut pieces: Vec<_> =
            list.into_iter().filter_map(|meta| Some((offset_of(&meta)?, meta))).collect();
        pieces.sort_by_key(|(offset, _)| *offset);
        Ok(pieces)
    }

    pub(super) async fn append_partial(&self, key: &UploadKey, offset: u64) -> Result<S3Partial, BlobError> {
        let mut end = 0;
        for (start, meta) in self.pieces(key).await? {
            if start >= offset {
                self.delete(&meta.location).await?;
            } else if start == end {
                end += meta.size;
            } else {
                return Err(BlobError::NotFound);
            }
        }
        if end != offset {
            return Err(BlobError::NotFound);
        }
        Ok(S3Partial { store: self.clone(), key: key.clone(), offset, pending: Vec::new() })
    }

    pub(super) async fn complete_partial(
        &self,
        key: &UploadKey,
        length: u64,
        wanted: Option<&Digest>,
    ) -> Result<Digest, BlobError> {
        let pieces = self.pieces(key).await?;
        let mut end = 0;
        for (start, meta) in &pieces {
            if *start != end {
                return Err(BlobError::NotFound);
            }
            end += meta.size;
        }
        if pieces.is_empty() || end != length {
            return Err(BlobError::NotFound);
        }
        let mut local = self.cache.files().create().await?;
        for (_, meta) in &pieces {
            let found = self.bucket.get(&meta.location).await.map_err(failed)?;
            let mut stream = found.into_stream();
            while let Some(bytes) = stream.try_next().await.map_err(failed)? {
                local.write(bytes).await?;
            }
        }
        let (digest, len) = local.finish().await?;
        let refused = match wanted {
            Some(wanted) if *wanted != digest => Some(BlobError::Digest(digest.clone())),
            _ if len != length => Some(BlobError::Io(io::Error::other("a piece changed while it was read"))),
            _ => None,
        };
        if let Some(refusal) = refused {
            self.cache.files().remove(&digest).await?;
            return Err(refusal);
        }
        let blob = self.cache.files().open(&digest).await?;
        self.send(blob.file, len, &super::object(&digest)?).await?;
        self.discard_partial(key).await?;
        self.cache.make_room(&digest).await?;
        Ok(digest)
    }

    pub(super) async fn discard_partial(&self, key: &UploadKey) -> Result<(), BlobError> {
        for meta in self.list(Some(&folder(key)?)).await? {
            self.delete(&meta.location).await?;
        }
        Ok(())
    }

    pub(super) async fn sweep_partials(
        &self,
        keep: &HashSet<UploadKey>,
        before: Timestamp,
    ) -> Result<u64, BlobError> {
        let mut old: HashMap<UploadKey, bool> = HashMap::new();
        for meta in self.list(Some(&Path::from("partial"))).await? {
            let key = meta.location.parts().nth(1).and_then(|part| UploadKey::from_hex(part.as_ref()));
            if let Some(key) = key.filter(|key| !keep.contains(key)) {
                *old.entry(key).or_insert(true) &= is_older(&meta, before);
            }
        }
        let mut removed = 0;
        for (key, _) in old.into_iter().filter(|(_, is_old)| *is_old) {
            self.discard_partial(&key).await?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// An upload that is being continued.
#[derive(Debug)]
pub(super) struct S3Partial {
    store: S3Blobs,
    key: UploadKey,
    offset: u64,
    pending: Vec<Bytes>,
}

#[async_trait]
impl PartialWriter for S3Partial {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.pending.push(bytes);
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), BlobError> {
        let len: usize = self.pending.iter().map(Bytes::len).sum();
        // An upload of nothing is there too.
        if len == 0 && self.offset > 0 {
            return Ok(());
        }
        let mut whole = BytesMut::with_capacity(len);
        self.pending.iter().for_each(|bytes| whole.extend_from_slice(bytes));
        let payload = PutPayload::from_bytes(whole.freeze());
        self.store.bucket.put(&piece(&self.key, self.offset), payload).await.map_err(failed)?;
        self.pending.clear();
        self.offset += len as u64;
        Ok(())
    }
}
