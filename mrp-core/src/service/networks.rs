//! Networks; admins change them, everybody sees them.

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::actor::Actor;
use crate::error::Error;
use crate::machine::check_name;
use crate::network::{Free, Network, NetworkAddress, NetworkId};
use crate::service::Provisioner;
use crate::service::expected::Expected;
use crate::service::journal::{between, said};
use crate::store::{MachineReference, StoreError};

/// A range of a network from which addresses are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// Of addresses that machines have configured.
    Static,
    /// Of addresses that DHCP reserves.
    Reserved,
}

/// Networks.
#[derive(Debug)]
pub struct Networks<'a>(&'a Provisioner, Expected);

impl Provisioner {
    /// Networks.
    pub fn networks(&self) -> Networks<'_> {
        Networks(self, Expected::Any)
    }
}

impl Networks<'_> {
    /// The same, for changes of an object as it was seen.
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.1 = expected;
        self
    }

    /// All networks.
    pub async fn list(&self, _actor: &Actor) -> Result<Vec<Network>, Error> {
        Ok(self.0.store().networks().await?)
    }

    /// One network.
    pub async fn get(&self, _actor: &Actor, id: NetworkId) -> Result<Network, Error> {
        let found = self.0.store().network(id).await?;
        found.ok_or_else(|| Error::not_found("network", id))
    }

    /// Makes a network; id and revision are ignored.
    pub async fn create(&self, actor: &Actor, network: Network) -> Result<Network, Error> {
        actor.require_admin()?;
        check_name(&network.name, 1, 256)?;
        self.check(actor, &network, None).await?;
        let changes = said(described(&network));
        let journal = self.0.draft(actor)?.audit("create", "network", &network.name, changes).done();
        Ok(self.0.store().insert_network(&network, &journal).await?)
    }

    /// Changes a network.
    pub async fn update(&self, actor: &Actor, network: Network) -> Result<Network, Error> {
        actor.require_admin()?;
        let old = self.get(actor, network.id).await?;
        self.1.check(old.revision)?;
        if old.name != network.name {
            check_name(&network.name, 1, 256)?;
        }
        self.check(actor, &network, Some(old.id)).await?;
        let changes = between(&described(&old), &described(&network));
        let journal = self.0.draft(actor)?.audit("update", "network", &network.name, changes).done();
        match self.0.store().update_network(&network, &journal).await {
            Err(StoreError::InUse { what }) => Err(Error::Conflict(what)),
            written => {
                let written = self.1.settle(written, network.revision)?;
                self.0.announce();
                Ok(written)
            }
        }
    }

    /// Removes a network that no interface is in.
    pub async fn delete(&self, actor: &Actor, id: NetworkId) -> Result<(), Error> {
        actor.require_admin()?;
        let network = self.get(actor, id).await?;
        self.1.check(network.revision)?;
        let journal =
            self.0.draft(actor)?.audit("delete", "network", &network.name, said(described(&network))).done();
        let deleted = self.0.store().delete_network(id, self.1.seen(), &journal).await;
        let deleted = self.1.overtaken(deleted, network.revision)?;
        self.0.removed(deleted, MachineReference::Network(id)).await
    }

    /// Who has which address of a network, in numerical order.
    pub async fn addresses(&self, actor: &Actor, id: NetworkId) -> Result<Vec<NetworkAddress>, Error> {
        self.get(actor, id).await?;
        Ok(self.0.store().configured_addresses(Some(id)).await?)
    }

    /// The addresses of a pool that may still be given.
    pub async fn free(&self, actor: &Actor, id: NetworkId, pool: Pool) -> Result<Free, Error> {
        let network = self.get(actor, id).await?;
        let (name, range) = match pool {
            Pool::Static => ("static", network.static_net),
            Pool::Reserved => ("reserved", network.reserved_net),
        };
        let range = range.ok_or_else(|| Error::Refused(format!("network has no {name} IPv4 range")))?;
        let taken = self.0.store().configured_addresses(Some(id)).await?;
        Ok(Free::new(range, taken.into_iter().map(|taken| taken.address)))
    }

    /// The store checks overlaps again in its transaction; here the refusal names the other network.
    async fn check(&self, actor: &Actor, network: &Network, own: Option<NetworkId>) -> Result<(), Error> {
        network.validate()?;
        if let Some(url) = &network.server_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            return Err(Error::invalid("server_url", "write it as http://10.0.0.1:8081"));
        }
        let others = self.list(actor).await?;
        match others.iter().find(|other| Some(other.id) != own && other.overlaps(network)) {
            Some(other) => {
                let (name, subnet) = (&other.name, other.subnet);
                Err(Error::Conflict(format!("{} overlaps {subnet} of network {name}", network.subnet)))
            }
            None => Ok(()),
        }
    }
}

/// What the audit log says of a network.
fn described(network: &Network) -> Value {
    let range = |range: Option<Ipv4Net>| range.map(|range| range.to_string());
    json!({
        "name": network.name,
        "subnet": network.subnet.to_string(),
        "static_net": range(network.static_net),
        "reserved_net": range(network.reserved_net),
        "server_url": network.server_url,
        "trust_path_mac": network.trust_path_mac,
    })
}
