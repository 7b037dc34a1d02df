//! The only file that names concrete stores, drivers and backends: wires them by configuration, for `serve`, `demo`
//! and `doctor` alike.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mrp_bmc::{IpmiBmc, MoonshotBmc};
use mrp_core::blob::BlobStore;
use mrp_core::bmc::Drivers;
use mrp_core::dhcp::{DhcpBackend, NoDhcpBackend};
use mrp_core::import::{Legacy, LegacyFiles};
use mrp_core::secret::{Secret, ServerKey};
use mrp_core::service::cluster::Cluster;
use mrp_core::store::Store;
use mrp_core::{Provisioner, Settings};
use mrp_netboot::boot_source::BootSource;
use mrp_netboot::dnsmasq::DnsmasqBackend;
use mrp_netboot::neighbours::KernelNeighbours;
use mrp_netboot::observer::{ObserverConfig, ObserverHandle};
use mrp_netboot::render::MiniRenderer;
use mrp_netboot::tftp::{TftpConfig, TftpHandle, TftpServer};
use mrp_netboot::vendors::IeeeVendors;
use mrp_redfish::RedfishBmc;
use mrp_store::{ConsoleLimits, FsBlobs, FsConsoles, ImageFolder, MrProvisioner, PostgresState, SqlStore};
use mrp_web::{Listener, MachineConfig, PeopleConfig, Tls, Web};

use crate::config::{Config, DhcpKind, ImageStoreKind, Role, TlsMode};
use crate::key_file;
use crate::peers::HttpPeers;
use crate::plugins;
use crate::port::{Protocol, taken};

/// How long a BMC stays with a server of several that has died. What is watched goes on within 15 seconds, with the time
/// to notice and to open the console anew.
const LEASE: Duration = Duration::from_secs(10);

/// The BMC drivers of this program; a site's own binary adds its drivers here.
pub fn drivers() -> Drivers {
    Drivers::new().with::<IpmiBmc>().with::<MoonshotBmc>().with::<RedfishBmc>()
}

/// Where a server's files lie: below its data folder, but for the images, which may be elsewhere.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
    images: PathBuf,
}

impl Files {
    /// The files of a configuration.
    pub fn of(config: &Config) -> Self {
        let folder = config.server.data_dir.clone();
        let images = config.images.dir.clone().unwrap_or_else(|| folder.join("images"));
        Self { folder, images }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.folder.join("mrp.db")
    }

    /// Images by content; several servers on one database share them.
    pub fn images(&self) -> &Path {
        &self.images
    }

    /// What consoles showed.
    pub fn consoles(&self) -> PathBuf {
        self.folder.join("consoles")
    }

    /// The server's key: seals BMC passwords, signs boot tokens.
    pub fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// This server's name among several on one database.
    pub fn server_id(&self) -> PathBuf {
        self.folder.join("server-id")
    }

    /// Password of the first admin.
    pub fn admin_password(&self) -> PathBuf {
        self.folder.join("admin-password")
    }

    /// Self-made certificate and its private key.
    pub fn certificate(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("certificate.pem"), self.folder.join("certificate-key.pem"))
    }

    /// Host file for dnsmasq.
    pub fn dnsmasq_hosts(&self, config: &Config) -> PathBuf {
        config.dhcp.dnsmasq_hosts.clone().unwrap_or_else(|| self.folder.join("dnsmasq/hosts"))
    }

    /// Held by the server that serves from this folder.
    pub fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }

    fn create(&self) -> Result<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.with_context(|| self.not_writable())
    }

    /// Keeps every server out of the folder while the file is held: two would both drive its runs.
    pub fn claim(&self) -> Result<File> {
        self.create()?;
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.lock());
        let mut file = opened.with_context(|| self.not_writable())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = io::read_to_string(&file).unwrap_or_default();
                bail!(
                    "another mrp (pid {}) serves from the data folder {}; stop it, or set server.data_dir",
                    pid.trim(),
                    self.folder.display()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| self.not_writable()),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(file)
    }

    /// What to say where it cannot be written.
    pub fn not_writable(&self) -> String {
        let folder = self.folder.display();
        format!(
            "data folder {folder}: this user may not write it; set server.data_dir (MRP_SERVER__DATA_DIR) to a folder that it may"
        )
    }
}

