//! A BMC as the site's admin enters it; what talks to it is a [`crate::bmc::Bmc`].

use crate::bmc::{Node, Privilege};
use crate::health::BmcHealth;
use crate::id::Id;
use crate::machine::{MachineId, SeenPower};

/// Identifies a [`BmcEntry`].
pub type BmcId = Id<BmcEntry>;

/// A BMC: where it is, how to log in, and which driver speaks to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BmcEntry {
    /// Row id.
    pub id: BmcId,
    /// Grows by one with each change; an opened driver is kept for one revision.
    pub revision: i64,
    /// Unique name.
    pub name: String,
    /// Unique `host` or `host:port`.
    pub address: String,
    /// The driver's name: `plain`, ….
    pub driver: String,
    /// Account name; may be empty.
    pub username: String,
    /// The password, sealed by [`crate::secret::ServerKey::seal`].
    pub sealed_password: Vec<u8>,
    /// The privilege that sessions ask for.
    pub privilege: Privilege,
    /// The driver's own options.
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// A machine behind a BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BmcNode {
    /// The BMC.
    pub bmc: BmcId,
    /// The machine.
    pub machine: MachineId,
    /// Its address behind the BMC.
    pub node: Node,
}

/// What was learned of BMCs by asking them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BmcSightings {
    /// How they have been.
    pub health: Vec<(BmcId, BmcHealth)>,
    /// The power of machines behind them.
    pub power: Vec<(MachineId, SeenPower)>,
}
