//! Making a backup, also while the server runs.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mrp_core::blob::{BlobError, BlobStore};
use mrp_core::id::Timestamp;
use mrp_core::image::Digest;
use mrp_store::Snapshot;
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempDir};

use super::{CONFIGURATION, DATABASE, Entry, FILES, FORMAT, IDENTITY, IMAGES, MANIFEST, Manifest};
use crate::backup::sqlite_only;
use crate::config::Config;
use crate::wiring::{self, Files};

/// How often it is begun anew because an image was removed meanwhile.
const ATTEMPTS: usize = 5;

type Archive = tar::Builder<BufWriter<NamedTempFile>>;

/// Writes a backup into a file that is not there yet. `configuration` is the file that the server reads, if there is one.
pub async fn backup(config: &Config, configuration: Option<&Path>, file: &Path) -> Result<Manifest> {
    if file.exists() {
        bail!("{} is there already; remove it or choose another name", file.display());
    }
    sqlite_only(config)?;
    let files = Files::of(config);
    if !files.database().exists() {
        bail!("{} is no data folder of mrp: it has no database", files.folder().display());
    }
    let blobs = wiring::open_blobs(config).await?;
    for _ in 0..ATTEMPTS {
        if let Some((archive, manifest)) = attempt(&files, &*blobs, configuration, file).await? {
            keep(archive, file)?;
            return Ok(manifest);
        }
    }
    bail!("images are removed faster than they can be copied; try again when the lab is calmer")
}

/// `None` if an image of the snapshot was removed before it was copied: a new snapshot does not have it.
async fn attempt(
    files: &Files,
    blobs: &dyn BlobStore,
    configuration: Option<&Path>,
    file: &Path,
) -> Result<Option<(Archive, Manifest)>> {
    let temporary =
        TempDir::with_prefix_in(".backup-", files.folder()).with_context(|| files.not_writable())?;
    let copy = temporary.path().join(DATABASE);
    let snapshot = mrp_store::copy_sqlite(&files.database(), &copy).await.map_err(chain)?;
    let small = small_files(files, configuration, &snapshot)?;
    let manifest = manifest(&copy, &snapshot, &small)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let target = NamedTempFile::with_prefix_in(".mrp-backup-", folder)
        .with_context(|| format!("{} cannot be written", folder.display()))?;
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, target));
    let text = serde_json::to_vec_pretty(&manifest)?;
    append(&mut archive, MANIFEST, text.len() as u64, &mut text.as_slice())?;
    let mut database = File::open(&copy)?;
    append(&mut archive, DATABASE, database.metadata()?.len(), &mut database)?;
    for (name, content) in &small {
        append(&mut archive, name, content.len() as u64, &mut content.as_slice())?;
    }
    for (digest, size) in &snapshot.contents {
        let blob = match blobs.open(digest).await {
            Err(BlobError::NotFound) if is_removed(files, digest).await? => return Ok(None),
            Err(BlobError::NotFound) => {
                bail!("the content {digest} of an image is missing; remove that image or send it again")
            }
            opened => opened?,
        };
        if blob.len != *size {
            bail!("the content {digest} of an image is damaged: {} bytes, not {size}", blob.len);
        }
        append_checked(&mut archive, digest, *size, blob.file)?;
    }
    archive.finish()?;
    Ok(Some((archive, manifest)))
}

/// True if no image has the content any more.
async fn is_removed(files: &Files, digest: &Digest) -> Result<bool> {
    let temporary = TempDir::with_prefix_in(".backup-", files.folder())?;
    let now =
        mrp_store::copy_sqlite(&files.database(), &temporary.path().join(DATABASE)).await.map_err(chain)?;
    Ok(!now.contents.iter().any(|(there, _)| there == digest))
}

/// Key, certificate, identity and configuration, as far as there are any.
fn small_files(
    files: &Files,
    configuration: Option<&Path>,
    snapshot: &Snapshot,
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut found = Vec::new();
    for name in FILES {
        let path = files.folder().join(name);
        match std::fs::read(&path) {
            Ok(content) => found.push((name, content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && name != FILES[0] => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    if let Some(identity) = &snapshot.image_store {
        found.push((IDENTITY, format!("{identity}\n").into_bytes()));
    }
    if let Some(path) = configuration {
        found.push((CONFIGURATION, std::fs::read(path).with_context(|| path.display().to_string())?));
    }
    Ok(found)
}

fn manifest(copy: &Path, snapshot: &Snapshot, small: &[(&'static str, Vec<u8>)]) -> Result<Manifest> {
    let (size, sha256) = digest_of(copy)?;
    let mut entries = vec![Entry { path: DATABASE.into(), size, sha256 }];
    entries.extend(small.iter().map(|(name, content)| Entry {
        path: (*name).to_owned(),
        size: content.len() as u64,
        sha256: hex::encode(Sha256::digest(content)),
    }));
    entries.extend(snapshot.contents.iter().map(|(digest, size)| Entry {
        path: image_path(digest),
        size: *size,
        sha256: digest.to_string(),
    }));
    Ok(Manifest {
        mrp_backup: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        schema: snapshot.schema,
        made: Timestamp::from(std::time::SystemTime::now()),
        machines: snapshot.machines,
        users: snapshot.users,
        images: snapshot.images,
        bytes: entries.iter().map(|entry| entry.size).sum(),
        entries,
    })
}

fn image_path(digest: &Digest) -> String {
    format!("{IMAGES}{}/{digest}", &digest.as_str()[..2])
}

fn digest_of(path: &Path) -> Result<(u64, String)> {
    let mut hashing = Hashing { hash: Sha256::new(), file: File::open(path)? };
    let size = io::copy(&mut hashing, &mut io::sink())?;
    Ok((size, hex::encode(hashing.hash.finalize())))
}

fn append(archive: &mut Archive, path: &str, size: u64, content: &mut dyn Read) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().map(|since| since.as_secs()).unwrap_or(0);
    header.set_mtime(now);
    Ok(archive.append_data(&mut header, path, content)?)
}

/// Copies an image and refuses it where it is not what its name says.
fn append_checked(archive: &mut Archive, digest: &Digest, size: u64, file: File) -> Result<()> {
    let mut hashing = Hashing { hash: Sha256::new(), file };
    append(archive, &image_path(digest), size, &mut hashing)?;
    let found = Digest::from_bytes(hashing.hash.finalize().into());
    if found != *digest {
        bail!(
            "the content {digest} of an image is damaged: its SHA-256 is {found}; remove that image or send it again"
        );
    }
    Ok(())
}

struct Hashing {
    hash: Sha256,
    file: File,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

/// Makes the file durable and gives it its name, unless somebody has taken that meanwhile.
fn keep(archive: Archive, file: &Path) -> Result<()> {
    let mut buffer = archive.into_inner()?;
    buffer.flush()?;
    let target = buffer.into_inner().map_err(|error| error.into_error())?;
    target.as_file().sync_all()?;
    target.persist_noclobber(file).with_context(|| format!("{} cannot be made", file.display()))?;
    let folder: PathBuf = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok(File::open(folder)?.sync_all()?)
}

/// A store's error with its cause, which has the words.
fn chain(error: mrp_core::store::StoreError) -> anyhow::Error {
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    anyhow::anyhow!(cause.unwrap_or_else(|| error.to_string()))
}
