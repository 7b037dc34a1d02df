//! The conformance suite of mrp-core on a PostgreSQL server, and what is PostgreSQL's own: databases that cannot be
//! opened, several servers, migrations that are cut off, a restart. A missing program is a failure.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::collections::BTreeSet;
use std::error::Error as _;
use std::time::Duration;

use async_trait::async_trait;
use mrp_core::Provisioner;
use mrp_core::actor::Actor;
use mrp_core::conformance::Failure;
use mrp_core::conformance::store::{TestDatabase, run};
use mrp_core::event::{EventKind, Journal, NewEvent};
use mrp_core::id::{Id, Timestamp};
use mrp_core::secret::Secret;
use mrp_core::store::{EventFilter, EventStore, Store, StoreError, UserStore};
use mrp_core::user::User;
use mrp_store::{FsBlobs, SqlStore};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};
use tempfile::TempDir;

use postgres_server::PostgresServer;

mod postgres_server;

struct InPostgres {
    url: String,
    store: SqlStore,
}

impl InPostgres {
    async fn new(url: String) -> Result<Self, Failure> {
        let store = SqlStore::open_postgres(&url).await?;
        Ok(Self { url, store })
    }
}

#[async_trait]
impl TestDatabase for InPostgres {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn reopen(&mut self) -> Result<bool, Failure> {
        self.store.close().await;
        self.store = SqlStore::open_postgres(&self.url).await?;
        Ok(true)
    }
}

fn user(name: &str) -> User {
    let (email, password_hash, ssh_keys) = (String::new(), String::new(), String::new());
    User { id: Id::NEW, revision: 0, name: name.into(), email, admin: false, password_hash, ssh_keys }
}

fn quiet() -> Journal {
    Journal::default()
}

