//! Migrations of an SQLite database that do not come to their end.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::error::Error as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use mrp_core::event::Journal;
use mrp_core::id::{Id, Timestamp};
use mrp_core::store::{ClaimStore, UserStore};
use mrp_core::user::User;
use mrp_store::SqlStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, Row};
use tempfile::TempDir;

/// Tells the process that is killed which database it migrates.
const KILLED: &str = "MRP_TEST_MIGRATES";
/// The migration that is cut off.
const CLAIMS: &str = include_str!("../migrations/sqlite/0005_claims.sql");

async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).journal_mode(SqliteJournalMode::Wal);
    options.connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, statements: &'static str) {
    sqlx::raw_sql(statements).execute(connection).await.unwrap();
}

/// A database as the mrp of migration 4 has left it, with a user.
async fn of_before(path: &Path) {
    let store = SqlStore::open_sqlite(path).await.unwrap();
    let (name, email, password_hash, ssh_keys) =
        ("alice".into(), String::new(), String::new(), String::new());
    let alice = User { id: Id::NEW, revision: 0, name, email, admin: false, password_hash, ssh_keys };
    store.insert_user(&alice, &Journal::default()).await.unwrap();
    store.close().await;
    let mut connection = raw(path).await;
    run(
        &mut connection,
        "DROP TABLE claims; DROP TABLE imported; DROP TABLE bmc_health; DROP INDEX events_by_kind; ALTER TABLE discovered DROP COLUMN vendor_class; DELETE FROM _sqlx_migrations WHERE version > 4",
    )
    .await;
    connection.close().await.unwrap();
}

/// The newest migration that is noted, and how many tables of the one that was cut off there are.
async fn state(path: &Path) -> (i64, i64) {
    let mut connection = raw(path).await;
    let query = "SELECT (SELECT MAX(version) FROM _sqlx_migrations), (SELECT COUNT(*) FROM sqlite_master WHERE name = 'claims')";
    let row = sqlx::query(query).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    (row.get(0), row.get(1))
}

async fn is_whole(path: &Path) {
    let store = SqlStore::open_sqlite(path).await.unwrap();
    assert_eq!(store.users().await.unwrap().len(), 1);
    assert_eq!(store.claims("").await.unwrap(), vec![]);
    let claim = mrp_core::claim::Claim::of_contents(Timestamp(0), std::time::Duration::from_secs(1));
    store.claim(&claim, Timestamp(0)).await.unwrap();
    store.close().await;
    let (newest, claims) = state(path).await;
    assert!(newest > 4 && claims == 1, "schema {newest}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_and_is_done_when_its_cause_is_gone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mrp.db");
    of_before(&path).await;
    // The second statement of the migration fails.
    let mut other = raw(&path).await;
    run(&mut other, "CREATE INDEX claims_by_holder ON users (email)").await;
    for _ in 0..2 {
        let error = SqlStore::open_sqlite(&path).await.expect_err("it cannot be brought up to date");
        let words = error.source().unwrap().to_string();
        assert!(
            words.contains("mrp.db cannot be brought up to date") && words.contains("claims_by_holder"),
            "{words}"
        );
        assert_eq!(state(&path).await, (4, 0), "the first statement is undone");
    }
    run(&mut other, "DROP INDEX claims_by_holder").await;
    other.close().await.unwrap();
    is_whole(&path).await;
}

#[tokio::test]
async fn a_migration_that_is_killed_leaves_nothing_and_is_done_by_the_next_start() {
    if let Some(path) = std::env::var_os(KILLED) {
        return migrate_and_wait(Path::new(&path)).await;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mrp.db");
    of_before(&path).await;
    let name = "a_migration_that_is_killed_leaves_nothing_and_is_done_by_the_next_start";
    let mut killed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(KILLED, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(killed.stdout.take().unwrap()).lines().map_while(Result::ok);
    let half = lines.into_iter().any(|line| line.contains("half of it is written"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(half, "the other process got to the middle of the migration");
    let written = std::fs::metadata(folder.path().join("mrp.db-wal")).unwrap().len();
    assert!(written > 100_000, "{written} bytes of it are in the log");
    is_whole(&path).await;
}

/// The half of a migration, as far as to the disk.
async fn migrate_and_wait(path: &Path) {
    let mut connection = raw(path).await;
    run(&mut connection, "PRAGMA cache_size = 1; BEGIN IMMEDIATE").await;
    run(&mut connection, CLAIMS).await;
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO claims SELECT 'server:' || i, 'somebody', 'http://somewhere.example.org', i FROM n";
    run(&mut connection, fill).await;
    println!("half of it is written");
    std::io::stdout().flush().unwrap();
    std::future::pending::<()>().await;
}
