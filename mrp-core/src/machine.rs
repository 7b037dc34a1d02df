//! Machines, their interfaces and who holds them.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::answer_file::AnswerFileId;
use crate::arch::{ArchId, SubarchId};
use crate::bmc::Power;
use crate::bmc_entry::BmcId;
use crate::error::Error;
use crate::id::{Id, Timestamp};
use crate::image::ImageId;
use crate::lease::Lease;
use crate::mac::MacAddr;
use crate::network::{Network, NetworkId};
use crate::run::RunId;
use crate::user::UserId;

/// Identifies a [`Machine`].
pub type MachineId = Id<Machine>;
/// Identifies an [`Interface`].
pub type InterfaceId = Id<Interface>;
/// Identifies an [`Assignment`].
pub type AssignmentId = Id<Assignment>;

/// What is known of a machine's installation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineState {
    /// Nothing is known.
    #[default]
    Unknown,
    /// The last provisioning succeeded.
    Ready,
    /// A run is under way.
    Provisioning,
    /// The last provisioning failed.
    Error,
}

impl MachineState {
    /// The state's name in API and store.
    pub fn as_str(self) -> &'static str {
        match self {
            MachineState::Unknown => "unknown",
            MachineState::Ready => "ready",
            MachineState::Provisioning => "provisioning",
            MachineState::Error => "error",
        }
    }
}

impl fmt::Display for MachineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a machine that netboots gets its kernel, and who switched that on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Netboot {
    /// It is told to boot its disk.
    #[default]
    Off,
    /// A person switched it on; it stays on until a person switches it off.
    ByHand,
    /// A run armed it; the run's evidence disarms it.
    ByRun(RunId),
}

impl Netboot {
    /// True unless off.
    pub fn is_on(self) -> bool {
        self != Netboot::Off
    }
}

/// A server in the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Row id.
    pub id: MachineId,
    /// Grows by one with each change.
    pub revision: i64,
    /// Unique name.
    pub name: String,
    /// Architecture.
    pub arch: ArchId,
    /// Way to boot; of the same architecture.
    pub subarch: Option<SubarchId>,
    /// The BMC in front of it.
    pub bmc: Option<BmcId>,
    /// The machine's address behind the BMC, in the driver's notation; empty for `plain`.
    pub bmc_info: String,
    /// Kernel to netboot.
    pub kernel: Option<ImageId>,
    /// Initrd to netboot.
    pub initrd: Option<ImageId>,
    /// Kernel options, appended after those of the answer file; one line of at most 1,024 characters.
    pub kernel_options: Option<String>,
    /// Answer file of its installer.
    pub answer_file: Option<AnswerFileId>,
    /// Whether it netboots.
    pub netboot: Netboot,
    /// Grows when netboot is armed and when the machine is given back, which ends the validity of older boot tokens.
    pub boot_epoch: i64,
    /// What is known of its installation.
    pub state: MachineState,
}

impl Machine {
    /// A new machine with nothing configured.
    pub fn new(name: impl Into<String>, arch: ArchId) -> Self {
        Self {
            id: Id::NEW,
            revision: 0,
            name: name.into(),
            arch,
            subarch: None,
            bmc: None,
            bmc_info: String::new(),
            kernel: None,
            initrd: None,
            kernel_options: Some(String::new()),
            answer_file: None,
            netboot: Netboot::Off,
            boot_epoch: 0,
            state: MachineState::Unknown,
        }
    }

    /// The host name: the name with everything but ASCII letters and digits made `-`.
    pub fn hostname(&self) -> String {
        hostname_of(&self.name)
    }

    /// Checks the rules of a machine by itself.
    pub fn validate(&self) -> Result<(), Error> {
        check_text("name", &self.name, 1, 256)?;
        check_text("bmc_info", &self.bmc_info, 0, 256)?;
        check_text("kernel_opts", self.kernel_options.as_deref().unwrap_or(""), 0, 1024)
    }
}

