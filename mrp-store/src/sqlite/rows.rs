//! Columns to values: a value that no mrp has written is an error that names its column.

use mrp_core::id::{Id, Timestamp};
use mrp_core::store::{StoreError, StoreResult};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::failed;

/// A column as its own type.
pub(super) fn get<'r, T>(row: &'r SqliteRow, column: &'static str) -> StoreResult<T>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(column).map_err(failed)
}

/// An id.
pub(super) fn id<T>(row: &SqliteRow, column: &'static str) -> StoreResult<Id<T>> {
    get(row, column).map(Id::new)
}

/// An id that may be missing.
pub(super) fn maybe_id<T>(row: &SqliteRow, column: &'static str) -> StoreResult<Option<Id<T>>> {
    Ok(get::<Option<i64>>(row, column)?.map(Id::new))
}

/// A time.
pub(super) fn time(row: &SqliteRow, column: &'static str) -> StoreResult<Timestamp> {
    get(row, column).map(Timestamp)
}

/// A time that may be missing.
pub(super) fn maybe_time(row: &SqliteRow, column: &'static str) -> StoreResult<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp))
}

/// A text that is the written form of a type.
pub(super) fn parsed<T: std::str::FromStr>(row: &SqliteRow, column: &'static str) -> StoreResult<T> {
    get::<String>(row, column)?.parse().map_err(|_| damaged(column))
}

/// The same, where it may be missing.
pub(super) fn maybe_parsed<T: std::str::FromStr>(
    row: &SqliteRow,
    column: &'static str,
) -> StoreResult<Option<T>> {
    get::<Option<String>>(row, column)?.map(|text| text.parse().map_err(|_| damaged(column))).transpose()
}

/// JSON in a text.
pub(super) fn json<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> StoreResult<T> {
    serde_json::from_str(&get::<String>(row, column)?).map_err(|_| damaged(column))
}

/// A word that serde knows as a variant.
pub(super) fn word<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> StoreResult<T> {
    let text: String = get(row, column)?;
    serde_json::from_value(serde_json::Value::String(text)).map_err(|_| damaged(column))
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
    StoreError::Internal(format!("the database holds an impossible value in column {column}").into())
}
