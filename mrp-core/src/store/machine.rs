//! What the service asks of a database about machines and what is theirs: interfaces, holders, tags, power as last
//! seen, console tickets.

use std::net::Ipv4Addr;

use async_trait::async_trait;

use super::{Page, Seen, StoreResult};
use crate::answer_file::{AnswerFile, AnswerFileId};
use crate::arch::{ArchId, SubarchId};
use crate::bmc_entry::BmcId;
use crate::console::ConsoleTicket;
use crate::event::Journal;
use crate::id::Timestamp;
use crate::image::{Image, ImageId};
use crate::mac::MacAddr;
use crate::machine::{
    Assignment, AssignmentId, DhcpClient, DhcpEntry, Interface, InterfaceId, InterfaceView, Machine,
    MachineId, MachineOverview, MachineState, MachineView, SeenPower,
};
use crate::network::NetworkId;
use crate::query::Condition;
use crate::run::Run;
use crate::user::{User, UserId};

/// Which machines a list is to have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MachineFilter {
    /// Only those that this user holds.
    pub held_by: Option<UserId>,
    /// Only those of which this is true.
    pub condition: Condition,
    /// Which part of them.
    pub page: Page,
}

impl MachineFilter {
    /// The machines that a user holds.
    pub fn held_by(user: UserId) -> Self {
        Self { held_by: Some(user), ..Self::default() }
    }
}

/// How many machines are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineCount {
    /// Their state.
    pub state: MachineState,
    /// They netboot when they start.
    pub netboot: bool,
    /// How many.
    pub count: u64,
}

/// Something that machines refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineReference {
    /// Machines of this architecture.
    Arch(ArchId),
    /// Machines of this subarchitecture.
    Subarch(SubarchId),
    /// Machines behind this BMC.
    Bmc(BmcId),
    /// Machines with an interface in this network.
    Network(NetworkId),
    /// Machines that this user holds.
    Holder(UserId),
}

/// A machine, what it boots with, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFacts {
    /// The machine.
    pub machine: Machine,
    /// The run that it is in.
    pub run: Option<Run>,
    /// Its interfaces, sorted by id.
    pub interfaces: Vec<InterfaceView>,
    /// Who holds it, in the order in which they came.
    pub holders: Vec<User>,
    /// Its kernel.
    pub kernel: Option<Image>,
    /// Its initrd.
    pub initrd: Option<Image>,
    /// Its answer file.
    pub answer_file: Option<AnswerFile>,
}

/// A machine, its run, and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The machine.
    pub machine: Machine,
    /// The run that it is in.
    pub run: Option<Run>,
    /// Its assignments, in the order in which they came.
    pub assignments: Vec<Assignment>,
}

/// Tells one state of what DHCP has to know from another: changes with each change of an interface, a machine, a
/// subarchitecture or a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpMark(pub Vec<i64>);

/// Machines, interfaces and assignments.
#[async_trait]
pub trait MachineStore {
    /// Machines that match, with the names of their architectures.
    async fn machine_views(&self, filter: &MachineFilter) -> StoreResult<Vec<MachineView>>;
    /// Machines that match, with who holds them, their tags and their power as last seen.
    async fn machine_overviews(&self, filter: &MachineFilter) -> StoreResult<Vec<MachineOverview>>;
    /// One machine with the names of its architectures.
    async fn machine_view(&self, id: MachineId) -> StoreResult<Option<MachineView>>;
    /// Machines that match.
    async fn machines(&self, filter: &MachineFilter) -> StoreResult<Vec<Machine>> {
        let views = self.machine_views(filter).await?;
        Ok(views.into_iter().map(|view| view.machine).collect())
    }
    /// A machine, what it boots with, and for whom.
    async fn boot_facts(&self, machine: MachineId) -> StoreResult<Option<BootFacts>>;
    /// A machine, its run, and who holds it.
    async fn held(&self, machine: MachineId) -> StoreResult<Option<Held>>;
    /// How many machines there are, by state and whether they netboot; no row where there is none.
    async fn count_machines(&self) -> StoreResult<Vec<MachineCount>>;
    /// By id.
    async fn machine(&self, id: MachineId) -> StoreResult<Option<Machine>>;
    /// By name.
    async fn machine_by_name(&self, name: &str) -> StoreResult<Option<Machine>>;
    /// Names of machines that use an image as kernel or initrd.
    async fn machines_using_image(&self, image: ImageId) -> StoreResult<Vec<String>>;
    /// Names of machines that use an answer file.
    async fn machines_using_answer_file(&self, answer_file: AnswerFileId) -> StoreResult<Vec<String>>;
    /// Names of machines that refer to something, sorted by id, at most `limit`.
    async fn machines_referring(&self, to: MachineReference, limit: u32) -> StoreResult<Vec<String>>;
    /// Stores a new machine with its interfaces, whose machine is ignored, all or nothing. What is discovered of them is
    /// forgotten. `Conflict` on the name or a MAC address.
    async fn insert_machine_with(
        &self,
        machine: &Machine,
        interfaces: &[Interface],
        journal: &Journal,
    ) -> StoreResult<Machine>;
    /// Stores a new machine. `Conflict` on the name.
    async fn insert_machine(&self, machine: &Machine, journal: &Journal) -> StoreResult<Machine> {
        self.insert_machine_with(machine, &[], journal).await
    }
    /// Stores a new machine with one interface, whose MAC address is forgotten as discovered. `Conflict` on the name and
    /// as [`MachineStore::insert_interface`]; `NotFound` if the MAC address is not discovered.
    async fn insert_discovered_machine(
        &self,
        machine: &Machine,
        interface: &Interface,
        journal: &Journal,
    ) -> StoreResult<Machine>;
    /// Changes a machine.
    async fn update_machine(&self, machine: &Machine, journal: &Journal) -> StoreResult<Machine>;
    /// Removes a machine with its interfaces, runs and events. `InUse` by an active run and by whoever holds it.
    async fn delete_machine(&self, machine: &Machine, journal: &Journal) -> StoreResult<()>;

