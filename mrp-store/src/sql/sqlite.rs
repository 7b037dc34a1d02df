//! SQLite: making, checking and migrating a database file, with errors that name the file and the cause. One
//! connection writes, several read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mrp_core::store::{StoreError, StoreResult};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Row};

use super::SqlStore;
use super::connections::{Connections, Limits};
use super::database::{Database, Pool};
use super::recorder::Recorder;
use super::statement::failed;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

const READERS: u32 = 4;
/// So much of the file is read as memory, in bytes: a list of machines that lie far apart touches thousands of pages, and
/// each would be a system call. A page that the disk cannot give ends the process (SIGBUS), and nothing is lost by that.
const MAPPED: &str = "1073741824";
/// So many pages of the log (40 MB) are written back at once. SQLite's own 1,000 come with every fiftieth reservation, which
/// then waits for the file; and a file that is mapped is slower to write.
const LOG: &str = "10000";
/// How long a statement waits for the lock of another process: as long as a caller waits for a connection.
const BUSY: Duration = Duration::from_secs(30);

/// The store in a file.
pub(super) async fn open(path: &Path) -> StoreResult<SqlStore> {
    make_file(path)?;
    // Switching to WAL and migrating wait for nobody: one process at a time does them.
    let _lock = lock_folder(path).await?;
    let options = configured(SqliteConnectOptions::new()).filename(path);
    let write = Connections::open(options.clone(), limits(1)).await.map_err(|error| refused(path, error))?;
    let mut lease = write.lease().await.map_err(|error| refused(path, error))?;
    migrate(path, lease.connection()).await?;
    lease.done(Ok(())).map_err(failed)?;
    // Not a file opened for reading alone: its connection could not recover the log of a writer that was killed.
    let read = options.pragma("query_only", "on").pragma("mmap_size", MAPPED);
    let read = Connections::open(read, limits(READERS)).await;
    let read = read.map_err(|error| refused(path, error))?;
    Ok(SqlStore {
        read: Pool::Sqlite(read),
        write: Pool::Sqlite(write),
        database: Database::SqliteFile,
        recorder: Recorder::default(),
    })
}

/// A store in memory.
pub(super) async fn in_memory() -> StoreResult<SqlStore> {
    let memory = "sqlite::memory:".parse::<SqliteConnectOptions>().map_err(failed)?;
    let memory = configured(memory);
    let connect = || Connections::open(memory.clone(), limits(1));
    // The database lives as long as a connection does, and one whose query is cut off is closed.
    let (kept, only) = (connect().await.map_err(failed)?, connect().await.map_err(failed)?);
    let mut lease = only.lease().await.map_err(failed)?;
    MIGRATIONS
        .run_direct(None, lease.connection(), false)
        .await
        .map_err(|error| StoreError::Internal(Box::new(error)))?;
    lease.done(Ok(())).map_err(failed)?;
    let only = Pool::Sqlite(only);
    Ok(SqlStore {
        read: only.clone(),
        write: only,
        database: Database::SqliteMemory(kept),
        recorder: Recorder::default(),
    })
}

fn configured(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .pragma("temp_store", "memory")
        .pragma("wal_autocheckpoint", LOG)
        .optimize_on_close(true, None)
}

fn limits(connections: u32) -> Limits {
    Limits { connections, wait: BUSY, trusted: None }
}

/// Makes the file, readable by its owner only, unless it is there.
///
/// A file that is there is not opened here: SQLite's locks belong to the process and would be lost when any other
/// descriptor of the file is closed.
pub(super) fn make_file(path: &Path) -> StoreResult<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unavailable(path, &format!("cannot be made: {error}"))),
    }
}

/// Waits for the folder's lock, which openers of its database hold in turn; free when dropped.
async fn lock_folder(path: &Path) -> StoreResult<File> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let lock = tokio::task::spawn_blocking(move || {
        let folder = File::open(folder)?;
        folder.lock()?;
        Ok::<_, io::Error>(folder)
    });
    let lock = lock.await.map_err(|error| StoreError::Internal(Box::new(error)))?;
    lock.map_err(|error| {
        unavailable(path, &format!("cannot be opened: its folder cannot be locked: {error}"))
    })
}

/// Brings the tables up to date. The folder is locked.
async fn migrate(path: &Path, connection: &mut SqliteConnection) -> StoreResult<()> {
    if is_foreign(connection).await.map_err(|error| refused(path, error))? {
        return Err(broken(path, "is a database of another program"));
    }
    MIGRATIONS.run_direct(None, connection, false).await.map_err(|error| unmigrated(path, error))?;
    // A file that cannot be written is found here, not by the first person who changes something.
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|error| refused(path, error))?;
    let touch = sqlx::query("DELETE FROM users WHERE id < 0").execute(&mut *tx).await;
    touch.map_err(|error| refused(path, error))?;
    tx.rollback().await.map_err(|error| refused(path, error))
}

/// True if there are tables, and none that says which migrations have run.
async fn is_foreign(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let tables = "SELECT COUNT(*), COUNT(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_master";
    let row = sqlx::query(tables).fetch_one(connection).await?;
    let (all, ours): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(all > 0 && ours == 0)
}

/// Why a file could not be opened.
pub(super) fn refused(path: &Path, error: sqlx::Error) -> StoreError {
    let code =
        error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i64>().ok());
    match code.map(|code| code & 0xff) {
        Some(5) => unavailable(path, "is locked by another program"),
        Some(8) => unavailable(path, "cannot be written: file or folder is read-only"),
        Some(11) => broken(path, "is damaged; restore a backup"),
        Some(13) => unavailable(path, "cannot be written: the disk is full"),
        Some(14) => unavailable(path, "cannot be opened: file or folder is missing or not accessible"),
        Some(26) => broken(path, "is no SQLite database"),
        _ => broken(path, &format!("cannot be opened: {}", cause(&failed(error)))),
    }
}

fn unmigrated(path: &Path, error: MigrateError) -> StoreError {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    match error {
        MigrateError::VersionMissing(version) if version > known => broken(
            path,
            &format!(
                "was written by a newer mrp (schema {version}, this one knows up to {known}); run that one"
            ),
        ),
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => broken(
            path,
            &format!("has a schema {version} that is not mrp's; is it a database of another program?"),
        ),
        MigrateError::Execute(error) => refused(path, error),
        other => broken(path, &format!("cannot be brought up to date: {other}")),
    }
}

fn unavailable(path: &Path, what: &str) -> StoreError {
    StoreError::Unavailable(format!("{} {what}", path.display()).into())
}

fn broken(path: &Path, what: &str) -> StoreError {
    StoreError::Internal(format!("{} {what}", path.display()).into())
}

fn cause(error: &StoreError) -> String {
    std::error::Error::source(error).unwrap_or(error).to_string()
}
