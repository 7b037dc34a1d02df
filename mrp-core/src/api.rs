//! The bodies that cross HTTP, for the server and for clients written in Rust. mr-provisioner's words and shapes where
//! it had them: keys sorted, ids as numbers, times of its own routes as RFC 1123 strings.
//!
//! Requests of routes that mr-provisioner had are checked key by key in `mrp-web`, since its clients send ids as
//! strings and its refusals depend on the key.

mod console;
mod debug;
pub mod dhcp;
pub mod kea;
mod lab;
pub mod settings;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::answer_file::AnswerFileKind;
use crate::health::BmcHealth;
use crate::id::Timestamp;
use crate::lint::Severity;
use crate::run::{RunPlan, Stage};
use crate::token::Scope;

pub use console::{ConsoleLine, ConsoleLineKind, ConsoleNotice, ConsoleRequest, ConsoleTicket};
pub use lab::{DiscoveredMachine, FreeAddresses, NetworkAddress, SeenPower, TagChange, Tags};

/// One line of text: no control characters.
pub const LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// A name: nothing that is not seen. [`check_name`](crate::machine::check_name) wants more than a pattern can say that people
/// are to read: a letter, or a digit and a sign, and no blank at its ends.
pub const NAME: &str = r"^[^\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]*$";

/// Lines of text: no control characters but those between lines and words.
const LINES: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$";
/// A user's name.
const USER: &str = r"^[A-Za-z0-9][A-Za-z0-9._@-]*$";

/// Every refusal: `errors` is a list of strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// mr-provisioner's class of errors (`InvalidUsage`, `NotFound`, `BMCError`, …).
    pub error_type: String,
    /// What is wrong and what to do, in words.
    pub errors: Vec<String>,
}

/// `GET /machine`, `GET|PUT /machine/{id}`, `POST /machine/reservation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Architecture's name.
    pub arch: String,
    /// Name made safe for DNS.
    pub hostname: String,
    /// Id.
    pub id: i64,
    /// Image id.
    pub initrd_id: Option<i64>,
    /// Image id.
    pub kernel_id: Option<i64>,
    /// Kernel options.
    pub kernel_opts: Option<String>,
    /// Name.
    pub name: String,
    /// Netboots when it starts.
    pub netboot_enabled: bool,
    /// Answer file's id.
    pub preseed_id: Option<i64>,
    /// Subarchitecture's name.
    pub subarch: Option<String>,
}

/// `GET /machine/{id}/detail`: what `mrp machine show` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineDetail {
    /// The machine as `GET /machine/{id}` has it.
    #[serde(flatten)]
    pub machine: Machine,
    /// `unknown`, `ready`, `provisioning`, `error`.
    pub state: String,
    /// `off`, `hand`, `run`.
    pub netboot: String,
    /// It has a BMC; the BMC's own facts are for admins.
    pub has_bmc: bool,
    /// Address behind the BMC.
    pub bmc_info: String,
    /// Who holds it.
    pub assignees: Vec<Assignee>,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// Its tags, sorted.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Its power as last seen; `null` if it never was.
    #[serde(default)]
    pub power: Option<SeenPower>,
    /// Its newest run.
    pub run: Option<Run>,
}

/// `GET /machine/overview?show_all=&q=`: a machine in a list for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineOverview {
    /// The machine as `GET /machine/{id}` has it.
    #[serde(flatten)]
    pub machine: Machine,
    /// `unknown`, `ready`, `provisioning`, `error`.
    pub state: String,
    /// Names of who holds it, in the order in which they came.
    pub holders: Vec<String>,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// Its power as last seen; `null` if it never was.
    pub power: Option<SeenPower>,
}

/// `POST /machine` (admins).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMachine {
    /// Unique name.
    #[schemars(length(min = 1, max = 256), regex(pattern = NAME))]
    pub name: String,
    /// Architecture's name.
    pub arch: String,
    /// Subarchitecture's name.
    #[serde(default)]
    pub subarch: Option<String>,
    /// BMC's name.
    #[serde(default)]
    pub bmc: Option<String>,
    /// Address behind the BMC.
    #[serde(default)]
    #[schemars(length(max = 256), regex(pattern = LINE))]
    pub bmc_info: String,
    /// Its interfaces; all or nothing is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub interfaces: Vec<NewInterface>,
}