    /// A machine's interfaces.
    async fn interfaces(&self, machine: MachineId) -> StoreResult<Vec<Interface>>;
    /// A machine's interfaces with their networks and leases.
    async fn interface_views(&self, machine: MachineId) -> StoreResult<Vec<InterfaceView>>;
    /// All interfaces of all machines.
    async fn all_interfaces(&self) -> StoreResult<Vec<Interface>>;
    /// By MAC address.
    async fn interface_by_mac(&self, mac: MacAddr) -> StoreResult<Option<Interface>>;
    /// The interface with this static or reserved address; the first if several networks have it.
    async fn interface_by_address(&self, address: Ipv4Addr) -> StoreResult<Option<Interface>>;
    /// The machine and interface behind a MAC address, with the boot loader of the machine's subarchitecture.
    async fn dhcp_client(&self, mac: MacAddr) -> StoreResult<Option<DhcpClient>>;
    /// What DHCP has to know of all interfaces, sorted by MAC address.
    async fn dhcp_table(&self) -> StoreResult<Vec<DhcpEntry>>;
    /// A mark of [`MachineStore::dhcp_table`] that is cheap to read: where it is the same, the table is.
    async fn dhcp_mark(&self) -> StoreResult<DhcpMark>;
    /// Stores a new interface; its MAC address is forgotten as discovered. `Conflict` on the MAC, and on an address
    /// within its network.
    async fn insert_interface(&self, interface: &Interface, journal: &Journal) -> StoreResult<Interface>;
    /// Changes an interface, with the same checks. `Stale` too if its address is out of the range of its network, which is
    /// not what it was when the address was chosen.
    async fn update_interface(&self, interface: &Interface, journal: &Journal) -> StoreResult<Interface>;
    /// Removes an interface.
    async fn delete_interface(&self, id: InterfaceId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()>;

    /// Assignments of a machine.
    async fn assignments(&self, machine: MachineId) -> StoreResult<Vec<Assignment>>;
    /// All assignments of all machines.
    async fn all_assignments(&self) -> StoreResult<Vec<Assignment>>;
    /// Assignments whose time is over, earliest first, at most `limit`.
    async fn overdue_assignments(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Assignment>>;
    /// Stores a new assignment. `Conflict` if the user holds the machine already.
    async fn insert_assignment(&self, assignment: &Assignment, journal: &Journal) -> StoreResult<Assignment>;
    /// Changes an assignment.
    async fn update_assignment(&self, assignment: &Assignment, journal: &Journal) -> StoreResult<Assignment>;
    /// Claims the first machine, sorted by id, that nobody holds and of which the condition is true: exactly one of
    /// several concurrent claims gets it. `None` if there is none. `assignment.machine` is filled in.
    async fn claim_machine(
        &self,
        condition: &Condition,
        assignment: &Assignment,
        journal: &Journal,
    ) -> StoreResult<Option<(Assignment, MachineView)>>;
    /// Ends an assignment with the holder's console tickets, and changes its machine in the same transaction, which is
    /// made under no claim. `NotFound` if it is gone.
    async fn end_assignment(&self, id: AssignmentId, machine: &Machine, journal: &Journal)
    -> StoreResult<()>;

    /// A machine's tags, sorted.
    async fn tags(&self, machine: MachineId) -> StoreResult<Vec<String>>;
    /// Gives a machine exactly these tags; its revision grows.
    async fn set_tags(&self, machine: &Machine, tags: &[String], journal: &Journal) -> StoreResult<Machine>;

    /// A machine's power as last seen.
    async fn seen_power(&self, machine: MachineId) -> StoreResult<Option<SeenPower>>;

    /// Stores a console ticket and forgets the expired ones.
    async fn insert_console_ticket(
        &self,
        ticket: &ConsoleTicket,
        now: Timestamp,
        journal: &Journal,
    ) -> StoreResult<()>;
    /// Takes a console ticket by its token's SHA-256, unless it is expired: it is redeemed once.
    async fn take_console_ticket(&self, hash: &str, now: Timestamp) -> StoreResult<Option<ConsoleTicket>>;
}
