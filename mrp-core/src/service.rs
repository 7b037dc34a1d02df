//! The whole product without a socket. Each use case is one method that takes an [`Actor`](crate::actor::Actor), checks the
//! rule, does the work, writes the event in the same transaction, and answers a typed result.
//!
//! The parts, one file a noun: [`users`], [`logins`], [`tokens`], [`archs`], [`bmcs`], [`networks`], [`machines`], [`interfaces`],
//! [`assignments`], [`images`], [`uploads`], [`answer_files`], [`power`], [`polling`], [`runs`], [`boot`], [`discovery`], [`kea`],
//! [`consoles`], [`events`], [`audit`], [`keys`].

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::blob::BlobStore;
use crate::bmc::{Bmc, Drivers};
use crate::bmc_entry::BmcId;
use crate::clock::{Clock, SystemClock};
use crate::console::{ConsoleRecord, ConsoleSettings, NoRecord};
use crate::dhcp::{DhcpBackend, Neighbours, NoDhcpBackend, NoNeighbours};
use crate::error::Error;
use crate::governor::{self, Governed};
use crate::id::Timestamp;
use crate::mac::{MacAddr, NoVendors, Vendors};
use crate::machine::MachineId;
use crate::render::{NoRenderer, Renderer};
use crate::retention::Retention;
use crate::run::{RunId, RunLimits};
use crate::secret::ServerKey;
use crate::store::Store;

pub mod answer_files;
pub mod archs;
pub mod assignments;
pub mod audit;
pub mod bmcs;
pub mod boot;
pub mod cluster;
pub mod consoles;
pub mod discovery;
mod elsewhere;
pub mod events;
pub mod expected;
pub mod images;
pub mod import;
pub mod interfaces;
mod journal;
pub mod kea;
pub mod keys;
pub mod logins;
pub mod machines;
pub mod networks;
mod observed;
pub mod polling;
pub mod power;
mod references;
mod retention;
pub mod runs;
pub mod tokens;
pub mod uploads;
pub mod users;

/// What a site configures of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Deadlines of runs.
    pub run: RunLimits,
    /// Port of the machines' HTTP, for URLs that are built on the address that a machine asked.
    pub machine_http_port: u16,
    /// TFTP server for DHCP answers (`next-server`); by default none is told.
    pub next_server: Option<IpAddr>,
    /// Boot file for machines whose subarch has none, in the old Kea hook's contract.
    pub default_bootfile: String,
    /// Name server to put into installers' kernel options.
    pub dns: Option<IpAddr>,
    /// Sources, beside the machine itself, that may read an answer file by `/preseed/<machine id>` alone.
    pub preseed_sources: Vec<ipnet::IpNet>,
    /// How long a login lasts.
    pub session: Duration,
    /// How long the history is kept.
    pub retention: Retention,
    /// How long an upload without progress is kept.
    pub upload_expiry: Duration,
    /// How much is asked of one BMC.
    pub governor: governor::Limits,
    /// Polling of power in the background; none without.
    pub polling: Option<polling::Polling>,
    /// When consoles are kept open, and what is recorded of them.
    pub console: ConsoleSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            run: RunLimits::default(),
            machine_http_port: 8081,
            next_server: None,
            default_bootfile: String::new(),
            dns: None,
            preseed_sources: Vec::new(),
            session: Duration::from_secs(12 * 60 * 60),
            retention: Retention::default(),
            upload_expiry: Duration::from_secs(24 * 60 * 60),
            governor: governor::Limits::default(),
            polling: None,
            console: ConsoleSettings::default(),
        }
    }
}

/// Builds a [`Provisioner`]; store and blobs have to be given, the rest has defaults.
#[derive(Debug, Default)]
pub struct Builder {
    store: Option<Arc<dyn Store>>,
    blobs: Option<Arc<dyn BlobStore>>,
    drivers: Drivers,
    dhcp: Option<Arc<dyn DhcpBackend>>,
    renderer: Option<Arc<dyn Renderer>>,
    clock: Option<Arc<dyn Clock>>,
    neighbours: Option<Arc<dyn Neighbours>>,
    vendors: Option<Arc<dyn Vendors>>,
    console_record: Option<Arc<dyn ConsoleRecord>>,
    key: Option<ServerKey>,
    settings: Settings,
    cluster: Option<cluster::Cluster>,
    quiet: bool,
}

impl Builder {
    /// The database.
    #[must_use]
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Where images lie.
    #[must_use]
    pub fn blobs(mut self, blobs: impl BlobStore + 'static) -> Self {
        self.blobs = Some(Arc::new(blobs));
        self
    }

    /// The same for a store that was chosen at run time.
    #[must_use]
    pub fn shared_blobs(mut self, blobs: Arc<dyn BlobStore>) -> Self {
        self.blobs = Some(blobs);
        self
    }

