//! Connections and transactions of either database.
//!
//! What a text for both must do: number its parameters (`$1`, which may stand twice); treat booleans as such (`netboot`,
//! never `netboot = 1`); `CAST(… AS BIGINT)` for sums and literals that are read; say `NULLS LAST` where NULLs are sorted;
//! leave out `LIMIT` for no limit. `LIKE` differs in case. After an error a transaction is over. Texts are sorted and
//! compared by their bytes.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use tokio::runtime::Handle;

use super::connections::{Connections, Lease, is_cut};
use super::listener::Listener;

/// Begins a transaction with the advisory lock that one which writes holds: "mrp" and the writer's number.
const BEGIN_ON_POSTGRES: &str = "BEGIN; SELECT pg_advisory_xact_lock(x'6d72700001'::bigint)";

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
pub(super) struct Tx(Option<Connected>);

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
        match connected.begin().await {
            Ok(()) => Ok(Tx(Some(connected))),
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
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => self.say("BEGIN IMMEDIATE").await,
            Self::Postgres(_) => self.say(BEGIN_ON_POSTGRES).await,
        }
    }

    /// Runs what begins or ends a transaction.
    async fn say(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(lease) => sqlx::query(text).execute(lease.connection()).await.map(drop),
            Self::Postgres(lease) => sqlx::raw_sql(text).execute(lease.connection()).await.map(drop),
        }
    }

    /// Gives the connection back after a statement that came to its end, unless its error says that it is cut.
    pub(super) fn done<T>(self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(lease) => lease.done(result),
            Self::Postgres(lease) => lease.done(result),
        }
    }
}

impl Tx {
    /// Its connection.
    pub(super) fn connected(&mut self) -> &mut Connected {
        self.0.as_mut().expect("only its end takes the connection of a transaction")
    }

    /// Keeps what was written.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.connected().say("COMMIT").await?;
        self.0.take().map_or(Ok(()), |connected| connected.done(Ok(())))
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        // Without a runtime the connection is closed, which rolls back too.
        if let (Some(mut connected), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move {
                let rolled_back = connected.say("ROLLBACK").await;
                connected.done(rolled_back)
            });
        }
    }
}
