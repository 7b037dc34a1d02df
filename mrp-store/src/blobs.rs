//! Images on disk: each content once, under its SHA-256, as `<first two digits>/<digest>`.
//!
//! An upload is written to `incoming/<random>`, synced and renamed, so that a file under a digest is always whole. The
//! writer holds a lock on its file: what lies in `incoming` without one was left by a killed process, and the next
//! [`FsBlobs::open`] removes it. Uploads that may go on later are in `partial`.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mrp_core::blob::{Blob, BlobError, BlobStore, BlobWriter, PartialWriter};
use mrp_core::id::Timestamp;
use mrp_core::image::Digest;
use mrp_core::upload::UploadKey;
use sha2::{Digest as _, Sha256};

mod partial;

/// Bytes that are collected before they go to the disk.
const CHUNK: usize = 1 << 20;

/// A blob store in a folder. Clones share it.
#[derive(Debug, Clone)]
pub struct FsBlobs {
    root: Arc<PathBuf>,
}

impl FsBlobs {
    /// Opens a folder, making it where it is missing, and removes what killed uploads have left in it.
    pub async fn open(folder: &Path) -> Result<Self, BlobError> {
        let root = folder.to_owned();
        blocking(move || {
            let incoming = root.join("incoming");
            make_folder(&incoming)?;
            make_folder(&root.join("partial"))?;
            remove_leftovers(&incoming)?;
            Ok(Self { root: Arc::new(root) })
        })
        .await
    }

    fn path(&self, digest: &Digest) -> Result<PathBuf, BlobError> {
        // A digest may come from anywhere: nothing but 64 hexadecimal digits becomes a path.
        let digest = Digest::from_hex(digest.as_str()).ok_or(BlobError::NotFound)?;
        Ok(self.root.join(&digest.as_str()[..2]).join(digest.as_str()))
    }
}

#[async_trait]
impl BlobStore for FsBlobs {
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        let root = self.root.clone();
        let upload = blocking(move || Incoming::create(&root.join("incoming"))).await?;
        let (root, state) = (self.root.clone(), Some(upload));
        Ok(Box::new(FsWriter { root, state, pending: Vec::new(), pending_bytes: 0 }))
    }

    async fn open(&self, digest: &Digest) -> Result<Blob, BlobError> {
        let path = self.path(digest)?;
        blocking(move || {
            let file = File::open(&path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => BlobError::NotFound,
                _ => failed(&path, error),
            })?;
            let metadata = file.metadata().map_err(|error| failed(&path, error))?;
            if !metadata.is_file() {
                return Err(BlobError::NotFound);
            }
            Ok(Blob { file, len: metadata.len() })
        })
        .await
    }

    async fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        let path = self.path(digest)?;
        blocking(move || remove_file(&path)).await
    }

    async fn digests(&self) -> Result<Vec<Digest>, BlobError> {
        let root = self.root.clone();
        blocking(move || digests(&root)).await
    }

    async fn append(&self, key: &UploadKey, offset: u64) -> Result<Box<dyn PartialWriter>, BlobError> {
        let (root, key) = (self.root.clone(), key.clone());
        let writer = blocking(move || partial::append(&root, &key, offset)).await?;
        Ok(Box::new(writer))
    }

    async fn complete(
        &self,
        key: &UploadKey,
        length: u64,
        digest: Option<&Digest>,
    ) -> Result<Digest, BlobError> {
        let (root, key, digest) = (self.root.clone(), key.clone(), digest.cloned());
        blocking(move || partial::complete(&root, &key, length, digest.as_ref())).await
    }

    async fn discard(&self, key: &UploadKey) -> Result<(), BlobError> {
        let (root, key) = (self.root.clone(), key.clone());
        blocking(move || partial::discard(&root, &key)).await
    }

    async fn sweep_partial(&self, keep: &HashSet<UploadKey>, before: Timestamp) -> Result<u64, BlobError> {
        let (root, keep) = (self.root.clone(), keep.clone());
        blocking(move || partial::sweep(&root, &keep, before)).await
    }

    async fn identity(&self) -> Result<String, BlobError> {
        let root = self.root.clone();
        blocking(move || partial::identity(&root)).await
    }
}

/// An upload: buffered here, written by the runtime's blocking threads.
#[derive(Debug)]
struct FsWriter {
    root: Arc<PathBuf>,
    /// `None` after a failure, or while a write is under way; a write whose caller goes away takes the file with it.
    state: Option<Incoming>,
    pending: Vec<Bytes>,
    pending_bytes: usize,
}

