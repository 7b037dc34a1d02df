//! The server: its configuration, its threads, its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Handle;

use super::listener::{Listener, Opener};
use super::metrics::TftpMetrics;
use super::socket::{ListenSocket, RECEIVE_BUFFER};
use super::source::Source;
use super::stop::{Stop, Waker};
use super::table::Table;
use super::worker::{Mailbox, Shared, Worker};

/// Threads that move data, unless configured: more only help beyond a few Gbit/s.
const MAX_THREADS: usize = 4;
/// Descriptors that a transfer needs: its socket and its file.
const DESCRIPTORS: u64 = 2;
/// Descriptors left to the rest of the process.
const RESERVED_DESCRIPTORS: u64 = 128;

/// Configuration of a TFTP server.
#[derive(Debug, Clone)]
pub struct TftpConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// Largest window in blocks.
    pub max_windowsize: u16,
    /// Largest block in bytes; none keeps blocks within one packet of the path.
    pub max_blksize: Option<u16>,
    /// Transfers at once.
    pub max_transfers: usize,
    /// Transfers at once of one client's address.
    pub max_transfers_per_client: usize,
    /// Threads that move data; none is one for each processor, up to four.
    pub threads: Option<usize>,
    /// How long the source may take to open a file.
    pub open_timeout: Duration,
}

impl Default for TftpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 69)),
            max_windowsize: 64,
            max_blksize: None,
            max_transfers: 4096,
            max_transfers_per_client: 64,
            threads: None,
            open_timeout: Duration::from_secs(30),
        }
    }
}

/// A server that has its port and does not answer yet.
#[derive(Debug)]
pub struct TftpServer {
    config: TftpConfig,
    socket: ListenSocket,
    local_addr: SocketAddr,
}

/// A running server. Dropped, it stops on its own time; [`TftpHandle::stop`] waits for it.
#[derive(Debug)]
pub struct TftpHandle {
    local_addr: SocketAddr,
    metrics: TftpMetrics,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl TftpServer {
    /// Takes the port, and as many file descriptors as the process may have.
    pub fn bind(config: TftpConfig) -> io::Result<Self> {
        let socket = ListenSocket::bind(config.listen)?;
        let local_addr = socket.as_socket().local_addr()?;
        raise_descriptor_limit(config.max_transfers);
        Ok(Self { config, socket, local_addr })
    }

    /// The address and port that the server has.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What the kernel's limit on receive buffers means for bursts of clients, and how to raise it.
    pub fn receive_buffer_warning(&self) -> Option<String> {
        let granted = self.socket.receive_buffer();
        (granted < RECEIVE_BUFFER).then(|| {
            format!(
                "TFTP has a receive buffer of {} kB, so requests of many machines that start at once get lost and are \
                 repeated after a second or more. Grant cap_net_admin (README.md, Privileges), or: \
                 sudo sysctl net.core.rmem_max={RECEIVE_BUFFER}",
                granted >> 10
            )
        })
    }

    /// Starts to answer, on threads of its own; the source is asked on the current tokio runtime.
    ///
    /// # Errors
    /// Outside a tokio runtime, and if the system grants no threads.
    pub fn start(self, source: impl Source) -> io::Result<TftpHandle> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let Self { config, socket, local_addr } = self;
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let workers = config.threads.unwrap_or(processors.min(MAX_THREADS)).max(1);
        let listen_waker = Waker::new()?;
        let mut wakers = (0..workers).map(|_| Waker::new()).collect::<io::Result<Vec<_>>>()?;
        let mailboxes: Vec<_> = wakers.iter().cloned().map(Mailbox::new).collect();
        wakers.push(Arc::clone(&listen_waker));
        let (metrics, stop) = (TftpMetrics::default(), Stop::new(wakers));
        let shared = Arc::new(Shared {
            source,
            metrics: metrics.clone(),
            max_windowsize: config.max_windowsize,
            max_blksize: config.max_blksize,
            start: Instant::now(),
            stop: Arc::clone(&stop),
        });
        let opener = Opener::new(Arc::clone(&shared), mailboxes.clone(), runtime, config.open_timeout);
        let table = Table::new(config.max_transfers, config.max_transfers_per_client);
        let listener = Listener::new(socket, listen_waker, table, opener)?;
        let mut handle = TftpHandle { local_addr, metrics, stop, threads: Vec::new() };
        for (index, mailbox) in mailboxes.into_iter().enumerate() {
            let worker = Worker::new(Arc::clone(&shared), mailbox)?;
            handle.threads.push(spawn(format!("tftp-{index}"), || worker.run())?);
        }
        handle.threads.push(spawn("tftp-listen".into(), || listener.run())?);
        Ok(handle)
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name).spawn(run)
}

impl TftpHandle {
    /// The address and port that the server has.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The server's counters.
    pub fn metrics(&self) -> TftpMetrics {
        self.metrics.clone()
    }

    /// Tells the clients of transfers under way, and waits until all threads have ended.
    pub async fn stop(mut self) {
        self.stop.tell();
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            let panicked = threads.into_iter().filter_map(|thread| thread.join().err()).count();
            if panicked > 0 {
                tracing::error!(panicked, "TFTP threads had panicked");
            }
        });
        if joined.await.is_err() {
            tracing::error!("the end of the TFTP threads could not be awaited");
        }
    }
}

impl Drop for TftpHandle {
    fn drop(&mut self) {
        self.stop.tell();
    }
}

/// Raises the soft limit to the hard one, if the transfers may need it.
fn raise_descriptor_limit(max_transfers: usize) {
    let needed = (max_transfers as u64).saturating_mul(DESCRIPTORS).saturating_add(RESERVED_DESCRIPTORS);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let raised = hard.min(needed.max(soft));
    if raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_err() || raised < needed {
        tracing::warn!(
            "{max_transfers} TFTP transfers at once may need {needed} open files, but {raised} are allowed; \
             raise LimitNOFILE or lower tftp.max_transfers"
        );
    }
}
