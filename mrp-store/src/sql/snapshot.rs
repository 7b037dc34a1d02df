//! A copy of an SQLite database that is in use, and what such a copy holds.

use std::path::Path;
use std::time::Duration;

use mrp_core::image::Digest;
use mrp_core::store::{StoreError, StoreResult};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};

use super::sqlite::{MIGRATIONS, make_file, refused};

/// How long the copy waits for another process.
const BUSY: Duration = Duration::from_secs(30);

/// What a database holds, as far as a backup tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last migration that it has seen.
    pub schema: i64,
    /// Machines.
    pub machines: u64,
    /// Users.
    pub users: u64,
    /// Images.
    pub images: u64,
    /// The contents of the images, each once, with their sizes.
    pub contents: Vec<(Digest, u64)>,
    /// The name of the image store that it goes with.
    pub image_store: Option<String>,
}

/// The last migration that this program knows.
pub fn known_schema() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Copies an SQLite database, which others may write to meanwhile, into a file that is not there yet: one moment of it,
/// whole. It is not brought up to date.
pub async fn copy_sqlite(database: &Path, into: &Path) -> StoreResult<Snapshot> {
    let mut connection = connect(database).await?;
    make_file(into)?;
    let copy = sqlx::query("VACUUM INTO $1").bind(into.display().to_string());
    copy.execute(&mut connection).await.map_err(|error| refused(database, error))?;
    connection.close().await.map_err(|error| refused(database, error))?;
    look(into).await
}

/// Looks at a database file that nobody uses: whether it is whole, and what is in it.
pub async fn inspect_sqlite(database: &Path) -> StoreResult<Snapshot> {
    let mut connection = connect(database).await?;
    let check = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&mut connection).await;
    let check: String = check.and_then(|row| row.try_get(0)).map_err(|error| refused(database, error))?;
    connection.close().await.map_err(|error| refused(database, error))?;
    if check != "ok" {
        return Err(StoreError::Internal(format!("{} is damaged: {check}", database.display()).into()));
    }
    look(database).await
}

async fn connect(database: &Path) -> StoreResult<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(false).busy_timeout(BUSY);
    options.connect().await.map_err(|error| refused(database, error))
}

async fn look(database: &Path) -> StoreResult<Snapshot> {
    let mut connection = connect(database).await?;
    let read = read(&mut connection).await;
    connection.close().await.map_err(|error| refused(database, error))?;
    let (mut snapshot, contents) = read.map_err(|error| refused(database, error))?;
    for (digest, size) in contents {
        let digest = Digest::from_hex(&digest).ok_or_else(|| {
            StoreError::Internal(format!("{} holds an impossible digest", database.display()).into())
        })?;
        snapshot.contents.push((digest, size.cast_unsigned()));
    }
    Ok(snapshot)
}

type Contents = Vec<(String, i64)>;

async fn read(connection: &mut SqliteConnection) -> Result<(Snapshot, Contents), sqlx::Error> {
    let counts = "SELECT (SELECT MAX(version) FROM _sqlx_migrations), (SELECT COUNT(*) FROM machines),
        (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM images)";
    let row = sqlx::query(counts).fetch_one(&mut *connection).await?;
    let count = |index| row.try_get::<i64, _>(index);
    let mut snapshot = Snapshot {
        schema: count(0)?,
        machines: count(1)?.cast_unsigned(),
        users: count(2)?.cast_unsigned(),
        images: count(3)?.cast_unsigned(),
        contents: Vec::new(),
        image_store: None,
    };
    let contents = "SELECT digest, MAX(size) FROM images GROUP BY digest ORDER BY digest";
    let rows = sqlx::query(contents).fetch_all(&mut *connection).await?;
    let contents =
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, sqlx::Error>>()?;
    let site = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'site'";
    if sqlx::query(site).fetch_one(&mut *connection).await?.try_get::<i64, _>(0)? == 1 {
        let name = "SELECT value FROM site WHERE name = 'image_store'";
        let row = sqlx::query(name).fetch_optional(&mut *connection).await?;
        snapshot.image_store = row.map(|row| row.try_get(0)).transpose()?;
    }
    Ok((snapshot, contents))
}