    /// The BMC drivers.
    #[must_use]
    pub fn bmc_drivers(mut self, drivers: Drivers) -> Self {
        self.drivers = drivers;
        self
    }

    /// The site's DHCP server; by default none is steered.
    #[must_use]
    pub fn dhcp(mut self, dhcp: Arc<dyn DhcpBackend>) -> Self {
        self.dhcp = Some(dhcp);
        self
    }

    /// What renders boot configurations and answer files; by default nothing does, and netboot is refused.
    #[must_use]
    pub fn renderer(mut self, renderer: impl Renderer + 'static) -> Self {
        self.renderer = Some(Arc::new(renderer));
        self
    }

    /// The clock; by default the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// What knows the MAC behind an address; by default nothing does.
    #[must_use]
    pub fn neighbours(mut self, neighbours: impl Neighbours + 'static) -> Self {
        self.neighbours = Some(Arc::new(neighbours));
        self
    }

    /// What knows who made a network card; by default nothing does.
    #[must_use]
    pub fn vendors(mut self, vendors: impl Vendors + 'static) -> Self {
        self.vendors = Some(Arc::new(vendors));
        self
    }

    /// Where consoles are recorded; by default nowhere.
    #[must_use]
    pub fn console_record(mut self, record: impl ConsoleRecord + 'static) -> Self {
        self.console_record = Some(Arc::new(record));
        self
    }

    /// The server's key; by default a new one, which opens no BMC secret of an older store.
    #[must_use]
    pub fn key(mut self, key: ServerKey) -> Self {
        self.key = Some(key);
        self
    }

    /// The site's settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// One of several servers on the store's database; by default the only one.
    #[must_use]
    pub fn cluster(mut self, cluster: cluster::Cluster) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Without background work: for a program beside the one that drives the runs.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Builds the service and starts its background work: runs in flight are picked up, deadlines watched.
    pub async fn build(self) -> Result<Provisioner, Error> {
        let store = self.store.ok_or_else(|| Error::invalid("store", "the builder needs one"))?;
        let blobs = self.blobs.ok_or_else(|| Error::invalid("blobs", "the builder needs a blob store"))?;
        let provisioner = Provisioner(Arc::new(Inner {
            store,
            blobs,
            drivers: self.drivers,
            dhcp: self.dhcp.unwrap_or_else(|| Arc::new(NoDhcpBackend)),
            renderer: self.renderer.unwrap_or_else(|| Arc::new(NoRenderer)),
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
            neighbours: self.neighbours.unwrap_or_else(|| Arc::new(NoNeighbours)),
            vendors: self.vendors.unwrap_or_else(|| Arc::new(NoVendors)),
            unknown_dhcp: Mutex::default(),
            last_reports: Mutex::default(),
            console_record: self.console_record.unwrap_or_else(|| Arc::new(NoRecord)),
            consoles: consoles::Broker::default(),
            key: self.key.unwrap_or_else(ServerKey::generate),
            settings: self.settings,
            cluster: self.cluster,
            powering: Mutex::default(),
            taken_proofs: Mutex::default(),
            open_bmcs: Mutex::default(),
            busy: Mutex::default(),
            believed: Mutex::default(),
            refusals: Mutex::default(),
            known_tokens: Mutex::default(),
            hashing: Semaphore::new(HASHES_AT_ONCE),
            dhcp_changes: AtomicU64::default(),
            dhcp_turn: tokio::sync::Mutex::default(),
            kea_reports: tokio::sync::Mutex::default(),
            changed: watch::Sender::new(0),
            tasks: Mutex::default(),
        }));
        if !self.quiet {
            provisioner.claim_images().await?;
            provisioner.tend_content().await?;
            provisioner.join_cluster().await?;
            provisioner.resume().await?;
            provisioner.listen();
            provisioner.start_removing();
            provisioner.start_polling();
            provisioner.start_consoles();
        }
        Ok(provisioner)
    }
}

/// The service. Clones share everything.
#[derive(Debug, Clone)]
pub struct Provisioner(pub(crate) Arc<Inner>);

/// A driver, with the revision of the entry that it was opened with.
pub(crate) type OpenedBmc = (i64, Governed);

