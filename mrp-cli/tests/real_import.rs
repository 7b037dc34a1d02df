//! `mrp import mr-provisioner` as an admin runs it, from a PostgreSQL server that holds mr-provisioner's tables.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use mrp_core::id::Id;
use mrp_core::secret::{Secret, ServerKey};
use mrp_core::store::{
    BmcStore, EventFilter, EventStore, ImportStore, MachineFilter, MachineStore, UserStore,
};
use mrp_store::SqlStore;
use rustix::process::Signal;
use serde_json::Value;

use harness::{Home, Ports, Server, files_below};
use postgres_server::PostgresServer;

mod harness;
#[path = "../../mrp-store/tests/postgres_server/mod.rs"]
mod postgres_server;

const SCHEMA: &str = include_str!("../../mrp-web/tests/data/mr-provisioner/schema.sql");
const SEED: &str = include_str!("../../mrp-web/tests/data/mr-provisioner/seed.sql");
/// The password of every user, hashed by passlib.
const PASSWORD: &str = "correct horse battery";

/// mr-provisioner, and a home for mrp.
struct Site {
    server: PostgresServer,
    name: String,
    url: String,
    home: Home,
}

impl Site {
    fn new() -> Self {
        let server = PostgresServer::start();
        let url = server.database();
        let name = url.rsplit('/').next().unwrap().to_owned();
        server.sql(&name, SCHEMA);
        server.sql(&name, SEED);
        let home = Home::new();
        for image in
            ["admin/grubaa64.efi.00", "alice/linux.11", "alice/initrd.22", "bob/linux.33", "bob/linux.44"]
        {
            let path = home.path("tftp").join(image);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, image).unwrap();
        }
        Self { server, name, url, home }
    }

    fn there(&self, statements: &str) {
        self.server.sql(&self.name, statements);
    }

    fn import(&self, more: &[&str]) -> std::process::Command {
        let images = self.home.path("tftp").display().to_string();
        let mut arguments = vec!["import", "mr-provisioner", &self.url, "--images", &images];
        arguments.extend(more);
        let mut command = self.home.command(&arguments);
        command.env("MRP_SERVER__DATA_DIR", self.data());
        command
    }

    /// Runs an import and reads its report.
    fn report(&self, more: &[&str]) -> Value {
        let output = self.import(&[more, &["-o", "json"]].concat()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn data(&self) -> PathBuf {
        self.home.path("data")
    }

    async fn store(&self) -> SqlStore {
        SqlStore::open_sqlite(&self.data().join("mrp.db")).await.unwrap()
    }
}

/// What a report counts of all tables.
fn sum(report: &Value, count: &str) -> u64 {
    report["tables"].as_array().unwrap().iter().map(|table| table[count].as_u64().unwrap()).sum()
}

/// The keys of the recorded users are too short to be any.
const KEYS: [&str; 2] = [
    "user 101 ssh_key kept; a change of it has to mend it",
    "user 102 ssh_key kept; a change of it has to mend it",
];

fn notes(report: &Value) -> Vec<String> {
    let note = |note: &Value| {
        format!("{} {} {} {}", note["table"], note["id"], note["field"], note["done"]).replace('"', "")
    };
    report["notes"].as_array().unwrap().iter().map(note).collect()
}

#[tokio::test]
async fn a_lab_comes_over_and_its_people_go_on() {
    let site = Site::new();
    site.there(
        "INSERT INTO machine_event (machine_id, username, date, event_type, info)
         VALUES (1, 'alice', '2018-06-01 01:00:00', 2, '{\"power\": \"on\"}');
         INSERT INTO \"discoveredMAC\" (mac, info, last_seen)
         VALUES ('52:54:00:AA:00:01', '{\"hostname\": \"new\", \"arch_code\": 11}', '2018-06-01 02:00:00')",
    );
    let rehearsal = site.report(&["--dry-run"]);
    assert!(!site.data().exists(), "a dry run writes nothing");
    let mut report = site.report(&[]);
    assert_eq!(notes(&report), KEYS);
    assert_eq!(sum(&report, "brought"), sum(&report, "found"));
    report["dry_run"] = true.into();
    assert_eq!(report, rehearsal, "a dry run says what would be done");
    let again = site.report(&[]);
    assert_eq!((sum(&again, "brought"), sum(&again, "updated")), (0, 0));
    assert_eq!(sum(&again, "unchanged"), sum(&again, "found"));

    let key = std::fs::read_to_string(site.data().join("key")).unwrap();
    let (key, store) = (ServerKey::from_hex(&key).unwrap(), site.store().await);
    for bmc in store.bmcs().await.unwrap() {
        assert_eq!(key.open(&bmc.sealed_password).unwrap().expose(), "linaro");
    }
    let ids = |ids: Vec<i64>| ids;
    let users = store.users().await.unwrap();
    assert_eq!(ids(users.iter().map(|user| user.id.get()).collect()), [1, 101, 102]);
    assert!(users.iter().all(|user| user.password_hash.starts_with("$pbkdf2-sha256$")));
    let events = store.events(&EventFilter::default()).await.unwrap();
    assert_eq!((&*events[0].text, events[0].machine), ("power on", Some(Id::new(1))));
    store.close().await;
    for file in files_below(&site.data()).into_iter().filter(|file| !file.ends_with("key")) {
        let bytes = std::fs::read(&file).unwrap();
        for secret in ["linaro", "TOKADMIN", "TOKALICE"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds {secret}", file.display());
        }
    }

    let server = Server::start(&site.home, Ports::free());
    let refused = site.import(&[]).output().unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("serves from the data folder"), "{error}");
    let login = site.home.mrp_with(&["login", &server.url, "--user", "alice", "--password-stdin"], PASSWORD);
    login.ok();
    let held = site.home.json("machine list");
    let held: Vec<&str> = held.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(held.contains(&"lab.node-1"), "{held:?}");
    let with_token = |token: &str| {
        let mut command = site.home.command(&["whoami", "-o", "json"]);
        command.env("MRP_URL", &server.url).env("MRP_TOKEN", token);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(with_token("TOKBOB").contains("\"bob\""), "tokens go on working");
    assert_eq!(server.end(Signal::TERM), Some(0));
    let alice = site.store().await.user_by_name("alice").await.unwrap().unwrap();
    assert!(alice.password_hash.starts_with("$argon2id$"), "a login hashes anew");
}

#[tokio::test]
async fn a_second_import_brings_what_is_new_and_leaves_what_mrp_changed() {
    let site = Site::new();
    site.report(&[]);
    let store = site.store().await;
    let mut machine = store.machine(Id::new(2)).await.unwrap().unwrap();
    machine.kernel_options = Some("mine".into());
    store.update_machine(&machine, &Default::default()).await.unwrap();
    store.close().await;
    site.there(
        "UPDATE machine SET kernel_opts = 'theirs' WHERE id IN (2, 3);
         INSERT INTO machine (name, kernel_opts, arch_id, state) VALUES ('node7', '', 1, 'unknown');
         DELETE FROM machine_users WHERE machine_id = 5",
    );
    let report = site.report(&[]);
    assert_eq!((sum(&report, "brought"), sum(&report, "updated"), sum(&report, "kept")), (1, 1, 1));
    assert_eq!(
        notes(&report),
        [KEYS[0], KEYS[1], "machine 2 kernel_opts mrp's values are kept", "machine_users 3  kept in mrp"]
    );
    let store = site.store().await;
    let options = async |id| store.machine(Id::new(id)).await.unwrap().unwrap().kernel_options;
    assert_eq!(options(2).await.as_deref(), Some("mine"));
    assert_eq!(options(3).await.as_deref(), Some("theirs"));
    assert_eq!(store.machine_by_name("node7").await.unwrap().unwrap().id, Id::new(7));
}

#[tokio::test]
async fn rows_that_no_constraint_keeps_right_are_listed() {
    let site = Site::new();
    site.there(
        "ALTER TABLE interface DROP CONSTRAINT interface_mac_key, DROP CONSTRAINT interface_machine_id_fkey,
             ALTER COLUMN mac TYPE text USING mac::text;
         ALTER TABLE machine DROP CONSTRAINT machine_kernel_id_fkey;
         INSERT INTO interface (mac, machine_id) VALUES ('52:54:00:00:00:0A', 1), ('52:54:00:00:00:0a', 2),
             ('52:54:00:00:00:0b', 99), ('52:54:00:00:00:0c', NULL);
         UPDATE machine SET kernel_id = 99, pdu = 'pdu-1', pdu_port = 4 WHERE id = 3;
         UPDATE machine SET name = repeat('n', 300) WHERE id = 4;
         UPDATE \"BMC\" SET bmc_type = 'acme' WHERE id = 3;
         INSERT INTO \"user\" (username, email) VALUES ('Zoë', '');
         UPDATE \"user\" SET ssh_key = '-----BEGIN RSA PRIVATE KEY-----' WHERE id = 102;
         INSERT INTO token (token) VALUES ('nobody''s');
         INSERT INTO preseed (filename, file_type, date, known_good, public) VALUES ('x', 'preseed', 'infinity', false, false);
         INSERT INTO audit_log (machine_name, user_name, start_date, end_date) VALUES ('m', 'u', now(), now())",
    );
    std::fs::remove_file(site.home.path("tftp/bob/linux.44")).unwrap();
    std::fs::write(site.home.path("tftp/bob/linux.33"), "").unwrap();
    let report = site.report(&[]);
    assert_eq!(
        notes(&report),
        [
            "user 2 username renamed to Zo--2",
            "user 2 password no login until `mrp user reset-password`",
            KEYS[0],
            "user 102 ssh_key left out",
            "token 4 user_id not brought",
            "image 4 filename not brought",
            "image 5 filename not brought",
            "preseed 5 filename renamed to x-5",
            "BMC 3 bmc_type kept; its power fails until it gets a driver",
            "machine 3 pdu not brought",
            "machine 3 pdu_port not brought",
            "machine 3 kernel_id cleared",
            &*format!("machine 4 name renamed to {}-4", "n".repeat(254)),
            "interface 8  not brought",
            "interface 9 machine_id not brought",
            "interface 10 machine_id not brought",
            "audit_log null  not brought",
        ]
    );
    let counted: u64 =
        ["brought", "updated", "unchanged", "kept", "left_out"].iter().map(|c| sum(&report, c)).sum();
    assert_eq!(counted, sum(&report, "found"));
    let again = site.report(&[]);
    assert_eq!((sum(&again, "brought"), sum(&again, "updated")), (0, 0));
}

#[tokio::test]
async fn an_import_that_is_killed_leaves_no_row_and_is_repeated() {
    let site = Site::new();
    site.there(
        "INSERT INTO machine_event (machine_id, date, event_type, info)
         SELECT 1, now(), 7, '{\"discover\": true}' FROM generate_series(1, 20000)",
    );
    site.report(&["--dry-run"]);
    let mut whole = 0;
    for milliseconds in [20, 60, 120, 250, 400, 600, 900] {
        let mut import = site.import(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        import.kill().unwrap();
        import.wait().unwrap();
        if !site.data().join("mrp.db").exists() {
            continue;
        }
        let store = site.store().await;
        let machines = store.machines(&MachineFilter::default()).await.unwrap().len();
        let (users, marks) = (store.users().await.unwrap().len(), store.imported().await.unwrap().len());
        let events = store.events(&EventFilter::default()).await.unwrap().len();
        store.close().await;
        let all = (machines, users, events) == (6, 3, 20000) && marks > 30;
        assert!(
            all || (machines, users, events, marks) == (0, 0, 0, 0),
            "{machines} {users} {events} {marks}"
        );
        whole = usize::from(all);
    }
    let report = site.report(&[]);
    let expected = if whole == 1 { 0 } else { sum(&report, "found") };
    assert_eq!(sum(&report, "brought"), expected);
}

#[test]
fn what_cannot_be_read_is_said_without_the_password() {
    let site = Site::new();
    let ask = |url: &str, more: &[&str]| {
        let images = site.home.path("tftp").display().to_string();
        let arguments = [&["import", "mr-provisioner", url, "--images", &images], more].concat();
        let mut command = site.home.command(&arguments);
        let output = command.env("MRP_SERVER__DATA_DIR", site.data()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{url}");
        let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
        assert!(!said.contains("hunter2"), "{said}");
        assert!(!site.data().exists(), "{url}: nothing was made");
        said
    };
    let said = ask("postgres://reader:hunter2@127.0.0.1:1/provisioner", &[]);
    assert!(said.contains("\"provisioner\" on 127.0.0.1:1: cannot be reached"), "{said}");
    let said = ask("mysql://reader:hunter2@db/provisioner", &[]);
    assert!(said.contains("write postgres://"), "{said}");
    let password = site.home.file("password", "hunter2\n");
    let missing = site.url.replace(&site.name, "nosuch");
    let said = ask(&missing, &["--password-file", &password]);
    assert!(said.contains("\"nosuch\" does not exist"), "{said}");
    let said = ask(&site.url, &["--time-zone", "Mars/Olympus"]);
    assert!(said.contains("Mars/Olympus"), "{said}");
    site.there("ALTER TABLE machine DROP COLUMN subarch_id");
    let said = ask(&site.url, &[]);
    assert!(said.contains("table machine") && said.contains("last migration"), "{said}");
    let folder = Secret::new(site.home.path("nosuch").display().to_string());
    let mut command =
        site.home.command(&["import", "mr-provisioner", &site.url, "--images", folder.expose()]);
    let output = command.env("MRP_SERVER__DATA_DIR", site.data()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("image folder"), "{output:?}");
}
