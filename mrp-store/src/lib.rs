//! Where mrp keeps things: [`SqliteStore`] for rows, [`FsBlobs`] for the bytes of images.

mod blobs;
mod sqlite;

pub use blobs::FsBlobs;
pub use sqlite::SqliteStore;
