//! Connections that take turns: whoever asks first gets the next one that is free.
//!
//! sqlx's own pool asks a connection after each use whether it lives. On SQLite that is another way to its thread and
//! back, on PostgreSQL another round trip: more than most of our statements cost. Here a connection whose statement came
//! to its end goes back as it is, and one that was cut off in the middle is closed, whoever cut it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{ConnectOptions, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many connections there are, and how far they are trusted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at once.
    pub(super) connections: u32,
    /// How long to wait for one.
    pub(super) wait: Duration,
    /// A connection that was idle for so long is asked whether it lives before it is used; `None` for never.
    pub(super) trusted: Option<Duration>,
}

/// Connections to one database. Clones share them.
pub(super) struct Connections<C: Connection>(Arc<Shared<C>>);

struct Shared<C: Connection> {
    options: C::Options,
    limits: Limits,
    /// Free places; closed with the connections.
    places: Arc<Semaphore>,
    idle: Mutex<Vec<(C, Instant)>>,
}

/// A connection in use. Dropped before [`Lease::done`], it is closed.
pub(super) struct Lease<C: Connection> {
    connection: C,
    of: Connections<C>,
    _place: OwnedSemaphorePermit,
}

impl<C: Connection> Clone for Connections<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Connection> fmt::Debug for Connections<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

impl<C: Connection + 'static> Connections<C> {
    /// Makes the first connection; the others are made when they are needed.
    pub(super) async fn open(options: C::Options, limits: Limits) -> Result<Self, sqlx::Error> {
        let first = options.connect().await?;
        let places = Arc::new(Semaphore::new(limits.connections as usize));
        let idle = Mutex::new(vec![(first, Instant::now())]);
        Ok(Self(Arc::new(Shared { options, limits, places, idle })))
    }

    /// How many there are at most.
    pub(super) fn most(&self) -> u32 {
        self.0.limits.connections
    }

    /// A connection, when its turn has come.
    pub(super) async fn lease(&self) -> Result<Lease<C>, sqlx::Error> {
        let turn = async {
            let place = Arc::clone(&self.0.places).acquire_owned().await;
            let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
            let connection = match self.living().await {
                Some(connection) => connection,
                None => self.0.options.connect().await?,
            };
            Ok(Lease { connection, of: self.clone(), _place: place })
        };
        tokio::time::timeout(self.0.limits.wait, turn).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// The idle connection that was used last and lives.
    async fn living(&self) -> Option<C> {
        loop {
            let (mut connection, since) = self.idle().pop()?;
            let trusted = self.0.limits.trusted.is_none_or(|trusted| since.elapsed() < trusted);
            if trusted || connection.ping().await.is_ok() {
                return Some(connection);
            }
        }
    }

    /// Waits for those in use, and closes all.
    pub(super) async fn close(&self) {
        let all = self.0.places.acquire_many(self.most()).await;
        self.0.places.close();
        drop(all);
        let idle = std::mem::take(&mut *self.idle());
        for (connection, _) in idle {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a connection to the database did not close well");
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(C, Instant)>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Connection + 'static> Lease<C> {
    /// The connection.
    pub(super) fn connection(&mut self) -> &mut C {
        &mut self.connection
    }

    /// Gives the connection back after a statement that came to its end, unless its error says that it is cut.
    pub(super) fn done<T>(self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if !result.as_ref().is_err_and(is_cut) {
            let Self { connection, of, _place } = self;
            of.idle().push((connection, Instant::now()));
        }
        result
    }
}

/// True if the connection was cut before it took a statement, of which nothing is done then: it could not be sent, or the
/// server ended the session (PostgreSQL's admin_shutdown) instead of answering.
pub(super) fn is_not_taken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::BrokenPipe,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P01"),
        _ => false,
    }
}

/// True if the connection cannot be used any more (of PostgreSQL's codes: admin_shutdown, crash_shutdown,
/// cannot_connect_now, and those that end a session that does nothing).
pub(super) fn is_cut(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            true
        }
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["57P01", "57P02", "57P03", "25P03", "57P05"].contains(&&*code))
        }
        _ => false,
    }
}
