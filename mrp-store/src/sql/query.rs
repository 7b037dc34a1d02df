//! One query for either database: a text with `$1`, `$2`, … and the values for them.

use std::borrow::Cow;

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Postgres, Sqlite};

use super::database::{Connected, Target};
use super::rows::Row;

/// A value for a parameter. A NULL has a type too: PostgreSQL asks for it.
#[derive(Debug)]
pub(super) enum Value<'q> {
    /// A number, an id, a time.
    Int(Option<i64>),
    /// A number that may have a fraction.
    Float(f64),
    /// True or false.
    Bool(Option<bool>),
    /// A text.
    Text(Option<Cow<'q, str>>),
    /// Bytes.
    Blob(Option<Cow<'q, [u8]>>),
}

/// A text and the values of its parameters.
#[derive(Debug)]
#[must_use = "a query does nothing until it is executed or fetched"]
pub(super) struct Query<'q> {
    text: Cow<'static, str>,
    values: Vec<Value<'q>>,
}

/// A query whose text is known.
pub(super) fn sql<'q>(text: &'static str) -> Query<'q> {
    Query { text: Cow::Borrowed(text), values: Vec::new() }
}

impl<'q> Query<'q> {
    /// A query whose text was made from such texts; what users sent is in the values alone.
    pub(super) fn made(text: String, values: Vec<Value<'q>>) -> Self {
        Self { text: Cow::Owned(text), values }
    }

    /// The value of the next parameter.
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// All rows.
    pub(super) async fn fetch_all<'c>(self, on: impl Into<Target<'c>>) -> Result<Vec<Row>, sqlx::Error> {
        match on.into() {
            Target::Tx(tx) => self.all_on(tx.connected()).await,
            Target::Pool(pool) => {
                let mut connected = pool.lease().await?;
                let rows = self.all_on(&mut connected).await;
                connected.done(rows)
            }
        }
    }

    async fn all_on(self, connected: &mut Connected) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match connected {
            Connected::Sqlite(lease) => {
                wrapped(self.sqlite().fetch_all(lease.connection()).await?, Row::sqlite)
            }
            Connected::Postgres(lease) => {
                wrapped(self.postgres().fetch_all(lease.connection()).await?, Row::postgres)
            }
        })
    }

    /// The first row, if there is one.
    pub(super) async fn fetch_optional<'c>(
        self,
        on: impl Into<Target<'c>>,
    ) -> Result<Option<Row>, sqlx::Error> {
        match on.into() {
            Target::Tx(tx) => self.optional_on(tx.connected()).await,
            Target::Pool(pool) => {
                let mut connected = pool.lease().await?;
                let row = self.optional_on(&mut connected).await;
                connected.done(row)
            }
        }
    }

    async fn optional_on(self, connected: &mut Connected) -> Result<Option<Row>, sqlx::Error> {
        Ok(match connected {
            Connected::Sqlite(lease) => {
                self.sqlite().fetch_optional(lease.connection()).await?.map(Row::sqlite)
            }
            Connected::Postgres(lease) => {
                self.postgres().fetch_optional(lease.connection()).await?.map(Row::postgres)
            }
        })
    }

    /// The first row.
    pub(super) async fn fetch_one<'c>(self, on: impl Into<Target<'c>>) -> Result<Row, sqlx::Error> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Executes a statement, and says how many rows it wrote.
    pub(super) async fn execute<'c>(self, on: impl Into<Target<'c>>) -> Result<u64, sqlx::Error> {
        match on.into() {
            Target::Tx(tx) => self.execute_on(tx.connected()).await,
            Target::Pool(pool) => {
                let mut connected = pool.lease().await?;
                let done = self.execute_on(&mut connected).await;
                connected.done(done)
            }
        }
    }

    async fn execute_on(self, connected: &mut Connected) -> Result<u64, sqlx::Error> {
        Ok(match connected {
            Connected::Sqlite(lease) => self.sqlite().execute(lease.connection()).await?.rows_affected(),
            Connected::Postgres(lease) => self.postgres().execute(lease.connection()).await?.rows_affected(),
        })
    }

    fn sqlite(self) -> sqlx::query::Query<'q, Sqlite, SqliteArguments> {
        let query = match self.text {
            Cow::Borrowed(text) => sqlx::query(text),
            Cow::Owned(text) => sqlx::query(AssertSqlSafe(text)),
        };
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::Float(value) => query.bind(value),
            Value::Bool(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Blob(value) => query.bind(value),
        })
    }

    fn postgres(self) -> sqlx::query::Query<'q, Postgres, PgArguments> {
        let query = match self.text {
            Cow::Borrowed(text) => sqlx::query(text),
            Cow::Owned(text) => sqlx::query(AssertSqlSafe(text)),
        };
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::Float(value) => query.bind(value),
            Value::Bool(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Blob(value) => query.bind(value.map(Cow::into_owned)),
        })
    }
}

fn wrapped<R>(rows: Vec<R>, wrap: fn(R) -> Row) -> Vec<Row> {
    rows.into_iter().map(wrap).collect()
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(Some(value))
    }
}

impl From<Option<bool>> for Value<'_> {
    fn from(value: Option<bool>) -> Self {
        Self::Bool(value)
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(value: &'q str) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(value: Option<&'q str>) -> Self {
        Self::Text(value.map(Cow::Borrowed))
    }
}

impl<'q> From<&'q String> for Value<'q> {
    fn from(value: &'q String) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl<'q> From<&'q Option<String>> for Value<'q> {
    fn from(value: &'q Option<String>) -> Self {
        Self::Text(value.as_deref().map(Cow::Borrowed))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(Cow::Owned(value)))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Cow::Owned))
    }
}

impl<'q> From<&'q Vec<u8>> for Value<'q> {
    fn from(value: &'q Vec<u8>) -> Self {
        Self::Blob(Some(Cow::Borrowed(value)))
    }
}

impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(value: &'q [u8]) -> Self {
        Self::Blob(Some(Cow::Borrowed(value)))
    }
}

impl<'q> From<&'q Option<Vec<u8>>> for Value<'q> {
    fn from(value: &'q Option<Vec<u8>>) -> Self {
        Self::Blob(value.as_deref().map(Cow::Borrowed))
    }
}