/// `PATCH /machine/{id}` (admins): what a machine is. Absent keys stay; `null` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineDefinition {
    /// Unique name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = NAME))]
    pub name: Option<String>,
    /// Architecture's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// BMC's name.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub bmc: Option<Option<String>>,
    /// Address behind the BMC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = LINE))]
    pub bmc_info: Option<String>,
}

/// `GET /machine/{id}/interface`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    /// `dynamic`, `dynamic-reserved`, `static`.
    pub config_type_v4: String,
    /// Address for the last two.
    pub configured_ipv4: Option<String>,
    /// Id.
    pub id: i64,
    /// The machine's name for it.
    pub identifier: Option<String>,
    /// When its lease was last seen, RFC 1123.
    pub last_seen_date: Option<String>,
    /// Its lease.
    pub lease_ipv4: Option<String>,
    /// MAC address.
    pub mac: String,
    /// Netmask of its network.
    pub netmaskv4: Option<String>,
    /// Its network.
    pub network_name: Option<String>,
    /// Prefix length of its network.
    pub prefixlenv4: Option<u8>,
    /// Range of reserved addresses.
    pub reserved_pool_v4: Option<String>,
    /// Range of static addresses.
    pub static_pool_v4: Option<String>,
    /// Its network's subnet.
    pub subnetv4: Option<String>,
}

/// `POST /machine/{id}/interface` (admins).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInterface {
    /// MAC address.
    #[schemars(schema_with = "settings::card")]
    pub mac: String,
    /// The machine's name for it.
    #[serde(default)]
    #[schemars(length(max = 64), regex(pattern = LINE))]
    pub identifier: Option<String>,
    /// Network's name.
    #[serde(default)]
    pub network: Option<String>,
}

/// `GET /machine/{id}/assignee`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assignee {
    /// Id.
    pub id: i64,
    /// Why.
    pub reason: String,
    /// Until when; absent if that is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// User's name.
    pub user: String,
}

/// `GET|POST /machine/{id}/power`, `GET|POST|PUT /machine/{id}/state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The state.
    pub state: String,
}

/// `GET /image`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// Architecture's name.
    pub arch: String,
    /// For people.
    pub description: Option<String>,
    /// Id.
    pub id: i64,
    /// Marked as working.
    pub known_good: bool,
    /// `<owner>/<file>.<8 hex>`.
    pub name: String,
    /// Usable by everybody.
    pub public: bool,
    /// `Kernel`, `Initrd`, `bootloader`.
    #[serde(rename = "type")]
    pub kind: String,
    /// RFC 1123.
    pub upload_date: String,
    /// Owner's name.
    pub user: Option<String>,
}

/// `GET /image/{id}/detail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageDetail {
    /// The image as `GET /image/{id}` has it.
    #[serde(flatten)]
    pub image: Image,
    /// SHA-256 of the content.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// What uses it.
    pub used_by: ImageUsers,
}

/// What uses an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageUsers {
    /// Machines.
    pub machines: Vec<ImageMachine>,
    /// Subarchitectures whose boot loader it is.
    pub subarchs: Vec<ImageSubarch>,
}

/// A machine that uses an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageMachine {
    /// Id.
    pub id: i64,
    /// As its initrd.
    pub initrd: bool,
    /// As its kernel.
    pub kernel: bool,
    /// Name.
    pub name: String,
}

/// A subarchitecture whose boot loader an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageSubarch {
    /// Id.
    pub id: i64,
    /// `<architecture>/<name>`.
    pub name: String,
}

/// `POST /image/{id}/replace`: what uses this image is to use another.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceImage {
    /// The other image's id.
    pub by: i64,
}

/// Answer of `POST /image/{id}/replace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplacedImage {
    /// The other image.
    pub by: Image,
    /// What uses it from here on; the flags say as what.
    pub changed: ImageUsers,
    /// What uses the old one still.
    pub kept: Vec<KeptImageUser>,
}

