//! A rack of simulated machines, each behind a simulated BMC that speaks IPMI over UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use mrp_bmc::sim::{BmcSimulator, MachineEvent, SimConfig};
use mrp_core::bmc::{BootDevice, BootOverride};
use mrp_core::mac::MacAddr;
use mrp_core::secret::Secret;
use tokio::task::JoinHandle;

use super::machine::{self, Cabling};

/// Account on the simulated BMCs.
pub const USER: &str = "operator";
/// Its password.
pub const PASSWORD: &str = "rack-password";

/// One simulated machine.
#[derive(Debug, Clone)]
pub struct Unit {
    /// `sim-1`, ….
    pub name: String,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Where its BMC listens.
    pub bmc_address: SocketAddr,
}

/// The rack. Machines are off until their BMC is told otherwise.
#[derive(Debug)]
pub struct Rack {
    units: Vec<Unit>,
    simulators: Vec<BmcSimulator>,
    power: Vec<JoinHandle<()>>,
}

impl Rack {
    /// Starts a rack beside a server whose machines' door is at `machines`. With a dead disk its machines netboot for ever.
    pub async fn start(count: u8, machines: SocketAddr, tftp_port: u16, dead_disk: bool) -> Result<Self> {
        mrp_tls::install_provider();
        let mut rack = Self { units: Vec::new(), simulators: Vec::new(), power: Vec::new() };
        for number in 1..=count {
            let simulator = start_bmc().await.context("starting a simulated BMC")?;
            let mac = MacAddr([0x52, 0x54, 0, 0x77, 0, number]);
            let cabling = Cabling {
                mac,
                pool_address: IpAddr::V4(Ipv4Addr::new(127, 77, 0, 10 + number)),
                dhcp_url: format!("http://{machines}/dhcp"),
                tftp_port,
                dead_disk,
            };
            rack.power.push(tokio::spawn(obey(simulator.events(), cabling)));
            rack.units.push(Unit { name: format!("sim-{number}"), mac, bmc_address: simulator.local_addr() });
            rack.simulators.push(simulator);
        }
        Ok(rack)
    }

    /// Its machines.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Their BMCs.
    pub fn bmcs(&self) -> &[BmcSimulator] {
        &self.simulators
    }

    /// Cuts the power of machines and BMCs.
    pub async fn stop(self) {
        self.power.iter().for_each(JoinHandle::abort);
        for simulator in self.simulators {
            simulator.stop().await;
        }
    }
}

async fn start_bmc() -> io::Result<BmcSimulator> {
    let config = SimConfig { username: USER.into(), password: Secret::new(PASSWORD), ..SimConfig::default() };
    BmcSimulator::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), config).await
}

/// Runs the machine while its power is on.
async fn obey(mut events: tokio::sync::broadcast::Receiver<MachineEvent>, cabling: Cabling) {
    use tokio::sync::broadcast::error::RecvError;
    let mut running = Running(None);
    loop {
        match events.recv().await {
            Ok(MachineEvent::On { boot } | MachineEvent::Reset { boot }) => running.start(&cabling, boot),
            Ok(MachineEvent::Off | MachineEvent::SoftOff) => running.stop(),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// A machine that runs; dropped, its power is off.
struct Running(Option<JoinHandle<()>>);

impl Running {
    fn start(&mut self, cabling: &Cabling, boot: Option<BootOverride>) {
        self.stop();
        let network_first = boot.is_some_and(|boot| boot.device == BootDevice::Pxe);
        let cabling = cabling.clone();
        self.0 = Some(tokio::spawn(async move {
            if let Err(error) = machine::run(cabling.clone(), network_first).await {
                tracing::debug!(mac = %cabling.mac, error = %error, "the simulated machine stopped");
            }
        }));
    }

    fn stop(&mut self) {
        if let Some(running) = self.0.take() {
            running.abort();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
