//! What an import works on: mr-provisioner's rows as they are, the rows that they become, and the report.
//!
//! [`Legacy`] judges nothing: it is what a reader of the old database hands over. The rules that make mrp's rows of it
//! are in [`crate::service::import`].

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::answer_file::AnswerFile;
use crate::arch::{Arch, Subarch};
use crate::bmc_entry::BmcEntry;
use crate::id::Timestamp;
use crate::image::Image;
use crate::lease::{Discovered, Lease};
use crate::machine::{Assignment, Interface, Machine};
use crate::network::Network;
use crate::secret::Secret;
use crate::token::Token;
use crate::user::User;

/// mr-provisioner's database, read in one snapshot. Rows are sorted by id.
#[derive(Debug, Clone, Default)]
pub struct Legacy {
    /// Table `user`.
    pub users: Vec<LegacyUser>,
    /// Table `token`.
    pub tokens: Vec<LegacyToken>,
    /// Table `arch`.
    pub archs: Vec<LegacyArch>,
    /// Table `subarch`.
    pub subarchs: Vec<LegacySubarch>,
    /// Table `image`.
    pub images: Vec<LegacyImage>,
    /// Table `preseed`.
    pub answer_files: Vec<LegacyAnswerFile>,
    /// Table `BMC`.
    pub bmcs: Vec<LegacyBmc>,
    /// Table `network`.
    pub networks: Vec<LegacyNetwork>,
    /// Table `machine`.
    pub machines: Vec<LegacyMachine>,
    /// Table `interface`.
    pub interfaces: Vec<LegacyInterface>,
    /// Table `machine_users`.
    pub assignments: Vec<LegacyAssignment>,
    /// Table `lease`.
    pub leases: Vec<LegacyLease>,
    /// Table `discoveredMAC`.
    pub discovered: Vec<LegacyDiscovered>,
    /// Table `machine_event`.
    pub events: Vec<LegacyEvent>,
    /// Tables that mrp has nothing for, with their number of rows.
    pub others: Vec<(String, u64)>,
}

impl Legacy {
    /// The ids of a table's rows.
    pub fn ids(&self, noun: Noun) -> Vec<i64> {
        match noun {
            Noun::User => self.users.iter().map(|row| row.id).collect(),
            Noun::Token => self.tokens.iter().map(|row| row.id).collect(),
            Noun::Arch => self.archs.iter().map(|row| row.id).collect(),
            Noun::Image => self.images.iter().map(|row| row.id).collect(),
            Noun::Subarch => self.subarchs.iter().map(|row| row.id).collect(),
            Noun::AnswerFile => self.answer_files.iter().map(|row| row.id).collect(),
            Noun::Bmc => self.bmcs.iter().map(|row| row.id).collect(),
            Noun::Network => self.networks.iter().map(|row| row.id).collect(),
            Noun::Machine => self.machines.iter().map(|row| row.id).collect(),
            Noun::Interface => self.interfaces.iter().map(|row| row.id).collect(),
            Noun::Assignment => self.assignments.iter().map(|row| row.id).collect(),
            Noun::Lease => self.leases.iter().map(|row| row.id).collect(),
            Noun::Discovered => self.discovered.iter().map(|row| row.id).collect(),
            Noun::Event => self.events.iter().map(|row| row.id).collect(),
        }
    }
}

/// A row of `user`.
#[derive(Debug, Clone, Default)]
pub struct LegacyUser {
    /// Row id.
    pub id: i64,
    /// `username`.
    pub name: String,
    /// `email`.
    pub email: String,
    /// `ldap`.
    pub ldap: Option<bool>,
    /// `ssh_key`.
    pub ssh_key: Option<String>,
    /// `password`: passlib's `pbkdf2_sha256`.
    pub password: Option<Secret>,
    /// `admin`.
    pub admin: Option<bool>,
}

/// A row of `token`.
#[derive(Debug, Clone, Default)]
pub struct LegacyToken {
    /// Row id.
    pub id: i64,
    /// `user_id`.
    pub user: Option<i64>,
    /// `token`, in clear text.
    pub token: Secret,
    /// `desc`.
    pub description: Option<String>,
}

/// A row of `arch`.
#[derive(Debug, Clone, Default)]
pub struct LegacyArch {
    /// Row id.
    pub id: i64,
    /// `name`.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
}

/// A row of `subarch`.
#[derive(Debug, Clone, Default)]
pub struct LegacySubarch {
    /// Row id.
    pub id: i64,
    /// `name`.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// `arch_id`.
    pub arch: i64,
    /// `bootloader_id`.
    pub bootloader: Option<i64>,
    /// `efiboot`.
    pub efi_boot: bool,
}

