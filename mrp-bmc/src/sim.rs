//! A simulated BMC with a machine behind it, as a real UDP server: the peer of the driver in tests, demonstrations and
//! benchmarks, and good enough for `ipmitool` and `ipmipower`.
//!
//! One task and one socket a BMC, so a thousand of them fit into one process.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mrp_core::bmc::{BootOverride, ConsoleInput, Power, Privilege};
use mrp_core::secret::{Secret, random_bytes};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;

mod bmc;
mod bridge;
mod commands;
mod machine;
mod node;
mod payload;
mod serial;
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
    /// Cartridges of a chassis, as an HP Moonshot has them: number n at address 0x80 + 2n on channel 0, its node at 0x72 on
    /// that one's channel 7. 0 for a BMC with one machine.
    pub cartridges: u8,
    /// Serial over LAN is switched on.
    pub console: bool,
    /// A machine that is on sends back what is typed, as a terminal does.
    pub echo: bool,
    /// How long the BMC waits for a console's acknowledgement before it repeats a packet.
    pub sol_retry: Duration,
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
            cartridges: 0,
            console: true,
            echo: true,
            sol_retry: Duration::from_millis(500),
        }
    }
}

/// How long a datagram is held back that others overtake.
const LATE: Duration = Duration::from_millis(20);

/// What goes wrong with a simulated BMC; none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// So large a part of the datagrams is lost, each way: 0.0 to 1.0.
    pub loss: f64,
    /// So large a part of the datagrams comes twice: 0.0 to 1.0.
    pub duplicated: f64,
    /// So large a part of the datagrams is overtaken by those after it: 0.0 to 1.0.
    pub reordered: f64,
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

/// What came to the machine's serial port.
pub type Typed = ConsoleInput;

/// Characters of a line that [`printed_line`] makes: what a BMC sends in one packet.
pub const PRINTED_LINE: usize = 96;

/// A line of a machine's that prints a lot: which machine it is, and the line's number, so that a line that is lost, doubled
/// or mixed up shows.
pub fn printed_line(machine: u64, number: u64) -> String {
    let head = format!("machine {machine} line {number} ");
    format!("{head:.<width$}\r\n", width = PRINTED_LINE - 2)
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
    /// Something goes out though nothing came in.
    wake: Notify,
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
        let mut bmc = Bmc::new(config, random_bytes());
        bmc.port = address.port();
        let (bmc, requests, wake) = (Mutex::new(bmc), AtomicU64::new(0), Notify::new());
        let shared = Arc::new(Shared { bmc, requests, wake });
        let server = tokio::spawn(serve(shared.clone(), Arc::new(socket)));
        Ok(Self { shared, address, server })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The machine's power.
    pub fn power(&self) -> Power {
        self.cartridge(0).power()
    }

    /// The boot device that would be in force if the machine started.
    pub fn boot(&self) -> Option<BootOverride> {
        self.cartridge(0).boot()
    }

    /// A machine of a chassis; 0 is the one that is asked without bridging.
    ///
    /// # Panics
    /// If the configuration has no such cartridge.
    pub fn cartridge(&self, number: u8) -> Cartridge<'_> {
        let count = self.shared.lock().config.cartridges;
        assert!(number <= count, "the simulated chassis has {count} cartridges, not {number}");
        Cartridge { shared: &self.shared, node: usize::from(number) }
    }

    /// Switches faults.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// Changes the cipher suites that are offered and accepted from then on.
    pub fn set_cipher_suites(&self, suites: Vec<u8>) {
        self.shared.lock().config.cipher_suites = suites;
    }

    /// The decrypted requests of sessions from this call on. A receiver that lags behind misses the oldest.
    pub fn messages(&self) -> broadcast::Receiver<Bytes> {
        self.shared.lock().messages.subscribe()
    }

    /// What happens to the machine from this call on. A receiver that lags behind misses the oldest events.
    pub fn events(&self) -> broadcast::Receiver<MachineEvent> {
        self.cartridge(0).events()
    }

    /// The machine prints on its serial port. Without a console it is lost, as is what a console leaves no room for.
    pub fn print(&self, characters: impl Into<Bytes>) {
        self.cartridge(0).print(characters);
    }

    /// What comes to the machine's serial port from this call on. A receiver that lags behind misses the oldest.
    pub fn typed(&self) -> broadcast::Receiver<Typed> {
        self.cartridge(0).typed()
    }

    /// True while a session has the serial console.
    pub fn console_is_open(&self) -> bool {
        self.cartridge(0).console_is_open()
    }

    /// How often a session got the serial console.
    pub fn console_activations(&self) -> u64 {
        self.shared.lock().nodes[0].serial.activations()
    }

    /// Characters that the machine printed and the console has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.shared.lock().nodes[0].serial.unacknowledged()
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

