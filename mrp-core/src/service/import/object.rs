//! What an import has to know of a noun: where it lies, what makes it unique, and how two states of it differ.

use crate::answer_file::AnswerFile;
use crate::arch::{Arch, Subarch};
use crate::bmc_entry::BmcEntry;
use crate::id::Id;
use crate::image::Image;
use crate::import::{ImportRow, Noun};
use crate::machine::{Assignment, Interface, Machine};
use crate::network::Network;
use crate::service::import::state::State;
use crate::token::Token;
use crate::user::User;

/// A noun whose rows an import writes by id.
pub(super) trait Object: Clone {
    /// The noun.
    const NOUN: Noun;
    /// mrp's rows, sorted by id.
    fn here(state: &State) -> &[Self];
    /// Row id.
    fn id(&self) -> i64;
    /// Revision; 1 where the noun has none.
    fn revision(&self) -> i64;
    /// Gives it a place.
    fn place(&mut self, id: i64, revision: i64);
    /// Unique values, each enough to be the same object.
    fn keys(&self) -> Vec<String>;
    /// Takes over from mrp's row what mr-provisioner has nothing for.
    fn adopt(&mut self, _ours: &Self) {}
    /// The columns, in mr-provisioner's words, that are not as in mrp's row.
    fn differences(&self, ours: &Self) -> Vec<&'static str>;
    /// As a row of the batch.
    fn row(self) -> ImportRow;
}

/// Names of the pairs that are not equal.
fn unequal(fields: &[(&'static str, bool)]) -> Vec<&'static str> {
    fields.iter().filter(|(_, equal)| !equal).map(|(name, _)| *name).collect()
}

impl Object for User {
    const NOUN: Noun = Noun::User;
    fn here(state: &State) -> &[Self] {
        &state.users
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&mut self, id: i64, revision: i64) {
        (self.id, self.revision) = (Id::new(id), revision);
    }
    fn keys(&self) -> Vec<String> {
        vec![format!("name {}", self.name)]
    }
    fn differences(&self, ours: &Self) -> Vec<&'static str> {
        unequal(&[
            ("username", self.name == ours.name),
            ("email", self.email == ours.email),
            ("admin", self.admin == ours.admin),
            ("ssh_key", self.ssh_keys == ours.ssh_keys),
            // A login has made another hash of the same password.
            (
                "password",
                self.password_hash == ours.password_hash || ours.password_hash.starts_with("$argon2"),
            ),
        ])
    }
    fn row(self) -> ImportRow {
        ImportRow::User(self)
    }
}

impl Object for Token {
    const NOUN: Noun = Noun::Token;
    fn here(state: &State) -> &[Self] {
        &state.tokens
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        1
    }
    fn place(&mut self, id: i64, _revision: i64) {
        self.id = Id::new(id);
    }
    fn keys(&self) -> Vec<String> {
        vec![self.hash.clone()]
    }
    fn differences(&self, _ours: &Self) -> Vec<&'static str> {
        // A token is made and removed, never changed.
        Vec::new()
    }
    fn row(self) -> ImportRow {
        ImportRow::Token(self)
    }
}

impl Object for Arch {
    const NOUN: Noun = Noun::Arch;
    fn here(state: &State) -> &[Self] {
        &state.archs
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&mut self, id: i64, revision: i64) {
        (self.id, self.revision) = (Id::new(id), revision);
    }
    fn keys(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
    fn differences(&self, ours: &Self) -> Vec<&'static str> {
        unequal(&[("name", self.name == ours.name), ("description", self.description == ours.description)])
    }
    fn row(self) -> ImportRow {
        ImportRow::Arch(self)
    }
}

impl Object for Subarch {
    const NOUN: Noun = Noun::Subarch;
    fn here(state: &State) -> &[Self] {
        &state.subarchs
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&mut self, id: i64, revision: i64) {
        (self.id, self.revision) = (Id::new(id), revision);
    }
    fn keys(&self) -> Vec<String> {
        vec![format!("{} {}", self.arch, self.name)]
    }
    fn differences(&self, ours: &Self) -> Vec<&'static str> {
        unequal(&[
            ("arch_id", self.arch == ours.arch),
            ("name", self.name == ours.name),
            ("description", self.description == ours.description),
            ("bootloader_id", self.bootloader == ours.bootloader),
            ("efiboot", self.efi_boot == ours.efi_boot),
        ])
    }
    fn row(self) -> ImportRow {
        ImportRow::Subarch(self)
    }
}

impl Object for Image {
    const NOUN: Noun = Noun::Image;
    fn here(state: &State) -> &[Self] {
        &state.images
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&mut self, id: i64, revision: i64) {
        (self.id, self.revision) = (Id::new(id), revision);
    }
    fn keys(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
    fn adopt(&mut self, ours: &Self) {
        // mr-provisioner never changes a file: what was read once is not read again.
        (self.digest, self.size) = (ours.digest.clone(), ours.size);
    }
    fn differences(&self, ours: &Self) -> Vec<&'static str> {
        unequal(&[
            ("filename", self.name == ours.name),
            ("file_type", self.kind == ours.kind),
            ("arch_id", self.arch == ours.arch),
            ("user_id", self.owner == ours.owner),
            ("description", self.description == ours.description),
            ("known_good", self.known_good == ours.known_good),
            ("public", self.public == ours.public),
            ("date", self.uploaded == ours.uploaded),
        ])
    }
    fn row(self) -> ImportRow {
        ImportRow::Image(self)
    }
}

