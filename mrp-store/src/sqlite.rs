//! SQLite: embedded, in WAL mode, with one writer and several readers.
//!
//! Each method of a store trait is one transaction that begins with the write lock, so that what it reads cannot move
//! before it writes. The text of the queries keeps to what PostgreSQL understands too. `synchronous` is FULL: a
//! finished upload or an audit entry outlives a power loss.

use std::path::Path;
use std::time::Duration;

use mrp_core::store::StoreResult;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

mod answer_files;
mod archs;
mod assignments;
mod bmcs;
mod events;
mod images;
mod interfaces;
mod machines;
mod networks;
mod open;
mod rows;
mod runs;
mod statement;
mod users;

use statement::{all, commit, deleted, deleted_revision, failed, inserted, one, unreferred, updated};

const READERS: u32 = 4;
/// How long a statement waits for the lock of another process.
const BUSY: Duration = Duration::from_secs(5);

/// A store in one SQLite database. Clones share it.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    read: SqlitePool,
    write: SqlitePool,
    /// Keeps a database in memory alive; no query goes through it.
    kept: Option<SqlitePool>,
}

impl SqliteStore {
    /// Opens a database file, making it (mode 0600) and its tables where they are missing. Other processes may have
    /// the file open.
    pub async fn open(path: &Path) -> StoreResult<Self> {
        open::make_file(path)?;
        // Switching to WAL and migrating wait for nobody: one process at a time does them.
        let _lock = open::lock_folder(path).await?;
        let options = configured(SqliteConnectOptions::new()).filename(path);
        let write =
            pool(1).connect_with(options.clone()).await.map_err(|error| open::refused(path, error))?;
        open::migrate(path, &write).await?;
        let read = pool(READERS).connect_with(options.read_only(true)).await;
        Ok(Self { read: read.map_err(|error| open::refused(path, error))?, write, kept: None })
    }

    /// A database in memory: gone with the store. It has one connection, which readers and writers share.
    pub async fn in_memory() -> StoreResult<Self> {
        let memory = "sqlite::memory:".parse::<SqliteConnectOptions>().map_err(failed)?;
        let memory = configured(memory);
        let connect = || pool(1).idle_timeout(None).max_lifetime(None).connect_with(memory.clone());
        // The database lives as long as a connection does, and one whose query is cut off is closed by its pool.
        let (kept, only) = (connect().await.map_err(failed)?, connect().await.map_err(failed)?);
        open::migrate_in_memory(&only).await?;
        Ok(Self { read: only.clone(), write: only, kept: Some(kept) })
    }

    /// Writes what is in the log into the database and closes it.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
        if let Some(kept) = &self.kept {
            kept.close().await;
        }
    }

    async fn begin(&self) -> StoreResult<Transaction<'static, Sqlite>> {
        self.write.begin_with("BEGIN IMMEDIATE").await.map_err(failed)
    }
}

fn configured(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .pragma("temp_store", "memory")
        .optimize_on_close(true, None)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(30))
}