/// A server that is about to serve.
#[derive(Debug)]
pub struct Server {
    /// The service.
    pub provisioner: Provisioner,
    /// People's HTTP, for the role `api`.
    pub web: Option<Web>,
    /// Machines' HTTP, for the role `netboot`.
    pub machine_web: Option<Web>,
    /// The door for other servers on the same database.
    pub peer_web: Option<Web>,
    /// TFTP, unless it is off or could not be had.
    pub tftp: Option<TftpHandle>,
    /// The observer of DHCP, unless it is off or may not listen.
    pub observer: Option<ObserverHandle>,
    /// What cannot be done, and how to grant it.
    pub warnings: Vec<String>,
    /// The first admin's password, if this was the first start.
    pub first_password: Option<Secret>,
    /// Keeps other servers out of the data folder.
    lock: File,
}

/// The database alone: for `doctor`.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(open_database(config).await?))
}

/// The images of a configuration.
pub async fn open_blobs(config: &Config) -> Result<Arc<dyn BlobStore>> {
    match config.images.store {
        ImageStoreKind::Folder => {
            let files = Files::of(config);
            let folder = files.images();
            let opened = FsBlobs::open(folder).await;
            Ok(Arc::new(opened.with_context(|| format!("image folder {}", folder.display()))?))
        }
        ImageStoreKind::S3 => open_bucket(config).await,
    }
}

#[cfg(not(feature = "s3"))]
#[allow(clippy::unused_async, reason = "a build with S3 waits for it")]
async fn open_bucket(_config: &Config) -> Result<Arc<dyn BlobStore>> {
    bail!("images.store = \"s3\": this mrp was built without S3; build it with --features s3")
}

#[cfg(feature = "s3")]
async fn open_bucket(config: &Config) -> Result<Arc<dyn BlobStore>> {
    let images = &config.images;
    let read = |path: &PathBuf| -> Result<(String, Secret)> {
        let text = fs::read_to_string(path).with_context(|| format!("images.key_file {}", path.display()))?;
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        match lines.as_slice() {
            [id, secret] => Ok(((*id).to_owned(), Secret::new(*secret))),
            _ => {
                bail!("images.key_file {}: two lines are needed, the key's id and its secret", path.display())
            }
        }
    };
    mrp_tls::install_provider();
    let bucket = mrp_store::S3Config {
        endpoint: images.endpoint.clone(),
        region: images.region.clone(),
        bucket: images.bucket.clone(),
        credentials: images.key_file.as_ref().map(read).transpose()?,
        cache: Files::of(config).folder().join("image-cache"),
        cache_bytes: u64::from(images.cache_gb) * 1_000_000_000,
    };
    let opened = mrp_store::S3Blobs::open(&bucket).await;
    Ok(Arc::new(opened.with_context(|| format!("images.bucket {}", images.bucket))?))
}

/// The service without its background work: for commands on the machine itself, beside a server that may be running.
pub async fn quiet_provisioner(config: &Config, drivers: Drivers) -> Result<Provisioner> {
    Ok(builder(config, drivers).await?.quiet().build().await?)
}

async fn open_database(config: &Config) -> Result<SqlStore> {
    let Some(url) = &config.database.url else {
        let path = Files::of(config).database();
        let opened = SqlStore::open_sqlite(&path).await;
        return opened.with_context(|| format!("database {}", path.display()));
    };
    let opened = match database_password(config)? {
        Some(password) => SqlStore::open_postgres_with(url.expose(), &password).await,
        None => SqlStore::open_postgres(url.expose()).await,
    };
    opened.context("database.url")
}

