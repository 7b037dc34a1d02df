//! Polling the power of every machine in the background, so that nobody who looks at it waits for a BMC.
//!
//! A sweep asks all BMCs that this server drives, paced over the time between two sweeps and each under its governor: a
//! BMC that is silent or refuses the login is left alone. One that takes its time gives its place to the next one after a
//! moment, and the next sweep does not wait for it either: who is slow or dead holds up no other one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use crate::bmc_entry::{BmcId, BmcNode, BmcSightings};
use crate::error::Error;
use crate::governor::Governed;
use crate::health::{BmcHealth, BmcState};
use crate::machine::SeenPower;
use crate::service::{Provisioner, lock};

/// How often power is polled, and how hard.
#[derive(Debug, Clone, Copy)]
pub struct Polling {
    /// From the beginning of a sweep to that of the next one.
    pub every: Duration,
    /// BMCs that are asked at once, but for those that take longer than a moment.
    pub at_once: usize,
}

/// How long a BMC that is asked keeps its place among [`Polling::at_once`]: several times what a login takes that goes well.
const PLACE: Duration = Duration::from_millis(200);
/// Sightings that are written together: few transactions, and what is seen shows within a second.
const BATCH: usize = 256;
const BATCH_TIME: Duration = Duration::from_secs(1);

/// What a sweep has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Machines whose power was told.
    pub told: u64,
    /// Machines whose BMC failed, or was left alone.
    pub failed: u64,
}

/// Sweeps, one after the other.
struct Sweeper {
    service: Provisioner,
    places: Arc<Semaphore>,
    /// What is being asked; what is left of a sweep goes on during the next one.
    tasks: JoinSet<Swept>,
    seen: mpsc::Sender<BmcSightings>,
}

impl Provisioner {
    pub(crate) fn start_polling(&self) {
        let Some(polling) = self.settings().polling.filter(|_| self.may_drive()) else { return };
        let service = self.clone();
        self.start_loop(async move {
            let (mut sweeper, mut sightings) = Sweeper::new(service.clone(), polling.at_once);
            let sweeping = async {
                let mut ticks = tokio::time::interval(polling.every);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    // Ready before the next one.
                    match sweeper.ask_all(polling.every.mul_f64(0.9)).await {
                        Ok(Swept { told, failed }) => tracing::debug!(told, failed, "power was polled"),
                        Err(error) => tracing::warn!(%error, "power could not be polled"),
                    }
                }
            };
            let writing = async {
                while let Err(error) = service.write_sightings(&mut sightings).await {
                    tracing::warn!(%error, "the power that was polled could not be kept");
                }
            };
            tokio::join!(sweeping, writing);
        });
    }

    /// Polls the power of every machine whose BMC this server drives, spread over `polling.every`; zero is as fast as
    /// `polling.at_once` allows. The background work does so again and again.
    pub async fn sweep_power(&self, polling: Polling) -> Result<Swept, Error> {
        let (mut sweeper, mut sightings) = Sweeper::new(self.clone(), polling.at_once);
        let asking = async {
            let mut swept = sweeper.ask_all(polling.every).await?;
            while let Some(ended) = sweeper.tasks.join_next().await {
                swept.add(ended);
            }
            drop(sweeper);
            Ok(swept)
        };
        let (swept, ()) = tokio::try_join!(asking, self.write_sightings(&mut sightings))?;
        Ok(swept)
    }

    /// Asks a BMC for the power of its nodes.
    async fn poll_bmc(&self, nodes: &[BmcNode]) -> Option<BmcSightings> {
        let id = nodes.first()?.bmc;
        if !self.drives(id).await.unwrap_or(false) {
            return None;
        }
        // As it is by now. One that is gone has no machines any more; whoever uses a wrong one is told why.
        let entry = self.store().bmc(id).await.ok()??;
        let Ok(bmc) = self.open_bmc(&entry).await else { return Some(BmcSightings::default()) };
        let mut power = Vec::with_capacity(nodes.len());
        for BmcNode { machine, node, .. } in nodes {
            match bmc.poll(node).await {
                Ok(told) => power.push((*machine, SeenPower { power: told, at: self.now() })),
                Err(error) => tracing::debug!(bmc = entry.name, node = node.0, %error, "not polled"),
            }
        }
        Some(BmcSightings { health: vec![(id, bmc.health())], power })
    }

    /// Writes sightings until no more come.
    async fn write_sightings(&self, sightings: &mut mpsc::Receiver<BmcSightings>) -> Result<(), Error> {
        while let Some(mut batch) = sightings.recv().await {
            let full = Instant::now() + BATCH_TIME;
            while batch.power.len() < BATCH
                && let Ok(Some(more)) = tokio::time::timeout_at(full, sightings.recv()).await
            {
                batch.health.extend(more.health);
                batch.power.extend(more.power);
            }
            self.store().put_bmc_sightings(&batch).await?;
        }
        Ok(())
    }

    /// The health of the BMCs that this server has asked.
    pub(crate) fn open_health(&self) -> Vec<(BmcId, BmcHealth)> {
        let open = lock(&self.0.open_bmcs);
        open.iter().filter_map(|(id, (_, bmc))| Some((*id, asked(bmc)?))).collect()
    }

    /// The health of a BMC, if this server has asked it.
    pub(crate) fn open_health_of(&self, id: BmcId) -> Option<BmcHealth> {
        lock(&self.0.open_bmcs).get(&id).and_then(|(_, bmc)| asked(bmc))
    }
}

