//! One query for either database: a text with `$1`, `$2`, … and the values for them.

use std::borrow::Cow;
use std::collections::HashSet;

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Postgres, Sqlite};

use super::database::Target;
use super::rows::Row;

/// A value for a parameter. A NULL has a type too: PostgreSQL asks for it.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
#[must_use = "a query does nothing until it is executed or fetched"]
pub(super) struct Query<'q> {
    text: Cow<'static, str>,
    values: Vec<Value<'q>>,
}

/// How many rows of the last query are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All.
    All,
    /// The first.
    First,
}

/// What a query gave.
pub(super) struct Outcome {
    /// Rows.
    pub(super) rows: Vec<Row>,
    /// How many rows it wrote.
    pub(super) written: u64,
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

    /// With more text at its end.
    pub(super) fn and(mut self, text: &str) -> Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// The value of the next parameter.
    pub(super) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// All rows.
    pub(super) async fn fetch_all<'c>(self, on: impl Into<Target<'c>>) -> Result<Vec<Row>, sqlx::Error> {
        self.run(on.into(), Wanted::All).await.map(|outcome| outcome.rows)
    }

    /// The first row, if there is one.
    pub(super) async fn fetch_optional<'c>(
        self,
        on: impl Into<Target<'c>>,
    ) -> Result<Option<Row>, sqlx::Error> {
        self.run(on.into(), Wanted::First).await.map(|outcome| outcome.rows.into_iter().next())
    }

    /// The first row.
    pub(super) async fn fetch_one<'c>(self, on: impl Into<Target<'c>>) -> Result<Row, sqlx::Error> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Executes a statement, and says how many rows it wrote.
    pub(super) async fn execute<'c>(self, on: impl Into<Target<'c>>) -> Result<u64, sqlx::Error> {
        self.run(on.into(), Wanted::All).await.map(|outcome| outcome.written)
    }

    async fn run(self, on: Target<'_>, wanted: Wanted) -> Result<Outcome, sqlx::Error> {
        let outcomes = match on {
            Target::Tx(tx) => tx.run(vec![self], wanted).await?,
            Target::Pool(pool) => pool.run(vec![self], wanted).await?,
        };
        outcomes.into_iter().next_back().ok_or(sqlx::Error::RowNotFound)
    }

    pub(super) fn sqlite(self) -> sqlx::query::Query<'q, Sqlite, SqliteArguments> {
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

    pub(super) fn postgres(self) -> sqlx::query::Query<'q, Postgres, PgArguments> {
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

/// Several queries as one text, one after another, with the values of all.
pub(super) fn joined(queries: Vec<Query<'_>>) -> Query<'_> {
    let mut queries = queries.into_iter();
    let Some(mut all) = queries.next() else { return sql("") };
    for next in queries {
        let text = all.text.to_mut();
        text.push_str("; ");
        push_renumbered(text, &next.text, all.values.len());
        all.values.extend(next.values);
    }
    all
}

/// True if no two of these write into the same table: only then may they be one statement of PostgreSQL, which does them in
/// an order of its own.
pub(super) fn may_be_one(queries: &[Query<'_>]) -> bool {
    let targets: HashSet<&str> = queries.iter().filter_map(|query| query.text.split('(').next()).collect();
    targets.len() == queries.len()
}

/// Several queries as one statement of PostgreSQL, which saves ways to the server and back: those with a name give what all
/// after them may read from it, and none sees what another one writes. What the last one gives comes out.
pub(super) fn with<'q>(named: Vec<(&str, Query<'q>)>, mut others: Vec<Query<'q>>) -> Option<Query<'q>> {
    let last = others.pop()?;
    let named = named.into_iter().map(|(name, query)| (Cow::Borrowed(name), query));
    let others = others.into_iter().enumerate().map(|(number, query)| (format!("w{number}").into(), query));
    let (mut text, mut values) = (String::new(), Vec::new());
    for (name, query) in named.chain(others) {
        text.push_str(if text.is_empty() { "WITH " } else { ", " });
        text.push_str(&name);
        text.push_str(" AS (");
        push_renumbered(&mut text, &query.text, values.len());
        text.push_str(") ");
        values.extend(query.values);
    }
    push_renumbered(&mut text, &last.text, values.len());
    values.extend(last.values);
    Some(Query::made(text, values))
}

/// Adds a text whose parameters `$1` and following come after so many others.
fn push_renumbered(text: &mut String, next: &str, before: usize) {
    let mut parts = next.split('$');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = part[..digits].parse().unwrap_or_default();
        text.push('$');
        text.push_str(&(number + before).to_string());
        text.push_str(&part[digits..]);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_texts_have_the_parameters_of_all() {
        let first = sql("UPDATE a SET b = $2 WHERE id = $1").bind(1).bind("x");
        let second = sql("DELETE FROM c WHERE d = $1 AND e = $1 OR f = $2").bind(7).bind(8);
        let all = joined(vec![sql("BEGIN"), first, second]);
        assert_eq!(
            all.text,
            "BEGIN; UPDATE a SET b = $2 WHERE id = $1; DELETE FROM c WHERE d = $3 AND e = $3 OR f = $4"
        );
        assert_eq!(all.values.len(), 4);
    }

    #[test]
    fn one_statement_of_postgresql_has_the_parameters_of_all() {
        let first = sql("INSERT INTO a SELECT $1 RETURNING id").bind(1);
        let others =
            || vec![sql("DELETE FROM c WHERE d = $1").bind(7), sql("SELECT $1, b.id FROM b").bind("x")];
        let all = with(vec![("b", first)], others()).expect("a statement");
        assert_eq!(
            all.text,
            "WITH b AS (INSERT INTO a SELECT $1 RETURNING id) , w0 AS (DELETE FROM c WHERE d = $2) SELECT $3, b.id FROM b"
        );
        assert_eq!(all.values.len(), 3);
        assert!(with(Vec::new(), Vec::new()).is_none());
        let entry = |table| Query::made(format!("INSERT INTO {table} (a) SELECT 1"), Vec::new());
        assert!(may_be_one(&[entry("events"), entry("audit")]));
        assert!(!may_be_one(&[entry("events"), entry("audit"), entry("events")]));
        let alone = with(Vec::new(), others().split_off(1)).expect("a statement");
        assert_eq!(alone.text, "SELECT $1, b.id FROM b");
    }
}
