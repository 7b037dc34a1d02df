//! Connections and transactions of either database.
//!
//! What a text for both must do: number its parameters (`$1`, which may stand twice); treat booleans as such (`netboot`,
//! never `netboot = 1`); `CAST(… AS BIGINT)` for sums and literals that are read; say `NULLS LAST` where NULLs are sorted;
//! leave out `LIMIT` for no limit. `LIKE` differs in case. After an error a transaction is over. Texts are sorted and
//! compared by their bytes.

use std::sync::Arc;

use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use sqlx::{Postgres, Sqlite, Transaction};

use super::listener::Listener;

/// The advisory lock that a writing transaction holds: "mrp" and the writer's number.
const WRITER: i64 = 0x006d_7270_0001;

/// Connections to either database.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    /// SQLite.
    Sqlite(SqlitePool),
    /// PostgreSQL.
    Postgres(PgPool),
}

/// What belongs to one kind of database alone.
#[derive(Debug, Clone)]
pub(super) enum Database {
    /// A file.
    SqliteFile,
    /// Keeps a database in memory alive; no query goes through it.
    SqliteMemory(SqlitePool),
    /// A server, and what hears of the writes of others.
    Postgres(Arc<Listener>),
}

/// A transaction that writes. Dropped, it is rolled back.
pub(super) enum Tx {
    /// SQLite.
    Sqlite(Transaction<'static, Sqlite>),
    /// PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
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
    /// Begins a transaction that writes, when its turn has come.
    pub(super) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite),
            Self::Postgres(pool) => {
                let pool = pool.clone();
                // A caller that goes away must not leave a connection in a transaction that nobody ends: sqlx rolls
                // back what has begun, not what is beginning.
                let begun = tokio::spawn(async move {
                    let mut begun = begin_writing(&pool).await;
                    for _ in 0..pool.options().get_max_connections() {
                        // Cut by a restart of the server while it was idle: nothing was begun, and another may live.
                        if !begun.as_ref().is_err_and(is_cut) {
                            break;
                        }
                        begun = begin_writing(&pool).await;
                    }
                    begun
                });
                begun.await.map_err(|_| sqlx::Error::WorkerCrashed)?.map(Tx::Postgres)
            }
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

async fn begin_writing(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER).execute(&mut *tx).await?;
    Ok(tx)
}

/// True if the connection was cut, by whomever (admin_shutdown, crash_shutdown).
fn is_cut(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P01" || code == "57P02"),
        _ => false,
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

impl Tx {
    /// Keeps what was written.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }
}
