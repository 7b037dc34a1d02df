//! Rows in SQLite (embedded, in WAL mode) or in PostgreSQL (several servers on one database). Every query has one text.
//!
//! Each method of a store trait is one transaction, and **one transaction writes at a time**: on SQLite it begins with
//! the write lock, on PostgreSQL with an advisory lock that lasts as long as it does. So what a method reads cannot move
//! before it writes, and ids are committed in their order: who has seen event 7 will not miss event 6. A text that is
//! read by both keeps to what both understand: `database.rs` says what that is. `synchronous` is FULL, and PostgreSQL's
//! default is as good: a finished upload or an audit entry outlives a power loss.

use std::path::Path;

use mrp_core::secret::Secret;
use mrp_core::store::StoreResult;

mod answer_files;
mod archs;
mod assignments;
mod bmcs;
mod boot_facts;
mod builder;
mod claims;
mod conditions;
mod connections;
mod database;
mod events;
mod image_use;
mod images;
mod imports;
mod interfaces;
mod key;
mod listener;
mod logins;
mod machine_lists;
mod machine_notes;
mod machines;
mod networks;
mod packed;
mod postgres;
mod query;
mod recorder;
mod reservations;
mod retention;
mod rows;
mod runs;
mod snapshot;
mod sqlite;
mod statement;
mod uploads;
mod users;

pub use snapshot::{Snapshot, copy_sqlite, inspect_sqlite, known_schema};

use database::{Database, Pool, Tx};
pub use postgres::PostgresState;
use query::sql;
use recorder::Recorder;
use rows::Row;
use statement::{
    all, commit, deleted, deleted_as_seen, deleted_revision, failed, inserted, one, unreferred, updated,
};

/// A store in one database. Clones share it.
#[derive(Debug, Clone)]
pub struct SqlStore {
    read: Pool,
    write: Pool,
    database: Database,
    recorder: Recorder,
}

impl SqlStore {
    /// Opens an SQLite database file, making it (mode 0600) and its tables where they are missing. Other processes may
    /// have the file open.
    pub async fn open_sqlite(path: &Path) -> StoreResult<Self> {
        sqlite::open(path).await
    }

    /// An SQLite database in memory: gone with the store. It has one connection, which readers and writers share.
    pub async fn in_memory() -> StoreResult<Self> {
        sqlite::in_memory().await
    }

    /// Opens the PostgreSQL database of a URL `postgres://user@host/database`, making its tables where they are
    /// missing. Other servers may have it open.
    pub async fn open_postgres(url: &str) -> StoreResult<Self> {
        postgres::open(url, None).await
    }

    /// The same with a password that does not stand in the URL.
    pub async fn open_postgres_with(url: &str, password: &Secret) -> StoreResult<Self> {
        postgres::open(url, Some(password)).await
    }

    /// Looks at a PostgreSQL database and leaves it as it is.
    pub async fn examine_postgres(url: &str, password: Option<&Secret>) -> StoreResult<PostgresState> {
        postgres::examine(url, password).await
    }

    /// Ends what is under way and closes every connection; SQLite's log is written into the database.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
        self.database.close().await;
    }

    /// Begins a transaction that writes: no other one does until it ends.
    async fn begin(&self) -> StoreResult<Tx> {
        self.write.begin().await.map_err(failed)
    }
}
