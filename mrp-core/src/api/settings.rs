//! Bodies of the requests that mr-provisioner had. Its clients send ids in every form, and keys that nobody asks for are
//! ignored where it ignored them; `mrp-web` therefore reads these bodies key by key, and these structs say what it reads.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{LINE, NAME, present};
use crate::answer_file::AnswerFileKind;
use crate::id::Timestamp;
use crate::image::ImageKind;

/// `PUT /machine/{id}`: how a machine boots. Absent keys stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineSettings {
    /// Image id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "id")]
    pub kernel_id: Option<i64>,
    /// Image id; `null` for none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(schema_with = "id_or_null")]
    pub initrd_id: Option<Option<i64>>,
    /// Kernel options, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 1024), regex(pattern = LINE))]
    pub kernel_opts: Option<String>,
    /// Answer file's id; `null` for none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(schema_with = "id_or_null")]
    pub preseed_id: Option<Option<i64>>,
    /// Subarchitecture's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64))]
    pub subarch: Option<String>,
    /// Netboots when it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub netboot_enabled: Option<bool>,
}

/// `POST /machine/reservation`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reservation {
    /// In the query language; `null` or empty for any free machine.
    #[schemars(required, schema_with = "query")]
    pub query: Option<String>,
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 128), regex(pattern = LINE))]
    pub reason: Option<String>,
    /// Until when; `null` or absent if that is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// `POST /machine/{id}/assignee` (admins).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewAssignee {
    /// User's name.
    #[schemars(length(max = 256))]
    pub user: String,
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 128), regex(pattern = LINE))]
    pub reason: Option<String>,
    /// Until when; `null` or absent if that is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// `PUT /machine/{id}/assignee/{assignee}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssigneeReason {
    /// Why.
    #[schemars(length(max = 128), regex(pattern = LINE))]
    pub reason: String,
    /// Until when; absent leaves it, `null` opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What `POST /machine/{id}/power` understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PowerWord {
    /// On.
    On,
    /// Off, hard.
    Off,
    /// Reset; on if off.
    Reboot,
    /// Boot the network next, then reset or on.
    PxeReboot,
    /// Boot the disk next, then reset or on.
    DiskReboot,
    /// Enter the firmware's set-up next, then reset or on.
    BiosReboot,
    /// Off, a pause, on.
    Cycle,
    /// Ask the operating system to shut down.
    Soft,
}

/// `POST /machine/{id}/power`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPower {
    /// What to do.
    pub state: PowerWord,
}

/// What `POST /machine/{id}/state` understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProvisionWord {
    /// Start a run, by the machine's BMC.
    Provision,
}

/// `POST /machine/{id}/state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provision {
    /// What to do.
    pub state: ProvisionWord,
}

/// What `PUT /machine/{id}/state` understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateWord {
    /// It is installed.
    Ready,
    /// Its installation failed.
    Error,
    /// Nothing is known.
    Unknown,
}

/// `PUT /machine/{id}/state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetState {
    /// How it stands.
    pub state: StateWord,
}

/// `PUT /machine/{id}/interface/{interface}`: absent keys stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceSettings {
    /// `dynamic`, `dynamic-reserved`, `static`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["dynamic", "dynamic-reserved", "static"]))]
    pub config_type_v4: Option<String>,
    /// An IPv4 address, `auto` for a free one of the network's range, or `null`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(schema_with = "address")]
    pub configured_ipv4: Option<Option<String>>,
    /// The machine's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(with = "Option<String>", length(max = 64), regex(pattern = LINE))]
    pub identifier: Option<Option<String>>,
    /// MAC address (admins).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "card")]
    pub mac: Option<String>,
    /// Network's name, or `null` (admins).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(with = "Option<String>", length(max = 256))]
    pub network: Option<Option<String>>,
}

/// The part `q` of `POST /image`, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewImage {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ImageKind,
    /// Architecture's name.
    #[schemars(length(max = 64))]
    pub arch: String,
    /// For people.
    #[serde(default)]
    #[schemars(length(max = 1024), regex(pattern = LINE))]
    pub description: Option<String>,
    /// Marked as working.
    #[serde(default)]
    pub known_good: bool,
    /// Usable by everybody.
    #[serde(default)]
    pub public: bool,
}

/// `PUT /image/{id}`: absent keys stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageSettings {
    /// What it is.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ImageKind")]
    pub kind: Option<ImageKind>,
    /// Architecture's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64))]
    pub arch: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(with = "Option<String>", length(max = 1024), regex(pattern = LINE))]
    pub description: Option<Option<String>>,
    /// Marked as working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub known_good: Option<bool>,
    /// Usable by everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub public: Option<bool>,
}

/// `POST /preseed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewPreseed {
    /// Unique name.
    #[schemars(length(min = 2, max = 256), regex(pattern = NAME))]
    pub name: String,
    /// The installer it is for.
    #[serde(rename = "type")]
    pub kind: AnswerFileKind,
    /// Template; at most 2 MiB.
    #[serde(default)]
    #[schemars(regex(pattern = NO_NUL))]
    pub content: Option<String>,
    /// For people.
    #[serde(default)]
    #[schemars(length(max = 1024), regex(pattern = LINE))]
    pub description: Option<String>,
    /// Marked as working.
    #[serde(default)]
    pub known_good: bool,
    /// Usable by everybody.
    #[serde(default)]
    pub public: bool,
}

/// `PUT /preseed/{id}`: absent keys stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreseedSettings {
    /// Unique name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 2, max = 256), regex(pattern = NAME))]
    pub name: Option<String>,
    /// The installer it is for.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AnswerFileKind")]
    pub kind: Option<AnswerFileKind>,
    /// Template; at most 2 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(with = "Option<String>", regex(pattern = NO_NUL))]
    pub content: Option<Option<String>>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(with = "Option<String>", length(max = 1024), regex(pattern = LINE))]
    pub description: Option<Option<String>>,
    /// Marked as working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub known_good: Option<bool>,
    /// Usable by everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub public: Option<bool>,
}

/// Text of any length without NUL.
pub(super) const NO_NUL: &str = r"^[^\u0000]*$";

/// An id in the forms that clients of mr-provisioner send.
fn id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["integer", "number", "string", "boolean"],
        "description": "An id; a number as text, a fraction and a truth value are understood as mr-provisioner did.",
        "pattern": "^[0-9]{1,18}$",
    })
}

fn id_or_null(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["integer", "null", "number", "string", "boolean"],
        "description": "An id or null; a number as text, a fraction and a truth value are understood as mr-provisioner did.",
        "pattern": "^[0-9]{1,18}$",
    })
}

fn query(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "null"], "maxLength": 300})
}

fn address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [
        {"type": "string", "format": "ipv4"},
        {"type": "string", "const": "auto"},
        {"type": "null"},
    ]})
}

/// The MAC address of one card ([`MacAddr::is_of_a_card`](crate::mac::MacAddr::is_of_a_card)).
pub(super) fn card(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": "^(?!00(?:[:-]00){5}$)[0-9A-Fa-f][02468ACEace](?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})$",
        "examples": ["52:54:00:12:34:56"],
    })
}
