//! BMCs as the site's admin enters them, and the opened drivers behind them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::actor::Actor;
use crate::bmc::{Bmc, BmcConfig, BmcError, Node, Power, Privilege};
use crate::bmc_entry::{BmcEntry, BmcId};
use crate::error::Error;
use crate::governor::Governed;
use crate::health::BmcHealth;
use crate::id::Id;
use crate::machine::{Machine, check_name, check_text};
use crate::peer::{PeerAct, PeerActor, PeerAnswer};
use crate::secret::Secret;
use crate::service::expected::Expected;
use crate::service::journal::{between, said};
use crate::service::{Provisioner, lock};
use crate::store::MachineReference;

/// A BMC that is to be made, or what one is to become.
#[derive(Debug, Clone)]
pub struct BmcSpec {
    /// Unique name.
    pub name: String,
    /// `host` or `host:port`.
    pub address: String,
    /// The driver's name.
    pub driver: String,
    /// Account name.
    pub username: String,
    /// Password; `None` keeps the one that is stored.
    pub password: Option<Secret>,
    /// The privilege that sessions ask for.
    pub privilege: Privilege,
    /// The driver's own options.
    pub options: Map<String, Value>,
}

/// BMCs; admins only.
#[derive(Debug)]
pub struct Bmcs<'a>(&'a Provisioner, Expected);

impl Provisioner {
    /// BMCs; admins only.
    pub fn bmcs(&self) -> Bmcs<'_> {
        Bmcs(self, Expected::Any)
    }

    /// The driver in front of a machine, opened once and kept until its entry changes.
    pub(crate) async fn bmc_of(&self, machine: &Machine) -> Result<Option<(Governed, Node)>, Error> {
        let Some(id) = machine.bmc else { return Ok(None) };
        let entry = self.store().bmc(id).await?.ok_or_else(|| Error::not_found("BMC", id))?;
        Ok(Some((self.open_bmc(&entry).await?, Node(machine.bmc_info.clone()))))
    }

    /// Refuses a `bmc_info` that cannot be a node of the machine's BMC. Of a BMC that does not open nothing is known.
    pub(crate) async fn check_node(&self, machine: &Machine) -> Result<(), Error> {
        let Some(id) = machine.bmc else { return Ok(()) };
        let entry = self.store().bmc(id).await?.ok_or_else(|| Error::not_found("BMC", id))?;
        let node = Node(machine.bmc_info.clone());
        let by_driver = self.drivers().check_node(&entry.driver, &node);
        let checked = match self.open_bmc(&entry).await {
            Ok(bmc) => by_driver.and_then(|()| bmc.check_node(&node)),
            Err(Error::Bmc(_)) => by_driver,
            Err(error) => return Err(error),
        };
        match checked {
            Err(BmcError::Config(message)) => Err(Error::invalid("bmc_info", message)),
            outcome => Ok(outcome?),
        }
    }

    pub(crate) async fn open_bmc(&self, entry: &BmcEntry) -> Result<Governed, Error> {
        if let Some((revision, bmc)) = lock(&self.0.open_bmcs).get(&entry.id)
            && *revision == entry.revision
        {
            return Ok(bmc.clone());
        }
        let password = self.0.key.open(&entry.sealed_password).map_err(|error| {
            BmcError::Config(format!("password of {}: {error}; set it again", entry.name))
        })?;
        let config = BmcConfig {
            address: entry.address.clone(),
            username: entry.username.clone(),
            password,
            privilege: entry.privilege,
            options: entry.options.clone(),
        };
        let bmc = self.0.drivers.open(&entry.driver, config).await?;
        let bmc = Governed::new(bmc, &entry.address, self.settings().governor, self.0.clock.clone());
        let older = lock(&self.0.open_bmcs).insert(entry.id, (entry.revision, bmc.clone()));
        if let Some((_, older)) = older {
            older.close().await;
        }
        Ok(bmc)
    }

    async fn forget_bmc(&self, id: BmcId) {
        let open = lock(&self.0.open_bmcs).remove(&id);
        if let Some((_, bmc)) = open {
            bmc.close().await;
        }
    }
}

