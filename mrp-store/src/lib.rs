//! Where mrp keeps things: [`SqlStore`] for rows, [`FsBlobs`] for the bytes of images, [`FsConsoles`] for what consoles
//! showed. [`MrProvisioner`] reads the database of the program that mrp replaces.

mod blobs;
mod consoles;
mod mr_provisioner;
#[cfg(feature = "s3")]
mod s3;
mod sql;

pub use blobs::FsBlobs;
pub use consoles::{ConsoleLimits, FsConsoles};
pub use mr_provisioner::{ImageFolder, MrProvisioner, SourceError};
#[cfg(feature = "s3")]
pub use s3::{S3Blobs, S3Config};
pub use sql::{PostgresState, Snapshot, SqlStore, copy_sqlite, inspect_sqlite, known_schema};