/// One of the machines behind a simulated BMC.
#[derive(Debug, Clone, Copy)]
pub struct Cartridge<'a> {
    shared: &'a Shared,
    node: usize,
}

impl Cartridge<'_> {
    /// The machine's power.
    pub fn power(&self) -> Power {
        self.shared.lock().nodes[self.node].machine.power(Instant::now())
    }

    /// The boot device that would be in force if the machine started.
    pub fn boot(&self) -> Option<BootOverride> {
        self.shared.lock().nodes[self.node].machine.boot(Instant::now())
    }

    /// What happens to the machine from this call on. A receiver that lags behind misses the oldest events.
    pub fn events(&self) -> broadcast::Receiver<MachineEvent> {
        self.shared.lock().nodes[self.node].machine.events()
    }

    /// The machine prints on its serial port. Without a console it is lost, as is what a console leaves no room for.
    pub fn print(&self, characters: impl Into<Bytes>) {
        self.shared.lock().print(self.node, characters.into(), Instant::now());
        self.shared.wake.notify_one();
    }

    /// What comes to the machine's serial port from this call on. A receiver that lags behind misses the oldest.
    pub fn typed(&self) -> broadcast::Receiver<Typed> {
        self.shared.lock().nodes[self.node].serial.typed()
    }

    /// True while a session has the serial console.
    pub fn console_is_open(&self) -> bool {
        self.shared.lock().console_of(self.node, Instant::now()).is_some()
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
        send_waiting(&shared, &socket).await;
        let due = shared.lock().next_change();
        let change = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = change => shared.lock().advance(Instant::now()),
            () = shared.wake.notified() => {}
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
            if happens(faults.loss) { Vec::new() } else { bmc.handle(peer, datagram, Instant::now()) };
        (answers, faults)
    };
    for answer in answers {
        send(socket, answer, peer, &faults).await;
    }
}

/// Sends what goes out though nobody has just asked.
async fn send_waiting(shared: &Shared, socket: &Arc<UdpSocket>) {
    loop {
        let (waiting, faults) = {
            let mut bmc = shared.lock();
            (bmc.poll_transmit(), bmc.faults)
        };
        let Some((peer, datagram)) = waiting else { return };
        send(socket, datagram, peer, &faults).await;
    }
}

/// Sends a datagram as the faults have it.
async fn send(socket: &Arc<UdpSocket>, datagram: Vec<u8>, peer: SocketAddr, faults: &Faults) {
    if happens(faults.loss) {
        return;
    }
    if happens(faults.duplicated) {
        // What cannot be sent is lost, as on any network.
        let _ = socket.send_to(&datagram, peer).await;
    }
    let late = if happens(faults.reordered) { LATE } else { Duration::ZERO };
    let delay = faults.delay + late;
    if delay.is_zero() {
        let _ = socket.send_to(&datagram, peer).await;
        return;
    }
    let socket = socket.clone();
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        let _ = socket.send_to(&datagram, peer).await;
    });
}

fn happens(probability: f64) -> bool {
    probability > 0.0 && f64::from(u32::from_le_bytes(random_bytes())) < probability * f64::from(u32::MAX)
}