/// What all parts of the service share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) drivers: Drivers,
    pub(crate) dhcp: Arc<dyn DhcpBackend>,
    pub(crate) renderer: Arc<dyn Renderer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) neighbours: Arc<dyn Neighbours>,
    pub(crate) vendors: Arc<dyn Vendors>,
    /// What of DHCP belongs to no machine and waits to be told.
    pub(crate) unknown_dhcp: Mutex<observed::Unclaimed>,
    /// The last report of a DHCP server about each client.
    pub(crate) last_reports: Mutex<HashMap<MacAddr, String>>,
    pub(crate) console_record: Arc<dyn ConsoleRecord>,
    /// The consoles that this server holds.
    pub(crate) consoles: consoles::Broker,
    pub(crate) key: ServerKey,
    pub(crate) settings: Settings,
    /// This server among others on the same database.
    pub(crate) cluster: Option<cluster::Cluster>,
    /// Runs whose machine is being powered.
    pub(crate) powering: Mutex<HashSet<RunId>>,
    /// Proofs of peers' requests that were taken.
    pub(crate) taken_proofs: Mutex<cluster::TakenProofs>,
    /// Opened drivers.
    pub(crate) open_bmcs: Mutex<HashMap<BmcId, OpenedBmc>>,
    /// Who is at a machine's BMC with a sequence of commands.
    pub(crate) busy: Mutex<HashMap<MachineId, String>>,
    /// Addresses whose machine is known by the MAC in a path alone.
    pub(crate) believed: Mutex<HashMap<IpAddr, (MachineId, Timestamp)>>,
    /// When a client was last refused something of a machine's.
    pub(crate) refusals: Mutex<HashMap<(MachineId, IpAddr, String), Timestamp>>,
    /// What tokens mean, for seconds.
    pub(crate) known_tokens: Mutex<logins::KnownTokens>,
    /// Password hashes that are calculated at the same time.
    pub(crate) hashing: Semaphore,
    /// Changes of addresses so far.
    pub(crate) dhcp_changes: AtomicU64,
    /// Held while the DHCP server is told the addresses: how many changes it knows.
    pub(crate) dhcp_turn: tokio::sync::Mutex<u64>,
    /// The last report that was taken of each Kea hook.
    pub(crate) kea_reports: tokio::sync::Mutex<kea::Taken>,
    /// Changes with each write of events; followers read the store when it does.
    pub(crate) changed: watch::Sender<u64>,
    tasks: Mutex<Tasks>,
}

/// The tasks of a service.
#[derive(Debug, Default)]
struct Tasks {
    loops: JoinSet<()>,
    sequences: JoinSet<()>,
    /// The service ends: nothing is started any more.
    closed: bool,
}

/// Password hashes that are calculated at the same time: each takes 19 MiB and a processor.
const HASHES_AT_ONCE: usize = 2;
/// How long the end of the service waits for sequences of BMC commands.
const SEQUENCES_PATIENCE: Duration = Duration::from_secs(25);

impl Provisioner {
    /// Starts to build one.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The site's settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The BMC drivers that there are.
    pub fn drivers(&self) -> &Drivers {
        &self.0.drivers
    }

    /// The time, as the service sees it.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Lets sequences of BMC commands come to their end, in bounded time, ends background work and closes BMC sessions.
    /// Runs in flight stay in the store and are picked up by the next start.
    pub async fn shutdown(&self) {
        let (mut loops, mut sequences) = {
            let mut tasks = lock(&self.0.tasks);
            tasks.closed = true;
            (std::mem::take(&mut tasks.loops), std::mem::take(&mut tasks.sequences))
        };
        loops.shutdown().await;
        let all = async { while sequences.join_next().await.is_some() {} };
        if tokio::time::timeout(SEQUENCES_PATIENCE, all).await.is_err() {
            tracing::warn!("commands for BMCs were cut off by the end of the server");
        }
        sequences.shutdown().await;
        self.0.consoles.close().await;
        self.0.console_record.flush().await;
        let open: Vec<_> = lock(&self.0.open_bmcs).drain().collect();
        for (_, (_, bmc)) in open {
            bmc.close().await;
        }
        self.leave_cluster().await;
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    /// Tells followers that there are new events.
    pub(crate) fn announce(&self) {
        self.0.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Starts a task with an end of its own, which the service waits for before it ends. None is started after that.
    pub(crate) fn start_task(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.0.tasks);
        while let Some(ended) = tasks.sequences.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a background task panicked");
            }
        }
        if !tasks.closed {
            tasks.sequences.spawn(task);
        }
    }

    /// Starts a task without an end, which is cut off when the service ends.
    pub(crate) fn start_loop(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.0.tasks).loops.spawn(task);
    }

    /// Starts a sequence that goes on when its caller goes away, and waits for its result.
    pub(crate) async fn run_to_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, result) = tokio::sync::oneshot::channel::<Result<T, Error>>();
        self.start_task(async move {
            let _ = done.send(work.await);
        });
        result.await.unwrap_or_else(|_| {
            if lock(&self.0.tasks).closed {
                return Err(Error::Conflict("the server is shutting down".into()));
            }
            Err(Error::Internal("a sequence panicked".into()))
        })
    }
}

/// Locks a mutex whose data stays valid whatever panicked while holding it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
