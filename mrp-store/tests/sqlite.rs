//! What is SQLite's own: files that cannot be opened, several processes, versions of answer files, damage.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::error::Error as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mrp_core::answer_file::{AnswerFile, AnswerFileKind};
use mrp_core::arch::Arch;
use mrp_core::event::Journal;
use mrp_core::id::{Id, Timestamp};
use mrp_core::machine::Machine;
use mrp_core::store::{ArchStore, EventFilter, EventStore, ImageStore, MachineStore, StoreError, UserStore};
use mrp_core::user::User;
use mrp_store::SqlStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};
use tempfile::TempDir;

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

/// The error in words, with its cause.
async fn refusal(path: &Path) -> String {
    let error: StoreError = SqlStore::open_sqlite(path).await.expect_err("it cannot be opened");
    format!("{error}: {}", error.source().expect("an error that names its cause"))
}

fn user(name: &str) -> User {
    let (email, password_hash, ssh_keys) = (String::new(), String::new(), String::new());
    User { id: Id::NEW, revision: 0, name: name.into(), email, admin: false, password_hash, ssh_keys }
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named_with_the_cause() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("text.db");
    std::fs::write(
        &text,
        "this is a text and no database, and it is long enough to be read as a header ...........",
    )
    .unwrap();
    let missing = folder.path().join("missing/mrp.db");
    for (path, cause) in [
        (&*text, "is no SQLite database"),
        (&*missing, "cannot be made"),
        (Path::new("/sys/mrp.db"), "cannot be made"),
        (folder.path(), "cannot be opened"),
    ] {
        let words = refusal(path).await;
        assert!(words.contains(cause) && words.contains(&path.display().to_string()), "{words}");
    }
    let unchanged = std::fs::read_to_string(&text).unwrap();
    assert!(unchanged.starts_with("this is a text"), "a foreign file is left alone");
}

#[tokio::test]
async fn a_database_of_a_newer_mrp_or_of_another_program_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mrp.db");
    SqlStore::open_sqlite(&path).await.unwrap().close().await;
    let mut raw = raw(&path).await;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
                 VALUES (9999, 'of the future', CURRENT_TIMESTAMP, TRUE, X'00', 0)";
    sqlx::query(newer).execute(&mut raw).await.unwrap();
    let words = refusal(&path).await;
    assert!(
        words.contains("newer mrp") && words.contains("schema 9999") && words.contains("mrp.db"),
        "{words}"
    );

    let foreign = folder.path().join("foreign.db");
    let mut raw = self::raw(&foreign).await;
    let other = "CREATE TABLE songs (id INTEGER PRIMARY KEY, title TEXT)";
    sqlx::query(other).execute(&mut raw).await.unwrap();
    let words = refusal(&foreign).await;
    assert!(words.contains("foreign.db is a database of another program"), "{words}");
    let tables = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'";
    let tables: i64 = sqlx::query(tables).fetch_one(&mut raw).await.unwrap().get(0);
    assert_eq!(tables, 1, "it gets no tables of ours");
}

#[tokio::test]
async fn the_file_belongs_to_its_owner_only() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mrp.db");
    let store = SqlStore::open_sqlite(&path).await.unwrap();
    store.insert_user(&user("alice"), &Journal::default()).await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_open_a_new_file_at_once_and_write_it_in_turn() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mrp.db");
    let mut tasks = tokio::task::JoinSet::new();
    for opener in 0..4 {
        let path = path.clone();
        tasks.spawn(async move {
            let store = SqlStore::open_sqlite(&path).await.unwrap();
            for number in 0..10 {
                let new = user(&format!("user {opener} {number}"));
                store.insert_user(&new, &Journal::default()).await.unwrap();
            }
            store.close().await;
        });
    }
    tasks.join_all().await;
    let store = SqlStore::open_sqlite(&path).await.unwrap();
    assert_eq!(store.users().await.unwrap().len(), 40);
}

#[tokio::test]
async fn a_lock_that_another_process_holds_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mrp.db");
    let store = SqlStore::open_sqlite(&path).await.unwrap();
    let mut other = raw(&path).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { store.insert_user(&user("alice"), &Journal::default()).await })
    };
    assert_eq!(store.users().await.unwrap(), vec![], "readers do not wait for a writer");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "the writer waits");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn each_saved_content_of_an_answer_file_is_kept() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mrp.db");
    let store = SqlStore::open_sqlite(&path).await.unwrap();
    let file = AnswerFile {
        id: Id::NEW,
        revision: 0,
        name: "debian".into(),
        kind: AnswerFileKind::Preseed,
        description: None,
        content: Some("one".into()),
        owner: None,
        known_good: false,
        public: false,
        saved: Timestamp(1),
        saved_by: "alice".into(),
    };
    let quiet = Journal::default();
    let file = store.insert_answer_file(&file, &quiet).await.unwrap();
    let file = AnswerFile { content: Some("two".into()), saved: Timestamp(2), ..file };
    let file = store.update_answer_file(&file, &quiet).await.unwrap();
    let file = AnswerFile { public: true, ..file };
    let file = store.update_answer_file(&file, &quiet).await.unwrap();
    let file = AnswerFile { content: None, saved: Timestamp(3), ..file };
    let file = store.update_answer_file(&file, &quiet).await.unwrap();
    let mut raw = raw(&path).await;
    let versions = "SELECT content, saved FROM answer_file_versions ORDER BY id";
    let rows = sqlx::query(versions).fetch_all(&mut raw).await.unwrap();
    let kept: Vec<(Option<String>, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(kept, [(Some("one".into()), 1), (Some("two".into()), 2), (None, 3)]);
    store.delete_answer_file(file.id, None, &quiet).await.unwrap();
    assert!(sqlx::query(versions).fetch_all(&mut raw).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_value_that_no_mrp_has_written_is_an_error_that_names_its_column() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mrp.db");
    let store = SqlStore::open_sqlite(&path).await.unwrap();
    let arch = Arch { id: Id::NEW, revision: 0, name: "arm64".into(), description: String::new() };
    let arch = store.insert_arch(&arch, &Journal::default()).await.unwrap();
    store.insert_machine(&Machine::new("m1", arch.id), &Journal::default()).await.unwrap();
    let mut raw = raw(&path).await;
    for (damage, column) in [
        ("UPDATE machines SET netboot = 'run'", "netboot"),
        ("UPDATE machines SET netboot = 'off', state = 'broken'", "state"),
        ("UPDATE machines SET state = 7", "state"),
    ] {
        sqlx::query(damage).execute(&mut raw).await.unwrap();
        let error = store.machine_by_name("m1").await.unwrap_err();
        let words = error.source().unwrap().to_string();
        assert!(words.contains(column), "{damage}: {words}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_half_change() {
    let folder = TempDir::new().unwrap();
    let store = SqlStore::open_sqlite(&folder.path().join("mrp.db")).await.unwrap();
    for number in 0..200u64 {
        let new = user(&format!("user {number}"));
        let quiet = Journal::default();
        let insert = store.insert_user(&new, &quiet);
        let _ = tokio::time::timeout(std::time::Duration::from_micros(number * 10), insert).await;
    }
    let last = store.insert_user(&user("last"), &Journal::default()).await.unwrap();
    let users = store.users().await.unwrap();
    assert_eq!(users.last(), Some(&last), "the writer is free");
    assert_eq!(store.events(&EventFilter::default()).await.unwrap(), vec![]);
}
