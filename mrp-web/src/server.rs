//! The doors: sockets, TLS, limits on slow and many clients, and a clean end.
//!
//! The accept loop is our own, since warp's has no timeout for headers, no limit on connections and no TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::Service as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use mrp_core::Provisioner;
use mrp_core::secret::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use warp::filters::BoxedFilter;

use crate::call::{Peer, State};
use crate::peer;
use crate::reply::Response;
use crate::router::{self, Door};
use crate::stall::Stalling;
use crate::tls::Tls;

/// How long a client may take for the head of a request, and how long a connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long a client may leave an answer unread.
const UNREAD_TIME: Duration = Duration::from_secs(60);
/// Connections of one door at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;
/// Bytes of a connection of HTTP/1 that wait to be read or sent, by the server: a head is as long at most.
const MAX_BUFFER: usize = 64 << 10;
/// How long requests in flight get when the door closes.
const GRACE: Duration = Duration::from_secs(5);

/// A door cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", reason(source))]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has this port; stop it or choose another port",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a port above",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "the system refuses it",
    }
}

/// What a site configures of the door for people and programs.
#[derive(Clone, Default)]
pub struct PeopleConfig {
    /// Sources that may read `/metrics` without a login.
    pub metrics_from: Vec<IpNet>,
    /// More Prometheus text for `/metrics`, asked for at each scrape.
    pub extra_metrics: Option<Arc<dyn Fn() -> String + Send + Sync>>,
}

impl fmt::Debug for PeopleConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeopleConfig").field("metrics_from", &self.metrics_from).finish_non_exhaustive()
    }
}

/// What a site configures of the machines' door.
#[derive(Debug, Clone, Default)]
pub struct MachineConfig {
    /// Sources that may speak for the DHCP server and fetch boot files for others. Loopback stands for all addresses of this host.
    pub dhcp_from: Vec<IpNet>,
    /// The token that lets any other source do so, sent as `X-MRP-Token`.
    pub token: Option<Secret>,
}

/// A bound socket that does not serve yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

/// A door that is about to serve.
pub struct Web {
    listener: Listener,
    state: Arc<State>,
    filter: BoxedFilter<(Response,)>,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Listener {
    /// The address that is listened on; tells the port where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves the API for people and programs.
    pub fn serve_people(self, service: Provisioner, config: PeopleConfig) -> Web {
        self.serve(Door::People, State::new(service, config, MachineConfig::default()))
    }

    /// Serves what machines boot by.
    pub fn serve_machines(self, service: Provisioner, config: MachineConfig) -> Web {
        self.serve(Door::Machines, State::new(service, PeopleConfig::default(), config))
    }

    /// Serves what other servers on the same database ask.
    pub fn serve_peers(self, service: Provisioner) -> Web {
        let state = State::new(service, PeopleConfig::default(), MachineConfig::default());
        let filter = peer::filter(&state);
        Web { listener: self, state, filter }
    }

    fn serve(self, door: Door, state: Arc<State>) -> Web {
        let filter = router::filter(door, &state);
        Web { listener: self, state, filter }
    }
}

impl Web {
    /// Binds a socket; with a certificate it speaks TLS.
    pub async fn listen(address: SocketAddr, tls: Option<Tls>) -> Result<Listener, ListenError> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            Ok(Listener { socket, address, tls })
        };
        bound.await.map_err(|source| ListenError { address, source })
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.address
    }

    /// Serves until told to stop. Then streams end, and requests in flight get a moment.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let Web { listener, state, filter } = self;
        let (graceful, permits) = (GracefulShutdown::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
        let mut connections = JoinSet::new();
        let mut shutdown = Box::pin(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task failed");
                    }
                }
                (stream, permit) = accept(&listener.socket, &permits) => {
                    let door = Connection {
                        tls: listener.tls.clone(),
                        filter: filter.clone(),
                        watcher: graceful.watcher(),
                        stop: state.stop.subscribe(),
                        _permit: permit,
                    };
                    connections.spawn(door.serve(stream));
                }
            }
        }
        drop(listener);
        let _ = state.stop.send(true);
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
        connections.shutdown().await;
        let mut tasks = std::mem::take(&mut *state.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// The next connection, once there is room for it.
async fn accept(socket: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return (stream, permit),
            // The client is gone already, or there are no more file descriptors: both pass.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// What serves one connection.
struct Connection {
    tls: Option<Tls>,
    filter: BoxedFilter<(Response,)>,
    watcher: Watcher,
    stop: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let (Ok(address), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let _ = stream.set_nodelay(true);
        let peer = Peer {
            address: canonical(address),
            local: canonical(local),
            tls: self.tls.is_some(),
            authority: None,
        };
        let Some(tls) = self.tls.clone() else { return self.speak(stream, peer, false).await };
        match tokio::time::timeout(HANDSHAKE_TIME, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.speak(stream, peer, http2).await;
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
        }
    }

    /// Speaks HTTP. The version is known beforehand, since guessing it would wait for bytes without a limit.
    async fn speak<S>(self, stream: S, peer: Peer, http2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let inner = TowerToHyperService::new(warp::service(self.filter));
        let service =
            hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
                let host = request.headers().get(hyper::header::HOST).and_then(|host| host.to_str().ok());
                let authority = host.or(request.uri().authority().map(|authority| authority.as_str()));
                let peer = Peer { authority: authority.map(str::to_owned), ..peer.clone() };
                request.extensions_mut().insert(peer);
                inner.call(request)
            });
        let io = TokioIo::new(Stalling::new(stream, UNREAD_TIME));
        let ended = if http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .keep_alive_interval(Some(HEAD_TIME))
                .keep_alive_timeout(HEAD_TIME)
                .max_concurrent_streams(128);
            self.watcher.watch(builder.serve_connection(io, service)).await
        } else {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(MAX_BUFFER);
            // GRUB understands `Content-Length` in no other case, and reads a file of unknown length to no end.
            builder.title_case_headers(true);
            // The watcher knows no connection that may be upgraded; it is held until this one has ended.
            let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
            let mut stop = self.stop;
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = async { let _ = stop.wait_for(|stop| *stop).await; } => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended with an error");
        }
    }
}
