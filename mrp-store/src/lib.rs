//! Where mrp keeps things: [`SqlStore`] for rows, [`FsBlobs`] for the bytes of images.

mod blobs;
mod sql;

pub use blobs::FsBlobs;
pub use sql::{PostgresState, SqlStore};
