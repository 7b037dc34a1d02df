//! The way over from mr-provisioner: what fits comes as it is, what does not is listed, and a second import touches
//! nothing that mrp's people have changed.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::collections::HashMap;
use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use mrp_bmc::IpmiBmc;
use mrp_core::bmc::Drivers;
use mrp_core::id::{Id, Timestamp};
use mrp_core::import::{
    ImportReport, Legacy, LegacyAnswerFile, LegacyArch, LegacyAssignment, LegacyBmc, LegacyDiscovered,
    LegacyEvent, LegacyFile, LegacyFiles, LegacyImage, LegacyInterface, LegacyLease, LegacyMachine,
    LegacyNetwork, LegacySubarch, LegacyToken, LegacyUser,
};
use mrp_core::machine::{Addressing, MachineState, Netboot};
use mrp_core::secret::{Secret, ServerKey};
use mrp_core::service::users::NewUser;
use mrp_core::store::{
    ArchStore, BmcStore, EventFilter, EventStore, ImageStore, MachineFilter, MachineStore, NetworkStore,
    UserStore,
};
use mrp_core::{Actor, Provisioner};
use mrp_store::{FsBlobs, SqlStore};
use serde_json::json;
use tempfile::TempDir;

const HASH: &str = "$pbkdf2-sha256$29000$UEqptTYG4Ny7t7ZWirF2Tg$6fIRZrS1NJyDv9eYyYjc9iGq/IUQgKuAEC2wpAA2YTM";

#[derive(Default)]
struct Files(HashMap<String, Vec<u8>>);

struct Content(Option<Bytes>);

#[async_trait]
impl LegacyFiles for Files {
    async fn open(&self, name: &str) -> io::Result<Box<dyn LegacyFile>> {
        let content = self.0.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Content(Some(content.clone().into()))))
    }
}

#[async_trait]
impl LegacyFile for Content {
    async fn read(&mut self) -> io::Result<Bytes> {
        Ok(self.0.take().unwrap_or_default())
    }
}

struct Target {
    mrp: Provisioner,
    store: SqlStore,
    key: ServerKey,
    _folder: TempDir,
}

impl Target {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (store, key) = (SqlStore::in_memory().await.unwrap(), ServerKey::generate());
        let blobs = FsBlobs::open(folder.path()).await.unwrap();
        let mrp = Provisioner::builder().store(store.clone()).blobs(blobs).key(key.clone());
        let mrp = mrp.bmc_drivers(Drivers::new().with::<IpmiBmc>()).quiet();
        Self { mrp: mrp.build().await.unwrap(), store, key, _folder: folder }
    }

    async fn import(&self, legacy: &Legacy, files: &Files) -> ImportReport {
        let report = self.mrp.imports().mr_provisioner(&Actor::system(), legacy, files, false).await.unwrap();
        for table in &report.tables {
            let sum = table.brought + table.updated + table.unchanged + table.kept + table.left_out;
            assert_eq!(sum, table.found, "{table:?}");
        }
        report
    }

    /// Nothing changes when the same comes again.
    async fn settled(&self, legacy: &Legacy, files: &Files) {
        let audit = self.store.audit(Id::NEW, 1000).await.unwrap();
        let again = self.import(legacy, files).await;
        assert_eq!(again.changes(), 0, "{again:#?}");
        assert_eq!(self.store.audit(Id::NEW, 1000).await.unwrap(), audit);
    }
}

fn notes(report: &ImportReport) -> Vec<String> {
    let note = |note: &mrp_core::import::ImportNote| {
        let id = note.id.map(|id| id.to_string()).unwrap_or_default();
        format!("{} {id} {}: {}: {}", note.table, note.field, note.reason, note.done)
    };
    report.notes.iter().map(note).collect()
}

fn user(id: i64, name: &str) -> LegacyUser {
    LegacyUser {
        id,
        name: name.into(),
        email: format!("{id}@example.org"),
        password: Some(Secret::new(HASH)),
        ..LegacyUser::default()
    }
}

fn image(id: i64, name: &str) -> LegacyImage {
    LegacyImage { id, name: name.into(), kind: "Kernel".into(), arch: 1, ..LegacyImage::default() }
}

