//! What mrp asks of a baseboard management controller, whatever protocol it speaks.
//!
//! A driver implements [`Bmc`]; [`OpenBmc`] opens one from its configuration. Drivers hold no policy:
//! which boot device is wanted, whether it took effect and what to do about it is decided in
//! [`crate::service`]. Every driver passes the suite `crate::conformance::bmc` (feature `conformance`).

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::secret::Secret;

mod drivers;

pub use drivers::{Drivers, NotRegistered, Opener};

/// One machine behind a BMC: the `bmc_info` of the machine, in the driver's own notation.
///
/// Empty for a BMC that serves a single machine; the cartridge number for a Moonshot chassis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Node(pub String);

/// Power state of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// The node runs.
    On,
    /// The node is off.
    Off,
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Power::On => "on",
            Power::Off => "off",
        })
    }
}

/// What can be done to the power of a node.
///
/// `On` when on and `Off` when off are no errors: the wanted state is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PowerAction {
    /// Switch on.
    On,
    /// Switch off hard.
    Off,
    /// Off, a pause, on again. A node that is off is switched on.
    Cycle,
    /// Reset line, without power loss. A node that is off is switched on.
    Reset,
    /// Ask the operating system to shut down (ACPI).
    Soft,
}

impl PowerAction {
    /// What it is called in [`BmcError::Timeout`]: whether what is never sent twice was carried out is not known then.
    pub fn operation(self) -> &'static str {
        match self {
            Self::On => "switching on",
            Self::Off => "switching off",
            Self::Cycle => "the power cycle (it may have been carried out)",
            Self::Reset => "the reset (it may have been carried out)",
            Self::Soft => "the soft shutdown (it may have been carried out)",
        }
    }
}

/// Where a node's firmware looks for its boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BootDevice {
    /// The network.
    Pxe,
    /// The first disk.
    Disk,
    /// The firmware's set-up screen.
    Bios,
}

impl fmt::Display for BootDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BootDevice::Pxe => "pxe",
            BootDevice::Disk => "disk",
            BootDevice::Bios => "bios",
        })
    }
}

/// A boot device that overrides the firmware's own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BootOverride {
    /// The device.
    pub device: BootDevice,
    /// Boot in EFI mode rather than in legacy mode.
    pub efi: bool,
    /// Hold for every boot, not for the next one only.
    pub persistent: bool,
}

/// What a driver can do. The conformance suite holds it to this both ways: what is declared works,
/// what is not answers [`BmcError::Unsupported`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Capabilities {
    /// [`PowerAction::Reset`] is not the same as `Cycle`.
    pub reset: bool,
    /// [`PowerAction::Soft`].
    pub soft_power: bool,
    /// [`Bmc::set_boot`].
    pub set_boot: bool,
    /// [`Bmc::boot`] tells what [`Bmc::set_boot`] set.
    pub read_boot: bool,
    /// [`Bmc::open_console`] and [`Bmc::reset_console`].
    pub console: bool,
}

/// A serial console: bytes from the node, bytes to the node. Dropping `output` closes the session cleanly; with `input`
/// alone dropped it goes on to be watched.
#[derive(Debug)]
pub struct Console {
    /// What the node prints. The end of the channel is the end of the session; where the session did not end because
    /// somebody closed it here, an error comes before that and says why. A reader that falls behind makes the BMC wait.
    pub output: mpsc::Receiver<Result<Bytes, BmcError>>,
    /// What is typed.
    pub input: mpsc::Sender<ConsoleInput>,
    /// The session, as the BMC names it to others; `None` where it names none.
    pub session: Option<String>,
}

/// What goes to the node's serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleInput {
    /// Characters.
    Bytes(Bytes),
    /// A break condition on the line: Linux' SysRq, for example.
    Break,
}

