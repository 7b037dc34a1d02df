//! Looking at a backup, and putting one back.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use mrp_core::id::Timestamp;
use mrp_core::image::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{CONFIGURATION, DATABASE, Entry, FILES, FORMAT, IDENTITY, IMAGES, MANIFEST, Manifest};
use crate::backup::sqlite_only;
use crate::config::{Config, ImageStoreKind};
use crate::wiring::Files;

/// A manifest of the largest lab is some megabytes.
const MANIFEST_LIMIT: u64 = 256 << 20;

/// Reads a whole backup, checks every byte of it, and says what it holds.
pub fn list(file: &Path) -> Result<Manifest> {
    read(file, |_, content, size| {
        io::copy(content, &mut io::sink()).and_then(|read| if read == size { Ok(()) } else { cut_off() })?;
        Ok(())
    })
}

/// What was done.
#[derive(Debug)]
pub struct Restored {
    /// What the backup held.
    pub manifest: Manifest,
    /// Where the data that was there before lies.
    pub before: Vec<PathBuf>,
}

/// Puts a backup into the data folder, and its images into theirs where that is elsewhere. Both have to be empty; with
/// `force`, what is there is moved aside within them. Nothing is touched until the whole backup has been read and checked.
pub async fn restore(config: &Config, file: &Path, force: bool) -> Result<Restored> {
    sqlite_only(config)?;
    if config.images.store == ImageStoreKind::S3 {
        bail!(
            "images.store is \"s3\": a backup is restored into a folder; set images.store = \"folder\" for that"
        );
    }
    // A foreign file is refused before there is a folder.
    check_schema(&read_manifest(&mut open(file)?, file)?, file)?;
    let files = Files::of(config);
    let lock = files.claim()?;
    let images = config.images.dir.as_deref();
    let data = Place::prepare("data folder", "server.data_dir", files.folder(), images, force)?;
    let images = images.map(|folder| Place::prepare("image folder", "images.dir", folder, None, force));
    let images = images.transpose()?;
    let manifest = read(file, |entry, content, _| match (&images, entry.path.strip_prefix(IMAGES)) {
        (Some(images), Some(path)) => write(&images.staging.path().join(path), content),
        _ => write(&data.staging.path().join(&entry.path), content),
    })?;
    check_database(data.staging.path(), &manifest).await?;
    let places = || images.iter().chain([&data]);
    let before = places().filter_map(|place| place.move_aside().transpose()).collect::<Result<_>>()?;
    places().try_for_each(Place::fill)?;
    drop(lock);
    Ok(Restored { manifest, before })
}

/// A folder that is restored into. What comes is staged within it, so that it takes its place by renames.
struct Place {
    folder: PathBuf,
    staging: TempDir,
    /// What was there before.
    there: Vec<PathBuf>,
}

impl Place {
    /// `except` is not looked at: it is another place within this one.
    fn prepare(what: &str, key: &str, folder: &Path, except: Option<&Path>, force: bool) -> Result<Self> {
        let shown = folder.display();
        DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| shown.to_string())?;
        let there: Vec<PathBuf> =
            contents(folder)?.into_iter().filter(|path| except != Some(path.as_path())).collect();
        if !there.is_empty() && !force {
            bail!(
                "the {what} {shown} is not empty; name another one by {key}, or move what is there aside with --force"
            );
        }
        let staging = TempDir::with_prefix_in(".restore-", folder).with_context(|| shown.to_string())?;
        Ok(Self { folder: folder.to_owned(), staging, there })
    }

    fn move_aside(&self) -> Result<Option<PathBuf>> {
        if self.there.is_empty() { Ok(None) } else { move_aside(&self.folder, &self.there).map(Some) }
    }

    fn fill(&self) -> Result<()> {
        put_in_place(self.staging.path(), &self.folder)
    }
}

fn open(file: &Path) -> Result<tar::Archive<BufReader<File>>> {
    let opened = File::open(file).with_context(|| file.display().to_string())?;
    Ok(tar::Archive::new(BufReader::with_capacity(1 << 20, opened)))
}

fn foreign(file: &Path) -> anyhow::Error {
    anyhow!("{} is no backup of mrp", file.display())
}

fn damaged(file: &Path, what: &str) -> anyhow::Error {
    anyhow!("{} is damaged: {what}; nothing was changed", file.display())
}