/// The error in words, with its cause.
async fn refusal(url: &str) -> String {
    let error: StoreError = SqlStore::open_postgres(url).await.expect_err("it cannot be opened");
    format!("{error}: {}", error.source().expect("an error that names its cause"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms() {
    let server = PostgresServer::start();
    let report = run(|| InPostgres::new(server.database())).await;
    assert!(report.passed(), "{report}");
}

/// Table, column, kind of type, may be NULL.
type ColumnRow = (String, String, String, bool);

#[tokio::test]
async fn both_databases_have_the_same_tables_and_indexes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mrp.db");
    SqlStore::open_sqlite(&path).await.unwrap().close().await;
    let mut sqlite = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let server = PostgresServer::start();
    let url = server.database();
    SqlStore::open_postgres(&url).await.unwrap().close().await;
    let mut postgres = url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();

    let text = "SELECT t.name, c.name, c.type, c.\"notnull\" = 0 AND c.pk = 0 FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
    let rows = sqlx::query(text).fetch_all(&mut sqlite).await.unwrap();
    let kind = |name: &str| match name {
        "INTEGER" | "BIGINT" | "bigint" => "number".to_owned(),
        "TEXT" | "text" => "text".to_owned(),
        "BLOB" | "bytea" => "bytes".to_owned(),
        other => other.to_lowercase(),
    };
    let ours = |row: &ColumnRow| row.0 != "_sqlx_migrations";
    let of_sqlite = rows.iter().map(|row| (row.get(0), row.get(1), kind(row.get(2)), row.get(3)));
    let of_sqlite: BTreeSet<ColumnRow> = of_sqlite.filter(ours).collect();
    let text = "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES', coalesce(collation_name::text, '') FROM information_schema.columns WHERE table_schema = 'public'";
    let rows = sqlx::query(text).fetch_all(&mut postgres).await.unwrap();
    let of_postgres = rows.iter().map(|row| (row.get(0), row.get(1), kind(row.get(2)), row.get(3)));
    let of_postgres: BTreeSet<ColumnRow> = of_postgres.filter(ours).collect();
    assert!(of_sqlite.len() > 100, "{of_sqlite:?}");
    assert_eq!(of_sqlite, of_postgres);
    for row in &rows {
        let (table, column, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let collation: String = row.get(4);
        if kind == "text" && table != "_sqlx_migrations" {
            assert_eq!(collation, "C", "{table}.{column} is sorted by the database's locale");
        }
    }

    let text = "SELECT name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite_%'";
    let rows = sqlx::query(text).fetch_all(&mut sqlite).await.unwrap();
    let of_sqlite: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let text = "SELECT indexname::text FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%_key' AND indexname NOT LIKE '%_pkey'";
    let rows = sqlx::query(text).fetch_all(&mut postgres).await.unwrap();
    let of_postgres: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(of_sqlite, of_postgres);
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_named_with_the_cause_and_never_with_its_password() {
    let server = PostgresServer::start();
    let foreign = server.database();
    server.sql("mrp0", "CREATE TABLE songs (id BIGINT PRIMARY KEY, title TEXT)");
    let newer = server.database();
    SqlStore::open_postgres(&newer).await.unwrap().close().await;
    server.sql(
        "mrp1",
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'of the future', TRUE, ''::bytea, 0)",
    );
    server.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    server.sql("postgres", "CREATE ROLE guest LOGIN PASSWORD 'hunter2'");
    let as_guest = server.database().replace("mrp@", "guest:hunter2@");
    let nobody = server.url("mrp2").replace("mrp@", "nobody:hunter2@");
    for (url, cause) in [
        (foreign, "is a database of another program"),
        (newer, "was written by a newer mrp (schema 9999"),
        (server.url("latin"), "has the encoding LATIN1"),
        (server.url("missing"), "is missing"),
        (as_guest, "does not let this user make tables"),
        (nobody, "refuses the login"),
        ("postgres://mrp:hunter2@127.0.0.1:1/mrp".into(), "\"mrp\" on 127.0.0.1:1 cannot be reached"),
        ("mysql://mrp:hunter2@127.0.0.1/mrp".into(), "the database URL is wrong"),
        ("postgres://mrp@127.0.0.1/mrp?pasword=hunter2".into(), "there is no parameter \"pasword\""),
    ] {
        let words = refusal(&url).await;
        assert!(words.contains(cause) && !words.contains("hunter2"), "{url}: {words}");
    }
    let empty = server.database();
    let state = SqlStore::examine_postgres(&empty, None).await.unwrap();
    assert_eq!((state.schema, &*state.version), (None, &*server.sql("mrp3", "SHOW server_version").trim()));
    SqlStore::open_postgres(&empty).await.unwrap().close().await;
    let state = SqlStore::examine_postgres(&empty, Some(&Secret::new("hunter2"))).await.unwrap();
    assert_eq!(state.schema, Some(state.known_schema));
    let tables = server.sql("mrp0", "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    assert_eq!(tables, "songs\n", "a foreign database gets no tables of ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_open_an_empty_database_at_once_and_write_it_in_turn() {
    let server = PostgresServer::start();
    let url = server.database();
    let mut tasks = tokio::task::JoinSet::new();
    for opener in 0..4 {
        let url = url.clone();
        tasks.spawn(async move {
            let store = SqlStore::open_postgres(&url).await.unwrap();
            for number in 0..10 {
                store.insert_user(&user(&format!("user {opener} {number}")), &quiet()).await.unwrap();
            }
            store.close().await;
        });
    }
    tasks.join_all().await;
    let store = SqlStore::open_postgres(&url).await.unwrap();
    assert_eq!(store.users().await.unwrap().len(), 40);
}

/// The last table of the first migration is held up by another session; the migration is cut off there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_cut_off_leaves_nothing_and_is_done_by_the_next_start() {
    let server = PostgresServer::start();
    let url = server.database();
    let mut other = url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    sqlx::raw_sql("BEGIN; CREATE TABLE audit (id BIGINT)").execute(&mut other).await.unwrap();
    let opening = {
        let url = url.clone();
        tokio::spawn(async move { refusal(&url).await })
    };
    let waiting = "SELECT pid FROM pg_stat_activity WHERE datname = 'mrp0' AND wait_event_type = 'Lock'";
    let mut pid = String::new();
    while pid.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        pid = server.sql("postgres", waiting);
    }
    server.sql("postgres", &format!("SELECT pg_terminate_backend({})", pid.trim()));
    let words = opening.await.unwrap();
    assert!(words.contains("not reachable"), "{words}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let left = server.sql("mrp0", "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    assert_eq!(left, "_sqlx_migrations\n");
    assert_eq!(server.sql("mrp0", "SELECT COUNT(*) FROM _sqlx_migrations"), "0\n");
    let store = SqlStore::open_postgres(&url).await.unwrap();
    store.insert_user(&user("alice"), &quiet()).await.unwrap();
}

#[tokio::test]
async fn connections_are_encrypted_and_the_certificate_is_checked_where_that_is_asked() {
    let mut server = PostgresServer::start();
    server.database();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    std::fs::copy(server.run_with_tls(), &other).unwrap();
    // The first CA is another one from here on.
    let ca = server.run_with_tls();
    let url = |host: &str, parameters: &str| {
        format!("postgres://mrp:hunter2@{host}:{}/mrp0?{parameters}", server.port())
    };
    let by = |mode: &str, ca: &std::path::Path| format!("sslmode={mode}&sslrootcert={}", ca.display());
    for url in [
        url("localhost", "sslmode=require"),
        url("localhost", &by("verify-full", &ca)),
        url("127.0.0.1", &by("verify-ca", &ca)),
    ] {
        let store = SqlStore::open_postgres(&url).await.unwrap();
        store.users().await.unwrap();
        let query = "SELECT COUNT(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'mrp %'";
        assert_eq!(server.sql("mrp0", query), "t\n", "{url}");
        store.close().await;
    }
    for (what, url) in [
        ("a certificate of another CA", url("localhost", &by("verify-full", &other))),
        ("a certificate for another name", url("127.0.0.1", &by("verify-full", &ca))),
        ("a certificate of nobody that the system trusts", url("localhost", "sslmode=verify-full")),
    ] {
        let words = refusal(&url).await;
        assert!(words.contains("cannot be reached") && words.contains("certificate"), "{what}: {words}");
        assert!(!words.contains("hunter2"), "{what}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_fail_while_the_server_restarts_and_go_on_by_themselves() {
    let mut server = PostgresServer::start();
    let store = SqlStore::open_postgres(&server.database()).await.unwrap();
    let alice = store.insert_user(&user("alice"), &quiet()).await.unwrap();
    let mut requests = tokio::task::JoinSet::new();
    let (stop, _) = tokio::sync::watch::channel(false);
    for worker in 0..8 {
        let (store, stopped, quiet) = (store.clone(), stop.subscribe(), quiet());
        requests.spawn(async move {
            let (mut refused, mut written) = (0, 0);
            while !*stopped.borrow() {
                let new = user(&format!("user {worker} {refused} {written}"));
                match store.insert_user(&new, &quiet).await {
                    Ok(_) => written += 1,
                    Err(StoreError::Unavailable(_)) => refused += 1,
                    Err(other) => panic!("{other}: {:?}", other.source()),
                }
                match store.users().await {
                    Ok(_) => {}
                    Err(StoreError::Unavailable(_)) => refused += 1,
                    Err(other) => panic!("{other}: {:?}", other.source()),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (refused, written)
        });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    tokio::task::block_in_place(|| server.stop());
    tokio::time::sleep(Duration::from_millis(200)).await;
    tokio::task::block_in_place(|| server.run());
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.send(true).unwrap();
    let counts = requests.join_all().await;
    let (refused, written) =
        counts.iter().fold((0, 0), |(a, b), (refused, written)| (a + refused, b + written));
    assert!(refused > 0, "the restart was noticed: {counts:?}");
    // Each connection that was cut may cost one more request; then all is well.
    let mut found = store.user(alice.id).await;
    for _ in 0..20 {
        if matches!(found, Ok(Some(_))) {
            break;
        }
        found = store.user(alice.id).await;
    }
    assert_eq!(found.unwrap(), Some(alice));
    let users = store.users().await.unwrap().len();
    // A commit whose answer was cut off may have been done: as many as there are workers.
    assert!(users > written && users <= written + 1 + 8, "{written} were written, {users} are there");
    store.insert_user(&user("bob"), &quiet()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_leaves_no_half_change_and_no_lock() {
    let server = PostgresServer::start();
    let store = SqlStore::open_postgres(&server.database()).await.unwrap();
    for number in 0..200u64 {
        let (new, quiet) = (user(&format!("user {number}")), quiet());
        let insert = store.insert_user(&new, &quiet);
        let _ = tokio::time::timeout(Duration::from_micros(number * 20), insert).await;
    }
    let last = store.insert_user(&user("last"), &quiet()).await.unwrap();
    let users = store.users().await.unwrap();
    assert_eq!(users.last(), Some(&last), "the writer is free");
    assert_eq!(store.events(&EventFilter::default()).await.unwrap(), vec![]);
    store.close().await;
    let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = 'mrp0' AND state LIKE 'idle in%'";
    assert_eq!(server.sql("postgres", open), "0\n");
}

/// Waits for a word from another process; what came before is passed over.
async fn hears(store: &SqlStore) -> bool {
    tokio::time::timeout(Duration::from_secs(20), store.heard()).await.is_ok_and(|heard| heard.is_ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_hears_what_others_write_and_not_itself() {
    let mut server = PostgresServer::start();
    let url = server.database();
    let (one, other) =
        (SqlStore::open_postgres(&url).await.unwrap(), SqlStore::open_postgres(&url).await.unwrap());
    assert!(hears(&one).await, "what was written before may have been missed");
    one.record(&note("its own")).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), one.heard()).await;
    assert!(waiting.is_err(), "its own words are not heard");
    other.record(&note("another's")).await.unwrap();
    assert!(hears(&one).await);
    // Without a line to hear by, and with a new one: what may have been missed is reported.
    tokio::task::block_in_place(|| server.stop());
    tokio::task::block_in_place(|| server.run());
    while !hears(&one).await {}
    other.record(&note("after the restart")).await.unwrap();
    assert!(hears(&one).await);
    let listening = tokio::spawn({
        let one = one.clone();
        async move { while one.heard().await.is_ok() {} }
    });
    one.close().await;
    listening.await.unwrap();
    other.close().await;
}

fn note(text: &str) -> Journal {
    let event = NewEvent {
        at: Timestamp(1),
        machine: None,
        run: None,
        kind: EventKind::State,
        actor: "alice".into(),
        text: text.into(),
        data: serde_json::Value::Null,
    };
    Journal { events: vec![event], ..Journal::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_one_server_is_streamed_by_another() {
    let server = PostgresServer::start();
    let (url, folder) = (server.database(), TempDir::new().unwrap());
    let start = async || {
        let store = SqlStore::open_postgres(&url).await.unwrap();
        let blobs = FsBlobs::open(folder.path()).await.unwrap();
        Provisioner::builder().store(store).blobs(blobs).build().await.unwrap()
    };
    let (one, other) = (start().await, start().await);
    let mut follower = other.events().follow(&Actor::system(), EventFilter::default()).await.unwrap();
    let store = SqlStore::open_postgres(&url).await.unwrap();
    for number in 0..20 {
        store.record(&note(&number.to_string())).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 20 {
        seen.extend(follower.next().await.unwrap().into_iter().map(|event| event.text));
    }
    let wanted: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(seen, wanted);
    one.shutdown().await;
    other.shutdown().await;
}