/// Why a BMC did not do what it was asked. A variant is what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BmcError {
    /// Nobody answers at the address: try again later.
    #[error("BMC at {address} does not answer")]
    Unreachable {
        /// `host:port` that was asked.
        address: String,
    },
    /// An answer came too late or stopped half-way: try again later.
    #[error("BMC at {address} did not finish {operation} in time")]
    Timeout {
        /// `host:port` that was asked.
        address: String,
        /// What it was doing.
        operation: &'static str,
    },
    /// User name or password is wrong, or the account may not do this. Never retried by itself, so as not
    /// to lock the account.
    #[error("BMC at {address} refuses the login: {reason}")]
    Unauthorized {
        /// `host:port` that was asked.
        address: String,
        /// The BMC's reason in words; never a secret.
        reason: String,
    },
    /// The BMC is there and has no time or no free session: try again in a moment.
    #[error("BMC at {address} is busy: {reason}")]
    Busy {
        /// `host:port` that was asked.
        address: String,
        /// The BMC's reason in words.
        reason: String,
    },
    /// The serial console is open in another session: offer [`Bmc::reset_console`], which takes it away.
    #[error("the serial console of BMC at {address} is open in another session")]
    ConsoleTaken {
        /// `host:port` that was asked.
        address: String,
        /// That session, by the name that [`Console::session`] has; `None` where the BMC does not tell.
        session: Option<String>,
    },
    /// This driver or this BMC cannot do it: do not offer it.
    #[error("{0} is not supported by this BMC")]
    Unsupported(&'static str),
    /// The BMC answers something that the protocol does not allow: report it.
    #[error("BMC at {address} broke the protocol: {reason}")]
    Protocol {
        /// `host:port` that was asked.
        address: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// The BMC's configuration in mrp is wrong: mend it.
    #[error("BMC configuration: {0}")]
    Config(String),
    /// The driver itself failed, a plugin that crashed for example: report it to whoever wrote it.
    #[error("BMC driver {driver}: {reason}")]
    Driver {
        /// The driver's name.
        driver: String,
        /// What happened to it, in words.
        reason: String,
    },
}

impl BmcError {
    /// True where the same call may work a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, BmcError::Unreachable { .. } | BmcError::Timeout { .. } | BmcError::Busy { .. })
    }
}

/// What a driver needs to open a BMC.
#[derive(Debug, Clone)]
pub struct BmcConfig {
    /// `host` or `host:port`.
    pub address: String,
    /// Account name; may be empty.
    pub username: String,
    /// The account's password.
    pub password: Secret,
    /// `user`, `operator` or `admin`: the privilege that sessions ask for.
    pub privilege: Privilege,
    /// The driver's own options, described by [`OpenBmc::options`].
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// Privilege level of a session (IPMI 2.0, 6.8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Privilege {
    /// Read only.
    User,
    /// Power control.
    Operator,
    /// Everything.
    #[default]
    Admin,
}

/// A baseboard management controller.
///
/// Implementations are shared between tasks; concurrent calls queue inside the driver where its
/// protocol needs it. Each call ends by itself in bounded time.
#[async_trait]
pub trait Bmc: fmt::Debug + Send + Sync {
    /// What this driver can do on this BMC.
    fn capabilities(&self) -> Capabilities;

    /// Whether this can be a node of this BMC, going by its notation alone. [`BmcError::Config`] says what it has to be.
    fn check_node(&self, node: &Node) -> Result<(), BmcError> {
        let _ = node;
        Ok(())
    }

    /// Reads the power state.
    async fn power(&self, node: &Node) -> Result<Power, BmcError>;

    /// Changes the power. Returns when the BMC has accepted the command, which may be before the node
    /// has reached the state.
    async fn set_power(&self, node: &Node, action: PowerAction) -> Result<(), BmcError>;

    /// Sets the boot device; `None` removes the override.
    async fn set_boot(&self, node: &Node, boot: Option<BootOverride>) -> Result<(), BmcError> {
        let _ = (node, boot);
        Err(BmcError::Unsupported("setting the boot device"))
    }

    /// Reads back the boot device. `None` when no override is in force.
    async fn boot(&self, node: &Node) -> Result<Option<BootOverride>, BmcError> {
        let _ = node;
        Err(BmcError::Unsupported("reading the boot device"))
    }

    /// Opens the serial console. [`BmcError::ConsoleTaken`] where another session has it.
    async fn open_console(&self, node: &Node) -> Result<Console, BmcError> {
        let _ = node;
        Err(BmcError::Unsupported("the serial console"))
    }

    /// Ends whatever console session the BMC believes to be active, whoever has it.
    async fn reset_console(&self, node: &Node) -> Result<(), BmcError> {
        let _ = node;
        Err(BmcError::Unsupported("the serial console"))
    }

    /// Closes the sessions that the driver keeps and its consoles. Calls after it open new ones.
    async fn close(&self) {}
}

/// The schema that every address of a node fits.
pub(crate) fn any_node() -> serde_json::Value {
    serde_json::json!({"type": "string"})
}

/// How a driver is named, described and opened. What a site's wiring and plugins register.
#[async_trait]
pub trait OpenBmc: Bmc + Sized + 'static {
    /// The driver's name in a BMC's configuration: `plain`, `redfish`, ….
    const DRIVER: &'static str;

    /// JSON Schema of the driver's options.
    fn options() -> serde_json::Value;

    /// JSON Schema of a node's address, which is a text. Its `description` is what is said of one that does not fit.
    fn node() -> serde_json::Value {
        any_node()
    }

    /// Opens a BMC. Reads no state from it: a BMC that is switched off opens, and its calls fail.
    async fn open(config: BmcConfig) -> Result<Self, BmcError>;
}
