//! Backups: one tar file with a manifest, the database, the key, the certificate and the images by content.
//!
//! The manifest comes first and lists every other entry with its size and SHA-256, in their order. A backup is written
//! under no name until it is whole; what is read is checked before anything of it is used.

use std::fmt;

use anyhow::{Result, bail};
use indicatif::HumanBytes;
use mrp_core::id::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::wiring::Files;

mod read;
mod write;

pub use read::{list, restore};
pub use write::backup;

/// The entry that says what the others are.
const MANIFEST: &str = "manifest.json";
/// The manifest's own version.
const FORMAT: u32 = 1;
/// The database's entry.
const DATABASE: &str = "mrp.db";
/// What the paths of images begin with.
const IMAGES: &str = "images/";
/// The name of the image store.
const IDENTITY: &str = "images/identity";
/// Files of the data folder beside the database; the first has to be there.
const FILES: [&str; 3] = ["key", "certificate.pem", "certificate-key.pem"];
/// The configuration file that the backup was made with; it is put beside the data, not in force.
const CONFIGURATION: &str = "mrp.toml";

/// A PostgreSQL database has tools of its own.
fn sqlite_only(config: &Config) -> Result<()> {
    if config.database.url.is_none() {
        return Ok(());
    }
    bail!(
        "the database is PostgreSQL (database.url): back it up with pg_dump and put it back with pg_restore; copy the key file {} and \
         the images as files, or by the tools of their bucket",
        Files::of(config).key().display()
    )
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub mrp_backup: u32,
    /// The program that wrote it.
    pub version: String,
    /// The database's schema.
    pub schema: i64,
    /// When it was made.
    pub made: Timestamp,
    /// Machines.
    pub machines: u64,
    /// Users.
    pub users: u64,
    /// Images.
    pub images: u64,
    /// Bytes of all entries.
    pub bytes: u64,
    /// Every entry behind this one.
    pub entries: Vec<Entry>,
}

/// An entry of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path below the data folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: String,
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machines, users, images) = (self.machines, self.users, self.images);
        let (bytes, made, version, schema) = (HumanBytes(self.bytes), self.made, &self.version, self.schema);
        write!(
            f,
            "{machines} machines, {users} users, {images} images, {bytes}; made {made} by mrp {version} (schema {schema})"
        )
    }
}