fn machine(id: i64, name: &str) -> LegacyMachine {
    LegacyMachine { id, name: name.into(), arch: 1, ..LegacyMachine::default() }
}

fn interface(id: i64, machine: i64, mac: &str) -> LegacyInterface {
    LegacyInterface { id, machine: Some(machine), mac: mac.into(), ..LegacyInterface::default() }
}

fn arch() -> Vec<LegacyArch> {
    vec![LegacyArch { id: 1, name: "arm64".into(), description: None }]
}

/// A lab without anything odd.
fn lab() -> (Legacy, Files) {
    let kernel = image(11, "alice/linux.0a1b2c3d");
    let legacy = Legacy {
        users: vec![user(5, "root"), user(7, "alice")],
        tokens: vec![LegacyToken { id: 3, user: Some(7), token: Secret::new("TOK"), description: None }],
        archs: arch(),
        images: vec![LegacyImage { owner: Some(7), ..kernel }],
        subarchs: vec![LegacySubarch { id: 2, name: "efi".into(), arch: 1, ..LegacySubarch::default() }],
        answer_files: vec![LegacyAnswerFile {
            id: 4,
            name: "debian".into(),
            kind: "preseed".into(),
            content: Some("{{ hostname }}".into()),
            owner: Some(7),
            ..LegacyAnswerFile::default()
        }],
        bmcs: vec![LegacyBmc {
            id: 6,
            name: "bmc-6".into(),
            address: "10.1.0.6".into(),
            password: Some(Secret::new("secret of the BMC")),
            driver: Some("plain".into()),
            ..LegacyBmc::default()
        }],
        networks: vec![LegacyNetwork {
            id: 8,
            name: "lab".into(),
            subnet: "10.0.0.0/24".into(),
            reserved_net: Some("10.0.0.64/26".into()),
            static_net: None,
        }],
        machines: vec![LegacyMachine {
            kernel: Some(11),
            answer_file: Some(4),
            bmc: Some(6),
            subarch: Some(2),
            netboot: Some(true),
            kernel_options: Some("quiet".into()),
            state: Some("ready".into()),
            ..machine(40, "node-40")
        }],
        interfaces: vec![LegacyInterface {
            network: Some(8),
            reserved_ipv4: Some("10.0.0.70".into()),
            ..interface(50, 40, "52:54:00:00:00:40")
        }],
        assignments: vec![LegacyAssignment {
            id: 60,
            machine: Some(40),
            user: Some(7),
            reason: "tests".into(),
            since: Timestamp(1000),
        }],
        leases: vec![LegacyLease {
            id: 70,
            mac: "52:54:00:00:00:40".into(),
            ipv4: Some("10.0.0.70".into()),
            last_seen: Timestamp(2000),
        }],
        discovered: vec![LegacyDiscovered {
            id: 80,
            mac: "52:54:00:00:00:80".into(),
            info: json!({"hostname": "new", "arch_code": 11}),
            last_seen: Timestamp(3000),
        }],
        events: vec![LegacyEvent {
            id: 90,
            machine: Some(40),
            user: Some("alice".into()),
            at: Timestamp(4000),
            kind: 2,
            info: json!({"power": "on"}),
        }],
        others: Vec::new(),
    };
    (legacy, Files(HashMap::from([("alice/linux.0a1b2c3d".to_owned(), b"kernel".to_vec())])))
}