/// What is in the PostgreSQL database of a configuration, if it has one: for `doctor`, which changes nothing.
pub async fn examine_postgres(config: &Config) -> Result<Option<PostgresState>> {
    let Some(url) = &config.database.url else { return Ok(None) };
    let password = database_password(config)?;
    let state = SqlStore::examine_postgres(url.expose(), password.as_ref()).await;
    state.map(Some).context("database.url")
}

fn database_password(config: &Config) -> Result<Option<Secret>> {
    let Some(path) = &config.database.password_file else { return Ok(None) };
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("database.password_file {}", path.display()))?;
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
}

/// This server among others on the same PostgreSQL database.
fn cluster(config: &Config) -> Result<Cluster> {
    let files = Files::of(config);
    let id = match &config.server.id {
        Some(id) => id.clone(),
        None => server_id(&files.server_id())?,
    };
    let key = key_file::read(&files.key())?;
    let key = key.with_context(|| format!("key file {} is missing", files.key().display()))?;
    let peers = HttpPeers::new(key).context("the way to other servers")?;
    Ok(Cluster {
        id,
        url: config.server.url.clone().unwrap_or_default(),
        drives_bmcs: config.server.does(Role::Bmc),
        lease: LEASE,
        peers: Arc::new(peers),
    })
}

/// The name of the server with this data folder, made at the first start.
fn server_id(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(anyhow::Error::new(error).context(path.display().to_string()))
        }
        _ => {
            let id = format!("mrp-{}", hex::encode(mrp_core::secret::random_bytes::<6>()));
            fs::write(path, format!("{id}\n")).with_context(|| path.display().to_string())?;
            Ok(id)
        }
    }
}

/// What an import writes to.
#[derive(Debug)]
pub struct ImportTarget {
    /// The service, without its background work.
    pub provisioner: Provisioner,
    /// Keeps servers out of the data folder while the import writes.
    _lock: Option<File>,
    _rehearsal: Option<Rehearsal>,
}

/// An empty data folder that goes away.
#[derive(Debug)]
struct Rehearsal(PathBuf);

impl Drop for Rehearsal {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary folder could not be removed");
        }
    }
}

/// The service for an import. A dry run reads what is there; where there is nothing yet, it makes nothing.
pub async fn import_target(config: &Config, drivers: Drivers, dry_run: bool) -> Result<ImportTarget> {
    let files = Files::of(config);
    let (drivers, _) = plugins::add_to(config, drivers).await?;
    if !dry_run {
        let lock = files.claim()?;
        let provisioner = quiet_provisioner(config, drivers).await?;
        return Ok(ImportTarget { provisioner, _lock: Some(lock), _rehearsal: None });
    }
    let mut config = config.clone();
    let is_there = match examine_postgres(&config).await? {
        Some(postgres) => postgres.schema.is_some(),
        None => files.database().exists(),
    };
    let rehearsal = if is_there {
        None
    } else {
        let folder = std::env::temp_dir().join(format!("mrp-import-{}", std::process::id()));
        config.server.data_dir.clone_from(&folder);
        config.database.url = None;
        Some(Rehearsal(folder))
    };
    let provisioner = quiet_provisioner(&config, drivers).await?;
    Ok(ImportTarget { provisioner, _lock: None, _rehearsal: rehearsal })
}

/// Reads mr-provisioner's database.
pub async fn mr_provisioner(url: &Secret, password: Option<&Secret>, time_zone: &str) -> Result<Legacy> {
    Ok(MrProvisioner::at(url, password)?.read(time_zone).await?)
}

/// mr-provisioner's image files.
pub fn mr_provisioner_files(folder: &Path) -> Result<impl LegacyFiles + use<>> {
    ImageFolder::open(folder.to_owned()).with_context(|| format!("image folder {}", folder.display()))
}