impl Object for AnswerFile {
    const NOUN: Noun = Noun::AnswerFile;
    fn here(state: &State) -> &[Self] {
        &state.answer_files
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&mut self, id: i64, revision: i64) {
        (self.id, self.revision) = (Id::new(id), revision);
    }
    fn keys(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
    fn differences(&self, ours: &Self) -> Vec<&'static str> {
        unequal(&[
            ("filename", self.name == ours.name),
            ("file_type", self.kind == ours.kind),
            ("description", self.description == ours.description),
            ("file_content", self.content == ours.content),
            ("user_id", self.owner == ours.owner),
            ("known_good", self.known_good == ours.known_good),
            ("public", self.public == ours.public),
        ])
    }
    fn row(self) -> ImportRow {
        ImportRow::AnswerFile(self)
    }
}

impl Object for BmcEntry {
    const NOUN: Noun = Noun::Bmc;
    fn here(state: &State) -> &[Self] {
        &state.bmcs
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&mut self, id: i64, revision: i64) {
        (self.id, self.revision) = (Id::new(id), revision);
    }
    fn keys(&self) -> Vec<String> {
        vec![format!("name {}", self.name), format!("address {}", self.address)]
    }
    fn adopt(&mut self, ours: &Self) {
        self.options.clone_from(&ours.options);
    }
    fn differences(&self, ours: &Self) -> Vec<&'static str> {
        unequal(&[
            ("name", self.name == ours.name),
            ("ip", self.address == ours.address),
            ("bmc_type", self.driver == ours.driver),
            ("username", self.username == ours.username),
            ("password", self.sealed_password == ours.sealed_password),
            ("privilege_level", self.privilege == ours.privilege),
        ])
    }
    fn row(self) -> ImportRow {
        ImportRow::Bmc(self)
    }
}

impl Object for Network {
    const NOUN: Noun = Noun::Network;
    fn here(state: &State) -> &[Self] {
        &state.networks
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&mut self, id: i64, revision: i64) {
        (self.id, self.revision) = (Id::new(id), revision);
    }
    fn keys(&self) -> Vec<String> {
        vec![format!("name {}", self.name), format!("subnet {}", self.subnet)]
    }
    fn adopt(&mut self, ours: &Self) {
        self.server_url.clone_from(&ours.server_url);
        self.trust_path_mac = ours.trust_path_mac;
    }
    fn differences(&self, ours: &Self) -> Vec<&'static str> {
        unequal(&[
            ("name", self.name == ours.name),
            ("subnet", self.subnet == ours.subnet),
            ("static_net", self.static_net == ours.static_net),
            ("reserved_net", self.reserved_net == ours.reserved_net),
        ])
    }
    fn row(self) -> ImportRow {
        ImportRow::Network(self)
    }
}

impl Object for Machine {
    const NOUN: Noun = Noun::Machine;
    fn here(state: &State) -> &[Self] {
        &state.machines
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&mut self, id: i64, revision: i64) {
        (self.id, self.revision) = (Id::new(id), revision);
    }
    fn keys(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
    fn adopt(&mut self, ours: &Self) {
        self.boot_epoch = ours.boot_epoch;
    }
    fn differences(&self, ours: &Self) -> Vec<&'static str> {
        unequal(&[
            ("name", self.name == ours.name),
            ("arch_id", self.arch == ours.arch),
            ("subarch_id", self.subarch == ours.subarch),
            ("bmc_id", self.bmc == ours.bmc),
            ("bmc_info", self.bmc_info == ours.bmc_info),
            ("kernel_id", self.kernel == ours.kernel),
            ("initrd_id", self.initrd == ours.initrd),
            ("kernel_opts", self.kernel_options == ours.kernel_options),
            ("preseed_id", self.answer_file == ours.answer_file),
            ("netboot_enabled", self.netboot == ours.netboot),
            ("state", self.state == ours.state),
        ])
    }
    fn row(self) -> ImportRow {
        ImportRow::Machine(self)
    }
}

impl Object for Interface {
    const NOUN: Noun = Noun::Interface;
    fn here(state: &State) -> &[Self] {
        &state.interfaces
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&mut self, id: i64, revision: i64) {
        (self.id, self.revision) = (Id::new(id), revision);
    }
    fn keys(&self) -> Vec<String> {
        vec![self.mac.to_string()]
    }
    fn differences(&self, ours: &Self) -> Vec<&'static str> {
        unequal(&[
            ("mac", self.mac == ours.mac),
            ("machine_id", self.machine == ours.machine),
            ("identifier", self.identifier == ours.identifier),
            ("network_id", self.network == ours.network),
            ("static_ipv4, reserved_ipv4", self.addressing == ours.addressing),
        ])
    }
    fn row(self) -> ImportRow {
        ImportRow::Interface(self)
    }
}

impl Object for Assignment {
    const NOUN: Noun = Noun::Assignment;
    fn here(state: &State) -> &[Self] {
        &state.assignments
    }
    fn id(&self) -> i64 {
        self.id.get()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn place(&mut self, id: i64, revision: i64) {
        (self.id, self.revision) = (Id::new(id), revision);
    }
    fn keys(&self) -> Vec<String> {
        vec![format!("{} {}", self.machine, self.user)]
    }
    fn adopt(&mut self, ours: &Self) {
        self.until = ours.until;
    }
    fn differences(&self, ours: &Self) -> Vec<&'static str> {
        unequal(&[
            ("machine_id", self.machine == ours.machine),
            ("user_id", self.user == ours.user),
            ("reason", self.reason == ours.reason),
            ("start_date", self.since == ours.since),
        ])
    }
    fn row(self) -> ImportRow {
        ImportRow::Assignment(self)
    }
}
