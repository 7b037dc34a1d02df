//! The way to the server that drives a BMC: looked for again while it changes servers.

use tokio::time::{Instant, sleep};

use super::{Cluster, Owner};
use crate::bmc::BmcError;
use crate::bmc_entry::BmcId;
use crate::error::Error;
use crate::peer::{PeerAct, PeerAnswer, PeerError};
use crate::service::Provisioner;

/// The way to the server that drives a BMC. One that does not answer is waited for until its claim has lapsed.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    service: &'a Provisioner,
    pub(crate) cluster: &'a Cluster,
    bmc: BmcId,
    patience: Instant,
}

/// Another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) id: String,
    pub(crate) url: String,
}

impl Provisioner {
    /// The way to the server that drives a BMC; `None` without a BMC, and where there is one server alone.
    pub(crate) fn way_to(&self, bmc: Option<BmcId>) -> Option<Way<'_>> {
        let (cluster, bmc) = (self.0.cluster.as_ref()?, bmc?);
        let patience = Instant::now() + cluster.lease + cluster.lease / 2;
        Some(Way { service: self, cluster, bmc, patience })
    }

    /// Passes an act on to the server that drives a BMC. `None` if that is this one, or if there is no BMC.
    pub(crate) async fn pass_on(
        &self,
        bmc: Option<BmcId>,
        act: &PeerAct,
    ) -> Result<Option<PeerAnswer>, Error> {
        let Some(way) = self.way_to(bmc) else { return Ok(None) };
        while let Some(other) = way.owner().await? {
            let asked = way.cluster.peers.ask(&other.url, act).await;
            if let Some((answer, ())) = way.judge(&other, asked.map(|answer| (answer, ()))).await? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}

impl Way<'_> {
    /// The server that drives the BMC; `None` if it is this one.
    pub(crate) async fn owner(&self) -> Result<Option<Other>, Error> {
        match self.service.owner(self.cluster, self.bmc).await? {
            Owner::Here => Ok(None),
            Owner::Nobody => Err(self.undriven("no server with the role bmc is up".into()).await),
            Owner::At { id, url } if url.is_empty() => {
                let reason = format!("server {id} drives it, which has no server.url to be asked at");
                Err(self.undriven(reason).await)
            }
            Owner::At { id, url } => Ok(Some(Other { id, url })),
        }
    }

    /// What came of asking a server; `None`, after a pause, where it is to be looked again who drives the BMC.
    pub(crate) async fn judge<T>(
        &self,
        asked: &Other,
        answer: Result<(PeerAnswer, T), PeerError>,
    ) -> Result<Option<(PeerAnswer, T)>, Error> {
        match answer {
            Ok((PeerAnswer::NotMine, _)) if Instant::now() < self.patience => {}
            Ok((PeerAnswer::NotMine, _)) => {
                return Err(Error::Conflict("the BMC changes servers; try again in a moment".into()));
            }
            Ok((answer, with)) => return Ok(Some((answer.into_result()?, with))),
            Err(PeerError::Unreachable { .. }) if Instant::now() < self.patience => {}
            Err(error @ PeerError::Unreachable { .. }) => {
                return Err(self.undriven(format!("server {} drives it; {error}", asked.id)).await);
            }
            Err(PeerError::Lost { url, .. }) => {
                let operation = "what was passed on to the server that drives it";
                return Err(BmcError::Timeout { address: url, operation }.into());
            }
        }
        sleep(self.cluster.lease / 10).await;
        Ok(None)
    }

    /// Nobody was there to do it, and nothing was done.
    async fn undriven(&self, reason: String) -> Error {
        let entry = self.service.store().bmc(self.bmc).await.ok().flatten();
        BmcError::Busy { address: entry.map(|entry| entry.address).unwrap_or_default(), reason }.into()
    }
}
