//! What happened to machines, and who changed what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{Id, Timestamp};
use crate::machine::MachineId;
use crate::run::RunId;
use crate::token::TokenRef;

/// Identifies an [`Event`]; grows with time, so that a follower can resume after it.
pub type EventId = Id<Event>;
/// Identifies an [`AuditEntry`].
pub type AuditId = Id<AuditEntry>;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A power command or its failure.
    Power,
    /// The boot device was set, or the BMC did not take it.
    BootDevice,
    /// A DHCP message of the machine.
    Dhcp,
    /// A file, boot configuration among them, was asked for by TFTP or HTTP.
    Boot,
    /// The answer file was fetched, or could not be rendered.
    AnswerFile,
    /// The machine reported.
    PhoneHome,
    /// The machine's state changed.
    State,
    /// Netboot was switched on or off.
    Netboot,
    /// Somebody got or gave back the machine.
    Assignment,
    /// A run started or ended.
    Run,
    /// A client asked for what is not its own.
    Refused,
    /// An image was put in another's place.
    Image,
    /// The console was opened, or taken from another session.
    Console,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [EventKind; 13] = [
        EventKind::Power,
        EventKind::BootDevice,
        EventKind::Dhcp,
        EventKind::Boot,
        EventKind::AnswerFile,
        EventKind::PhoneHome,
        EventKind::State,
        EventKind::Netboot,
        EventKind::Assignment,
        EventKind::Run,
        EventKind::Refused,
        EventKind::Image,
        EventKind::Console,
    ];

    /// The kind's name in API and store.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Power => "power",
            EventKind::BootDevice => "boot_device",
            EventKind::Dhcp => "dhcp",
            EventKind::Boot => "boot",
            EventKind::AnswerFile => "answer_file",
            EventKind::PhoneHome => "phone_home",
            EventKind::State => "state",
            EventKind::Netboot => "netboot",
            EventKind::Assignment => "assignment",
            EventKind::Run => "run",
            EventKind::Refused => "refused",
            EventKind::Image => "image",
            EventKind::Console => "console",
        }
    }
}

/// An event that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// When.
    pub at: Timestamp,
    /// The machine; a method that stores a new machine fills it in where it is `None`.
    pub machine: Option<MachineId>,
    /// The run; a method that stores a new run fills it in where it is `None`.
    pub run: Option<RunId>,
    /// What kind of thing.
    pub kind: EventKind,
    /// Who did it: a user's name, or `machine`, `dhcp`, `mrp`.
    pub actor: String,
    /// What happened, in words; never a secret.
    pub text: String,
    /// Details for programs: an object.
    pub data: Value,
}

/// Something that happened to a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Row id.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// The machine.
    pub machine: Option<MachineId>,
    /// The run.
    pub run: Option<RunId>,
    /// What kind of thing.
    pub kind: EventKind,
    /// Who did it.
    pub actor: String,
    /// What happened, in words.
    pub text: String,
    /// Details for programs.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub data: Value,
}

/// An audit entry that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAudit {
    /// When.
    pub at: Timestamp,
    /// Who: a user's name, or `mrp`.
    pub actor: String,
    /// By which token, where there was one.
    pub token: Option<TokenRef>,
    /// `create`, `update`, `delete`, `login`, ….
    pub action: String,
    /// The noun: `machine`, `user`, ….
    pub object: String,
    /// Its name. Empty for the machine of the journal's events where only the store knows which one that is.
    pub name: String,
    /// What changed, old and new; never a secret.
    pub changes: Value,
}

/// What a person or token changed. Append-only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Row id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// By which token; it may be gone.
    pub token: Option<TokenRef>,
    /// `create`, `update`, `delete`, `login`, ….
    pub action: String,
    /// The noun.
    pub object: String,
    /// Its name.
    pub name: String,
    /// What changed.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub changes: Value,
}

/// What is written together with a change, in the same transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    /// Events.
    pub events: Vec<NewEvent>,
    /// Audit entries.
    pub audit: Vec<NewAudit>,
    /// Name of a claim that the change is made under: it ends with the change. Where it has ended before, the change is
    /// `Stale`.
    pub under: Option<String>,
}