async fn builder(config: &Config, drivers: Drivers) -> Result<mrp_core::service::Builder> {
    let files = Files::of(config);
    files.create()?;
    let store = open_database(config).await?;
    let blobs = open_blobs(config).await?;
    let renderer = MiniRenderer::new(config.boot.templates.clone()).context("boot.templates")?;
    // The very program that runs, also where its file was replaced.
    let renderer = renderer.isolated(vec!["/proc/self/exe".into(), "render-worker".into()]);
    let dhcp: Arc<dyn DhcpBackend> = match config.dhcp.backend {
        // Kea's hook fetches what it needs.
        DhcpKind::None | DhcpKind::Kea => Arc::new(NoDhcpBackend),
        DhcpKind::Dnsmasq => {
            Arc::new(DnsmasqBackend::new(files.dnsmasq_hosts(config), config.dhcp.dnsmasq_reload.clone()))
        }
    };
    let settings = Settings {
        run: config.run_limits(),
        machine_http_port: config.machine.listen.port(),
        next_server: config.boot.next_server,
        default_bootfile: config.boot.default_bootfile.clone(),
        dns: config.boot.dns,
        preseed_sources: config.machine.preseed_from.clone(),
        session: config.web.session.0,
        retention: config.retention.into(),
        upload_expiry: config.images.upload_expiry.0,
        governor: config.bmc.limits(),
        polling: config.bmc.polling(),
        console: config.console.into(),
    };
    let limits =
        ConsoleLimits { bytes: u64::from(config.console.kept_mb) * 1_000_000, age: config.console.kept.0 };
    let consoles = FsConsoles::open(&files.consoles(), limits);
    let consoles = consoles.with_context(|| format!("console folder {}", files.consoles().display()))?;
    let key = key_file::in_force(&files.key(), &store).await?;
    Ok(Provisioner::builder()
        .store(store)
        .shared_blobs(blobs)
        .console_record(consoles)
        .bmc_drivers(drivers)
        .dhcp(dhcp)
        .renderer(renderer)
        .neighbours(KernelNeighbours)
        .vendors(IeeeVendors::default())
        .key(key)
        .settings(settings))
}

impl Server {
    /// Binds every door and builds the service. What needs a privilege that is missing becomes a warning.
    pub async fn start(config: &Config, drivers: Drivers) -> Result<Self> {
        let mut config = config.clone();
        let files = Files::of(&config);
        let lock = files.claim()?;
        // All doors before the service: a server that cannot serve picks up no runs.
        let netboot = config.server.does(Role::Netboot);
        let machine_listener = match netboot {
            true => Some(listen("machine.listen", config.machine.listen, None).await?),
            false => None,
        };
        let web_listener = match config.server.does(Role::Api) {
            true => Some(listen("web.listen", config.web.listen, tls(&config)?).await?),
            false => None,
        };
        let peer_listener = match &config.server.url {
            Some(_) => Some(listen("server.peer_listen", config.server.peer_listen, None).await?),
            None => None,
        };
        let (drivers, mut warnings) = plugins::add_to(&config, drivers).await?;
        let tftp = if netboot { bind_tftp_or_warn(&config, &mut warnings)? } else { None };
        // The port stands in the URLs that the service makes.
        if let Some(listener) = &machine_listener {
            config.machine.listen = listener.local_addr();
        }
        let machines = MachineConfig {
            dhcp_from: config.machine.dhcp_from.clone(),
            token: config.machine.token_file.as_deref().map(read_token).transpose()?,
        };
        let mut builder = builder(&config, drivers).await?;
        if config.database.url.is_some() {
            builder = builder.cluster(cluster(&config)?);
        }
        let provisioner = builder.build().await?;
        let first_password = provisioner.users().first_admin().await?;
        if let Some(password) = &first_password {
            key_file::write_secret(&files.admin_password(), password)?;
        } else {
            forget_old_password(&files.admin_password(), &provisioner).await?;
        }
        let tftp = match tftp {
            Some(server) => {
                Some(server.start(BootSource::new(provisioner.clone())).context("starting TFTP")?)
            }
            None => None,
        };
        let observer = if netboot { observe_or_warn(&config, &provisioner, &mut warnings)? } else { None };
        let metrics =
            (tftp.as_ref().map(TftpHandle::metrics), observer.as_ref().map(ObserverHandle::metrics));
        let people = PeopleConfig {
            metrics_from: config.web.metrics_from.clone(),
            extra_metrics: Some(Arc::new(move || {
                let (tftp, dhcp) = &metrics;
                let tftp = tftp.as_ref().map(ToString::to_string).unwrap_or_default();
                tftp + &dhcp.as_ref().map(ToString::to_string).unwrap_or_default()
            })),
        };
        let web = web_listener.map(|door| door.serve_people(provisioner.clone(), people));
        let machine_web = machine_listener.map(|door| door.serve_machines(provisioner.clone(), machines));
        let peer_web = peer_listener.map(|door| door.serve_peers(provisioner.clone()));
        Ok(Self { provisioner, web, machine_web, peer_web, tftp, observer, warnings, first_password, lock })
    }