/// A row of `image`.
#[derive(Debug, Clone, Default)]
pub struct LegacyImage {
    /// Row id.
    pub id: i64,
    /// `filename`: the path below mr-provisioner's TFTP folder.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// `file_type`.
    pub kind: String,
    /// `date`.
    pub uploaded: Timestamp,
    /// `user_id`.
    pub owner: Option<i64>,
    /// `known_good`.
    pub known_good: bool,
    /// `public`.
    pub public: bool,
    /// `arch_id`.
    pub arch: i64,
}

/// A row of `preseed`.
#[derive(Debug, Clone, Default)]
pub struct LegacyAnswerFile {
    /// Row id.
    pub id: i64,
    /// `filename`.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// `file_type`.
    pub kind: String,
    /// `file_content`.
    pub content: Option<String>,
    /// `date`.
    pub saved: Timestamp,
    /// `user_id`.
    pub owner: Option<i64>,
    /// `known_good`.
    pub known_good: bool,
    /// `public`.
    pub public: bool,
}

/// A row of `BMC`.
#[derive(Debug, Clone, Default)]
pub struct LegacyBmc {
    /// Row id.
    pub id: i64,
    /// `name`.
    pub name: String,
    /// `ip`.
    pub address: String,
    /// `username`.
    pub username: Option<String>,
    /// `password`, in clear text.
    pub password: Option<Secret>,
    /// `privilege_level`.
    pub privilege: Option<String>,
    /// `bmc_type`.
    pub driver: Option<String>,
}

/// A row of `network`.
#[derive(Debug, Clone, Default)]
pub struct LegacyNetwork {
    /// Row id.
    pub id: i64,
    /// `name`.
    pub name: String,
    /// `subnet`.
    pub subnet: String,
    /// `reserved_net`.
    pub reserved_net: Option<String>,
    /// `static_net`.
    pub static_net: Option<String>,
}

/// A row of `machine`.
#[derive(Debug, Clone, Default)]
pub struct LegacyMachine {
    /// Row id.
    pub id: i64,
    /// `name`.
    pub name: String,
    /// What mrp has nothing for (`pdu`, `pdu_port`, `serial`, `serial_port`), where it is set.
    pub others: Vec<(&'static str, String)>,
    /// `kernel_id`.
    pub kernel: Option<i64>,
    /// `initrd_id`.
    pub initrd: Option<i64>,
    /// `kernel_opts`.
    pub kernel_options: Option<String>,
    /// `preseed_id`.
    pub answer_file: Option<i64>,
    /// `netboot_enabled`.
    pub netboot: Option<bool>,
    /// `bmc_id`.
    pub bmc: Option<i64>,
    /// `bmc_info`.
    pub bmc_info: Option<String>,
    /// `state`.
    pub state: Option<String>,
    /// `arch_id`.
    pub arch: i64,
    /// `subarch_id`.
    pub subarch: Option<i64>,
}

/// A row of `interface`.
#[derive(Debug, Clone, Default)]
pub struct LegacyInterface {
    /// Row id.
    pub id: i64,
    /// `mac`.
    pub mac: String,
    /// `identifier`.
    pub identifier: Option<String>,
    /// `static_ipv4`.
    pub static_ipv4: Option<String>,
    /// `reserved_ipv4`.
    pub reserved_ipv4: Option<String>,
    /// `machine_id`.
    pub machine: Option<i64>,
    /// `network_id`.
    pub network: Option<i64>,
}

/// A row of `machine_users`.
#[derive(Debug, Clone, Default)]
pub struct LegacyAssignment {
    /// Row id.
    pub id: i64,
    /// `machine_id`.
    pub machine: Option<i64>,
    /// `user_id`.
    pub user: Option<i64>,
    /// `start_date`.
    pub since: Timestamp,
    /// `reason`.
    pub reason: String,
}

/// A row of `lease`.
#[derive(Debug, Clone, Default)]
pub struct LegacyLease {
    /// Row id.
    pub id: i64,
    /// `mac`.
    pub mac: String,
    /// `ipv4`.
    pub ipv4: Option<String>,
    /// `last_seen`.
    pub last_seen: Timestamp,
}

/// A row of `discoveredMAC`.
#[derive(Debug, Clone, Default)]
pub struct LegacyDiscovered {
    /// Row id.
    pub id: i64,
    /// `mac`.
    pub mac: String,
    /// `info`.
    pub info: Value,
    /// `last_seen`.
    pub last_seen: Timestamp,
}

/// A row of `machine_event`.
#[derive(Debug, Clone, Default)]
pub struct LegacyEvent {
    /// Row id.
    pub id: i64,
    /// `machine_id`.
    pub machine: Option<i64>,
    /// `username`, or the name behind `user_id`.
    pub user: Option<String>,
    /// `date`.
    pub at: Timestamp,
    /// `event_type`.
    pub kind: i64,
    /// `info`.
    pub info: Value,
}

/// Where mr-provisioner's image files lie.
#[async_trait]
pub trait LegacyFiles: Send + Sync {
    /// Opens the file of an image by its name.
    async fn open(&self, name: &str) -> io::Result<Box<dyn LegacyFile>>;
}

/// An image file that is being read.
#[async_trait]
pub trait LegacyFile: Send {
    /// The next bytes; none at the end.
    async fn read(&mut self) -> io::Result<Bytes>;
}

/// What a row of mr-provisioner becomes, by the name of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Noun {
    /// `user`.
    User,
    /// `token`.
    Token,
    /// `arch`.
    Arch,
    /// `image`.
    Image,
    /// `subarch`.
    Subarch,
    /// `preseed`.
    AnswerFile,
    /// `BMC`.
    Bmc,
    /// `network`.
    Network,
    /// `machine`.
    Machine,
    /// `interface`.
    Interface,
    /// `machine_users`.
    Assignment,
    /// `lease`.
    Lease,
    /// `discoveredMAC`.
    Discovered,
    /// `machine_event`.
    Event,
}