/// Something that was not changed by `POST /image/{id}/replace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptImageUser {
    /// Id.
    pub id: i64,
    /// `machine` or `subarch`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Why it was not changed.
    pub reason: String,
}

/// `GET /upload`: an upload that may go on later (tus, <https://tus.io/protocols/resumable-upload>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Upload {
    /// When it last went on.
    pub advanced: Timestamp,
    /// Architecture's name.
    pub arch: String,
    /// When it began.
    pub created: Timestamp,
    /// For people.
    pub description: Option<String>,
    /// When it is forgotten, unless it goes on.
    pub expires: Timestamp,
    /// The file's name.
    pub file_name: String,
    /// The last segment of its path `/api/v1/upload/{id}`.
    pub id: String,
    /// Id of the image that it became.
    pub image_id: Option<i64>,
    /// Marked as working.
    pub known_good: bool,
    /// Bytes that it will have.
    pub length: u64,
    /// Bytes that have come.
    pub offset: u64,
    /// Usable by everybody.
    pub public: bool,
    /// What the content has to be, if that was said.
    pub sha256: Option<String>,
    /// `Kernel`, `Initrd`, `bootloader`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `GET /preseed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preseed {
    /// Template.
    pub content: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Id.
    pub id: i64,
    /// Marked as working.
    pub known_good: bool,
    /// Unique name.
    pub name: String,
    /// Usable by everybody.
    pub public: bool,
    /// `preseed`, `kickstart`, `autoyast`, `autoinstall`, `agama`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Owner's name.
    pub user: Option<String>,
}

/// `GET /preseed/{id}/render?machine={id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenderedPreseed {
    /// The text as the machine would get it.
    pub text: String,
    /// Undefined variables, with their lines.
    pub warnings: Vec<String>,
}

/// `POST /preseed/render`: a preview of what is not saved.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenderPreseed {
    /// Template.
    #[schemars(regex(pattern = settings::NO_NUL))]
    pub content: String,
    /// `preseed`, `kickstart`, `autoyast`, `autoinstall`, `agama`; all are rendered alike.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AnswerFileKind>,
    /// Machine's id.
    pub machine: i64,
}

/// `POST /preseed/lint`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LintPreseed {
    /// Template.
    #[schemars(regex(pattern = settings::NO_NUL))]
    pub content: String,
    /// `preseed`, `kickstart`, `autoyast`, `autoinstall`, `agama`.
    #[serde(rename = "type")]
    pub kind: AnswerFileKind,
    /// Id of a machine that one holds; by default a machine that has everything is made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<i64>,
}

/// `POST /preseed/lint`, `GET /preseed/{id}/lint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreseedLint {
    /// What was found, the worst first.
    pub findings: Vec<LintFinding>,
    /// There is no error among them.
    pub ok: bool,
}

/// What is wrong with an answer file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LintFinding {
    /// The line, from 1.
    pub line: Option<u64>,
    /// What is wrong and what would be right.
    pub message: String,
    /// The line is one of the rendered text, not of the template.
    pub rendered: bool,
    /// `error`, `warning`, `note`.
    pub severity: Severity,
}

/// `GET /preseed/{id}/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreseedVersion {
    /// Size in bytes.
    pub bytes: u64,
    /// When it was saved.
    pub saved: Timestamp,
    /// Who saved it; empty where that is not known.
    pub saved_by: String,
    /// 1 for the first.
    pub version: i64,
}

/// `GET /preseed/{id}/version/{n}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreseedVersionContent {
    /// Template.
    pub content: Option<String>,
    /// What the list has of it.
    #[serde(flatten)]
    pub version: PreseedVersion,
}

/// `POST /preseed/{id}/version`: saves an old version as a new one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestorePreseed {
    /// The old version.
    pub restore: i64,
}

/// `POST /session`: log in.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// User's name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// Answer of `POST /session` and `POST /token`: the token is shown this once.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct IssuedToken {
    /// Id.
    pub id: i64,
    /// Send it as `Authorization: Bearer <token>`.
    pub token: String,
    /// Until when it is valid.
    pub expires: Option<Timestamp>,
    /// How much it may.
    #[serde(default)]
    pub scope: Scope,
}