    /// Serves until told to stop, then ends cleanly: transfers and requests in flight get a moment, BMC sessions are closed.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let wait = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let doors = [self.web, self.machine_web, self.peer_web].into_iter().flatten();
        let doors: Vec<_> = doors.map(|door| tokio::spawn(door.run(wait(stopped.clone())))).collect();
        shutdown.await;
        let _ = stop.send(true);
        for door in doors {
            if let Err(error) = door.await {
                tracing::error!(%error, "a server task failed");
            }
        }
        drop(self.observer);
        if let Some(tftp) = self.tftp {
            tftp.stop().await;
        }
        self.provisioner.shutdown().await;
        drop(self.lock);
    }
}

async fn listen(key: &str, address: SocketAddr, tls: Option<Tls>) -> Result<Listener> {
    Web::listen(address, tls).await.map_err(|error| {
        let cause = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        let kind = cause.map_or(ErrorKind::Other, io::Error::kind);
        taken(key, Protocol::Tcp, address, kind)
            .unwrap_or_else(|| anyhow::Error::new(error).context(key.to_owned()))
    })
}

/// Binds the TFTP port as it is configured.
pub fn bind_tftp(config: &Config) -> io::Result<TftpServer> {
    TftpServer::bind(TftpConfig {
        listen: config.tftp.listen,
        max_windowsize: config.tftp.max_windowsize,
        max_blksize: Some(config.tftp.max_blksize).filter(|size| *size > 0),
        max_transfers: config.tftp.max_transfers,
        max_transfers_per_client: config.tftp.max_transfers_per_client,
        ..TftpConfig::default()
    })
}

fn bind_tftp_or_warn(config: &Config, warnings: &mut Vec<String>) -> Result<Option<TftpServer>> {
    if !config.tftp.enabled {
        return Ok(None);
    }
    let address = config.tftp.listen;
    match bind_tftp(config) {
        Ok(server) => {
            warnings.extend(server.receive_buffer_warning());
            Ok(Some(server))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            warnings
                .push(format!("TFTP is off: this user may not listen on {address}. {}", how_to_grant_tftp()));
            Ok(None)
        }
        Err(error) => Err(taken("tftp.listen", Protocol::Udp, address, error.kind())
            .unwrap_or_else(|| anyhow::Error::new(error).context(format!("tftp.listen {address}")))),
    }
}