impl Sweeper {
    fn new(service: Provisioner, at_once: usize) -> (Self, mpsc::Receiver<BmcSightings>) {
        let (seen, sightings) = mpsc::channel(BATCH);
        let places = Arc::new(Semaphore::new(at_once.max(1)));
        (Self { service, places, tasks: JoinSet::new(), seen }, sightings)
    }

    /// Asks all BMCs, spread over a time, and tells what has been found meanwhile.
    async fn ask_all(&mut self, over: Duration) -> Result<Swept, Error> {
        let nodes = self.service.store().bmc_nodes().await?;
        let groups: Vec<&[BmcNode]> = nodes.chunk_by(|one, other| one.bmc == other.bmc).collect();
        let (mut swept, started) = (Swept::default(), Instant::now());
        let count = groups.len().max(1) as f64;
        for (number, group) in groups.iter().enumerate() {
            tokio::time::sleep_until(started + over.mul_f64(number as f64 / count)).await;
            let place = self.places.clone().acquire_owned().await.expect("the places are never closed");
            let (service, seen) = (self.service.clone(), self.seen.clone());
            self.tasks.spawn(ask(service, group.to_vec(), place, seen));
            while let Some(ended) = self.tasks.try_join_next() {
                swept.add(ended);
            }
        }
        Ok(swept)
    }
}

/// Asks a BMC, and keeps a place for no longer than [`PLACE`].
async fn ask(
    service: Provisioner,
    nodes: Vec<BmcNode>,
    place: OwnedSemaphorePermit,
    seen: mpsc::Sender<BmcSightings>,
) -> Swept {
    let asked = {
        let mut asking = pin!(service.poll_bmc(&nodes));
        match tokio::time::timeout(PLACE, &mut asking).await {
            Ok(asked) => asked,
            Err(_) => {
                drop(place);
                asking.await
            }
        }
    };
    let Some(sightings) = asked else { return Swept::default() };
    let told = sightings.power.len() as u64;
    // The other end goes only with all sweeps.
    let _ = seen.send(sightings).await;
    Swept { told, failed: nodes.len() as u64 - told }
}

fn asked(bmc: &Governed) -> Option<BmcHealth> {
    Some(bmc.health()).filter(|health| health.state != BmcState::Unknown)
}

impl Swept {
    fn add(&mut self, ended: Result<Swept, JoinError>) {
        if let Ok(Swept { told, failed }) = ended {
            self.told += told;
            self.failed += failed;
        }
    }
}
