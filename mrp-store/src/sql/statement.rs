//! Running statements, and what their failures mean to the caller.

use std::vec::IntoIter;

use mrp_core::event::Journal;
use mrp_core::id::Id;
use mrp_core::store::{Seen, StoreError, StoreResult};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::builder::QueryBuilder;
use super::database::Pool;
use super::query::{Outcome, Query, Wanted};
use super::rows::first;
use super::{Row, Tx, claims, events, sql};

/// Writes the journal, ends the claim that the change is made under, and commits.
pub(super) async fn commit(mut tx: Tx, journal: &Journal) -> StoreResult<()> {
    if let Some(claim) = &journal.under {
        claims::end(&mut tx, claim).await?;
    }
    tx.commit_after(events::statements(journal)?).await.map_err(unreferred).map(drop)
}

/// The row of an `INSERT … RETURNING id`. A row that it refers to and that is gone is `NotFound`.
pub(super) async fn inserted<T>(tx: &mut Tx, query: Query<'_>) -> StoreResult<Id<T>> {
    let row = query.fetch_one(&mut *tx).await.map_err(unreferred)?;
    first(&row).map(Id::new)
}

/// An `UPDATE … WHERE id AND revision`: no row means that it moved or is gone.
pub(super) async fn updated(tx: &mut Tx, query: Query<'_>, exists: &'static str, id: i64) -> StoreResult<()> {
    let done = query.execute(&mut *tx).await.map_err(unreferred)?;
    if done == 1 { Ok(()) } else { Err(moved(tx, exists, id).await?) }
}

/// A `DELETE … WHERE id`: no row means that it is gone.
pub(super) async fn deleted(tx: &mut Tx, query: Query<'_>, referred_by: &'static str) -> StoreResult<()> {
    let done = query.execute(&mut *tx).await.map_err(|error| referred(error, referred_by))?;
    if done == 1 { Ok(()) } else { Err(StoreError::NotFound) }
}

/// A `DELETE … WHERE id AND revision`: no row means that it moved or is gone.
pub(super) async fn deleted_revision(
    tx: &mut Tx,
    query: Query<'_>,
    referred_by: &'static str,
    exists: &'static str,
    id: i64,
) -> StoreResult<()> {
    let done = query.execute(&mut *tx).await.map_err(|error| referred(error, referred_by))?;
    if done == 1 { Ok(()) } else { Err(moved(tx, exists, id).await?) }
}

/// Removes the row of a table if it is as it was seen. `Stale` or `NotFound` if it is not.
pub(super) async fn deleted_as_seen(
    tx: &mut Tx,
    table: &'static str,
    id: i64,
    seen: Seen<'_>,
    referred_by: &'static str,
) -> StoreResult<()> {
    if let Some(seen) = seen {
        let mut query = QueryBuilder::new("SELECT revision FROM ");
        query.push(table).push(" WHERE id = ").push_bind(id);
        let row = query.build().fetch_optional(&mut *tx).await.map_err(failed)?;
        if !seen.contains(&first(&row.ok_or(StoreError::NotFound)?)?) {
            return Err(StoreError::Stale);
        }
    }
    let mut query = QueryBuilder::new("DELETE FROM ");
    query.push(table).push(" WHERE id = ").push_bind(id);
    deleted(tx, query.build(), referred_by).await
}

/// Reads rows into nouns.
pub(super) fn all<T>(
    rows: Result<Vec<Row>, sqlx::Error>,
    read: fn(&Row) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    rows.map_err(failed)?.iter().map(read).collect()
}

/// What queries give that do not depend on each other: one after another, on SQLite in one go. [`next`] reads it.
pub(super) async fn together(pool: &Pool, queries: Vec<Query<'_>>) -> StoreResult<IntoIter<Outcome>> {
    Ok(pool.run(queries, Wanted::All).await.map_err(failed)?.into_iter())
}

