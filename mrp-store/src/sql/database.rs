//! Connections and transactions of either database.
//!
//! What a text for both must do: number its parameters (`$1`, which may stand twice); treat booleans as such (`netboot`,
//! never `netboot = 1`); `CAST(… AS BIGINT)` for sums and literals that are read; say `NULLS LAST` where NULLs are sorted;
//! leave out `LIMIT` for no limit. `LIKE` differs in case. After an error a transaction is over. Texts are sorted and
//! compared by their bytes.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Either, Executor};
use tokio::runtime::Handle;

use super::connections::{Connections, Lease, is_cut, is_not_taken};
use super::listener::Listener;
use super::query::{Outcome, Query, Wanted, joined, may_be_one, sql, with};
use super::rows::Row;

/// Begins a transaction with the write lock.
const BEGIN_ON_SQLITE: &str = "BEGIN IMMEDIATE";
/// Takes the advisory lock that a transaction which writes holds: "mrp" and the writer's number.
macro_rules! lock_on_postgres {
    () => {
        "SELECT pg_advisory_xact_lock(x'6d72700001'::bigint)"
    };
}

/// Begins a transaction with the lock.
const BEGIN_ON_POSTGRES: &str = concat!("BEGIN; ", lock_on_postgres!());
/// The lock as a part of one statement that is a transaction by itself: what writes is to select from it. What the statement
/// reads may be older than the lock, but for rows that it locks.
pub(super) const TURN: &str = lock_on_postgres!();

/// Connections to either database.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    /// SQLite.
    Sqlite(Connections<SqliteConnection>),
    /// PostgreSQL.
    Postgres(Connections<PgConnection>),
}

/// What belongs to one kind of database alone.
#[derive(Debug, Clone)]
pub(super) enum Database {
    /// A file.
    SqliteFile,
    /// Keeps a database in memory alive; no query goes through it.
    SqliteMemory(Connections<SqliteConnection>),
    /// A server, and what hears of the writes of others.
    Postgres(Arc<Listener>),
}

/// A connection to either database, in use.
pub(super) enum Connected {
    /// SQLite.
    Sqlite(Lease<SqliteConnection>),
    /// PostgreSQL.
    Postgres(Lease<PgConnection>),
}

/// A transaction that writes. Dropped, it is rolled back.
///
/// Each way to SQLite's thread and back costs more than most statements do: there it begins with its first statement, and
/// ends with its last ones.
pub(super) struct Tx {
    connected: Option<Connected>,
    begun: bool,
}

/// Where a query is run: on any connection, or in a transaction.
pub(super) enum Target<'c> {
    /// On a connection of its own.
    Pool(&'c Pool),
    /// In a transaction.
    Tx(&'c mut Tx),
}

impl<'c> From<&'c Pool> for Target<'c> {
    fn from(pool: &'c Pool) -> Self {
        Self::Pool(pool)
    }
}

impl<'c> From<&'c mut Tx> for Target<'c> {
    fn from(tx: &'c mut Tx) -> Self {
        Self::Tx(tx)
    }
}

impl Pool {
    /// A connection, when its turn has come.
    pub(super) async fn lease(&self) -> Result<Connected, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.lease().await.map(Connected::Sqlite),
            Self::Postgres(pool) => pool.lease().await.map(Connected::Postgres),
        }
    }

    /// Runs queries one after another, up to the first that fails: on SQLite in one go.
    pub(super) async fn run(
        &self,
        queries: Vec<Query<'_>>,
        wanted: Wanted,
    ) -> Result<Vec<Outcome>, sqlx::Error> {
        let mut connected = self.lease().await?;
        let outcomes = connected.run(queries, wanted).await;
        connected.done(outcomes)
    }

    /// Runs a query that is a transaction by itself; again on another connection where one that was cut while it was idle
    /// could not take it.
    pub(super) async fn run_alone(&self, query: Query<'_>) -> Result<Option<Row>, sqlx::Error> {
        let mut done = query.clone().fetch_optional(self).await;
        for _ in 0..self.most() {
            if !done.as_ref().is_err_and(is_not_taken) {
                break;
            }
            done = query.clone().fetch_optional(self).await;
        }
        done
    }

    /// Begins a transaction that writes, when its turn has come.
    pub(super) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        let mut begun = self.begin_once().await;
        for _ in 0..self.most() {
            // Cut by a restart of the server while it was idle: nothing was begun, and another may live.
            if !begun.as_ref().is_err_and(is_cut) {
                break;
            }
            begun = self.begin_once().await;
        }
        begun
    }

    /// A caller that goes away meanwhile leaves nothing: its connection is closed.
    async fn begin_once(&self) -> Result<Tx, sqlx::Error> {
        let mut connected = self.lease().await?;
        let begun = match &mut connected {
            Connected::Sqlite(_) => Ok(false),
            Connected::Postgres(lease) => say(lease, BEGIN_ON_POSTGRES).await.map(|()| true),
        };
        match begun {
            Ok(begun) => Ok(Tx { connected: Some(connected), begun }),
            Err(error) => connected.done(Err(error)),
        }
    }

    fn most(&self) -> u32 {
        match self {
            Self::Sqlite(pool) => pool.most(),
            Self::Postgres(pool) => pool.most(),
        }
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Database {
    /// Ends it.
    pub(super) async fn close(&self) {
        match self {
            Self::SqliteFile => {}
            Self::SqliteMemory(kept) => kept.close().await,
            Self::Postgres(listener) => listener.close().await,
        }
    }
}

impl Connected {
    /// Runs queries one after another, up to the first that fails: on SQLite in one go.
    pub(super) async fn run(
        &mut self,
        queries: Vec<Query<'_>>,
        wanted: Wanted,
    ) -> Result<Vec<Outcome>, sqlx::Error> {
        match self {
            Self::Sqlite(lease) => run_on_sqlite(lease.connection(), queries, wanted).await,
            Self::Postgres(lease) => {
                let (mut outcomes, last) = (Vec::with_capacity(queries.len()), queries.len());
                for (number, query) in (1..).zip(queries) {
                    let wanted = if number == last { wanted } else { Wanted::All };
                    outcomes.push(run_on_postgres(lease.connection(), query, wanted).await?);
                }
                Ok(outcomes)
            }
        }
    }

    /// Gives the connection back after a statement that came to its end, unless its error says that it is cut.
    pub(super) fn done<T>(self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(lease) => lease.done(result),
            Self::Postgres(lease) => lease.done(result),
        }
    }

    async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => self.run(vec![sql("ROLLBACK")], Wanted::All).await.map(drop),
            Self::Postgres(lease) => say(lease, "ROLLBACK").await,
        }
    }
}

