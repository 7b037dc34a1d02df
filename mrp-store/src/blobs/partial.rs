//! Partial content on disk: `partial/<key>`, which grows by appending and is renamed when it is whole.
//!
//! Who appends or completes holds a lock on the file, and looks again whether it is still the one of that name: a writer
//! that comes too late must not reach a file that has become a blob.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mrp_core::blob::{BlobError, PartialWriter};
use mrp_core::id::Timestamp;
use mrp_core::image::Digest;
use mrp_core::upload::UploadKey;
use sha2::{Digest as _, Sha256};

use super::{CHUNK, blocking, failed, is_older, remove_file, store_file};

/// The file of an upload, locked.
#[derive(Debug)]
struct Locked {
    file: File,
    path: PathBuf,
}

/// Locks the file of an upload; `Busy` while somebody else has it.
fn lock(root: &Path, key: &UploadKey, make: bool) -> Result<Locked, BlobError> {
    let path = path(root, key)?;
    let opened =
        OpenOptions::new().read(true).write(true).create(make).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BlobError::NotFound,
        _ => failed(&path, error),
    })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(BlobError::Busy),
        Err(fs::TryLockError::Error(error)) => return Err(failed(&path, error)),
    }
    let ours = file.metadata().map_err(|error| failed(&path, error))?;
    match fs::metadata(&path) {
        Ok(there) if there.ino() == ours.ino() && there.dev() == ours.dev() => Ok(Locked { file, path }),
        Ok(_) => Err(BlobError::Busy),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::NotFound),
        Err(error) => Err(failed(&path, error)),
    }
}

fn path(root: &Path, key: &UploadKey) -> Result<PathBuf, BlobError> {
    // A key may come from anywhere: nothing but 32 hexadecimal digits becomes a path.
    let key = UploadKey::from_hex(key.as_str()).ok_or(BlobError::NotFound)?;
    Ok(root.join("partial").join(key.as_str()))
}

/// Opens the file for appending after `offset` bytes.
pub(super) fn append(root: &Path, key: &UploadKey, offset: u64) -> Result<FsPartial, BlobError> {
    let Locked { mut file, path } = lock(root, key, offset == 0)?;
    let there = file.metadata().map_err(|error| failed(&path, error))?.len();
    if there < offset {
        return Err(BlobError::NotFound);
    }
    file.set_len(offset).map_err(|error| failed(&path, error))?;
    file.seek(SeekFrom::Start(offset)).map_err(|error| failed(&path, error))?;
    if offset == 0 {
        super::sync_folder(&root.join("partial"))?;
    }
    Ok(FsPartial { state: Some(Locked { file, path }), pending: Vec::new(), pending_bytes: 0 })
}

/// Checks the whole file and renames it to its digest.
pub(super) fn complete(
    root: &Path,
    key: &UploadKey,
    length: u64,
    wanted: Option<&Digest>,
) -> Result<Digest, BlobError> {
    let Locked { mut file, path } = lock(root, key, false)?;
    if file.metadata().map_err(|error| failed(&path, error))?.len() != length {
        return Err(BlobError::NotFound);
    }
    let digest = digest_of(&mut file).map_err(|error| failed(&path, error))?;
    if wanted.is_some_and(|wanted| *wanted != digest) {
        return Err(BlobError::Digest(digest));
    }
    file.sync_all().map_err(|error| failed(&path, error))?;
    store_file(root, &path, &digest)?;
    Ok(digest)
}

fn digest_of(file: &mut File) -> io::Result<Digest> {
    file.rewind()?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            read => hash.update(&buffer[..read]),
        }
    }
}

pub(super) fn discard(root: &Path, key: &UploadKey) -> Result<(), BlobError> {
    remove_file(&path(root, key)?)
}

pub(super) fn sweep(root: &Path, keep: &HashSet<UploadKey>, before: Timestamp) -> Result<u64, BlobError> {
    let folder = root.join("partial");
    let mut removed = 0;
    for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
        let path = entry.map_err(|error| failed(&folder, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(key) = name.and_then(UploadKey::from_hex)
            && !keep.contains(&key)
            && is_older(&path, before)
        {
            remove_file(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// An upload that is being continued: buffered here, written by the runtime's blocking threads.
#[derive(Debug)]
pub(super) struct FsPartial {
    /// `None` after a failure, or while a write is under way.
    state: Option<Locked>,
    pending: Vec<Bytes>,
    pending_bytes: usize,
}

impl FsPartial {
    async fn flush(&mut self, sync: bool) -> Result<(), BlobError> {
        let cut_off = || BlobError::Io(io::Error::other("the upload was cut off by an earlier failure"));
        let mut locked = self.state.take().ok_or_else(cut_off)?;
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let locked = blocking(move || {
            let written = pending.iter().try_for_each(|bytes| locked.file.write_all(bytes));
            let synced = written.and_then(|()| if sync { locked.file.sync_data() } else { Ok(()) });
            synced.map_err(|error| failed(&locked.path, error))?;
            Ok(locked)
        });
        self.state = Some(locked.await?);
        Ok(())
    }
}

#[async_trait]
impl PartialWriter for FsPartial {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        if self.pending_bytes >= CHUNK { self.flush(false).await } else { Ok(()) }
    }

    async fn sync(&mut self) -> Result<(), BlobError> {
        self.flush(true).await
    }
}

/// What names a store, in the file `identity`; made by whoever comes first.
pub(super) fn identity(root: &Arc<PathBuf>) -> Result<String, BlobError> {
    let path = root.join("identity");
    for _ in 0..2 {
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) => return Err(failed(&path, io::Error::other("the file is empty; remove it"))),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path, error)),
            Err(_) => {}
        }
        let name = UploadKey::generate();
        let draft = root.join("incoming").join(name.as_str());
        let written = File::create_new(&draft).and_then(|mut file| {
            writeln!(file, "{name}")?;
            file.sync_all()
        });
        // A link, unlike a rename, does not replace what another server has made in the meantime.
        let linked = written.and_then(|()| fs::hard_link(&draft, &path));
        remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&path, error)),
            _ => super::sync_folder(root)?,
        }
    }
    Err(failed(&path, io::Error::other("it cannot be made")))
}
