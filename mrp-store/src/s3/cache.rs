//! Contents on the local disk, by digest, up to a size: those that were not read for longest go first.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use mrp_core::blob::{Blob, BlobError, BlobStore};
use mrp_core::image::Digest;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::FsBlobs;
use crate::blobs::blocking;

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    files: FsBlobs,
    folder: PathBuf,
    limit: u64,
    turns: Mutex<HashMap<Digest, Arc<Mutex<()>>>>,
}

impl Cache {
    pub(super) async fn open(folder: &Path, limit: u64) -> Result<Self, BlobError> {
        let files = FsBlobs::open(folder).await?;
        Ok(Self { files, folder: folder.to_owned(), limit, turns: Mutex::default() })
    }

    /// The files themselves.
    pub(super) fn files(&self) -> &FsBlobs {
        &self.files
    }

    /// One at a time looks for a content.
    pub(super) async fn turn(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().await;
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(digest.clone()).or_default().clone()
        };
        turn.lock_owned().await
    }

    /// Opens a content that is here, and notes that it was read.
    pub(super) async fn open_noted(&self, digest: &Digest) -> Result<Blob, BlobError> {
        let blob = self.files.open(digest).await?;
        // The time of the last change is free for that: contents never change.
        let _ = blob.file.set_modified(SystemTime::now());
        Ok(blob)
    }

    /// Removes what was not read for longest until the rest fits, but not this one.
    pub(super) async fn make_room(&self, newest: &Digest) -> Result<(), BlobError> {
        let (folder, limit, newest) = (self.folder.clone(), self.limit, newest.clone());
        blocking(move || evict(&folder, limit, &newest).map_err(BlobError::Io)).await
    }
}

fn evict(folder: &Path, limit: u64, newest: &Digest) -> io::Result<()> {
    let mut files = Vec::new();
    for prefix in fs::read_dir(folder)? {
        let prefix = prefix?.path();
        if prefix.file_name().is_none_or(|name| name.len() != 2) {
            continue;
        }
        for file in fs::read_dir(&prefix)? {
            let path = file?.path();
            // One that goes meanwhile is none.
            if let Ok(metadata) = fs::metadata(&path) {
                files.push((metadata.modified()?, metadata.len(), path));
            }
        }
    }
    files.sort();
    let mut sum: u64 = files.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in files {
        if sum <= limit {
            break;
        }
        if !path.ends_with(newest.as_str()) {
            fs::remove_file(&path)?;
            sum -= len;
        }
    }
    Ok(())
}

/// Reads a part of a file.
pub(super) async fn read(file: &File, at: u64, len: u64) -> Result<Bytes, BlobError> {
    let file = file.try_clone().map_err(BlobError::Io)?;
    blocking(move || {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_exact_at(&mut bytes, at).map_err(BlobError::Io)?;
        Ok(bytes.into())
    })
    .await
}