/// The host name of the machine of a name: one label (RFC 1123, 2.1).
pub fn hostname_of(name: &str) -> String {
    let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let label: String = safe.trim_matches('-').chars().take(63).collect();
    match label.trim_end_matches('-') {
        "" => "machine".to_owned(),
        label => label.to_owned(),
    }
}

/// Refuses text that is too short, too long (in characters) or has control characters in it.
pub fn check_text(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), Error> {
    let length = text.chars().count();
    if length < min || length > max {
        return Err(Error::invalid(field, format!("{length} characters; {min} to {max} are allowed")));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(Error::invalid(field, format!("the control character {c:?} is not allowed"))),
        None => Ok(()),
    }
}

/// Checks a name that people write, in an answer, on a command line, in a table: [`check_text`], no blanks at its ends,
/// nothing that is not seen or turns what is beside it around, and a letter, or a digit and a sign: digits alone would look
/// like an id.
pub fn check_name(text: &str, min: usize, max: usize) -> Result<(), Error> {
    check_text("name", text, min, max)?;
    let wrong = if text.trim() != text {
        "it begins or ends with a blank"
    } else if text.contains(is_unseen) {
        "it has a character that is not seen"
    } else if text.contains(|c: char| c.is_ascii_alphabetic() || (!c.is_ascii() && !c.is_whitespace())) {
        return Ok(());
    } else if !text.contains(|c: char| c.is_ascii_digit()) {
        "it has no letter and no digit"
    } else if !text.contains(|c: char| c.is_ascii_punctuation()) {
        "of digits alone it would look like an id; put a letter in"
    } else {
        return Ok(());
    };
    Err(Error::invalid("name", format!("{text:?}: {wrong}")))
}

/// Characters without a width of their own, and those that change the direction of writing (Unicode 16, Cf and 23.2).
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// How an interface gets its IPv4 address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Addressing {
    /// From a pool of the DHCP server.
    #[default]
    Dynamic,
    /// This address, given by the DHCP server (`dynamic-reserved`).
    Reserved(Ipv4Addr),
    /// This address, configured on the machine (`static`).
    Static(Ipv4Addr),
}

impl Addressing {
    /// The API's name of the kind.
    pub fn kind(self) -> &'static str {
        match self {
            Addressing::Dynamic => "dynamic",
            Addressing::Reserved(_) => "dynamic-reserved",
            Addressing::Static(_) => "static",
        }
    }

    /// The configured address.
    pub fn address(self) -> Option<Ipv4Addr> {
        match self {
            Addressing::Dynamic => None,
            Addressing::Reserved(address) | Addressing::Static(address) => Some(address),
        }
    }
}

/// A network interface of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Row id.
    pub id: InterfaceId,
    /// Grows by one with each change.
    pub revision: i64,
    /// The machine it is in.
    pub machine: MachineId,
    /// Unique MAC address.
    pub mac: MacAddr,
    /// The name that the machine gives it (`eth0`).
    pub identifier: Option<String>,
    /// The network it is plugged into.
    pub network: Option<NetworkId>,
    /// Where its address comes from.
    pub addressing: Addressing,
}

/// Who holds a machine, and why. Several may hold one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Row id.
    pub id: AssignmentId,
    /// Grows by one with each change.
    pub revision: i64,
    /// The machine.
    pub machine: MachineId,
    /// The holder; holds a machine once.
    pub user: UserId,
    /// Why; at most 128 characters.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; the service gives the machine back then.
    pub until: Option<Timestamp>,
}

/// A machine with the names that its ids stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineView {
    /// The machine.
    pub machine: Machine,
    /// Name of its architecture.
    pub arch: String,
    /// Name of its subarchitecture.
    pub subarch: Option<String>,
}

/// A machine in a list for people: who holds it, and what is known of it without asking its BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineOverview {
    /// The machine.
    pub view: MachineView,
    /// Names of who holds it, in the order in which they came.
    pub holders: Vec<String>,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// Its power as last seen.
    pub power: Option<SeenPower>,
}

