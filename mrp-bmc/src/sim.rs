//! A simulated BMC with a machine behind it, as a real UDP server: the peer of the driver in tests, demonstrations and
//! benchmarks, and good enough for `ipmitool` and `ipmipower`.
//!
//! One task and one socket a BMC, so a thousand of them fit into one process.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mrp_core::bmc::{BootOverride, Power, Privilege};
use mrp_core::secret::{Secret, random_bytes};
use tokio::net::UdpSocket;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

mod bmc;
mod commands;
mod machine;
mod sessions;

use bmc::Bmc;
#[cfg(test)]
pub(crate) use bmc::Bmc as SimulatedBmc;

/// How a simulated BMC is set up.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// The one account's name.
    pub username: String,
    /// The account's password.
    pub password: Secret,
    /// The cipher suites that it offers.
    pub cipher_suites: Vec<u8>,
    /// It answers Get Channel Cipher Suites; some BMCs stay silent.
    pub lists_cipher_suites: bool,
    /// Sessions at a time.
    pub max_sessions: usize,
    /// A session that is idle for so long ends.
    pub session_timeout: Duration,
    /// The account's privilege.
    pub privilege: Privilege,
    /// Boot flags lose their validity when the machine does not start within this time, unless a client switches that off.
    pub boot_expiry: Duration,
    /// The power changes so long after the command.
    pub power_delay: Duration,
    /// How long the machine is off in a power cycle.
    pub cycle_pause: Duration,
    /// How long the operating system takes to shut down.
    pub soft_delay: Duration,
    /// The machine is on at the start.
    pub power: Power,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            username: "admin".into(),
            password: Secret::new("admin"),
            cipher_suites: vec![17, 3],
            lists_cipher_suites: true,
            max_sessions: 8,
            session_timeout: Duration::from_secs(60),
            privilege: Privilege::Admin,
            boot_expiry: Duration::from_secs(60),
            power_delay: Duration::ZERO,
            cycle_pause: Duration::ZERO,
            soft_delay: Duration::ZERO,
            power: Power::Off,
        }
    }
}

/// What goes wrong with a simulated BMC; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// So large a part of the datagrams is lost, each way: 0.0 to 1.0.
    pub loss: f64,
    /// Each answer comes so much later.
    pub delay: Duration,
    /// The account has another password than the configuration says.
    pub wrong_password: bool,
    /// Commands end with "node busy".
    pub busy: bool,
    /// Answers are random bytes.
    pub garbage: bool,
    /// Open Session is answered with "insufficient resources".
    pub sessions_full: bool,
    /// Nothing is answered.
    pub silent: bool,
    /// Boot flags are accepted, but only the device is reported back, as by OpenIPMI's `ipmi_sim`.
    pub lossy_boot: bool,
    /// A forged copy goes in front of each answer within a session.
    pub forged: bool,
}

/// What happened to the simulated machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineEvent {
    /// It was switched on and starts.
    On {
        /// The boot device that is in force for this start.
        boot: Option<BootOverride>,
    },
    /// It was switched off.
    Off,
    /// Its reset line was pulled; it starts again.
    Reset {
        /// The boot device that is in force for this start.
        boot: Option<BootOverride>,
    },
    /// Its operating system was asked to shut down, did so, and it is off.
    SoftOff,
}

/// A running simulated BMC. Dropping it stops it at once.
#[derive(Debug)]
pub struct BmcSimulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    bmc: Mutex<Bmc>,
    requests: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Bmc> {
        self.bmc.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BmcSimulator {
    /// Starts a BMC on an address; port 0 takes a free one.
    pub async fn start(listen: SocketAddr, config: SimConfig) -> io::Result<Self> {
        let socket = UdpSocket::bind(listen).await?;
        let address = socket.local_addr()?;
        let bmc = Mutex::new(Bmc::new(config, random_bytes()));
        let shared = Arc::new(Shared { bmc, requests: AtomicU64::new(0) });
        let server = tokio::spawn(serve(shared.clone(), Arc::new(socket)));
        Ok(Self { shared, address, server })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The machine's power.
    pub fn power(&self) -> Power {
        self.shared.lock().machine.power(Instant::now())
    }

    /// The boot device that would be in force if the machine started.
    pub fn boot(&self) -> Option<BootOverride> {
        self.shared.lock().machine.boot(Instant::now())
    }

    /// Switches faults.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// Changes the cipher suites that are offered and accepted from then on.
    pub fn set_cipher_suites(&self, suites: Vec<u8>) {
        self.shared.lock().config.cipher_suites = suites;
    }

    /// What happens to the machine from this call on. A receiver that lags behind misses the oldest events.
    pub fn events(&self) -> broadcast::Receiver<MachineEvent> {
        self.shared.lock().machine.events()
    }

    /// How many datagrams came in.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How many logins were tried: RAKP 1 messages.
    pub fn logins(&self) -> u64 {
        self.shared.lock().sessions.logins()
    }

    /// How many sessions are open, with those that are just logging in.
    pub fn sessions(&self) -> usize {
        let mut bmc = self.shared.lock();
        let timeout = bmc.config.session_timeout;
        bmc.sessions.count(timeout, Instant::now())
    }

    /// Forgets all sessions, as a BMC does that restarts.
    pub fn forget_sessions(&self) {
        self.shared.lock().sessions.forget();
    }

    /// Sets every session back to the privilege "user", as some BMCs do by themselves.
    pub fn lower_privileges(&self) {
        self.shared.lock().sessions.lower_privileges();
    }

    /// Stops it and frees its port.
    pub async fn stop(mut self) {
        self.server.abort();
        // The outcome of a task that was aborted says so, nothing else.
        let _ = (&mut self.server).await;
    }
}

impl Drop for BmcSimulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(shared: Arc<Shared>, socket: Arc<UdpSocket>) {
    let mut buffer = [0; 1024];
    loop {
        let due = shared.lock().machine.next_change();
        let change = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = change => shared.lock().machine.advance(Instant::now()),
            received = socket.recv_from(&mut buffer) => {
                // An error is an earlier answer's "port unreachable", which is its receiver's affair.
                let Ok((length, peer)) = received else { continue };
                shared.requests.fetch_add(1, Ordering::Relaxed);
                answer(&shared, &socket, &buffer[..length], peer).await;
            }
        }
    }
}

async fn answer(shared: &Shared, socket: &Arc<UdpSocket>, datagram: &[u8], peer: SocketAddr) {
    let (answers, faults) = {
        let mut bmc = shared.lock();
        let faults = bmc.faults;
        let answers =
            if is_lost(faults.loss) { Vec::new() } else { bmc.handle(peer, datagram, Instant::now()) };
        (answers, faults)
    };
    for answer in answers.into_iter().filter(|_| !is_lost(faults.loss)) {
        if faults.delay.is_zero() {
            // What cannot be sent is lost, as on any network.
            let _ = socket.send_to(&answer, peer).await;
            continue;
        }
        let socket = socket.clone();
        tokio::spawn(async move {
            tokio::time::sleep(faults.delay).await;
            let _ = socket.send_to(&answer, peer).await;
        });
    }
}

fn is_lost(loss: f64) -> bool {
    loss > 0.0 && f64::from(u32::from_le_bytes(random_bytes())) < loss * f64::from(u32::MAX)
}
