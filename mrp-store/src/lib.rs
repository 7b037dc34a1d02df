//! Where mrp keeps things: [`SqlStore`] for rows, [`FsBlobs`] for the bytes of images. [`MrProvisioner`] reads the
//! database of the program that mrp replaces.

mod blobs;
mod mr_provisioner;
mod sql;

pub use blobs::FsBlobs;
pub use mr_provisioner::{ImageFolder, MrProvisioner, SourceError};
pub use sql::{PostgresState, SqlStore};