impl Bmcs<'_> {
    /// The same, for changes of an object as it was seen.
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.1 = expected;
        self
    }

    /// All BMCs.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<BmcEntry>, Error> {
        actor.require_admin()?;
        Ok(self.0.store().bmcs().await?)
    }

    /// How they have been of late, by BMC; none of those that nothing was asked of.
    pub async fn health(&self, actor: &Actor) -> Result<HashMap<BmcId, BmcHealth>, Error> {
        actor.require_admin()?;
        let mut health: HashMap<BmcId, BmcHealth> = self.0.store().bmc_health().await?.into_iter().collect();
        // What this server drives it knows better than what it wrote last.
        health.extend(self.0.open_health());
        Ok(health)
    }

    /// How one has been of late.
    pub async fn health_of(&self, actor: &Actor, id: BmcId) -> Result<BmcHealth, Error> {
        actor.require_admin()?;
        match self.0.open_health_of(id) {
            Some(health) => Ok(health),
            None => Ok(self.0.store().bmc_health_of(id).await?.unwrap_or_default()),
        }
    }

    /// One BMC.
    pub async fn get(&self, actor: &Actor, id: BmcId) -> Result<BmcEntry, Error> {
        actor.require_admin()?;
        self.0.store().bmc(id).await?.ok_or_else(|| Error::not_found("BMC", id))
    }

    /// Makes a BMC. It need not be reachable.
    pub async fn create(&self, actor: &Actor, spec: BmcSpec) -> Result<BmcEntry, Error> {
        actor.require_admin()?;
        self.check(&spec, None)?;
        let password = spec.password.clone().unwrap_or_default();
        self.try_to_open(&spec, password.clone()).await?;
        let entry = BmcEntry {
            id: Id::NEW,
            revision: 0,
            sealed_password: self.0.0.key.seal(&password),
            name: spec.name,
            address: spec.address,
            driver: spec.driver,
            username: spec.username,
            privilege: spec.privilege,
            options: spec.options,
        };
        let changes = said(described(&entry));
        let journal = self.0.draft(actor)?.audit("create", "bmc", &entry.name, changes).done();
        Ok(self.0.store().insert_bmc(&entry, &journal).await?)
    }

    /// Changes a BMC; its session is closed and opened anew at the next use.
    pub async fn update(&self, actor: &Actor, id: BmcId, spec: BmcSpec) -> Result<BmcEntry, Error> {
        let mut entry = self.get(actor, id).await?;
        self.1.check(entry.revision)?;
        self.check(&spec, Some(&entry))?;
        // A password that the key of today does not open is a reason to set it, not to refuse a change.
        let known = || self.0.0.key.open(&entry.sealed_password).unwrap_or_default();
        self.try_to_open(&spec, spec.password.clone().unwrap_or_else(known)).await?;
        let (old, same_options) = (described(&entry), entry.options == spec.options);
        if let Some(password) = &spec.password {
            entry.sealed_password = self.0.0.key.seal(password);
        }
        (entry.name, entry.address, entry.driver) = (spec.name, spec.address, spec.driver);
        (entry.username, entry.privilege, entry.options) = (spec.username, spec.privilege, spec.options);
        let mut changes = between(&old, &described(&entry));
        if spec.password.is_some() {
            changes["password"] = json!("changed");
        }
        if !same_options {
            changes["options"] = json!("changed");
        }
        let journal = self.0.draft(actor)?.audit("update", "bmc", &entry.name, changes).done();
        let entry = self.1.settle(self.0.store().update_bmc(&entry, &journal).await, entry.revision)?;
        self.0.forget_bmc(id).await;
        self.0.retry_consoles();
        Ok(entry)
    }

    /// Removes a BMC that no machine uses.
    pub async fn delete(&self, actor: &Actor, id: BmcId) -> Result<(), Error> {
        let entry = self.get(actor, id).await?;
        self.1.check(entry.revision)?;
        let journal =
            self.0.draft(actor)?.audit("delete", "bmc", &entry.name, said(described(&entry))).done();
        let deleted = self.0.store().delete_bmc(id, self.1.seen(), &journal).await;
        let deleted = self.1.overtaken(deleted, entry.revision)?;
        self.0.removed(deleted, MachineReference::Bmc(id)).await?;
        self.0.forget_bmc(id).await;
        Ok(())
    }

    /// Logs in to a BMC and reads the power of one of its nodes, at the server that drives it.
    pub async fn test(&self, actor: &Actor, id: BmcId, node: Node) -> Result<Power, Error> {
        self.get(actor, id).await?;
        check_text("node", &node.0, 0, 256)?;
        let act = PeerAct::TestBmc { actor: PeerActor::from(actor), bmc: id, node: node.0.clone() };
        match self.0.pass_on(Some(id), &act).await? {
            None => self.test_here(actor, id, node).await,
            Some(PeerAnswer::Power { power }) => Ok(power),
            Some(other) => Err(Error::Internal(format!("a peer answered {other:?}").into())),
        }
    }

    pub(crate) async fn test_here(&self, actor: &Actor, id: BmcId, node: Node) -> Result<Power, Error> {
        let entry = self.get(actor, id).await?;
        Ok(self.0.open_bmc(&entry).await?.power(&node).await?)
    }

    fn check(&self, spec: &BmcSpec, old: Option<&BmcEntry>) -> Result<(), Error> {
        if old.is_none_or(|old| old.name != spec.name) {
            check_name(&spec.name, 1, 256)?;
        }
        check_text("address", &spec.address, 1, 256)?;
        check_text("username", &spec.username, 0, 256)?;
        if self.0.drivers().options(&spec.driver).is_none() {
            let known = self.0.drivers().names().join(", ");
            let message = format!("there is no driver {:?}; the drivers are: {known}", spec.driver);
            return Err(Error::invalid("driver", message));
        }
        match self.0.drivers().check_options(&spec.driver, &spec.options) {
            Err(BmcError::Config(message)) => Err(Error::invalid("options", message)),
            other => Ok(other?),
        }
    }

    /// Opens a driver, which asks nothing of the BMC, for what it says of the address.
    async fn try_to_open(&self, spec: &BmcSpec, password: Secret) -> Result<(), Error> {
        let config = BmcConfig {
            address: spec.address.clone(),
            username: spec.username.clone(),
            password,
            privilege: spec.privilege,
            options: spec.options.clone(),
        };
        match self.0.drivers().open(&spec.driver, config).await {
            Ok(bmc) => bmc.close().await,
            Err(BmcError::Config(message)) => return Err(Error::Refused(message)),
            // A plugin that does not start is no fault of the BMC's entry.
            Err(error) => tracing::debug!(%error, "a BMC's driver could not be opened"),
        }
        Ok(())
    }
}

/// What the audit log says of a BMC. Its options may have secrets in them.
fn described(entry: &BmcEntry) -> Value {
    json!({
        "name": entry.name,
        "address": entry.address,
        "driver": entry.driver,
        "username": entry.username,
        "privilege": entry.privilege,
    })
}
