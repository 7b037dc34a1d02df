//! The rows that mr-provisioner's recorded answers started from, in the same order, so that they get the same ids.

use bytes::Bytes;
use mrp_core::answer_file::{AnswerFile, AnswerFileKind};
use mrp_core::arch::{Arch, Subarch};
use mrp_core::blob::BlobStore;
use mrp_core::bmc::Privilege;
use mrp_core::bmc_entry::BmcEntry;
use mrp_core::event::Journal;
use mrp_core::id::{Id, Timestamp};
use mrp_core::image::{Image, ImageKind};
use mrp_core::lease::Lease;
use mrp_core::machine::{Addressing, Assignment, Interface, Machine, MachineState, Netboot};
use mrp_core::network::Network;
use mrp_core::secret::ServerKey;
use mrp_core::store::{ArchStore, BmcStore, ImageStore, MachineStore, NetworkStore, TokenStore, UserStore};
use mrp_core::token::{Scope, Token, TokenKind};
use mrp_core::user::User;
use mrp_store::{FsBlobs, SqlStore};
use sha2::{Digest as _, Sha256};

const DEBIAN: &str = "d-i netcfg/get_hostname string {{ hostname }}
{% for i in interfaces %}iface {{i.name}} {{i.static_ipv4}}/{{i.prefix}} {{i.netmask}} {{i.mac}}
{% endfor %}key {{ ssh_key }}
kernel {{ kernel.filename if kernel }} opts {{ kernel_options }}
";
/// 1 May 2018, 10:20:30 UTC.
const UPLOADED: Timestamp = Timestamp(1_525_170_030_000);
/// 1 June 2018, 01:02:03 UTC.
const LEASED: Timestamp = Timestamp(1_527_814_923_500);
const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// The rows in a database in memory.
pub(super) async fn made() -> super::Kept {
    let (folder, key) = (tempfile::tempdir().unwrap(), ServerKey::generate());
    let store = SqlStore::in_memory().await.unwrap();
    rows(&store, &FsBlobs::open(folder.path()).await.unwrap(), &key).await;
    super::Kept { store, folder, key }
}

async fn rows(store: &SqlStore, blobs: &FsBlobs, key: &ServerKey) {
    users(store).await;
    archs(store).await;
    images(store, blobs).await;
    subarchs(store).await;
    answer_files(store).await;
    bmcs(store, key).await;
    machines(store).await;
    networks(store).await;
    interfaces(store).await;
    for machine in [1, 4, 5] {
        let reason = if machine == 1 { "testing" } else { "" }.to_owned();
        let (machine, user) = (Id::new(machine), Id::new(2));
        let row = Assignment { id: Id::NEW, revision: 0, machine, user, reason, since: NOW, until: None };
        store.insert_assignment(&row, &Journal::default()).await.unwrap();
    }
}

async fn users(store: &SqlStore) {
    for (name, token) in [("admin", super::ADMIN), ("alice", super::ALICE), ("bob", super::BOB)] {
        let keys = if name == "admin" { String::new() } else { format!("ssh-ed25519 AAAA{name} {name}") };
        let user = User {
            id: Id::NEW,
            revision: 0,
            name: name.into(),
            email: format!("{name}@example.com"),
            admin: name == "admin",
            password_hash: "nobody knows it".into(),
            ssh_keys: keys,
        };
        let user = store.insert_user(&user, &Journal::default()).await.unwrap();
        let token = Token {
            id: Id::NEW,
            user: user.id,
            hash: hex::encode(Sha256::digest(token.as_bytes())),
            kind: TokenKind::Api,
            scope: Scope::Admin,
            description: "t".into(),
            created: NOW,
            expires: None,
            last_used: None,
        };
        store.insert_token(&token, &Journal::default()).await.unwrap();
    }
}

async fn archs(store: &SqlStore) {
    for (name, description) in [("arm64", "64-bit ARM"), ("x86_64", "amd64")] {
        let arch = Arch { id: Id::NEW, revision: 0, name: name.into(), description: description.into() };
        store.insert_arch(&arch, &Journal::default()).await.unwrap();
    }
}

async fn images(store: &SqlStore, blobs: &FsBlobs) {
    use ImageKind::{BootLoader, Initrd, Kernel};
    for (name, description, kind, owner, known_good, public, uploaded, content) in [
        ("admin/grubaa64.efi.00", "boot loader", BootLoader, None, true, true, NOW, &b"loader"[..]),
        ("alice/linux.11", "alice kernel", Kernel, Some(2), true, false, UPLOADED, super::KERNEL),
        ("alice/initrd.22", "alice initrd", Initrd, Some(2), true, false, UPLOADED, b"initrd"),
        ("bob/linux.33", "bob private kernel", Kernel, Some(3), false, false, NOW, b"bob's"),
        ("bob/linux.44", "bob public kernel", Kernel, Some(3), false, true, NOW, b"public"),
    ] {
        let mut writer = blobs.create().await.unwrap();
        writer.write(Bytes::from_static(content)).await.unwrap();
        let (digest, size) = writer.finish().await.unwrap();
        let file = name.split('/').next_back().unwrap();
        let image = Image {
            id: Id::NEW,
            revision: 0,
            name: name.into(),
            file_name: file.rsplit_once('.').unwrap().0.into(),
            kind,
            arch: Id::new(1),
            owner: owner.map(Id::new),
            description: Some(description.into()),
            known_good,
            public,
            digest,
            size,
            uploaded,
        };
        store.insert_image(&image, &Journal::default()).await.unwrap();
    }
}