/// Does not wait for the end of the stream, which is news of its own: a query's end is that of its rows.
async fn run_on_sqlite(
    connection: &mut SqliteConnection,
    queries: Vec<Query<'_>>,
    wanted: Wanted,
) -> Result<Vec<Outcome>, sqlx::Error> {
    let count = queries.len();
    let (mut outcomes, mut rows) = (Vec::with_capacity(count), Vec::new());
    let mut items = connection.fetch_many(joined(queries).sqlite());
    while outcomes.len() < count
        && let Some(item) = items.try_next().await?
    {
        let written = match item {
            Either::Left(done) => done.rows_affected(),
            Either::Right(row) => {
                rows.push(Row::sqlite(row));
                if wanted == Wanted::All || outcomes.len() + 1 < count {
                    continue;
                }
                0
            }
        };
        outcomes.push(Outcome { rows: std::mem::take(&mut rows), written });
    }
    Ok(outcomes)
}

async fn run_on_postgres(
    connection: &mut PgConnection,
    query: Query<'_>,
    wanted: Wanted,
) -> Result<Outcome, sqlx::Error> {
    if wanted == Wanted::First {
        let row = query.postgres().fetch_optional(connection).await?;
        return Ok(Outcome { rows: row.map(Row::postgres).into_iter().collect(), written: 0 });
    }
    let (mut rows, mut written) = (Vec::new(), 0);
    let mut items = connection.fetch_many(query.postgres());
    while let Some(item) = items.try_next().await? {
        match item {
            Either::Left(done) => written = done.rows_affected(),
            Either::Right(row) => rows.push(Row::postgres(row)),
        }
    }
    Ok(Outcome { rows, written })
}

/// Runs what begins or ends a transaction.
async fn say(lease: &mut Lease<PgConnection>, text: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(text).execute(lease.connection()).await.map(drop)
}

impl Tx {
    /// Runs queries one after another, up to the first that fails.
    pub(super) async fn run(
        &mut self,
        mut queries: Vec<Query<'_>>,
        wanted: Wanted,
    ) -> Result<Vec<Outcome>, sqlx::Error> {
        if self.begun {
            return self.connected().run(queries, wanted).await;
        }
        self.begun = true;
        queries.insert(0, sql(BEGIN_ON_SQLITE));
        let mut outcomes = self.connected().run(queries, wanted).await?;
        outcomes.remove(0);
        Ok(outcomes)
    }

    /// Runs its last queries, none of which reads what another one of them writes, and keeps what was written. What the
    /// last one gave comes out.
    pub(super) async fn commit_after(
        mut self,
        mut queries: Vec<Query<'_>>,
    ) -> Result<Option<Outcome>, sqlx::Error> {
        match self.connected() {
            Connected::Sqlite(_) => queries.push(sql("COMMIT")),
            Connected::Postgres(_) if may_be_one(&queries) => {
                queries = with(Vec::new(), queries).into_iter().collect();
            }
            Connected::Postgres(_) => {}
        }
        let mut outcomes = self.run(queries, Wanted::All).await?;
        match self.connected() {
            Connected::Sqlite(_) => drop(outcomes.pop()),
            Connected::Postgres(lease) => say(lease, "COMMIT").await?,
        }
        let last = outcomes.pop();
        self.connected.take().map_or(Ok(()), |connected| connected.done(Ok(())))?;
        Ok(last)
    }

    /// Keeps what was written.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.commit_after(Vec::new()).await.map(drop)
    }

    /// True on PostgreSQL, where sequences number the rows.
    pub(super) fn is_on_postgres(&self) -> bool {
        matches!(self.connected, Some(Connected::Postgres(_)))
    }

    fn connected(&mut self) -> &mut Connected {
        self.connected.as_mut().expect("only its end takes the connection of a transaction")
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let Some(mut connected) = self.connected.take() else { return };
        if !self.begun {
            let _ = connected.done(Ok(()));
        } else if let Ok(runtime) = Handle::try_current() {
            // Without a runtime the connection is closed, which rolls back too.
            runtime.spawn(async move {
                let rolled_back = connected.roll_back().await;
                connected.done(rolled_back)
            });
        }
    }
}
