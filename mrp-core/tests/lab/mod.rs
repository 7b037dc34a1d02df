//! A lab without a socket: the service on SQLite, a clock that is moved by hand, and BMCs with faults on demand.

#![allow(dead_code, reason = "each test file uses its part of the lab")]
#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mrp_core::answer_file::{AnswerFileId, AnswerFileKind};
use mrp_core::blob::Blob;
use mrp_core::bmc::{Drivers, Privilege};
use mrp_core::boot::Transport;
use mrp_core::clock::ManualClock;
use mrp_core::dhcp::Neighbours;
use mrp_core::event::{Event, EventKind, Journal};
use mrp_core::id::{Id, Timestamp};
use mrp_core::image::{Image, ImageKind};
use mrp_core::mac::MacAddr;
use mrp_core::machine::{Machine, MachineId, Netboot};
use mrp_core::run::{Run, RunId, StageKind};
use mrp_core::secret::{Secret, ServerKey};
use mrp_core::service::Builder;
use mrp_core::service::answer_files::AnswerFileChange;
use mrp_core::service::archs::SubarchSpec;
use mrp_core::service::bmcs::BmcSpec;
use mrp_core::service::boot::{BootContent, BootFile, BootRequest, TransferReport};
use mrp_core::service::discovery::Seen;
use mrp_core::service::images::NewImage;
use mrp_core::service::machines::Settings;
use mrp_core::service::runs::StartRun;
use mrp_core::store::{EventFilter, EventStore, Page, UserStore};
use mrp_core::user::User;
use mrp_core::{Actor, Error, Provisioner};
use mrp_store::{ConsoleLimits, FsBlobs, FsConsoles, SqlStore};
use tempfile::TempDir;

pub(crate) mod bmc;
pub(crate) mod renderer;
pub(crate) mod serial;

use bmc::FakeBmc;

pub(crate) const BMC_PASSWORD: &str = "the password of the BMC";
pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

pub(crate) struct Lab {
    pub(crate) mrp: Provisioner,
    pub(crate) store: SqlStore,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) admin: Actor,
    pub(crate) alice: Actor,
    pub(crate) bob: Actor,
    folder: TempDir,
    /// The URL of a PostgreSQL database; SQLite in the folder without it.
    database: Option<String>,
    key: ServerKey,
    pub(crate) arch: mrp_core::arch::ArchId,
    pub(crate) loader: Image,
}