/// Reads the rows of the next query into nouns.
pub(super) fn next<T>(
    outcomes: &mut IntoIter<Outcome>,
    read: fn(&Row) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    let outcome = outcomes.next().ok_or_else(|| StoreError::Internal("a query gave nothing".into()))?;
    outcome.rows.iter().map(read).collect()
}

/// Reads at most one row into a noun.
pub(super) fn one<T>(
    row: Result<Option<Row>, sqlx::Error>,
    read: fn(&Row) -> StoreResult<T>,
) -> StoreResult<Option<T>> {
    row.map_err(failed)?.as_ref().map(read).transpose()
}

/// What a failed statement means to the caller.
pub(super) fn failed(error: sqlx::Error) -> StoreError {
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::RowNotFound => StoreError::NotFound,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => StoreError::Unavailable(Box::new(error)),
            _ => StoreError::Internal(Box::new(error)),
        };
    };
    if database.is_unique_violation() {
        return StoreError::Conflict { what: taken(&constraint(database)).to_owned() };
    }
    let code = database.code().unwrap_or_default().into_owned();
    match database.try_downcast_ref::<PgDatabaseError>() {
        Some(_) => failed_on_postgres(&code, error),
        None => failed_on_sqlite(&code, error),
    }
}

/// SQLITE_BUSY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN, with their extended codes, may go away by themselves.
fn failed_on_sqlite(code: &str, error: sqlx::Error) -> StoreError {
    match code.parse::<i64>().map_or(0, |code| code & 0xff) {
        5 | 10 | 13 | 14 => StoreError::Unavailable(Box::new(error)),
        _ => StoreError::Internal(Box::new(error)),
    }
}

/// By SQLSTATE: connections (08), resources (53), an operator (57), a lock not had in time, a standby.
fn failed_on_postgres(code: &str, error: sqlx::Error) -> StoreError {
    let class = code.get(..2).unwrap_or_default();
    match (class, code) {
        (_, "40001" | "40P01") => StoreError::Stale,
        ("08" | "53" | "57", _) | (_, "55P03" | "25006" | "25P03") => {
            StoreError::Unavailable(Box::new(error))
        }
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

async fn moved(tx: &mut Tx, exists: &'static str, id: i64) -> StoreResult<StoreError> {
    let found = sql(exists).bind(id).fetch_optional(&mut *tx).await.map_err(failed)?;
    Ok(if found.is_some() { StoreError::Stale } else { StoreError::NotFound })
}

/// The violated constraint by the name that PostgreSQL gives it. SQLite names the columns, from which that name is made:
/// `UNIQUE constraint failed: subarchs.arch_id, subarchs.name` is `subarchs_arch_id_name_key`.
fn constraint(database: &dyn DatabaseError) -> String {
    if let Some(name) = database.constraint() {
        return name.to_owned();
    }
    let columns = database.message().rsplit("failed: ").next().unwrap_or_default();
    let mut name = String::new();
    for (table, column) in columns.split(", ").filter_map(|column| column.split_once('.')) {
        if name.is_empty() {
            name.push_str(table);
        }
        name.push('_');
        name.push_str(column);
    }
    name + "_key"
}

fn taken(constraint: &str) -> &'static str {
    match constraint {
        "users_name_key" => "this user name",
        "archs_name_key" => "this architecture name",
        "subarchs_arch_id_name_key" => "this name within the architecture",
        "images_name_key" => "this image name",
        "bmcs_name_key" => "this BMC name",
        "bmcs_address_key" => "this BMC address",
        "networks_name_key" => "this network name",
        "networks_subnet_key" => "this subnet",
        "answer_files_name_key" => "this answer file name",
        "machines_name_key" => "this machine name",
        "interfaces_mac_key" => "this MAC address",
        "interfaces_network_id_ipv4_key" => "this IPv4 address in the network",
        "assignments_machine_id_user_id_key" => "this machine by the same user",
        "runs_machine_id_key" | "one_active_run_of_a_machine" => "the machine by an active run",
        _ => "this value",
    }
}