fn cut_off() -> io::Result<()> {
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn read_manifest(archive: &mut tar::Archive<BufReader<File>>, file: &Path) -> Result<Manifest> {
    let mut entries = archive.entries().map_err(|_| foreign(file))?;
    manifest_of(entries.next(), file)
}

fn manifest_of(entry: Option<io::Result<tar::Entry<'_, BufReader<File>>>>, file: &Path) -> Result<Manifest> {
    let entry = entry.and_then(Result::ok).filter(|entry| entry.path_bytes() == MANIFEST.as_bytes());
    let entry = entry.ok_or_else(|| foreign(file))?;
    let (mut text, size) = (Vec::new(), entry.size().min(MANIFEST_LIMIT));
    let read = entry.take(MANIFEST_LIMIT).read_to_end(&mut text);
    if read.is_err() || text.len() as u64 != size {
        return Err(damaged(file, "it is cut off"));
    }
    #[derive(serde::Deserialize)]
    struct Version {
        mrp_backup: u32,
    }
    let version: Version = serde_json::from_slice(&text).map_err(|_| foreign(file))?;
    if version.mrp_backup != FORMAT {
        bail!(
            "{} is a backup of format {}, and this mrp knows format {FORMAT}; use the mrp that wrote it or a newer one",
            file.display(),
            version.mrp_backup
        );
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|_| foreign(file))?;
    check_paths(&manifest, file)?;
    Ok(manifest)
}

/// Every path is one that a backup has, and stands once.
fn check_paths(manifest: &Manifest, file: &Path) -> Result<()> {
    let mut seen = HashSet::new();
    for Entry { path, sha256, .. } in &manifest.entries {
        let known =
            [DATABASE, IDENTITY, CONFIGURATION].contains(&path.as_str()) || FILES.contains(&path.as_str());
        let image =
            path.strip_prefix(IMAGES).and_then(|rest| rest.split_once('/')).is_some_and(|(two, name)| {
                Digest::from_hex(name).is_some() && name.starts_with(two) && two.len() == 2 && name == sha256
            });
        if !(known || image) || !seen.insert(path) {
            return Err(damaged(file, "its manifest has an entry that no backup has"));
        }
    }
    if !seen.contains(&DATABASE.to_owned()) || !seen.contains(&FILES[0].to_owned()) {
        return Err(damaged(file, "it has no database or no key"));
    }
    Ok(())
}

fn check_schema(manifest: &Manifest, file: &Path) -> Result<()> {
    let known = mrp_store::known_schema();
    if manifest.schema > known {
        let (schema, version) = (manifest.schema, &manifest.version);
        bail!(
            "{} was made by a newer mrp ({version}, schema {schema}; this one knows up to {known}); restore it with that one",
            file.display()
        );
    }
    Ok(())
}

/// Reads a backup in its order and hands every entry on; size and SHA-256 have to be those of the manifest.
fn read(file: &Path, mut take: impl FnMut(&Entry, &mut dyn Read, u64) -> Result<()>) -> Result<Manifest> {
    let mut archive = open(file)?;
    let mut entries = archive.entries().map_err(|_| foreign(file))?;
    let manifest = manifest_of(entries.next(), file)?;
    for wanted in &manifest.entries {
        let missing = || damaged(file, &format!("{} is missing or cut off", wanted.path));
        let entry = entries.next().and_then(Result::ok).ok_or_else(missing)?;
        if entry.path_bytes() != wanted.path.as_bytes() || entry.size() != wanted.size {
            return Err(missing());
        }
        let mut hashing = Hashing { hash: Sha256::new(), len: 0, inner: entry };
        let taken = take(wanted, &mut hashing, wanted.size);
        if hashing.len != wanted.size && taken.is_ok() {
            return Err(missing());
        }
        taken.map_err(|error| match error.downcast_ref::<io::Error>() {
            Some(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => missing(),
            _ => error,
        })?;
        if hex::encode(hashing.hash.finalize()) != wanted.sha256 {
            return Err(damaged(file, &format!("{} has another content", wanted.path)));
        }
    }
    Ok(manifest)
}

struct Hashing<R> {
    hash: Sha256,
    len: u64,
    inner: R,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.len += read as u64;
        Ok(read)
    }
}

fn write(path: &Path, content: &mut dyn Read) -> Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.with_context(|| path.display().to_string())?;
    io::copy(content, &mut file)?;
    file.flush()?;
    Ok(file.sync_all()?)
}

/// The database is whole, and every image that it names is there.
async fn check_database(staging: &Path, manifest: &Manifest) -> Result<()> {
    let snapshot = mrp_store::inspect_sqlite(&staging.join(DATABASE)).await;
    let snapshot = snapshot.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        anyhow!("the backup's database: {}; nothing was changed", cause.unwrap_or_else(|| error.to_string()))
    })?;
    let there: HashSet<&str> = manifest.entries.iter().map(|entry| entry.sha256.as_str()).collect();
    match snapshot.contents.iter().find(|(digest, _)| !there.contains(digest.as_str())) {
        None => Ok(()),
        Some((digest, _)) => bail!("the backup lacks the content {digest} of an image; nothing was changed"),
    }
}

/// What is in the data folder, but for the lock and what begins with a dot.
fn contents(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !(name == "lock" || name == "lost+found" || name.starts_with('.')) {
            found.push(path);
        }
    }
    Ok(found)
}

fn move_aside(folder: &Path, there: &[PathBuf]) -> Result<PathBuf> {
    let now = Timestamp::from(std::time::SystemTime::now()).to_string();
    let aside = folder.join(format!("before-restore-{}", now.replace(':', "-")));
    DirBuilder::new().mode(0o700).create(&aside).with_context(|| aside.display().to_string())?;
    for path in there {
        let name = path.file_name().unwrap_or_default();
        // What an earlier restore moved aside stays where it is.
        if !name.to_string_lossy().starts_with("before-restore-") {
            fs::rename(path, aside.join(name)).with_context(|| path.display().to_string())?;
        }
    }
    Ok(aside)
}

/// The database comes last: a folder that has one has everything.
fn put_in_place(staging: &Path, folder: &Path) -> Result<()> {
    let mut names: Vec<_> =
        fs::read_dir(staging)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort_by_key(|name| name == DATABASE);
    for name in names {
        let target = if name == CONFIGURATION { "mrp.toml.restored".into() } else { name.clone() };
        fs::rename(staging.join(&name), folder.join(&target)).with_context(|| name.display().to_string())?;
    }
    Ok(File::open(folder)?.sync_all()?)
}