/// A machine with what it boots.
pub(crate) struct Node {
    pub(crate) id: MachineId,
    pub(crate) name: String,
    pub(crate) mac: MacAddr,
    pub(crate) ip: Ipv4Addr,
    pub(crate) kernel: Image,
    pub(crate) initrd: Image,
    pub(crate) answer_file: AnswerFileId,
    pub(crate) bmc: FakeBmc,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::on(None).await
    }

    /// A lab on a PostgreSQL database.
    pub(crate) async fn on(database: Option<String>) -> Self {
        let folder = TempDir::new().unwrap();
        let key = ServerKey::generate();
        let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
        let (builder, store) = builder(&folder, database.as_deref(), &key, &clock).await;
        let mrp = builder.build().await.unwrap();
        let mut actors = Vec::new();
        for (name, admin) in [("root", true), ("alice", false), ("bob", false)] {
            actors.push(Actor::from(&add_user(&store, name, admin).await));
        }
        let [admin, alice, bob] = actors.try_into().unwrap();
        let arch = mrp.archs().create(&admin, "x86_64", "").await.unwrap();
        let loader = upload(&mrp, &admin, "bootx64.efi", ImageKind::BootLoader, true).await;
        let (name, bootloader) = ("efi".to_owned(), Some(loader.id));
        let spec = SubarchSpec { name, description: String::new(), bootloader, efi_boot: true };
        mrp.archs().create_subarch(&admin, arch.id, spec).await.unwrap();
        Self { mrp, store, clock, admin, alice, bob, folder, database, key, arch: arch.id, loader }
    }

    /// Ends the service and starts another on the same database.
    pub(crate) async fn restart(&mut self) {
        self.mrp.shutdown().await;
        self.store.close().await;
        let (builder, store) = self.builder().await;
        (self.mrp, self.store) = (builder.build().await.unwrap(), store);
    }

    /// Another server on the same database, without background work.
    pub(crate) async fn beside(&self) -> Provisioner {
        self.beside_with(mrp_core::Settings::default()).await
    }

    pub(crate) async fn beside_with(&self, settings: mrp_core::Settings) -> Provisioner {
        let (builder, _) = self.builder().await;
        builder.settings(settings).quiet().build().await.unwrap()
    }

    /// A server on the same database, to be built.
    pub(crate) async fn builder(&self) -> (Builder, SqlStore) {
        builder(&self.folder, self.database.as_deref(), &self.key, &self.clock).await
    }

    /// Another admin.
    pub(crate) async fn admin_named(&self, name: &str) -> Actor {
        Actor::from(&add_user(&self.store, name, true).await)
    }

    /// The record of consoles in a folder of another server.
    pub(crate) fn consoles(&self, server: &str) -> FsConsoles {
        FsConsoles::open(&self.folder.path().join(server), ConsoleLimits::default()).unwrap()
    }

    /// The key that servers share.
    pub(crate) fn key(&self) -> &ServerKey {
        &self.key
    }

    /// The folder of images, opened beside the service.
    pub(crate) async fn blobs(&self) -> FsBlobs {
        FsBlobs::open(&self.folder.path().join("images")).await.unwrap()
    }

    pub(crate) fn wait(&self, minutes: u64) {
        self.clock.advance(Duration::from_secs(minutes * 60));
    }

    /// A machine that alice holds, behind a BMC, with kernel, initrd and answer file of alice's.
    pub(crate) async fn node(&self, name: &str) -> Node {
        let node = self.bare_node(name, true).await;
        self.mrp.assignments().assign(&self.admin, node.id, "alice", "tests", None).await.unwrap();
        node
    }

    pub(crate) async fn bare_node(&self, name: &str, with_bmc: bool) -> Node {
        let (mrp, admin) = (&self.mrp, &self.admin);
        let number = mrp.machines().list(admin, true, None, Page::default()).await.unwrap().len() as u8 + 1;
        let bmc = FakeBmc::new();
        let mut machine = Machine::new(name, self.arch);
        if with_bmc {
            let entry = mrp.bmcs().create(admin, bmc_spec(&format!("bmc of {name}"), &bmc)).await.unwrap();
            machine.bmc = Some(entry.id);
        }
        let machine = mrp.machines().create(admin, machine, Some("efi")).await.unwrap().machine;
        let mac = MacAddr([0x52, 0x54, 0, 0, 0, number]);
        mrp.interfaces().create(admin, machine.id, mac, Some("eth0".into()), None).await.unwrap();
        let kernel = upload(mrp, &self.alice, &format!("vmlinuz-{name}"), ImageKind::Kernel, false).await;
        let initrd = upload(mrp, &self.alice, &format!("initrd-{name}"), ImageKind::Initrd, false).await;
        let content = "d-i late_command string wget {{ phone_home_url }}\n".to_owned();
        let change = AnswerFileChange { content: Some(Some(content)), ..AnswerFileChange::default() };
        let file_name = format!("debian for {name}");
        let files = mrp.answer_files();
        let file = files.create(&self.alice, file_name, AnswerFileKind::Preseed, change).await.unwrap();
        let settings = Settings {
            kernel: Some(Some(kernel.id)),
            initrd: Some(Some(initrd.id)),
            answer_file: Some(Some(file.answer_file.id)),
            kernel_options: Some("console=ttyS0".into()),
            ..Settings::default()
        };
        mrp.machines().set(admin, machine.id, settings).await.unwrap();
        let ip = Ipv4Addr::new(10, 0, 0, 100 + number);
        let answer_file = file.answer_file.id;
        Node { id: machine.id, name: name.into(), mac, ip, kernel, initrd, answer_file, bmc }
    }

    pub(crate) async fn machine(&self, node: &Node) -> Machine {
        self.mrp.machines().get(&self.admin, node.id).await.unwrap().machine
    }

    pub(crate) async fn run(&self, id: RunId) -> Run {
        self.mrp.runs().get(&self.admin, id).await.unwrap()
    }

    /// A run of alice's whose machine has been powered.
    pub(crate) async fn started(&self, node: &Node) -> Run {
        let run = self.mrp.runs().start(&self.alice, node.id, StartRun::default()).await.unwrap();
        self.until("the machine is powered", async || {
            let power = self.run(run.id).await.stage(StageKind::Power).cloned();
            power.is_some_and(|power| power.detail.is_some())
        })
        .await;
        self.run(run.id).await
    }

    /// Waits for something that happens in the background.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        for _ in 0..2000 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never came that {what}");
    }

    /// Firmware asks for an address, gets it, and fetches its boot loader.
    pub(crate) async fn firmware(&self, node: &Node) {
        self.seen(node, Some(7)).await;
        self.mrp.discovery().lease(node.mac, node.ip, Some(true)).await.unwrap();
        let file = self.fetch(node, "bootx64.efi").await.unwrap();
        self.transferred(&file, 1, 1).await;
    }

    pub(crate) async fn seen(&self, node: &Node, client_arch: Option<u16>) {
        let seen = Seen { mac: node.mac, hostname: None, client_arch, discover: true };
        assert!(self.mrp.discovery().seen(seen).await.unwrap());
    }

    /// An operating system asks for an address.
    pub(crate) async fn system(&self, node: &Node) {
        self.seen(node, None).await;
    }

    /// The boot loader's configuration.
    pub(crate) async fn config(&self, node: &Node) -> String {
        text(self.fetch(node, &format!("grub/01-{}", node.mac.dashed())).await.unwrap())
    }

    pub(crate) async fn fetch(&self, node: &Node, path: &str) -> Result<BootFile, Error> {
        self.fetch_from(node.ip, path).await
    }

    pub(crate) async fn fetch_from(&self, client: Ipv4Addr, path: &str) -> Result<BootFile, Error> {
        let (client, path) = (IpAddr::V4(client), path.to_owned());
        self.mrp.boot().file(&BootRequest { client, local: LOCAL, path, transport: Transport::Tftp }).await
    }

    pub(crate) async fn transferred(&self, file: &BootFile, bytes: u64, total: u64) {
        let detail = "blksize 1468".to_owned();
        let report =
            TransferReport { bytes, total, over: true, detail, bytes_per_second: 1_000_000, tftp: None };
        self.mrp.boot().transferred(&file.transfer, report).await.unwrap();
    }

    /// The whole of an image.
    pub(crate) async fn fetch_image(&self, node: &Node, image: &Image) {
        let file = self.fetch(node, &image.name).await.unwrap();
        let BootContent::Blob(Blob { len, .. }) = &file.content else { panic!("an image is a blob") };
        assert_eq!(*len, image.size);
        self.transferred(&file, image.size, image.size).await;
    }

    /// From firmware to the answer file; the boot token.
    pub(crate) async fn install(&self, node: &Node) -> String {
        self.firmware(node).await;
        let token = token(&self.config(node).await);
        self.fetch_image(node, &node.kernel).await;
        self.fetch_image(node, &node.initrd).await;
        self.system(node).await;
        let client = IpAddr::V4(node.ip);
        let text = self.mrp.boot().answer_file(node.id, Some(&token), client, LOCAL).await.unwrap();
        assert!(text.contains(&format!("/phone-home/{token}")), "{text}");
        token
    }

    pub(crate) async fn phone_home(&self, node: &Node, token: &str) -> Result<(), Error> {
        self.mrp.boot().phone_home(token, true, None, IpAddr::V4(node.ip)).await
    }

    pub(crate) async fn netboot(&self, node: &Node) -> Netboot {
        self.machine(node).await.netboot
    }

    pub(crate) async fn events(&self, node: &Node) -> Vec<Event> {
        let filter = EventFilter { machine: Some(node.id), ..EventFilter::default() };
        self.store.events(&filter).await.unwrap()
    }

    pub(crate) async fn texts(&self, node: &Node, kind: EventKind) -> Vec<String> {
        let events = self.events(node).await;
        events.into_iter().filter(|event| event.kind == kind).map(|event| event.text).collect()
    }

    /// Everything that events and audit say, as JSON.
    pub(crate) async fn journal(&self) -> String {
        let events = self.store.events(&EventFilter::default()).await.unwrap();
        let audit = self.store.audit(Id::NEW, 10_000).await.unwrap();
        serde_json::to_string(&(events, audit)).unwrap()
    }
}

