//! What is asked of a plugin, and what it answers. The table of calls in `plugins/README.md` is made from these types.
//!
//! Fields that are not known are ignored, operations that are not known are answered [`super::ErrorKind::Unsupported`].

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bmc::{BmcConfig, BootOverride, Capabilities, Power, PowerAction, Privilege, any_node};
use crate::secret::Secret;

/// What a plugin says of itself, before it is asked anything: an executable's first line, `describe` of the C ABI.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// The version of the protocol: [`super::VERSION`].
    pub mrp_plugin: u32,
    /// The driver's name in a BMC's configuration: lower-case letters, digits, `-` and `_`.
    pub driver: String,
    /// What its BMCs can do, where each can do the same.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// JSON Schema of a machine's `bmc_info`, which is a text: its address behind the BMC. `description` is what is said of one
    /// that does not fit. Without it any fits.
    #[serde(default = "any_node")]
    pub node: Value,
    /// JSON Schema of the options of a BMC.
    #[serde(default = "no_options")]
    pub options: Value,
}

fn no_options() -> Value {
    serde_json::json!({"type": "object", "additionalProperties": false})
}

/// Something that is asked of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Makes a BMC known under the number that calls name it by. Reads no state from it.
    Open,
    /// Reads the power state.
    Power,
    /// Changes the power.
    SetPower,
    /// Sets or removes the boot device.
    SetBoot,
    /// Reads back the boot device.
    Boot,
    /// Opens the serial console, whose bytes carry the call's number.
    OpenConsole,
    /// Ends whatever console session the BMC believes to be active.
    ResetConsole,
    /// Closes sessions that are kept, and consoles; later calls open new ones.
    CloseSessions,
    /// Forgets a BMC.
    Close,
}

impl Operation {
    /// All operations, in the order of the contract.
    pub const ALL: [Operation; 9] = [
        Operation::Open,
        Operation::Power,
        Operation::SetPower,
        Operation::SetBoot,
        Operation::Boot,
        Operation::OpenConsole,
        Operation::ResetConsole,
        Operation::CloseSessions,
        Operation::Close,
    ];

    /// The name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Open => "open",
            Operation::Power => "power",
            Operation::SetPower => "set_power",
            Operation::SetBoot => "set_boot",
            Operation::Boot => "boot",
            Operation::OpenConsole => "open_console",
            Operation::ResetConsole => "reset_console",
            Operation::CloseSessions => "close_sessions",
            Operation::Close => "close",
        }
    }

    /// The operation of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// What it does, for errors.
    pub fn words(self) -> &'static str {
        match self {
            Operation::Open => "opening the BMC",
            Operation::Power => "reading the power state",
            Operation::SetPower => "this change of the power",
            Operation::SetBoot => "setting the boot device",
            Operation::Boot => "reading the boot device",
            Operation::OpenConsole | Operation::ResetConsole => "the serial console",
            Operation::CloseSessions => "closing the sessions",
            Operation::Close => "closing the BMC",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A request: the operation, and what it is about.
#[derive(Clone)]
pub enum Request {
    /// [`Operation::Open`].
    Open(OpenRequest),
    /// [`Operation::Power`].
    Power(NodeRequest),
    /// [`Operation::SetPower`].
    SetPower(SetPowerRequest),
    /// [`Operation::SetBoot`].
    SetBoot(SetBootRequest),
    /// [`Operation::Boot`].
    Boot(NodeRequest),
    /// [`Operation::OpenConsole`].
    OpenConsole(NodeRequest),
    /// [`Operation::ResetConsole`].
    ResetConsole(NodeRequest),
    /// [`Operation::CloseSessions`].
    CloseSessions,
    /// [`Operation::Close`].
    Close,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation().name())
    }
}

