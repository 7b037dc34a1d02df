//! Networks; admins change them, everybody sees them.

use serde_json::{Value, json};

use crate::actor::Actor;
use crate::error::Error;
use crate::machine::check_text;
use crate::network::{Network, NetworkId};
use crate::service::Provisioner;
use crate::service::expected::Expected;

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
    pub async fn get(&self, actor: &Actor, id: NetworkId) -> Result<Network, Error> {
        let found = self.list(actor).await?.into_iter().find(|network| network.id == id);
        found.ok_or_else(|| Error::not_found("network", id))
    }

    /// Makes a network; id and revision are ignored.
    pub async fn create(&self, actor: &Actor, network: Network) -> Result<Network, Error> {
        actor.require_admin()?;
        self.check(actor, &network, None).await?;
        let changes = json!({"subnet": network.subnet.to_string()});
        let journal = self.0.draft(actor)?.audit("create", "network", &network.name, changes).done();
        Ok(self.0.store().insert_network(&network, &journal).await?)
    }

    /// Changes a network.
    pub async fn update(&self, actor: &Actor, network: Network) -> Result<Network, Error> {
        actor.require_admin()?;
        let old = self.get(actor, network.id).await?;
        self.1.check(old.revision)?;
        self.check(actor, &network, Some(old.id)).await?;
        let changes = json!({
            "name": [old.name, network.name],
            "subnet": [old.subnet.to_string(), network.subnet.to_string()],
        });
        let journal = self.0.draft(actor)?.audit("update", "network", &network.name, changes).done();
        self.1.settle(self.0.store().update_network(&network, &journal).await, network.revision)
    }

    /// Removes a network that no interface is in.
    pub async fn delete(&self, actor: &Actor, id: NetworkId) -> Result<(), Error> {
        actor.require_admin()?;
        let network = self.get(actor, id).await?;
        self.1.check(network.revision)?;
        let journal = self.0.draft(actor)?.audit("delete", "network", &network.name, Value::Null).done();
        Ok(self.0.store().delete_network(id, &journal).await?)
    }

    /// The store checks overlaps again in its transaction; here the refusal names the other network.
    async fn check(&self, actor: &Actor, network: &Network, own: Option<NetworkId>) -> Result<(), Error> {
        check_text("name", &network.name, 1, 256)?;
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