impl Noun {
    /// All nouns, those before that others refer to.
    pub const ALL: [Noun; 14] = [
        Noun::User,
        Noun::Token,
        Noun::Arch,
        Noun::Image,
        Noun::Subarch,
        Noun::AnswerFile,
        Noun::Bmc,
        Noun::Network,
        Noun::Machine,
        Noun::Interface,
        Noun::Assignment,
        Noun::Lease,
        Noun::Discovered,
        Noun::Event,
    ];

    /// mr-provisioner's table; the noun's name in the store, too.
    pub fn table(self) -> &'static str {
        match self {
            Noun::User => "user",
            Noun::Token => "token",
            Noun::Arch => "arch",
            Noun::Image => "image",
            Noun::Subarch => "subarch",
            Noun::AnswerFile => "preseed",
            Noun::Bmc => "BMC",
            Noun::Network => "network",
            Noun::Machine => "machine",
            Noun::Interface => "interface",
            Noun::Assignment => "machine_users",
            Noun::Lease => "lease",
            Noun::Discovered => "discoveredMAC",
            Noun::Event => "machine_event",
        }
    }

    /// The noun of a table.
    pub fn of_table(table: &str) -> Option<Noun> {
        Self::ALL.into_iter().find(|noun| noun.table() == table)
    }
}

/// Which row of mrp a row of mr-provisioner has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// What it is.
    pub noun: Noun,
    /// Id in mr-provisioner; 0 for all events.
    pub source: i64,
    /// Id in mrp; 0 where mrp has none.
    pub id: i64,
    /// Revision that the import left. Of leases and discovered clients the time they were seen, of events the last id.
    pub revision: i64,
}

/// A row that is to be written under the id that it has: a new one if its revision is 0, else a change of the row with
/// that id and revision.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "a variant is its noun")]
pub enum ImportRow {
    User(User),
    Token(Token),
    Arch(Arch),
    Image(Image),
    Subarch(Subarch),
    AnswerFile(AnswerFile),
    Bmc(BmcEntry),
    Network(Network),
    Machine(Machine),
    Interface(Interface),
    Assignment(Assignment),
    Lease(Lease),
    Discovered(Discovered),
}

/// What an import writes, in one transaction and in this order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportBatch {
    /// Rows, those before that others refer to.
    pub rows: Vec<ImportRow>,
    /// Where they came from; an older mark of the same row is replaced.
    pub marks: Vec<Imported>,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ImportReport {
    /// Nothing was written.
    pub dry_run: bool,
    /// What became of the rows, a table a line.
    pub tables: Vec<TableReport>,
    /// Every value that did not come over as it was, and every row that did not come.
    pub notes: Vec<ImportNote>,
}

impl ImportReport {
    /// Rows that were written.
    pub fn changes(&self) -> u64 {
        self.tables.iter().map(|table| table.brought + table.updated).sum()
    }
}

/// What became of a table's rows; each row is counted once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// mr-provisioner's table.
    pub table: String,
    /// Rows there.
    pub found: u64,
    /// New in mrp.
    pub brought: u64,
    /// Changed there since the last import, and not in mrp.
    pub updated: u64,
    /// The same on both sides.
    pub unchanged: u64,
    /// Made, changed or removed in mrp, which is kept.
    pub kept: u64,
    /// Not brought; a note says why.
    pub left_out: u64,
}

/// What happened to a value or row that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportNote {
    /// mr-provisioner's table.
    pub table: String,
    /// Row id there; none for a note on several rows.
    pub id: Option<i64>,
    /// The column; empty for the whole row.
    pub field: String,
    /// What does not fit.
    pub reason: String,
    /// What was done about it.
    pub done: String,
}