impl Request {
    /// What is asked.
    pub fn operation(&self) -> Operation {
        match self {
            Request::Open(_) => Operation::Open,
            Request::Power(_) => Operation::Power,
            Request::SetPower(_) => Operation::SetPower,
            Request::SetBoot(_) => Operation::SetBoot,
            Request::Boot(_) => Operation::Boot,
            Request::OpenConsole(_) => Operation::OpenConsole,
            Request::ResetConsole(_) => Operation::ResetConsole,
            Request::CloseSessions => Operation::CloseSessions,
            Request::Close => Operation::Close,
        }
    }

    /// The request in JSON, without the operation's name.
    pub fn to_json(&self) -> String {
        match self {
            Request::Open(request) => json(request),
            Request::Power(request)
            | Request::Boot(request)
            | Request::OpenConsole(request)
            | Request::ResetConsole(request) => json(request),
            Request::SetPower(request) => json(request),
            Request::SetBoot(request) => json(request),
            Request::CloseSessions | Request::Close => json(&Empty {}),
        }
    }

    /// Reads a request of an operation.
    pub fn parse(operation: Operation, json: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(match operation {
            Operation::Open => Request::Open(serde_json::from_slice(json)?),
            Operation::Power => Request::Power(serde_json::from_slice(json)?),
            Operation::SetPower => Request::SetPower(serde_json::from_slice(json)?),
            Operation::SetBoot => Request::SetBoot(serde_json::from_slice(json)?),
            Operation::Boot => Request::Boot(serde_json::from_slice(json)?),
            Operation::OpenConsole => Request::OpenConsole(serde_json::from_slice(json)?),
            Operation::ResetConsole => Request::ResetConsole(serde_json::from_slice(json)?),
            Operation::CloseSessions => Request::CloseSessions,
            Operation::Close => Request::Close,
        })
    }
}

/// Text of a message; what is in it always has a JSON form.
pub fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("messages have text keys and finite numbers only")
}

/// A BMC's configuration. The password is in it: it is for the plugin alone, and belongs in no log.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct OpenRequest {
    /// `host` or `host:port`.
    pub address: String,
    /// Account name; may be empty.
    pub username: String,
    /// The account's password.
    pub password: String,
    /// The privilege that sessions ask for.
    #[serde(default)]
    pub privilege: Privilege,
    /// The driver's own options, valid by its schema.
    #[serde(default)]
    pub options: Map<String, Value>,
}

impl fmt::Debug for OpenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRequest").field("address", &self.address).finish_non_exhaustive()
    }
}

impl From<&BmcConfig> for OpenRequest {
    fn from(config: &BmcConfig) -> Self {
        Self {
            address: config.address.clone(),
            username: config.username.clone(),
            password: config.password.expose().to_owned(),
            privilege: config.privilege,
            options: config.options.clone(),
        }
    }
}

impl From<OpenRequest> for BmcConfig {
    fn from(request: OpenRequest) -> Self {
        Self {
            address: request.address,
            username: request.username,
            password: Secret::new(request.password),
            privilege: request.privilege,
            options: request.options,
        }
    }
}

/// A machine behind the BMC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeRequest {
    /// The machine's `bmc_info`; empty for a BMC with one machine.
    pub node: String,
}

/// A change of the power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetPowerRequest {
    /// The machine's `bmc_info`; empty for a BMC with one machine.
    pub node: String,
    /// What to do.
    pub action: PowerAction,
}

/// The boot device that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetBootRequest {
    /// The machine's `bmc_info`; empty for a BMC with one machine.
    pub node: String,
    /// `null` removes the override.
    pub boot: Option<BootOverride>,
}

/// A reply that has nothing to say. An executable may leave it out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// What this BMC can do, where that is not what the hello said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenReply {
    /// Without it, the hello's hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
}

/// The power state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PowerReply {
    /// On or off.
    pub power: Power,
}

/// The boot device in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BootReply {
    /// `null` when no override is in force.
    pub boot: Option<BootOverride>,
}

/// Something that a plugin answers.
pub trait Reply: DeserializeOwned + Send {}
impl Reply for Empty {}
impl Reply for OpenReply {}
impl Reply for PowerReply {}
impl Reply for BootReply {}