async fn subarchs(store: &SqlStore) {
    for (name, description, arch, bootloader) in [("efi", "UEFI", 1, Some(1)), ("bios", "BIOS", 2, None)] {
        let subarch = Subarch {
            id: Id::NEW,
            revision: 0,
            arch: Id::new(arch),
            name: name.into(),
            description: description.into(),
            bootloader: bootloader.map(Id::new),
            efi_boot: name == "efi",
        };
        store.insert_subarch(&subarch, &Journal::default()).await.unwrap();
    }
}

async fn answer_files(store: &SqlStore) {
    use AnswerFileKind::{Autoyast, Kickstart, Preseed};
    for (name, description, kind, content, owner, known_good, public) in [
        ("debian", "alice preseed", Preseed, DEBIAN, 2, true, false),
        ("bobs", "bob private", Kickstart, "x {{ undefined_thing.foo }}", 3, false, false),
        ("bad", "syntax error", Preseed, "a\n{% if %}", 2, false, true),
        ("undef", "undefined var", Autoyast, "v={{ nosuch }} ks={{ ssh_keys|length }}", 2, false, true),
    ] {
        let file = AnswerFile {
            id: Id::NEW,
            revision: 0,
            name: name.into(),
            kind,
            description: Some(description.into()),
            content: Some(content.into()),
            owner: Some(Id::new(owner)),
            known_good,
            public,
            saved: NOW,
            saved_by: "admin".into(),
        };
        store.insert_answer_file(&file, &Journal::default()).await.unwrap();
    }
}

async fn bmcs(store: &SqlStore, key: &ServerKey) {
    for (name, address, driver) in
        [("sim", "127.0.0.1", "plain"), ("dead", "127.0.0.99", "plain"), ("ms", "127.0.0.98", "moonshot")]
    {
        let entry = BmcEntry {
            id: Id::NEW,
            revision: 0,
            name: name.into(),
            address: address.into(),
            driver: driver.into(),
            username: "admin".into(),
            sealed_password: key.seal(&super::bmc_password()),
            privilege: Privilege::Admin,
            options: serde_json::Map::new(),
        };
        store.insert_bmc(&entry, &Journal::default()).await.unwrap();
    }
}

async fn machines(store: &SqlStore) {
    let named = |name: &str, arch, subarch: Option<i64>, bmc: Option<i64>| {
        let mut machine = Machine::new(name, Id::new(arch));
        (machine.subarch, machine.bmc) = (subarch.map(Id::new), bmc.map(Id::new));
        machine
    };
    let mut first = named("lab.node-1", 1, Some(1), Some(1));
    (first.kernel, first.initrd, first.answer_file) = (Some(Id::new(2)), Some(Id::new(3)), Some(Id::new(1)));
    first.kernel_options = Some("console=ttyAMA0".into());
    (first.netboot, first.state) = (Netboot::ByHand, MachineState::Ready);
    let mut fifth = named("node5-ms", 2, None, Some(3));
    (fifth.kernel_options, fifth.answer_file, fifth.bmc_info) = (None, Some(Id::new(3)), "4".into());
    let mut sixth = named("node6", 1, Some(1), None);
    (sixth.kernel_options, sixth.answer_file, sixth.netboot) = (None, Some(Id::new(4)), Netboot::ByHand);
    for machine in [
        first,
        named("node2", 1, None, Some(1)),
        named("node3-nobmc", 2, Some(2), None),
        named("node4-deadbmc", 1, Some(1), Some(2)),
        fifth,
        sixth,
    ] {
        store.insert_machine(&machine, &Journal::default()).await.unwrap();
    }
}

async fn networks(store: &SqlStore) {
    for (name, subnet, reserved, fixed) in [
        ("lab", "10.101.0.0/16", Some("10.101.16.0/20"), Some("10.101.32.0/20")),
        ("tiny", "10.102.0.0/24", Some("10.102.0.8/31"), None),
        ("bare", "10.103.0.0/24", None, None),
    ] {
        let network = Network {
            id: Id::NEW,
            revision: 0,
            name: name.into(),
            subnet: subnet.parse().unwrap(),
            static_net: fixed.map(|net| net.parse().unwrap()),
            reserved_net: reserved.map(|net| net.parse().unwrap()),
            server_url: None,
            trust_path_mac: true,
        };
        store.insert_network(&network, &Journal::default()).await.unwrap();
    }
}

async fn interfaces(store: &SqlStore) {
    let reserved = Addressing::Reserved("10.101.16.5".parse().unwrap());
    let fixed = Addressing::Static("10.101.32.7".parse().unwrap());
    for (number, identifier, machine, network, addressing) in [
        (1, Some("eth0"), 1, Some(1), reserved),
        (2, Some("eth1"), 1, Some(1), fixed),
        (3, Some("eth0"), 2, Some(2), Addressing::Dynamic),
        (4, None, 3, None, Addressing::Dynamic),
        (5, Some("eth2"), 1, Some(3), Addressing::Dynamic),
        (6, Some("eth0"), 6, None, Addressing::Dynamic),
    ] {
        let interface = Interface {
            id: Id::NEW,
            revision: 0,
            machine: Id::new(machine),
            mac: format!("52:54:00:00:00:0{number}").parse().unwrap(),
            identifier: identifier.map(str::to_owned),
            network: network.map(Id::new),
            addressing,
        };
        store.insert_interface(&interface, &Journal::default()).await.unwrap();
    }
    let mac = "52:54:00:00:00:01".parse().unwrap();
    let lease = Lease { mac, ipv4: "10.101.16.5".parse().unwrap(), last_seen: LEASED };
    store.put_lease(&lease, &Journal::default()).await.unwrap();
}
