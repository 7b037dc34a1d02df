//! The file with the server's key, and its change.
//!
//! A change writes the new key beside the old one (`key.new`), seals all secrets anew in one transaction of the database,
//! and renames the new file over the old one. The database knows which key is in force, so that whoever finds both files
//! after a crash takes the right one, and finishes what was begun.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mrp_core::id::Timestamp;
use mrp_core::secret::{Secret, ServerKey};
use mrp_core::service::keys;
use mrp_core::store::Store;

/// The key of a file; `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<ServerKey>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Secret::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("key file {}", path.display())),
    };
    let key = ServerKey::from_hex(text.expose()).with_context(|| {
        format!(
            "{} is no key of mrp: 64 hexadecimal digits are expected; restore it from a backup",
            path.display()
        )
    })?;
    Ok(Some(key))
}

/// The key that the secrets of a database are sealed with. It is made at the first start; a key file that does not go with
/// the database is refused.
pub(crate) async fn in_force(path: &Path, store: &dyn Store) -> Result<ServerKey> {
    let (there, next) = (read(path)?, read(&next_of(path))?);
    let Some(there) = there else {
        if next.is_some() || !is_new(store).await? {
            bail!(
                "key file {} is missing, and the secrets in the database are sealed with it; restore it from a backup",
                path.display()
            );
        }
        return make(path, store).await;
    };
    let mut keys = vec![there];
    keys.extend(next);
    match keys::choose(store, &keys).await? {
        None => Err(foreign(path)),
        Some(chosen) => {
            if chosen == 1 {
                put_in_place(path)?;
                tracing::info!("a change of the key that was cut off is finished");
            }
            Ok(keys.swap_remove(chosen))
        }
    }
}

/// Seals all secrets with a new key; tells how many. Nobody may use the old one meanwhile.
pub(crate) async fn rotate(path: &Path, store: &dyn Store) -> Result<usize> {
    let old = in_force(path, store).await?;
    let new = ServerKey::generate();
    write_secret(&next_of(path), &new.to_hex())?;
    let now = Timestamp::from(std::time::SystemTime::now());
    let resealed = match keys::rotate(store, &old, &new, now).await {
        Ok(resealed) => resealed,
        Err(error) => {
            // Where the database does not say, both files stay, and the next start decides.
            if keys::choose(store, &[old]).await.is_ok_and(|chosen| chosen.is_some()) {
                let _ = fs::remove_file(next_of(path));
            }
            return Err(error.into());
        }
    };
    put_in_place(path)?;
    Ok(resealed)
}

/// Writes a file that its owner alone may read, down to the disk.
pub(crate) fn write_secret(path: &Path, secret: &Secret) -> Result<()> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| {
        file.write_all(secret.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        sync_folder(path)
    });
    written.with_context(|| format!("{}: cannot be written", path.display()))
}

async fn make(path: &Path, store: &dyn Store) -> Result<ServerKey> {
    let key = ServerKey::generate();
    // Before the database hears of it: a key that is noted and lost would keep the server out.
    write_secret(path, &key.to_hex())?;
    if keys::choose(store, std::slice::from_ref(&key)).await?.is_none() {
        let _ = fs::remove_file(path);
        return Err(foreign(path));
    }
    Ok(key)
}

async fn is_new(store: &dyn Store) -> Result<bool> {
    Ok(store.key_check().await?.is_none() && store.bmcs().await?.is_empty())
}

fn foreign(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "key file {} is not the one that the secrets in the database are sealed with; restore it from a backup, or copy it from another server on this database",
        path.display()
    )
}

fn next_of(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Renames the new key over the old one. Another process may have done so meanwhile.
fn put_in_place(path: &Path) -> Result<()> {
    let renamed = match fs::rename(next_of(path), path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.and_then(|()| sync_folder(path)),
    };
    renamed.with_context(|| format!("{}: the new key could not be put in place", path.display()))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