async fn builder(
    folder: &TempDir,
    database: Option<&str>,
    key: &ServerKey,
    clock: &Arc<ManualClock>,
) -> (Builder, SqlStore) {
    let store = match database {
        Some(url) => SqlStore::open_postgres(url).await.unwrap(),
        None => SqlStore::open_sqlite(&folder.path().join("mrp.db")).await.unwrap(),
    };
    let blobs = FsBlobs::open(&folder.path().join("images")).await.unwrap();
    let consoles = FsConsoles::open(&folder.path().join("consoles"), ConsoleLimits::default()).unwrap();
    let builder = Provisioner::builder()
        .store(store.clone())
        .blobs(blobs)
        .console_record(consoles)
        .bmc_drivers(Drivers::new().with::<FakeBmc>())
        .renderer(renderer::PlainRenderer)
        .neighbours(StrangersCable)
        .clock(clock.clone())
        .key(key.clone());
    (builder, store)
}

/// An address behind which the kernel sees a network card of no machine.
pub(crate) const CABLED_STRANGER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 8);

#[derive(Debug)]
struct StrangersCable;

impl Neighbours for StrangersCable {
    fn mac(&self, address: IpAddr) -> Option<MacAddr> {
        (address == IpAddr::V4(CABLED_STRANGER)).then_some(MacAddr([0x52, 0x54, 0, 0xff, 0xff, 1]))
    }
}

