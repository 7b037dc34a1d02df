//! PostgreSQL: connecting, checking and migrating a database, with errors that name the database (never its password)
//! and the cause. Migrations run under an advisory lock, each in a transaction: of two servers on an empty database one
//! makes the tables, and an interrupted migration leaves nothing.

use std::sync::Arc;
use std::time::Duration;

use mrp_core::secret::Secret;
use mrp_core::store::{StoreError, StoreResult};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::{ConnectOptions, Connection, Row};

use super::SqlStore;
use super::connections::{Connections, Limits};
use super::database::{Database, Pool};
use super::listener::Listener;
use super::recorder::Recorder;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

const READERS: u32 = 8;
/// Writers take turns: one writes while another one begins.
const WRITERS: u32 = 2;
/// How long a start waits for the server's answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection that was idle for so long is asked whether it lives before it is used.
const IDLE: Duration = Duration::from_secs(2);

/// Parameters that a URL may have.
const PARAMETERS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
];

/// What is found in a PostgreSQL database, which is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresState {
    /// The database and where it is, without the password.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// The version of mrp's tables; `None` if there are none yet.
    pub schema: Option<i64>,
    /// The version of the tables that this program makes.
    pub known_schema: i64,
}

/// The store in a database.
pub(super) async fn open(url: &str, password: Option<&Secret>) -> StoreResult<SqlStore> {
    let options = options(url, password)?;
    let named = Named::of(&options);
    // Before the pool, which would only say that its time is over.
    let connection = named.connect(&options).await?;
    connection.close().await.map_err(|error| named.refused(error))?;
    // A name of this process's own, by which others know whose word they hear.
    let own = format!("mrp {} {}", std::process::id(), random()?);
    let options = options.application_name(&own).options([
        // A writer that waits for another server's, and a server that hangs while it writes: it must not hold up the others
        // for longer than its BMCs stay with it.
        ("lock_timeout", "20s"),
        ("idle_in_transaction_session_timeout", "5s"),
    ]);
    let write = Connections::open(options.clone(), limits(WRITERS, Duration::from_secs(30))).await;
    let write = write.map_err(|error| named.refused(error))?;
    let mut lease = write.lease().await.map_err(|error| named.refused(error))?;
    named.check(lease.connection()).await?;
    MIGRATIONS.run_direct(None, lease.connection(), false).await.map_err(|error| named.unmigrated(error))?;
    lease.done(Ok(())).map_err(|error| named.refused(error))?;
    let read = Connections::open(options.clone(), limits(READERS, Duration::from_secs(10))).await;
    let read = read.map_err(|error| named.refused(error))?;
    let database = Database::Postgres(Arc::new(Listener::new(options, own)));
    Ok(SqlStore {
        read: Pool::Postgres(read),
        write: Pool::Postgres(write),
        database,
        recorder: Recorder::default(),
    })
}

fn random() -> StoreResult<String> {
    let number = getrandom::u32().map_err(|error| StoreError::Internal(error.to_string().into()))?;
    Ok(format!("{number:08x}"))
}

fn limits(connections: u32, wait: Duration) -> Limits {
    // After a restart of the server a connection is dead, and nobody has said so.
    Limits { connections, wait, trusted: Some(IDLE) }
}

/// Looks at a database, and refuses what cannot be mrp's.
pub(super) async fn examine(url: &str, password: Option<&Secret>) -> StoreResult<PostgresState> {
    let options = options(url, password)?;
    let named = Named::of(&options);
    let mut connection = named.connect(&options).await?;
    let ours = named.check(&mut connection).await?;
    let version = sqlx::query("SHOW server_version").fetch_one(&mut connection).await;
    let version = version.and_then(|row| row.try_get(0)).map_err(|error| named.refused(error))?;
    let mut schema = None;
    if ours {
        let newest = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(&mut connection);
        schema = newest.await.and_then(|row| row.try_get(0)).map_err(|error| named.refused(error))?;
    }
    connection.close().await.map_err(|error| named.refused(error))?;
    let known_schema = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    if let Some(newer) = schema.filter(|schema| *schema > known_schema) {
        return Err(named.unmigrated(MigrateError::VersionMissing(newer)));
    }
    Ok(PostgresState { name: named.0, version, schema, known_schema })
}

