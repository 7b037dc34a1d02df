//! mr-provisioner's database and image files, as an import reads them: in one snapshot, without writing, judging nothing.
//! What the rows become is decided in mrp-core.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use mrp_core::id::Timestamp;
use mrp_core::import::{Legacy, LegacyFile, LegacyFiles};
use mrp_core::secret::Secret;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{Connection, Row};

mod tables;

/// Bytes of an image file that are read at once.
const CHUNK: usize = 1 << 20;

/// Why mr-provisioner's database could not be read. Names the database, never its password.
#[derive(Debug, thiserror::Error)]
#[error("{database}: {what}")]
pub struct SourceError {
    database: String,
    what: String,
}

/// mr-provisioner's database.
#[derive(Debug)]
pub struct MrProvisioner {
    options: PgConnectOptions,
    name: String,
}

impl MrProvisioner {
    /// The database of a URL `postgres://user@host/database`; SQLAlchemy's `postgresql+psycopg2://` is the same. A
    /// password may stand in the URL, be given apart, or lie in `PGPASSWORD`.
    pub fn at(url: &Secret, password: Option<&Secret>) -> Result<Self, SourceError> {
        let wrong = || SourceError {
            database: "the URL of mr-provisioner's database is wrong".into(),
            what: "write postgres://user@host:5432/database".into(),
        };
        let (scheme, rest) = url.expose().split_once("://").ok_or_else(wrong)?;
        let scheme = scheme.split('+').next().unwrap_or_default();
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(wrong());
        }
        let options: PgConnectOptions = format!("postgres://{rest}").parse().map_err(|_| wrong())?;
        let options = match password {
            Some(password) => options.password(password.expose()),
            None => options,
        };
        let database = options.get_database().unwrap_or(options.get_username());
        let name = match options.get_socket() {
            Some(socket) => format!("mr-provisioner's database {database:?} on {}", socket.display()),
            None => format!(
                "mr-provisioner's database {database:?} on {}:{}",
                options.get_host(),
                options.get_port()
            ),
        };
        Ok(Self { options: options.application_name("mrp import"), name })
    }

    /// Reads everything. `time_zone` is that of the machine on which mr-provisioner runs, as PostgreSQL names it: most
    /// of its times are local ones.
    pub async fn read(&self, time_zone: &str) -> Result<Legacy, SourceError> {
        let connected = PgConnection::connect_with(&self.options).await;
        let mut connection = connected.map_err(|error| self.failed("cannot be reached", &error))?;
        let begun = sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut connection);
        begun.await.map_err(|error| self.failed("cannot be read", &error))?;
        let legacy = tables::read(&mut connection, time_zone).await;
        let legacy = legacy.map_err(|(table, error)| self.unreadable(table, &error))?;
        // The snapshot ends with the connection, whatever becomes of the good-bye.
        if let Err(error) = connection.close().await {
            tracing::debug!(%error, "the connection to mr-provisioner's database was not closed");
        }
        Ok(legacy)
    }

    fn unreadable(&self, table: &str, error: &sqlx::Error) -> SourceError {
        let code = error.as_database_error().and_then(|error| error.code());
        let what = match code.as_deref() {
            Some("42P01" | "42703" | "42883") => format!(
                "table {table} is not as mr-provisioner's last version has it; bring the database to its last migration first"
            ),
            Some("42501") => format!("table {table}: the user of the URL may not read it; GRANT SELECT"),
            _ => format!("table {table} cannot be read"),
        };
        self.failed(&what, error)
    }

    fn failed(&self, what: &str, error: &sqlx::Error) -> SourceError {
        let cause = match error.as_database_error() {
            Some(database) => database.message().to_owned(),
            None => error.to_string(),
        };
        SourceError { database: self.name.clone(), what: format!("{what}: {cause}") }
    }
}

/// A column as its own type.
fn get<'r, T>(row: &'r PgRow, column: &'static str) -> Result<T, sqlx::Error>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(column)
}

/// A time in milliseconds.
fn time(row: &PgRow, column: &'static str) -> Result<Timestamp, sqlx::Error> {
    get(row, column).map(Timestamp)
}

/// A copy of mr-provisioner's TFTP folder.
#[derive(Debug)]
pub struct ImageFolder(PathBuf);

impl ImageFolder {
    /// Opens a folder.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        std::fs::read_dir(&folder)?;
        Ok(Self(folder))
    }
}

#[async_trait]
impl LegacyFiles for ImageFolder {
    async fn open(&self, name: &str) -> io::Result<Box<dyn LegacyFile>> {
        let path = self.0.join(name);
        let opened = tokio::task::spawn_blocking(move || {
            // Neither a folder nor a pipe: a pipe would wait for ever.
            if !std::fs::metadata(&path)?.is_file() {
                return Err(io::Error::other("is no regular file"));
            }
            File::open(path)
        });
        let file = opened.await.map_err(io::Error::other)??;
        Ok(Box::new(ImageFile(Some(file))))
    }
}

/// `None` after a failure.
struct ImageFile(Option<File>);

#[async_trait]
impl LegacyFile for ImageFile {
    async fn read(&mut self) -> io::Result<Bytes> {
        let mut file = self.0.take().ok_or_else(|| io::Error::other("an earlier read failed"))?;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            file.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>((file, bytes))
        });
        let (file, bytes) = read.await.map_err(io::Error::other)??;
        self.0 = Some(file);
        Ok(bytes.into())
    }
}