/// `POST /token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    #[serde(default)]
    #[schemars(length(max = 256), regex(pattern = LINE))]
    pub description: String,
    /// Until when it is to be valid.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// How much it is to be allowed; by default as much as the token that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// `GET /token`: one's own; `?all=true`: everybody's (admins).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// Id.
    pub id: i64,
    /// Its owner's name.
    pub user: String,
    /// `session` or `api`.
    pub kind: String,
    /// How much it may.
    pub scope: Scope,
    /// What it is for.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it is valid.
    pub expires: Option<Timestamp>,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
}

/// `GET /user`, `GET /user/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Id.
    pub id: i64,
    /// Name.
    pub name: String,
    /// E-mail.
    pub email: String,
    /// May do everything.
    pub admin: bool,
    /// Public SSH keys, one a line.
    pub ssh_keys: String,
}

/// `POST /user` (admins).
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Unique name.
    #[schemars(length(max = 64), regex(pattern = USER))]
    pub name: String,
    /// E-mail.
    #[serde(default)]
    #[schemars(length(max = 256), regex(pattern = LINE))]
    pub email: String,
    /// Password, at least 8 characters.
    #[schemars(length(min = 8, max = 256))]
    pub password: String,
    /// May do everything.
    #[serde(default)]
    pub admin: bool,
    /// Public SSH keys, one a line.
    #[serde(default)]
    #[schemars(length(max = 16384), regex(pattern = LINES))]
    pub ssh_keys: String,
}

/// `PUT /user/{id}`: absent keys stay.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// E-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = LINE))]
    pub email: Option<String>,
    /// New password; ends the user's sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 256))]
    pub password: Option<String>,
    /// The password of before; needed to change one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_password: Option<String>,
    /// With a new password: end the user's API tokens too.
    #[serde(default)]
    pub revoke_tokens: bool,
    /// May do everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<bool>,
    /// Public SSH keys, one a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384), regex(pattern = LINES))]
    pub ssh_keys: Option<String>,
}

/// `GET /arch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Arch {
    /// Id.
    pub id: i64,
    /// Unique name.
    pub name: String,
    /// For people.
    pub description: String,
}

/// `POST /arch`, `PUT /arch/{id}` (admins).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewArch {
    /// Unique name.
    #[schemars(length(min = 1, max = 64), regex(pattern = NAME))]
    pub name: String,
    /// For people.
    #[serde(default)]
    #[schemars(length(max = 1024), regex(pattern = LINE))]
    pub description: String,
}

/// `GET /subarch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subarch {
    /// Id.
    pub id: i64,
    /// Architecture's name.
    pub arch: String,
    /// Name, unique within the architecture.
    pub name: String,
    /// For people.
    pub description: String,
    /// Image id of the boot loader.
    pub bootloader_id: Option<i64>,
    /// The BMC must ask for an EFI boot.
    pub efiboot: bool,
}

/// `POST /subarch`, `PUT /subarch/{id}` (admins).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubarch {
    /// Architecture's name; ignored by `PUT`.
    pub arch: String,
    /// Name, unique within the architecture.
    #[schemars(length(min = 1, max = 64), regex(pattern = NAME))]
    pub name: String,
    /// For people.
    #[serde(default)]
    #[schemars(length(max = 1024), regex(pattern = LINE))]
    pub description: String,
    /// Image id of the boot loader.
    #[serde(default)]
    pub bootloader_id: Option<i64>,
    /// The BMC must ask for an EFI boot.
    #[serde(default)]
    pub efiboot: bool,
}

/// `GET /bmc` (admins). The password is never shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bmc {
    /// Id.
    pub id: i64,
    /// Unique name.
    pub name: String,
    /// `host` or `host:port`.
    pub address: String,
    /// Driver's name.
    pub driver: String,
    /// Account.
    pub username: String,
    /// `user`, `operator`, `admin`.
    pub privilege: String,
    /// The driver's options.
    pub options: Map<String, Value>,
    /// How it has been of late.
    pub health: BmcHealth,
}