/// A URL in its parts. No message has the URL in it: it may hold a password.
fn options(url: &str, password: Option<&Secret>) -> StoreResult<PgConnectOptions> {
    let wrong = |what: String| {
        let form = "write postgres://user@host:5432/database";
        StoreError::Internal(format!("the database URL is wrong: {what}; {form}").into())
    };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(wrong("it does not begin with postgres://".into()));
    }
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let names = parameters.split('&').filter_map(|parameter| parameter.split('=').next());
    if let Some(unknown) = names.filter(|name| !name.is_empty()).find(|name| !PARAMETERS.contains(name)) {
        return Err(wrong(format!("there is no parameter {unknown:?}, but {}", PARAMETERS.join(", "))));
    }
    let Ok(options) = url.parse::<PgConnectOptions>() else { return Err(wrong("it is no URL".into())) };
    Ok(match password {
        Some(password) => options.password(password.expose()),
        None => options,
    })
}

/// A database as it is named in errors.
struct Named(String);

impl Named {
    fn of(options: &PgConnectOptions) -> Self {
        let database = options.get_database().unwrap_or(options.get_username());
        let place = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        Self(format!("PostgreSQL database {database:?} on {place}"))
    }

    /// One connection, or why there is none.
    async fn connect(&self, options: &PgConnectOptions) -> StoreResult<PgConnection> {
        let connected = tokio::time::timeout(PATIENCE, options.connect()).await;
        let connected = connected.map_err(|_| self.unavailable("cannot be reached: it does not answer"))?;
        connected.map_err(|error| self.refused(error))
    }

    /// Refuses a database that cannot be mrp's; true if it has mrp's tables.
    async fn check(&self, connection: &mut PgConnection) -> StoreResult<bool> {
        let about = sqlx::query(
            "SELECT current_setting('server_encoding'), current_schema(), (SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema()), EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = '_sqlx_migrations')",
        );
        let row = about.fetch_one(connection).await.map_err(|error| self.refused(error))?;
        let get = |error: sqlx::Error| self.refused(error);
        let encoding: String = row.try_get(0).map_err(get)?;
        let schema: Option<String> = row.try_get(1).map_err(get)?;
        let (tables, ours): (i64, bool) = (row.try_get(2).map_err(get)?, row.try_get(3).map_err(get)?);
        if encoding != "UTF8" {
            let what =
                format!("has the encoding {encoding}; make it with: CREATE DATABASE … ENCODING 'UTF8'");
            return Err(self.broken(&what));
        }
        if schema.is_none() {
            return Err(self.broken("has no schema that this user may use; GRANT it one"));
        }
        if tables > 0 && !ours {
            return Err(self.broken("is a database of another program; make one for mrp alone"));
        }
        Ok(ours)
    }

    /// Why a database could not be opened.
    fn refused(&self, error: sqlx::Error) -> StoreError {
        let Some(database) = error.as_database_error() else {
            return self.unavailable(&format!("cannot be reached: {error}"));
        };
        let message = database.message().to_owned();
        let code = database.try_downcast_ref::<PgDatabaseError>().map_or("", PgDatabaseError::code);
        match (code.get(..2).unwrap_or_default(), code) {
            ("28", _) => self.broken(&format!("refuses the login: {message}")),
            (_, "3D000") => self.broken("is missing; make it with: createdb"),
            (_, "42501") => self.broken(&format!(
                "does not let this user make tables ({message}); let the user own the database"
            )),
            ("08" | "53" | "55" | "57", _) => self.unavailable(&format!("cannot be used yet: {message}")),
            _ => self.broken(&format!("cannot be opened: {message}")),
        }
    }

    fn unmigrated(&self, error: MigrateError) -> StoreError {
        let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
        match error {
            MigrateError::VersionMissing(version) if version > known => self.broken(&format!(
                "was written by a newer mrp (schema {version}, this one knows up to {known}); run that one"
            )),
            MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => self.broken(
                &format!("has a schema {version} that is not mrp's; is it a database of another program?"),
            ),
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => self.refused(error),
            other => self.broken(&format!("cannot be brought up to date: {other}")),
        }
    }

    fn unavailable(&self, what: &str) -> StoreError {
        StoreError::Unavailable(format!("{} {what}", self.0).into())
    }

    fn broken(&self, what: &str) -> StoreError {
        StoreError::Internal(format!("{} {what}", self.0).into())
    }
}