/// Hashing a password takes its time; users who never log in have none.
async fn add_user(store: &SqlStore, name: &str, admin: bool) -> User {
    let user = User {
        id: Id::NEW,
        revision: 0,
        name: name.into(),
        email: String::new(),
        admin,
        password_hash: String::new(),
        ssh_keys: format!("ssh-ed25519 {name}"),
    };
    store.insert_user(&user, &Journal::default()).await.unwrap()
}

pub(crate) fn bmc_spec(name: &str, bmc: &FakeBmc) -> BmcSpec {
    BmcSpec {
        name: name.into(),
        address: bmc.address(),
        driver: "fake".into(),
        username: "admin".into(),
        password: Some(Secret::new(BMC_PASSWORD)),
        privilege: Privilege::Operator,
        options: serde_json::Map::new(),
    }
}

pub(crate) async fn upload(
    mrp: &Provisioner,
    actor: &Actor,
    name: &str,
    kind: ImageKind,
    public: bool,
) -> Image {
    let mut upload = mrp.images().upload(actor).await.unwrap();
    upload.write(Bytes::from(format!("content of {name}"))).await.unwrap();
    let new = NewImage { kind, arch: "x86_64".into(), description: None, known_good: false, public };
    upload.finish(new, name).await.unwrap().image
}

pub(crate) fn text(file: BootFile) -> String {
    match file.content {
        BootContent::Text(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        BootContent::Blob(_) => panic!("a configuration is a text"),
    }
}

/// The boot token in a configuration.
pub(crate) fn token(config: &str) -> String {
    let (_, rest) = config.split_once("/preseed/").unwrap_or_else(|| panic!("no URL in {config}"));
    rest.split(['/', ' ']).nth(1).unwrap().to_owned()
}

pub(crate) fn forbidden<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Forbidden(_))), "{what}: {result:?}");
}

/// The words of a refusal.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("it is refused").to_string()
}