fn observe_or_warn(
    config: &Config,
    provisioner: &Provisioner,
    warnings: &mut Vec<String>,
) -> Result<Option<ObserverHandle>> {
    let (interfaces, servers) = (config.dhcp.observe.clone(), config.dhcp.servers.clone());
    if interfaces.as_ref().is_some_and(Vec::is_empty) {
        return Ok(None);
    }
    match ObserverHandle::start(ObserverConfig { interfaces, servers }, provisioner.clone()) {
        Ok(observer) => Ok(Some(observer)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            warnings.push(format!(
                "DHCP is not observed: this user may not listen to the network. {}",
                how_to_grant_observer()
            ));
            Ok(None)
        }
        Err(error) => Err(error).context("dhcp.observe"),
    }
}

/// What lets an ordinary user listen on port 69.
pub fn how_to_grant_tftp() -> String {
    format!("{}; or set tftp.listen to a port above 1023", how_to_grant())
}

/// What lets an ordinary user listen to DHCP.
pub fn how_to_grant_observer() -> String {
    format!("{}; or set dhcp.observe = []", how_to_grant())
}

fn how_to_grant() -> String {
    let program = std::env::current_exe().map_or_else(|_| "mrp".into(), |path| path.display().to_string());
    format!(
        "Grant it: sudo setcap cap_net_bind_service,cap_net_admin,cap_net_raw+ep {program}; or use docs/systemd/mrp.service"
    )
}

/// The certificate of people's HTTP, as it is configured; made if it is to be self-made and is not there.
pub fn tls(config: &Config) -> Result<Option<Tls>> {
    Ok(match (config.web.tls, &config.web.certificate, &config.web.private_key) {
        (TlsMode::Off, _, _) => None,
        (TlsMode::Files, Some(certificate), Some(key)) => {
            Some(Tls::from_files(certificate, key).context("web.certificate and web.private_key")?)
        }
        (TlsMode::Files, _, _) => bail!("web.tls = \"files\" needs web.certificate and web.private_key"),
        (TlsMode::SelfMade, _, _) => {
            let (certificate, key) = Files::of(config).certificate();
            Some(Tls::self_made(&certificate, &key)?)
        }
    })
}

/// The server's key, if there is one already.
pub fn existing_key(config: &Config) -> Result<Option<ServerKey>> {
    key_file::read(&Files::of(config).key())
}

/// Seals all secrets with a new key, which no server may use meanwhile; tells its file and how many.
pub async fn rotate_key(config: &Config) -> Result<(PathBuf, usize)> {
    let files = Files::of(config);
    let _lock = files.claim()?;
    let store = open_store(config).await?;
    let resealed = key_file::rotate(&files.key(), &*store).await?;
    Ok((files.key(), resealed))
}

fn read_token(path: &Path) -> Result<Secret> {
    let text = fs::read_to_string(path).with_context(|| format!("machine.token_file {}", path.display()))?;
    let token = text.trim();
    if token.len() < 16 {
        bail!("machine.token_file {}: at least 16 characters are needed", path.display());
    }
    Ok(Secret::new(token))
}

/// Says on a terminal what a first start made.
pub fn greet(server: &Server, files: &Files) {
    let address = |door: &Option<Web>| door.as_ref().map(Web::local_addr);
    let (people, machines) = (address(&server.web), address(&server.machine_web));
    let peers = address(&server.peer_web);
    tracing::info!(?people, ?machines, ?peers, tftp = ?server.tftp.as_ref().map(TftpHandle::local_addr), "serving");
    for warning in &server.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(password) = &server.first_password {
        let path = files.admin_password();
        tracing::info!("first start: user admin was made; its password is in {}", path.display());
        if std::io::stderr().is_terminal() {
            eprintln!("\nFirst start. Log in as admin with the password {}\n", password.expose());
        }
    }
}

/// Removes the file with the first password once that is admin's no longer: nobody is to try it.
async fn forget_old_password(path: &Path, provisioner: &Provisioner) -> Result<()> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(()) };
    let password = Secret::new(text.trim_end());
    if !provisioner.users().has_password("admin", password).await? {
        fs::remove_file(path).with_context(|| path.display().to_string())?;
        tracing::info!("{} was removed: admin has another password", path.display());
    }
    Ok(())
}