/// `POST /bmc`, `PUT /bmc/{id}` (admins). `PUT` without a password keeps it.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBmc {
    /// Unique name.
    #[schemars(length(min = 1, max = 256), regex(pattern = NAME))]
    pub name: String,
    /// `host` or `host:port`.
    #[schemars(length(min = 1, max = 256), regex(pattern = LINE))]
    pub address: String,
    /// Driver's name.
    #[serde(default = "plain")]
    pub driver: String,
    /// Account.
    #[serde(default)]
    #[schemars(length(max = 256), regex(pattern = LINE))]
    pub username: String,
    /// Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `user`, `operator`, `admin`.
    #[serde(default)]
    pub privilege: crate::bmc::Privilege,
    /// The driver's options.
    #[serde(default)]
    pub options: Map<String, Value>,
}

/// `GET /network`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Network {
    /// Id.
    pub id: i64,
    /// Unique name.
    pub name: String,
    /// Subnet, CIDR.
    pub subnet: String,
    /// Static range, CIDR.
    pub static_net: Option<String>,
    /// Reserved range, CIDR.
    pub reserved_net: Option<String>,
    /// Base URL for its machines.
    pub server_url: Option<String>,
    /// Believe a MAC in a path where nothing else is known.
    pub trust_path_mac: bool,
}

/// `POST /network`, `PUT /network/{id}` (admins).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNetwork {
    /// Unique name.
    #[schemars(length(min = 1, max = 256), regex(pattern = NAME))]
    pub name: String,
    /// Subnet, CIDR.
    pub subnet: String,
    /// Static range, CIDR.
    #[serde(default)]
    pub static_net: Option<String>,
    /// Reserved range, CIDR.
    #[serde(default)]
    pub reserved_net: Option<String>,
    /// Base URL for its machines.
    #[serde(default)]
    pub server_url: Option<String>,
    /// Believe a MAC in a path where nothing else is known.
    #[serde(default = "yes")]
    pub trust_path_mac: bool,
}

/// `POST /run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// Machine's id.
    pub machine: i64,
    /// A person installs at the console.
    #[serde(default)]
    pub manual: bool,
}

/// `GET /run`, `GET /run/{id}`, answer of `POST /run` and `POST /run/{id}/cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Id.
    pub id: i64,
    /// Machine's id.
    pub machine: i64,
    /// Who started it.
    pub started_by: String,
    /// `active`, `ready`, `presumed`, `failed`, `cancelled`.
    pub status: String,
    /// How it ended, in words.
    pub verdict: Option<String>,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The stage that is waited for.
    pub waiting_for: Option<String>,
    /// Until when.
    pub deadline: Option<Timestamp>,
    /// What it is to do.
    pub plan: RunPlan,
    /// What was observed.
    pub stages: Vec<Stage>,
}

/// `GET /discovered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discovered {
    /// MAC address.
    pub mac: String,
    /// Who made the network card, where the server knows.
    pub vendor: Option<String>,
    /// Host name it sent.
    pub hostname: Option<String>,
    /// Client architecture (option 93).
    pub client_arch: Option<u16>,
    /// What that architecture is called.
    pub client_arch_name: Option<String>,
    /// Vendor class (option 60).
    pub vendor_class: Option<String>,
    /// When it last asked.
    pub last_seen: Timestamp,
}

fn plain() -> String {
    "plain".into()
}

fn yes() -> bool {
    true
}

/// Tells an absent key from `null`: serde calls this for a key that is there.
fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

impl From<&crate::run::Run> for Run {
    fn from(run: &crate::run::Run) -> Self {
        Self {
            id: run.id.get(),
            machine: run.machine.get(),
            started_by: run.started_by.clone(),
            status: run.status.as_str().into(),
            verdict: run.verdict.clone(),
            started: run.started,
            ended: run.ended,
            waiting_for: run.deadline.map(|deadline| deadline.stage.as_str().into()),
            deadline: run.deadline.map(|deadline| deadline.at),
            plan: run.plan.clone(),
            stages: run.stages.clone(),
        }
    }
}
