//! Columns to values: a value that no mrp has written is an error that names its column.

use std::sync::atomic::{AtomicUsize, Ordering};

use mrp_core::id::{Id, Timestamp};
use mrp_core::store::{StoreError, StoreResult};
use serde::Serialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Decode, Postgres, Row as _, Sqlite, Type};

/// A row of either database.
pub(super) struct Row {
    inner: Inner,
    /// The column after the one that was read last: who reads in the order of the table needs no search for names.
    next: AtomicUsize,
}

enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A value that both databases know: `i64`, `bool`, `String`, `&str`, `Vec<u8>`, and these as `Option`.
pub(super) trait Get<'r>:
    Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>
{
}

impl<'r, T> Get<'r> for T where T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}

impl Row {
    /// A row of SQLite.
    pub(super) fn sqlite(row: SqliteRow) -> Self {
        Self { inner: Inner::Sqlite(row), next: AtomicUsize::new(0) }
    }

    /// A row of PostgreSQL.
    pub(super) fn postgres(row: PgRow) -> Self {
        Self { inner: Inner::Postgres(row), next: AtomicUsize::new(0) }
    }

    fn find(&self, column: &str) -> Option<usize> {
        match &self.inner {
            Inner::Sqlite(row) => position(row.columns(), column, self.next.load(Ordering::Relaxed)),
            Inner::Postgres(row) => position(row.columns(), column, self.next.load(Ordering::Relaxed)),
        }
    }
}

fn position<C: Column>(columns: &[C], name: &str, guess: usize) -> Option<usize> {
    match columns.get(guess) {
        Some(column) if column.name() == name => Some(guess),
        _ => columns.iter().position(|column| column.name() == name),
    }
}

/// A column as its own type.
pub(super) fn get<'r, T: Get<'r>>(row: &'r Row, column: &'static str) -> StoreResult<T> {
    let Some(index) = row.find(column) else {
        return Err(StoreError::Internal(format!("there is no column {column}").into()));
    };
    row.next.store(index + 1, Ordering::Relaxed);
    at(row, index).map_err(|error| match error {
        sqlx::Error::ColumnDecode { source, .. } => {
            StoreError::Internal(format!("{}: {source}", impossible(column)).into())
        }
        other => StoreError::Internal(Box::new(other)),
    })
}

/// The first column, which has no name of its own: a count.
pub(super) fn first<'r, T: Get<'r>>(row: &'r Row) -> StoreResult<T> {
    at(row, 0).map_err(|error| StoreError::Internal(Box::new(error)))
}

fn at<'r, T: Get<'r>>(row: &'r Row, index: usize) -> Result<T, sqlx::Error> {
    match &row.inner {
        Inner::Sqlite(row) => row.try_get(index),
        Inner::Postgres(row) => row.try_get(index),
    }
}

/// An id.
pub(super) fn id<T>(row: &Row, column: &'static str) -> StoreResult<Id<T>> {
    get(row, column).map(Id::new)
}

/// An id that may be missing.
pub(super) fn maybe_id<T>(row: &Row, column: &'static str) -> StoreResult<Option<Id<T>>> {
    Ok(get::<Option<i64>>(row, column)?.map(Id::new))
}

/// A time.
pub(super) fn time(row: &Row, column: &'static str) -> StoreResult<Timestamp> {
    get(row, column).map(Timestamp)
}

/// A time that may be missing.
pub(super) fn maybe_time(row: &Row, column: &'static str) -> StoreResult<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp))
}

/// A text that is the written form of a type.
pub(super) fn parsed<T: std::str::FromStr>(row: &Row, column: &'static str) -> StoreResult<T> {
    get::<&str>(row, column)?.parse().map_err(|_| damaged(column))
}

/// The same, where it may be missing.
pub(super) fn maybe_parsed<T: std::str::FromStr>(row: &Row, column: &'static str) -> StoreResult<Option<T>> {
    get::<Option<&str>>(row, column)?.map(|text| text.parse().map_err(|_| damaged(column))).transpose()
}

/// JSON in a text.
pub(super) fn json<T: DeserializeOwned>(row: &Row, column: &'static str) -> StoreResult<T> {
    serde_json::from_str(get::<&str>(row, column)?).map_err(|_| damaged(column))
}

/// A word that serde knows as a variant.
pub(super) fn word<T: DeserializeOwned>(row: &Row, column: &'static str) -> StoreResult<T> {
    known_word(get(row, column)?, column)
}

/// The same for a text that came out of a column.
pub(super) fn known_word<T: DeserializeOwned>(text: &str, column: &'static str) -> StoreResult<T> {
    let text: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    T::deserialize(text).map_err(|_| damaged(column))
}

/// A value as JSON text.
pub(super) fn to_json<T: Serialize>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal(Box::new(error)))
}

/// A variant as the word that serde gives it.
pub(super) fn to_word<T: Serialize>(value: &T) -> StoreResult<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(StoreError::Internal("a variant without a word".into())),
    }
}

pub(super) fn damaged(column: &'static str) -> StoreError {
    StoreError::Internal(impossible(column).into())
}

fn impossible(column: &str) -> String {
    format!("the database holds an impossible value in column {column}")
}
