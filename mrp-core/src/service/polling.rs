//! Polling the power of every machine in the background, so that nobody who looks at it waits for a BMC.
//!
//! A sweep asks all BMCs that this server drives, paced over the time between two sweeps and each under its governor: a
//! BMC that is silent or refuses the login is left alone, and holds up no other one.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
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
    /// BMCs that are asked at once.
    pub at_once: usize,
}

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

impl Provisioner {
    pub(crate) fn start_polling(&self) {
        let Some(polling) = self.settings().polling.filter(|_| self.may_drive()) else { return };
        let service = self.clone();
        self.start_loop(async move {
            let mut ticks = tokio::time::interval(polling.every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // Ready before the next one.
                let paced = Polling { every: polling.every.mul_f64(0.9), ..polling };
                match service.sweep_power(paced).await {
                    Ok(Swept { told, failed }) => tracing::debug!(told, failed, "power was polled"),
                    Err(error) => tracing::warn!(%error, "power could not be polled"),
                }
            }
        });
    }

    /// Polls the power of every machine whose BMC this server drives, spread over `polling.every`; zero is as fast as
    /// `polling.at_once` allows. The background work does so again and again.
    pub async fn sweep_power(&self, polling: Polling) -> Result<Swept, Error> {
        let nodes = self.store().bmc_nodes().await?;
        let groups: Vec<&[BmcNode]> = nodes.chunk_by(|one, other| one.bmc == other.bmc).collect();
        let (seen, sightings) = mpsc::channel(BATCH);
        let writing = self.write_sightings(sightings);
        let asking = async {
            let (mut tasks, mut swept, started) = (JoinSet::new(), Swept::default(), Instant::now());
            let count = groups.len().max(1) as f64;
            for (number, group) in groups.iter().enumerate() {
                while tasks.len() >= polling.at_once.max(1) {
                    swept.add(tasks.join_next().await);
                }
                tokio::time::sleep_until(started + polling.every.mul_f64(number as f64 / count)).await;
                tasks.spawn(self.clone().poll_bmc(group.to_vec(), seen.clone()));
            }
            drop(seen);
            while let Some(ended) = tasks.join_next().await {
                swept.add(Some(ended));
            }
            swept
        };
        let (swept, written) = tokio::join!(asking, writing);
        written?;
        Ok(swept)
    }

    async fn poll_bmc(self, nodes: Vec<BmcNode>, seen: mpsc::Sender<BmcSightings>) -> Swept {
        let Some(id) = nodes.first().map(|node| node.bmc) else { return Swept::default() };
        if !self.drives(id).await.unwrap_or(false) {
            return Swept::default();
        }
        // As it is by now. One that is gone has no machines any more; whoever uses a wrong one is told why.
        let Ok(Some(entry)) = self.store().bmc(id).await else { return Swept::default() };
        let Ok(bmc) = self.open_bmc(&entry).await else {
            return Swept { told: 0, failed: nodes.len() as u64 };
        };
        let mut power = Vec::with_capacity(nodes.len());
        for BmcNode { machine, node, .. } in &nodes {
            match bmc.poll(node).await {
                Ok(told) => power.push((*machine, SeenPower { power: told, at: self.now() })),
                Err(error) => tracing::debug!(bmc = entry.name, node = node.0, %error, "not polled"),
            }
        }
        let swept = Swept { told: power.len() as u64, failed: (nodes.len() - power.len()) as u64 };
        let health = vec![(id, bmc.health())];
        // The other end goes only with the whole sweep.
        let _ = seen.send(BmcSightings { health, power }).await;
        swept
    }

    async fn write_sightings(&self, mut sightings: mpsc::Receiver<BmcSightings>) -> Result<(), Error> {
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

fn asked(bmc: &Governed) -> Option<BmcHealth> {
    Some(bmc.health()).filter(|health| health.state != BmcState::Unknown)
}

impl Swept {
    fn add(&mut self, ended: Option<Result<Swept, tokio::task::JoinError>>) {
        if let Some(Ok(Swept { told, failed })) = ended {
            self.told += told;
            self.failed += failed;
        }
    }
}
