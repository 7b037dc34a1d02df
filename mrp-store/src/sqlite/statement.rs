//! Running statements, and what their failures mean to the caller.

use mrp_core::event::Journal;
use mrp_core::id::Id;
use mrp_core::store::{StoreError, StoreResult};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, Transaction};

use super::events;

/// Writes the journal and commits.
pub(super) async fn commit(mut tx: Transaction<'static, Sqlite>, journal: &Journal) -> StoreResult<()> {
    events::write(&mut tx, journal).await?;
    tx.commit().await.map_err(failed)
}

/// The row of an `INSERT … RETURNING id`. A row that it refers to and that is gone is `NotFound`.
pub(super) async fn inserted<T>(
    tx: &mut Transaction<'static, Sqlite>,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> StoreResult<Id<T>> {
    let row = query.fetch_one(&mut **tx).await.map_err(unreferred)?;
    Ok(Id::new(row.try_get(0).map_err(failed)?))
}

/// An `UPDATE … WHERE id AND revision`: no row means that it moved or is gone.
pub(super) async fn updated(
    tx: &mut Transaction<'static, Sqlite>,
    query: Query<'_, Sqlite, SqliteArguments>,
    exists: &'static str,
    id: i64,
) -> StoreResult<()> {
    let done = query.execute(&mut **tx).await.map_err(unreferred)?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(moved(tx, exists, id).await?) }
}

/// A `DELETE … WHERE id`: no row means that it is gone.
pub(super) async fn deleted(
    tx: &mut Transaction<'static, Sqlite>,
    query: Query<'_, Sqlite, SqliteArguments>,
    referred_by: &'static str,
) -> StoreResult<()> {
    let done = query.execute(&mut **tx).await.map_err(|error| referred(error, referred_by))?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::NotFound) }
}

/// A `DELETE … WHERE id AND revision`: no row means that it moved or is gone.
pub(super) async fn deleted_revision(
    tx: &mut Transaction<'static, Sqlite>,
    query: Query<'_, Sqlite, SqliteArguments>,
    referred_by: &'static str,
    exists: &'static str,
    id: i64,
) -> StoreResult<()> {
    let done = query.execute(&mut **tx).await.map_err(|error| referred(error, referred_by))?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(moved(tx, exists, id).await?) }
}

/// Reads rows into nouns.
pub(super) fn all<T>(
    rows: Result<Vec<SqliteRow>, sqlx::Error>,
    read: fn(&SqliteRow) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    rows.map_err(failed)?.iter().map(read).collect()
}

/// Reads at most one row into a noun.
pub(super) fn one<T>(
    row: Result<Option<SqliteRow>, sqlx::Error>,
    read: fn(&SqliteRow) -> StoreResult<T>,
) -> StoreResult<Option<T>> {
    row.map_err(failed)?.as_ref().map(read).transpose()
}

/// What a failed statement means to the caller.
pub(super) fn failed(error: sqlx::Error) -> StoreError {
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::RowNotFound => StoreError::NotFound,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                StoreError::Unavailable(Box::new(error))
            }
            _ => StoreError::Internal(Box::new(error)),
        };
    };
    if database.is_unique_violation() {
        return StoreError::Conflict { what: taken(database.message()).to_owned() };
    }
    // SQLITE_BUSY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN, with their extended codes.
    let code = database.code().and_then(|code| code.parse::<i64>().ok()).map_or(0, |code| code & 0xff);
    match code {
        5 | 10 | 13 | 14 => StoreError::Unavailable(Box::new(error)),
        _ => StoreError::Internal(Box::new(error)),
    }
}

/// The same for a statement that writes a row: what the row refers to is gone.
pub(super) fn unreferred(error: sqlx::Error) -> StoreError {
    if is_foreign_key_violation(&error) { StoreError::NotFound } else { failed(error) }
}

/// The same for a statement that removes a row: something refers to it.
fn referred(error: sqlx::Error, by: &'static str) -> StoreError {
    if is_foreign_key_violation(&error) { StoreError::InUse { what: by.into() } } else { failed(error) }
}

fn is_foreign_key_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|database| database.is_foreign_key_violation())
}

async fn moved(
    tx: &mut Transaction<'static, Sqlite>,
    exists: &'static str,
    id: i64,
) -> StoreResult<StoreError> {
    let found = sqlx::query(exists).bind(id).fetch_optional(&mut **tx).await.map_err(failed)?;
    Ok(if found.is_some() { StoreError::Stale } else { StoreError::NotFound })
}

/// SQLite names the columns: `UNIQUE constraint failed: machines.name`.
fn taken(message: &str) -> &'static str {
    let columns = message.rsplit("failed: ").next().unwrap_or_default();
    match columns {
        "users.name" => "this user name",
        "archs.name" => "this architecture name",
        "subarchs.arch_id, subarchs.name" => "this name within the architecture",
        "images.name" => "this image name",
        "bmcs.name" => "this BMC name",
        "bmcs.address" => "this BMC address",
        "networks.name" => "this network name",
        "networks.subnet" => "this subnet",
        "answer_files.name" => "this answer file name",
        "machines.name" => "this machine name",
        "interfaces.mac" => "this MAC address",
        "interfaces.network_id, interfaces.ipv4" => "this IPv4 address in the network",
        "assignments.machine_id, assignments.user_id" => "this machine by the same user",
        "runs.machine_id" => "the machine by an active run",
        _ => "this value",
    }
}