impl FsWriter {
    async fn flush(&mut self) -> Result<Incoming, BlobError> {
        let cut_off = || BlobError::Io(io::Error::other("the upload was cut off by an earlier failure"));
        let mut upload = self.state.take().ok_or_else(cut_off)?;
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        blocking(move || {
            for bytes in pending {
                upload.append(&bytes)?;
            }
            Ok(upload)
        })
        .await
    }
}

#[async_trait]
impl BlobWriter for FsWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        if self.pending_bytes >= CHUNK {
            self.state = Some(self.flush().await?);
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(Digest, u64), BlobError> {
        let upload = self.flush().await?;
        let root = self.root.clone();
        blocking(move || upload.keep(&root)).await
    }
}

/// A file in `incoming`, locked; removed when dropped.
#[derive(Debug)]
struct Incoming {
    file: File,
    path: PathBuf,
    hash: Sha256,
    len: u64,
    kept: bool,
}

impl Incoming {
    fn create(incoming: &Path) -> Result<Self, BlobError> {
        // Holds off the removal of leftovers until the new file is locked.
        let folder = File::open(incoming).map_err(|error| failed(incoming, error))?;
        folder.lock_shared().map_err(|error| failed(incoming, error))?;
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(|error| BlobError::Io(io::Error::other(error)))?;
        let path = incoming.join(hex::encode(name));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| failed(&path, error))?;
        let upload = Self { file, path, hash: Sha256::new(), len: 0, kept: false };
        upload.file.lock().map_err(|error| failed(&upload.path, error))?;
        Ok(upload)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.file.write_all(bytes).map_err(|error| failed(&self.path, error))?;
        self.hash.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Makes the content durable, then the name.
    fn keep(mut self, root: &Path) -> Result<(Digest, u64), BlobError> {
        self.file.sync_all().map_err(|error| failed(&self.path, error))?;
        let digest = Digest::from_bytes(self.hash.finalize_reset().into());
        store_file(root, &self.path, &digest)?;
        self.kept = true;
        Ok((digest, self.len))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished upload could not be removed");
        }
    }
}

/// Gives a file that is whole and durable the name of its digest.
fn store_file(root: &Path, file: &Path, digest: &Digest) -> Result<(), BlobError> {
    let folder = root.join(&digest.as_str()[..2]);
    if !folder.is_dir() {
        make_folder(&folder)?;
        sync_folder(root)?;
    }
    let path = folder.join(digest.as_str());
    fs::rename(file, &path).map_err(|error| failed(&path, error))?;
    sync_folder(&folder)
}

/// Removes the files of `incoming` that no process has locked.
fn remove_leftovers(incoming: &Path) -> Result<(), BlobError> {
    let folder = File::open(incoming).map_err(|error| failed(incoming, error))?;
    folder.lock().map_err(|error| failed(incoming, error))?;
    for entry in fs::read_dir(incoming).map_err(|error| failed(incoming, error))? {
        let path = entry.map_err(|error| failed(incoming, error))?.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&path, error)),
        };
        match file.try_lock() {
            Ok(()) => remove_file(&path)?,
            Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(error)) => return Err(failed(&path, error)),
        }
    }
    Ok(())
}

fn digests(root: &Path) -> Result<Vec<Digest>, BlobError> {
    let mut found = Vec::new();
    for folder in fs::read_dir(root).map_err(|error| failed(root, error))? {
        let folder = folder.map_err(|error| failed(root, error))?.path();
        let is_prefix = folder.file_name().is_some_and(|name| name.len() == 2) && folder.is_dir();
        if !is_prefix {
            continue;
        }
        for blob in fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
            let name = blob.map_err(|error| failed(&folder, error))?.file_name();
            // What is named otherwise was not written by us.
            found.extend(name.to_str().and_then(Digest::from_hex));
        }
    }
    Ok(found)
}

/// True for a file that was last written before then; one that is gone is none.
fn is_older(path: &Path, before: Timestamp) -> bool {
    let written = fs::metadata(path).and_then(|metadata| metadata.modified());
    written.is_ok_and(|written| Timestamp::from(written) < before)
}

fn make_folder(path: &Path) -> Result<(), BlobError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| failed(path, error))
}

fn remove_file(path: &Path) -> Result<(), BlobError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> Result<(), BlobError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| failed(path, error))
}

/// What a failed call means to the caller. A file that may not grow further is a full disk to the uploader.
fn failed(path: &Path, error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            BlobError::Full
        }
        kind => BlobError::Io(io::Error::new(kind, format!("{}: {error}", path.display()))),
    }
}

/// Runs file work on a thread that may block. Dropped half-way, it runs to its end and its result is dropped.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(BlobError::Io(io::Error::other(error))),
    }
}
