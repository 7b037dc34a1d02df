//! Listens to DHCP on the network, whoever serves it: who asks, who offers what, and what is wrong with it.
//!
//! A thread an interface takes in what the kernel's filter lets through; [`watch`](self) makes sightings of it, which the
//! service writes down. Needs `CAP_NET_RAW`. An interface that goes away and comes back is listened to again.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mrp_core::Provisioner;
use mrp_core::sighting::Sighting;
use pnet_datalink::NetworkInterface;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use watch::Watch;

mod capture;
mod message;
mod told;
mod watch;

/// How often it is looked which interfaces there are.
const LOOK: Duration = Duration::from_secs(1);
/// How often what has waited is told.
const FLUSH: Duration = Duration::from_secs(10);
/// Sightings that wait to be written down; what comes beyond them is counted.
const WAITING: usize = 8192;
/// Sightings that are written down at once.
const BATCH: usize = 256;

/// What an observer listens to.
#[derive(Debug, Clone, Default)]
pub struct ObserverConfig {
    /// Names of interfaces. `None`: every Ethernet interface that is up and has an IPv4 address.
    pub interfaces: Option<Vec<String>>,
    /// The DHCP servers that belong here; where there are none, it is told that there are several.
    pub servers: Vec<Ipv4Addr>,
}

/// An observer at work. Dropped, it stops.
#[derive(Debug)]
pub struct ObserverHandle {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// Counters of an observer; `Display` is Prometheus text.
#[derive(Debug, Clone)]
pub struct ObserverMetrics(Arc<Shared>);

/// What the threads share.
#[derive(Debug)]
struct Shared {
    watch: Mutex<Watch>,
    sightings: mpsc::Sender<Sighting>,
    lost: AtomicU64,
    /// Interfaces that are listened to.
    listening: Mutex<BTreeSet<String>>,
}

impl ObserverHandle {
    /// Listens and tells the service, on the current tokio runtime and threads of its own.
    ///
    /// # Errors
    /// `PermissionDenied` where the process may not listen.
    pub fn start(config: ObserverConfig, service: Provisioner) -> io::Result<Self> {
        capture::check_permission()?;
        let (sightings, receive) = mpsc::channel(WAITING);
        let (watch, listening) = (Mutex::new(Watch::new(config.servers)), Mutex::default());
        let shared = Arc::new(Shared { watch, sightings, lost: AtomicU64::new(0), listening });
        let mut tasks = JoinSet::new();
        tasks.spawn(look_after(config.interfaces, Arc::clone(&shared)));
        tasks.spawn(write_down(receive, service));
        Ok(Self { shared, _tasks: tasks })
    }

    /// The interfaces that are listened to at present.
    pub fn listening(&self) -> Vec<String> {
        lock(&self.shared.listening).iter().cloned().collect()
    }

    /// The observer's counters.
    pub fn metrics(&self) -> ObserverMetrics {
        ObserverMetrics(Arc::clone(&self.shared))
    }
}

/// Fails with `PermissionDenied` where the process may not listen.
pub fn check_permission() -> io::Result<()> {
    capture::check_permission()
}

impl Shared {
    /// Takes in a frame and passes on what it means.
    fn take(&self, interface: &str, frame: &[u8]) {
        let mut watch = lock(&self.watch);
        watch.handle_frame(interface, frame, Instant::now());
        while let Some(sighting) = watch.poll_sighting() {
            if self.sightings.try_send(sighting).is_err() {
                self.lost.fetch_add(1, Relaxed);
            }
        }
    }
}

/// Keeps a thread at each interface that is wanted and there.
async fn look_after(wanted: Option<Vec<String>>, shared: Arc<Shared>) {
    let mut captures: HashMap<u32, capture::Capture> = HashMap::new();
    let mut missed = BTreeSet::new();
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        captures.retain(|_, capture| !capture.has_ended());
        let there: Vec<NetworkInterface> = pnet_datalink::interfaces()
            .into_iter()
            .filter(|interface| is_wanted(interface, wanted.as_deref()))
            .collect();
        captures.retain(|index, _| there.iter().any(|interface| interface.index == *index));
        for interface in &there {
            let Entry::Vacant(place) = captures.entry(interface.index) else { continue };
            match capture::Capture::start(interface, Arc::clone(&shared)) {
                Ok(capture) => {
                    tracing::info!(interface = interface.name, "listening to DHCP");
                    place.insert(capture);
                }
                Err(error) => tracing::debug!(interface = interface.name, %error, "cannot listen to DHCP"),
            }
        }
        let names: BTreeSet<String> =
            captures.values().map(|capture| capture.interface().to_owned()).collect();
        for name in wanted.iter().flatten().filter(|name| !names.contains(*name)) {
            if missed.insert(name.clone()) {
                tracing::warn!(
                    interface = name,
                    "dhcp.observe names an interface that is not there or not up; it is listened to when it is"
                );
            }
        }
        missed.retain(|name| !names.contains(name));
        *lock(&shared.listening) = names;
    }
}

fn is_wanted(interface: &NetworkInterface, wanted: Option<&[String]>) -> bool {
    let ready = interface.is_up() && !interface.is_loopback() && interface.mac.is_some();
    ready
        && match wanted {
            Some(names) => names.contains(&interface.name),
            None => interface.is_broadcast() && interface.ips.iter().any(|net| net.ip().is_ipv4()),
        }
}

async fn write_down(mut sightings: mpsc::Receiver<Sighting>, service: Provisioner) {
    let mut flush = interval(FLUSH);
    flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut batch = Vec::with_capacity(BATCH);
        tokio::select! {
            count = sightings.recv_many(&mut batch, BATCH) => if count == 0 { return },
            _ = flush.tick() => {}
        }
        if let Err(error) = service.discovery().observed(batch).await {
            tracing::warn!(%error, "what was heard of DHCP could not be written down");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for ObserverMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = lock(&self.0.watch).counts().clone();
        let head = |f: &mut fmt::Formatter<'_>, name: &str, kind: &str, help: &str| {
            writeln!(f, "# HELP mrp_dhcp_{name} {help}\n# TYPE mrp_dhcp_{name} {kind}")
        };
        head(f, "heard_total", "counter", "DHCP messages that the observer heard.")?;
        for (kind, count) in &counts.messages {
            writeln!(f, "mrp_dhcp_heard_total{{type=\"{kind}\"}} {count}")?;
        }
        let listening = lock(&self.0.listening).len() as u64;
        for (name, kind, help, value) in [
            (
                "malformed_total",
                "counter",
                "Frames on DHCP's ports that are no DHCP message.",
                counts.malformed,
            ),
            (
                "passed_over_total",
                "counter",
                "Messages of clients beyond the bound for new ones.",
                counts.passed_over,
            ),
            (
                "sightings_lost_total",
                "counter",
                "Sightings that were not written down in time.",
                self.0.lost.load(Relaxed),
            ),
            ("observed_interfaces", "gauge", "Interfaces that are listened to.", listening),
        ] {
            head(f, name, kind, help)?;
            writeln!(f, "mrp_dhcp_{name} {value}")?;
        }
        Ok(())
    }
}