#[tokio::test]
async fn everything_comes_over_under_its_id() {
    let (target, (legacy, files)) = (Target::new().await, lab());
    let rehearsal =
        target.mrp.imports().mr_provisioner(&Actor::system(), &legacy, &files, true).await.unwrap();
    assert_eq!(target.store.users().await.unwrap(), []);
    let report = target.import(&legacy, &files).await;
    assert_eq!(ImportReport { dry_run: false, ..rehearsal }, report, "a dry run says what would be done");
    assert_eq!(report.changes(), 15);
    let store = &target.store;
    let found = store.machine(Id::new(40)).await.unwrap().unwrap();
    assert_eq!((found.kernel, found.netboot), (Some(Id::new(11)), Netboot::ByHand));
    assert_eq!((found.state, found.bmc), (MachineState::Ready, Some(Id::new(6))));
    let image = store.image(Id::new(11)).await.unwrap().unwrap();
    assert_eq!((&*image.file_name, image.size, image.owner), ("linux", 6, Some(Id::new(7))));
    let bmc = store.bmc(Id::new(6)).await.unwrap().unwrap();
    assert_eq!(target.key.open(&bmc.sealed_password).unwrap().expose(), "secret of the BMC");
    let interfaces = store.interfaces(Id::new(40)).await.unwrap();
    assert_eq!(interfaces[0].addressing, Addressing::Reserved("10.0.0.70".parse().unwrap()));
    assert_eq!(target.mrp.users().authenticate("TOK").await.unwrap().name, "alice");
    let lease = store.lease("52:54:00:00:00:40".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(lease.last_seen, Timestamp(2000));
    assert_eq!(store.discovered().await.unwrap()[0].client_arch, Some(11));
    let events = store.events(&EventFilter::default()).await.unwrap();
    assert_eq!((&*events[0].actor, &*events[0].text, events[0].at), ("alice", "power on", Timestamp(4000)));
    target.settled(&legacy, &files).await;
    let new = NewUser {
        name: "new".into(),
        email: String::new(),
        password: Secret::new("long enough"),
        admin: false,
        ssh_keys: String::new(),
    };
    assert_eq!(target.mrp.users().create(&Actor::system(), new).await.unwrap().id, Id::new(8));
}

#[tokio::test]
async fn what_mrp_has_changed_stays_and_what_is_new_there_comes() {
    let (target, (mut legacy, mut files)) = (Target::new().await, lab());
    target.import(&legacy, &files).await;
    // Changed in mr-provisioner alone: it comes.
    legacy.machines[0].kernel_options = Some("debug".into());
    legacy.bmcs[0].password = Some(Secret::new("another"));
    let report = target.import(&legacy, &files).await;
    assert_eq!(report.changes(), 2, "{report:#?}");
    let machine = target.store.machine(Id::new(40)).await.unwrap().unwrap();
    assert_eq!(machine.kernel_options.as_deref(), Some("debug"));
    target.settled(&legacy, &files).await;
    // Changed in mrp: it stays, whatever mr-provisioner says.
    let mut changed = machine.clone();
    changed.kernel_options = Some("mine".into());
    target.store.update_machine(&changed, &Default::default()).await.unwrap();
    legacy.machines[0].kernel_options = Some("theirs".into());
    // Removed in mrp: it does not come back.
    let assignment = target.store.all_assignments().await.unwrap().remove(0);
    let machine = target.store.machine(Id::new(40)).await.unwrap().unwrap();
    target.store.end_assignment(assignment.id, &machine, &Default::default()).await.unwrap();
    target
        .store
        .delete_discovered("52:54:00:00:00:80".parse().unwrap(), &mrp_core::event::Journal::default())
        .await
        .unwrap();
    // Removed in mr-provisioner: it is not removed here.
    legacy.tokens.clear();
    // New in mr-provisioner.
    legacy.machines.push(crate::machine(41, "node-41"));
    legacy.images.push(image(12, "alice/linux.00000000"));
    files.0.insert("alice/linux.00000000".into(), b"another kernel".to_vec());
    legacy.leases[0].last_seen = Timestamp(9000);
    legacy.events.push(LegacyEvent { id: 91, machine: Some(41), kind: 7, ..LegacyEvent::default() });
    let report = target.import(&legacy, &files).await;
    assert_eq!(report.changes(), 4, "{report:#?}");
    assert_eq!(
        notes(&report),
        [
            "machine 40 kernel_opts: changed in mrp since the last import: mrp's values are kept",
            "machine_users 60 : removed in mrp since the last import: not brought again",
            "token 3 : removed in mr-provisioner since the last import: kept in mrp",
        ]
    );
    let machine = target.store.machine(Id::new(40)).await.unwrap().unwrap();
    assert_eq!(machine.kernel_options.as_deref(), Some("mine"));
    assert_eq!(target.store.discovered().await.unwrap(), []);
    target.settled(&legacy, &files).await;
}

#[tokio::test]
async fn a_file_that_is_missing_comes_with_the_next_import() {
    let (target, (legacy, files)) = (Target::new().await, lab());
    let report = target.import(&legacy, &Files::default()).await;
    assert_eq!(
        notes(&report),
        [
            "image 11 filename: its file is missing: not brought",
            "machine 40 kernel_id: image 11 is not in mrp: cleared",
        ]
    );
    assert_eq!(target.store.machine(Id::new(40)).await.unwrap().unwrap().kernel, None);
    let empty = Files(HashMap::from([("alice/linux.0a1b2c3d".to_owned(), Vec::new())]));
    let report = target.import(&legacy, &empty).await;
    assert_eq!(notes(&report)[0], "image 11 filename: its file is empty: not brought");
    let report = target.import(&legacy, &files).await;
    assert_eq!((report.changes(), notes(&report)), (2, Vec::new()));
    assert_eq!(target.store.machine(Id::new(40)).await.unwrap().unwrap().kernel, Some(Id::new(11)));
    target.settled(&legacy, &files).await;
}

#[tokio::test]
async fn what_mrp_made_itself_stands_for_what_has_the_same_name() {
    let (target, (mut legacy, files)) = (Target::new().await, lab());
    target.mrp.users().first_admin().await.unwrap();
    let arm = target.mrp.archs().create(&Actor::system(), "arm64", "mrp's own").await.unwrap();
    legacy.users = vec![user(1, "root"), user(2, "admin"), user(7, "alice")];
    legacy.archs[0].id = 9;
    for machine in &mut legacy.machines {
        machine.arch = 9;
    }
    legacy.images[0].arch = 9;
    legacy.subarchs[0].arch = 9;
    let report = target.import(&legacy, &files).await;
    assert_eq!(
        notes(&report),
        [
            "user 1 id: another object of mrp has this id: brought as 8",
            "user 2 : is in mrp already, as 1: mrp's is kept and stands for it",
            "arch 9 : is in mrp already, as 1: mrp's is kept and stands for it",
        ]
    );
    let names: Vec<_> = target.store.users().await.unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["admin", "alice", "root"]);
    assert_eq!(target.store.machine(Id::new(40)).await.unwrap().unwrap().arch, arm.id);
    assert_eq!(target.store.archs().await.unwrap(), [arm]);
    target.settled(&legacy, &files).await;
}

