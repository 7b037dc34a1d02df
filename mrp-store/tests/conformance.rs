//! The conformance suite of mrp-core on SQLite, in a file and in memory, and proof that it finds a store that lies.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use async_trait::async_trait;
use mrp_core::conformance::store::{TestDatabase, run};
use mrp_core::conformance::{Failure, Report, Verdict};
use mrp_core::store::Store;
use mrp_store::SqlStore;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

struct InFile {
    folder: TempDir,
    store: SqlStore,
}

impl InFile {
    /// A database on which these statements have been executed.
    async fn with(sabotage: &'static str) -> Result<Self, Failure> {
        let folder = TempDir::new().map_err(|error| Failure(error.to_string()))?;
        let path = folder.path().join("mrp.db");
        let store = SqlStore::open_sqlite(&path).await?;
        if !sabotage.is_empty() {
            let mut raw = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
            sqlx::raw_sql(sabotage).execute(&mut raw).await.unwrap();
        }
        Ok(Self { folder, store })
    }
}

#[async_trait]
impl TestDatabase for InFile {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn reopen(&mut self) -> Result<bool, Failure> {
        self.store.close().await;
        self.store = SqlStore::open_sqlite(&self.folder.path().join("mrp.db")).await?;
        Ok(true)
    }
}

struct InMemory(SqlStore);

#[async_trait]
impl TestDatabase for InMemory {
    fn store(&self) -> &dyn Store {
        &self.0
    }

    async fn reopen(&mut self) -> Result<bool, Failure> {
        self.0 = SqlStore::in_memory().await?;
        Ok(false)
    }
}

fn failed(report: &Report) -> Vec<&'static str> {
    let failed = report.0.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Failed(_)));
    failed.map(|(name, _)| *name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_in_a_file_conforms() {
    let report = run(|| InFile::with("")).await;
    assert!(report.passed(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_in_memory_conforms() {
    let report = run(|| async { Ok(InMemory(SqlStore::in_memory().await?)) }).await;
    assert!(report.passed(), "{report}");
}

/// A trigger that drops or falsifies rows stands for a store that does; the suite has to name the case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lies_is_found() {
    for (sabotage, case) in [
        (
            "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events WHERE id = NEW.id; END",
            "events are listed by filter, order and limit",
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON audit WHEN NEW.id > 2 BEGIN DELETE FROM audit WHERE id = NEW.id; END",
            "the audit log is append-only and paged",
        ),
        (
            "CREATE TRIGGER t AFTER UPDATE ON machines WHEN NEW.revision > OLD.revision
             BEGIN UPDATE machines SET revision = OLD.revision WHERE id = NEW.id; END",
            "machines",
        ),
        (
            "CREATE TRIGGER t AFTER UPDATE OF bmc_info ON machines WHEN NEW.bmc_info <> ''
             BEGIN UPDATE machines SET bmc_info = '' WHERE id = NEW.id; END",
            "machines",
        ),
        ("DROP INDEX one_active_run_of_a_machine", "one of 20 concurrent runs starts"),
        (
            "CREATE TRIGGER t AFTER UPDATE ON discovered WHEN NEW.last_seen > OLD.last_seen
             BEGIN UPDATE discovered SET hostname = NULL WHERE mac = NEW.mac; END",
            "discovered clients keep what was known",
        ),
        (
            "CREATE TRIGGER t AFTER DELETE ON users
             BEGIN UPDATE sqlite_sequence SET seq = OLD.id - 1 WHERE name = 'users'; END",
            "ids are never used again",
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON images WHEN NEW.size < 0
             BEGIN UPDATE images SET size = 0 WHERE id = NEW.id; END",
            "texts and numbers come back as they were",
        ),
        (
            "CREATE TRIGGER t AFTER DELETE ON assignments
             BEGIN INSERT INTO assignments (revision, machine_id, user_id, reason, since)
             VALUES (1, OLD.machine_id, OLD.user_id, OLD.reason, OLD.since); END",
            "an assignment ends with its machine's change, or not at all",
        ),
        (
            "CREATE TRIGGER t BEFORE DELETE ON tokens BEGIN SELECT RAISE(IGNORE); END",
            "tokens are found by their hash and end",
        ),
    ] {
        let report = run(|| InFile::with(sabotage)).await;
        let failed = failed(&report);
        assert!(failed.contains(&case), "{sabotage}: {case:?} is not among the failed cases {failed:?}");
        assert!(failed.len() < report.0.len(), "{sabotage}: everything fails");
    }
}