/// An interface with its network and lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceView {
    /// The interface.
    pub interface: Interface,
    /// The network it is in.
    pub network: Option<Network>,
    /// Its last lease.
    pub lease: Option<Lease>,
}

/// What DHCP has to know of a client that is a machine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpClient {
    /// The machine.
    pub machine: Machine,
    /// The interface that asks.
    pub interface: Interface,
    /// Name of the boot loader image of the machine's subarchitecture.
    pub boot_loader: Option<String>,
}

/// An interface as a DHCP server's own table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpEntry {
    /// Its MAC address.
    pub mac: MacAddr,
    /// How it gets its address.
    pub addressing: Addressing,
    /// Name of its machine.
    pub machine_name: String,
    /// Whether the machine netboots.
    pub netboot: bool,
    /// Name of the boot loader image of the machine's subarchitecture.
    pub boot_loader: Option<String>,
    /// `server_url` of its network.
    pub server_url: Option<String>,
}

/// A machine's power as last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenPower {
    /// The state.
    pub power: Power,
    /// When the BMC told it.
    pub at: Timestamp,
}

/// Most tags of a machine.
pub const MAX_TAGS: usize = 32;

/// Checks a tag: 1 to 64 ASCII letters, digits and `. _ - : / =`, so that it is one word on a command line.
pub fn check_tag(tag: &str) -> Result<(), Error> {
    let length = tag.chars().count();
    if !(1..=64).contains(&length) {
        return Err(Error::invalid("tags", format!("a tag of {length} characters; 1 to 64 are allowed")));
    }
    if let Some(c) = tag.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-:/=".contains(*c)) {
        return Err(Error::invalid(
            "tags",
            format!("{c:?} in {tag:?}; a tag has letters, digits and . _ - : / ="),
        ));
    }
    if tag.starts_with('-') {
        return Err(Error::invalid("tags", format!("{tag:?} begins with -")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_name_is_the_name_made_safe() {
        for (name, hostname) in [
            ("lab.node_1", "lab-node-1"),
            ("(rack) 7.", "rack--7"),
            ("größe", "gr--e"),
            ("日本", "machine"),
            (&*format!("{}-x", "a".repeat(62)), &*"a".repeat(62)),
        ] {
            assert_eq!(Machine::new(name, Id::new(1)).hostname(), hostname);
        }
    }

    #[test]
    fn a_name_can_be_seen_and_told_from_an_id() {
        for (name, ok) in [
            ("node-01", true),
            ("1a", true),
            ("größe 2", true),
            ("日本", true),
            ("10.0.0.5", true),
            (".7", true),
            ("7-", true),
            ("\u{1f680}", true),
            ("12", false),
            ("12 34", false),
            ("\u{3000}a", false),
            ("a\u{3000}b", true),
            (" node", false),
            ("node\u{a0}", false),
            ("   ", false),
            ("../..", false),
            ("no\u{202e}de", false),
            ("no\u{200b}de", false),
            ("no\nde", false),
            ("", false),
        ] {
            assert_eq!(check_name(name, 1, 64).is_ok(), ok, "{name:?}");
        }
    }

    #[test]
    fn a_tag_is_one_word() {
        for (tag, ok) in [
            ("ssd", true),
            ("rack:b/12", true),
            ("size=4", true),
            ("größe", false),
            (&*"x".repeat(64), true),
            (&*"x".repeat(65), false),
            ("", false),
            ("a b", false),
            ("-old", false),
            ("+new", false),
            ("a,b", false),
            ("a\0", false),
        ] {
            assert_eq!(check_tag(tag).is_ok(), ok, "{tag:?}");
        }
    }

    #[test]
    fn kernel_options_are_one_line_of_bounded_length() {
        let mut machine = Machine::new("m", Id::new(1));
        for (options, ok) in
            [("a=b; $c {x}", true), ("a\nb", false), ("a\0", false), (&*"x".repeat(1025), false)]
        {
            machine.kernel_options = Some(options.to_owned());
            assert_eq!(machine.validate().is_ok(), ok, "{options:?}");
        }
    }
}