#[tokio::test]
async fn whatever_does_not_fit_is_listed() {
    let long = "x".repeat(300);
    let odd = Legacy {
        users: vec![
            LegacyUser { password: None, ssh_key: None, admin: None, ..user(1, "über admin") },
            LegacyUser { password: Some(Secret::new("plain text")), ldap: Some(true), ..user(2, &long) },
            LegacyUser { email: "a\u{1b}[31m@b".into(), ..user(3, "-") },
        ],
        tokens: vec![
            LegacyToken { id: 1, user: None, token: Secret::new("A"), description: None },
            LegacyToken { id: 2, user: Some(99), token: Secret::new("B"), description: None },
            LegacyToken { id: 3, user: Some(1), token: Secret::new("C"), description: Some(long.clone()) },
        ],
        archs: arch(),
        images: vec![
            image(1, "../../etc/passwd"),
            LegacyImage { kind: "DTB".into(), ..image(2, "a/ok") },
            LegacyImage { arch: 77, ..image(3, "a/ok3") },
            LegacyImage { owner: Some(66), ..image(4, "a/ok4") },
        ],
        answer_files: vec![
            LegacyAnswerFile { id: 1, name: "n".into(), kind: "preseed".into(), ..Default::default() },
            LegacyAnswerFile { id: 2, name: "cloud".into(), kind: "cloud-init".into(), ..Default::default() },
            LegacyAnswerFile {
                id: 3,
                name: "big".into(),
                kind: "kickstart".into(),
                content: Some("x".repeat((2 << 20) + 1)),
                ..Default::default()
            },
        ],
        bmcs: vec![
            LegacyBmc {
                id: 1,
                name: "v".into(),
                address: "10.1.1.1".into(),
                driver: Some("libvirt".into()),
                privilege: Some("root".into()),
                ..Default::default()
            },
            LegacyBmc { id: 2, name: "none".into(), address: " ".into(), ..Default::default() },
        ],
        networks: vec![
            LegacyNetwork { id: 1, name: "a".into(), subnet: "10.0.0.0/16".into(), ..Default::default() },
            LegacyNetwork { id: 2, name: "b".into(), subnet: "10.0.9.0/24".into(), ..Default::default() },
            LegacyNetwork { id: 3, name: "c".into(), subnet: "2001:db8::/64".into(), ..Default::default() },
            LegacyNetwork {
                id: 4,
                name: "d".into(),
                subnet: "10.9.0.0/16".into(),
                static_net: Some("10.8.0.0/24".into()),
                reserved_net: None,
            },
        ],
        machines: vec![
            LegacyMachine {
                kernel: Some(2),
                bmc: Some(9),
                state: Some("burning".into()),
                ..machine(1, &long)
            },
            LegacyMachine { others: vec![("pdu", "pdu-7".into())], ..machine(2, "a\nb") },
            LegacyMachine { arch: 5, ..machine(3, "no-arch") },
            LegacyMachine {
                kernel_options: Some("y".repeat(1100)),
                state: Some("provisioning".into()),
                ..machine(4, "m4")
            },
        ],
        interfaces: vec![
            interface(1, 1, "52:54:00:aa:00:01"),
            interface(2, 1, "52:54:00:AA:00:01"),
            interface(3, 1, "nonsense"),
            interface(4, 3, "52:54:00:aa:00:04"),
            LegacyInterface { machine: None, ..interface(5, 1, "52:54:00:aa:00:05") },
            LegacyInterface { static_ipv4: Some("10.0.0.1".into()), ..interface(6, 1, "52:54:00:aa:00:06") },
            LegacyInterface {
                network: Some(1),
                static_ipv4: Some("10.0.0.7".into()),
                reserved_ipv4: Some("10.0.0.8".into()),
                ..interface(7, 1, "52:54:00:aa:00:07")
            },
            LegacyInterface {
                network: Some(1),
                reserved_ipv4: Some("10.0.0.7".into()),
                ..interface(8, 1, "52:54:00:aa:00:08")
            },
        ],
        assignments: vec![LegacyAssignment {
            id: 1,
            machine: Some(1),
            user: Some(1),
            reason: "r".repeat(200),
            since: Timestamp(0),
        }],
        leases: vec![LegacyLease {
            id: 1,
            mac: "52:54:00:aa:00:01".into(),
            ipv4: None,
            last_seen: Timestamp(1),
        }],
        discovered: vec![LegacyDiscovered {
            id: 1,
            mac: "52:54:00:aa:00:01".into(),
            info: json!(null),
            last_seen: Timestamp(1),
        }],
        events: vec![
            LegacyEvent { id: 1, machine: Some(1), kind: 1, ..Default::default() },
            LegacyEvent { id: 2, machine: Some(3), kind: 2, ..Default::default() },
            LegacyEvent {
                id: 3,
                machine: Some(1),
                kind: 8,
                info: json!({"filename": "a\u{7}"}),
                ..Default::default()
            },
        ],
        others: vec![("audit_log".into(), 4)],
        ..Legacy::default()
    };
    let files = Files(HashMap::from([
        ("a/ok".to_owned(), b"1".to_vec()),
        ("a/ok3".to_owned(), b"3".to_vec()),
        ("a/ok4".to_owned(), b"4".to_vec()),
    ]));
    let target = Target::new().await;
    let report = target.import(&odd, &files).await;
    let expected = include_str!("import/odd.txt");
    assert_eq!(
        notes(&report).join("\n").replace(&long, "x…").replace(&long[..200], "x…"),
        expected.trim_end()
    );
    target.settled(&odd, &files).await;
    let machines = target.store.machines(&MachineFilter::default()).await.unwrap();
    assert_eq!(machines.iter().map(|machine| machine.id.get()).collect::<Vec<_>>(), [1, 2, 4]);
    for machine in machines {
        machine.validate().unwrap();
    }
}
