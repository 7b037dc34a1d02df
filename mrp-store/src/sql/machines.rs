//! Machines. The traits have interfaces and assignments with them; their queries are in files of their own.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use mrp_core::answer_file::AnswerFileId;
use mrp_core::console::ConsoleTicket;
use mrp_core::event::Journal;
use mrp_core::id::{Id, Timestamp};
use mrp_core::image::ImageId;
use mrp_core::mac::MacAddr;
use mrp_core::machine::{
    Assignment, AssignmentId, DhcpClient, DhcpEntry, Interface, InterfaceId, InterfaceView, Machine,
    MachineId, MachineOverview, MachineView, Netboot, SeenPower,
};
use mrp_core::query::Condition;
use mrp_core::run::RunId;
use mrp_core::store::{
    BootFacts, DhcpMark, Held, MachineCount, MachineFilter, MachineReference, MachineStore, Seen, StoreError,
    StoreResult,
};

use super::query::Query;
use super::rows::{damaged, get, id, maybe_id, to_word, word};
use super::{
    Row, SqlStore, Tx, all, commit, deleted_revision, failed, inserted, interfaces, one, sql, updated,
};

pub(super) fn machine(row: &Row) -> StoreResult<Machine> {
    let netboot = read_netboot(get(row, "netboot")?, maybe_id(row, "netboot_run_id")?)?;
    Ok(Machine {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        name: get(row, "name")?,
        arch: id(row, "arch_id")?,
        subarch: maybe_id(row, "subarch_id")?,
        bmc: maybe_id(row, "bmc_id")?,
        bmc_info: get(row, "bmc_info")?,
        kernel: maybe_id(row, "kernel_id")?,
        initrd: maybe_id(row, "initrd_id")?,
        kernel_options: get(row, "kernel_options")?,
        answer_file: maybe_id(row, "answer_file_id")?,
        netboot,
        boot_epoch: get(row, "boot_epoch")?,
        state: word(row, "state")?,
    })
}

/// Netboot, from its two columns.
pub(super) fn read_netboot(word: &str, run: Option<RunId>) -> StoreResult<Netboot> {
    match (word, run) {
        ("off", None) => Ok(Netboot::Off),
        ("hand", None) => Ok(Netboot::ByHand),
        ("run", Some(run)) => Ok(Netboot::ByRun(run)),
        _ => Err(damaged("netboot")),
    }
}

/// The two columns of netboot.
pub(super) fn netboot(machine: &Machine) -> (&'static str, Option<i64>) {
    match machine.netboot {
        Netboot::Off => ("off", None),
        Netboot::ByHand => ("hand", None),
        Netboot::ByRun(run) => ("run", Some(run.get())),
    }
}

/// Changes a machine within a transaction.
pub(super) async fn update(tx: &mut Tx, machine: &Machine) -> StoreResult<Machine> {
    updated(tx, changing(machine)?, EXISTS, machine.id.get()).await?;
    Ok(Machine { revision: machine.revision + 1, ..machine.clone() })
}

/// Finds a machine that is not of the revision that a change was made on.
pub(super) const EXISTS: &str = "SELECT id FROM machines WHERE id = $1";

/// What changes a machine, if it is of the revision that the change was made on.
pub(super) fn changing(machine: &Machine) -> StoreResult<Query<'_>> {
    let query = sql(
        "UPDATE machines SET revision = revision + 1, name = $3, arch_id = $4, subarch_id = $5, bmc_id = $6, bmc_info = $7, kernel_id = $8, initrd_id = $9, kernel_options = $10, answer_file_id = $11, netboot = $12, netboot_run_id = $13, boot_epoch = $14, state = $15 WHERE id = $1 AND revision = $2",
    );
    let (armed, run) = netboot(machine);
    let query = query.bind(machine.id.get()).bind(machine.revision).bind(&machine.name);
    let query =
        query.bind(machine.arch.get()).bind(machine.subarch.map(Id::get)).bind(machine.bmc.map(Id::get));
    let query =
        query.bind(&machine.bmc_info).bind(machine.kernel.map(Id::get)).bind(machine.initrd.map(Id::get));
    let query = query.bind(&machine.kernel_options).bind(machine.answer_file.map(Id::get));
    Ok(query.bind(armed).bind(run).bind(machine.boot_epoch).bind(to_word(&machine.state)?))
}

/// Stores a new machine within a transaction.
async fn insert(tx: &mut Tx, machine: &Machine) -> StoreResult<Machine> {
    let query = sql(
        "INSERT INTO machines (revision, name, arch_id, subarch_id, bmc_id, bmc_info, kernel_id, initrd_id, kernel_options, answer_file_id, netboot, netboot_run_id, boot_epoch, state) VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id",
    );
    let (armed, run) = netboot(machine);
    let query = query.bind(&machine.name).bind(machine.arch.get()).bind(machine.subarch.map(Id::get));
    let query = query.bind(machine.bmc.map(Id::get)).bind(&machine.bmc_info);
    let query = query.bind(machine.kernel.map(Id::get)).bind(machine.initrd.map(Id::get));
    let query = query.bind(&machine.kernel_options).bind(machine.answer_file.map(Id::get));
    let query = query.bind(armed).bind(run).bind(machine.boot_epoch).bind(to_word(&machine.state)?);
    let id = inserted(tx, query).await?;
    Ok(Machine { id, revision: 1, ..machine.clone() })
}

/// Fills in the machine of events that have none.
fn of_machine(journal: &Journal, machine: MachineId) -> Journal {
    let mut journal = journal.clone();
    for event in &mut journal.events {
        event.machine.get_or_insert(machine);
    }
    journal
}

#[async_trait]
impl MachineStore for SqlStore {
    async fn machine_views(&self, filter: &MachineFilter) -> StoreResult<Vec<MachineView>> {
        self.views_of(filter).await
    }

    async fn machine_overviews(&self, filter: &MachineFilter) -> StoreResult<Vec<MachineOverview>> {
        self.overviews_of(filter).await
    }

    async fn machine_view(&self, id: MachineId) -> StoreResult<Option<MachineView>> {
        self.view_of(id).await
    }

    async fn boot_facts(&self, machine: MachineId) -> StoreResult<Option<BootFacts>> {
        self.facts_of(machine).await
    }

    async fn held(&self, machine: MachineId) -> StoreResult<Option<Held>> {
        self.held_of(machine).await
    }

    async fn count_machines(&self) -> StoreResult<Vec<MachineCount>> {
        self.counted().await
    }

    async fn machine(&self, id: MachineId) -> StoreResult<Option<Machine>> {
        let query = sql("SELECT * FROM machines WHERE id = $1").bind(id.get());
        one(query.fetch_optional(&self.read).await, machine)
    }

    async fn machine_by_name(&self, name: &str) -> StoreResult<Option<Machine>> {
        let query = sql("SELECT * FROM machines WHERE name = $1").bind(name);
        one(query.fetch_optional(&self.read).await, machine)
    }

    async fn machines_using_image(&self, image: ImageId) -> StoreResult<Vec<String>> {
        let query = sql("SELECT name FROM machines WHERE kernel_id = $1 OR initrd_id = $1 ORDER BY id");
        all(query.bind(image.get()).fetch_all(&self.read).await, |row| get(row, "name"))
    }

    async fn machines_using_answer_file(&self, answer_file: AnswerFileId) -> StoreResult<Vec<String>> {
        let query = sql("SELECT name FROM machines WHERE answer_file_id = $1 ORDER BY id");
        all(query.bind(answer_file.get()).fetch_all(&self.read).await, |row| get(row, "name"))
    }

    async fn insert_machine_with(
        &self,
        machine: &Machine,
        interfaces: &[Interface],
        journal: &Journal,
    ) -> StoreResult<Machine> {
        let mut tx = self.begin().await?;
        let machine = insert(&mut tx, machine).await?;
        for interface in interfaces {
            super::interfaces::insert(&mut tx, &Interface { machine: machine.id, ..interface.clone() })
                .await?;
        }
        commit(tx, &of_machine(journal, machine.id)).await?;
        Ok(machine)
    }

    async fn insert_discovered_machine(
        &self,
        machine: &Machine,
        interface: &Interface,
        journal: &Journal,
    ) -> StoreResult<Machine> {
        let mut tx = self.begin().await?;
        let query = sql("SELECT mac FROM discovered WHERE mac = $1").bind(interface.mac.to_string());
        query.fetch_optional(&mut tx).await.map_err(failed)?.ok_or(StoreError::NotFound)?;
        let machine = insert(&mut tx, machine).await?;
        interfaces::insert(&mut tx, &Interface { machine: machine.id, ..interface.clone() }).await?;
        commit(tx, &of_machine(journal, machine.id)).await?;
        Ok(machine)
    }

    async fn update_machine(&self, machine: &Machine, journal: &Journal) -> StoreResult<Machine> {
        let mut tx = self.begin().await?;
        let machine = update(&mut tx, machine).await?;
        commit(tx, journal).await?;
        Ok(machine)
    }

    async fn delete_machine(&self, machine: &Machine, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let query = sql("SELECT id FROM runs WHERE machine_id = $1 AND status = 'active'");
        let active = query.bind(machine.id.get()).fetch_optional(&mut tx).await.map_err(failed)?;
        if let Some(run) = active {
            let run: i64 = get(&run, "id")?;
            return Err(StoreError::InUse { what: format!("run {run}") });
        }
        let query = sql(
            "SELECT u.name FROM assignments a JOIN users u ON u.id = a.user_id WHERE a.machine_id = $1 ORDER BY a.id",
        );
        let holders = query.bind(machine.id.get()).fetch_all(&mut tx).await;
        let holders = all(holders, |row| get::<String>(row, "name"))?;
        if !holders.is_empty() {
            return Err(StoreError::InUse { what: format!("whoever holds it: {}", holders.join(", ")) });
        }
        let query = sql("DELETE FROM machines WHERE id = $1 AND revision = $2");
        let query = query.bind(machine.id.get()).bind(machine.revision);
        deleted_revision(&mut tx, query, "other objects", EXISTS, machine.id.get()).await?;
        commit(tx, journal).await
    }

    async fn interfaces(&self, machine: MachineId) -> StoreResult<Vec<Interface>> {
        self.interfaces_of(machine).await
    }

    async fn interface_views(&self, machine: MachineId) -> StoreResult<Vec<InterfaceView>> {
        self.interface_views_of(machine).await
    }

    async fn dhcp_client(&self, mac: MacAddr) -> StoreResult<Option<DhcpClient>> {
        self.client_with_mac(mac).await
    }

    async fn dhcp_table(&self) -> StoreResult<Vec<DhcpEntry>> {
        self.entries_for_dhcp().await
    }

    async fn dhcp_mark(&self) -> StoreResult<DhcpMark> {
        self.mark_for_dhcp().await
    }

    async fn all_interfaces(&self) -> StoreResult<Vec<Interface>> {
        self.every_interface().await
    }

    async fn interface_by_mac(&self, mac: MacAddr) -> StoreResult<Option<Interface>> {
        self.interface_with_mac(mac).await
    }

    async fn interface_by_address(&self, address: Ipv4Addr) -> StoreResult<Option<Interface>> {
        self.interface_with_address(address).await
    }

    async fn insert_interface(&self, interface: &Interface, journal: &Journal) -> StoreResult<Interface> {
        self.add_interface(interface, journal).await
    }

    async fn update_interface(&self, interface: &Interface, journal: &Journal) -> StoreResult<Interface> {
        self.change_interface(interface, journal).await
    }

    async fn delete_interface(&self, id: InterfaceId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()> {
        self.remove_interface(id, seen, journal).await
    }

    async fn assignments(&self, machine: MachineId) -> StoreResult<Vec<Assignment>> {
        self.assignments_of(machine).await
    }

    async fn all_assignments(&self) -> StoreResult<Vec<Assignment>> {
        self.every_assignment().await
    }

    async fn insert_assignment(&self, assignment: &Assignment, journal: &Journal) -> StoreResult<Assignment> {
        self.add_assignment(assignment, journal).await
    }

    async fn update_assignment(&self, assignment: &Assignment, journal: &Journal) -> StoreResult<Assignment> {
        self.change_assignment(assignment, journal).await
    }

    async fn overdue_assignments(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Assignment>> {
        self.overdue(now, limit).await
    }

    async fn claim_machine(
        &self,
        condition: &Condition,
        assignment: &Assignment,
        journal: &Journal,
    ) -> StoreResult<Option<(Assignment, MachineView)>> {
        self.claim(condition, assignment, journal).await
    }

    async fn end_assignment(
        &self,
        id: AssignmentId,
        machine: &Machine,
        journal: &Journal,
    ) -> StoreResult<()> {
        self.end(id, machine, journal).await
    }

    async fn machines_referring(&self, to: MachineReference, limit: u32) -> StoreResult<Vec<String>> {
        self.referring(to, limit).await
    }

    async fn tags(&self, machine: MachineId) -> StoreResult<Vec<String>> {
        self.tags_of(machine).await
    }

    async fn set_tags(&self, machine: &Machine, tags: &[String], journal: &Journal) -> StoreResult<Machine> {
        self.replace_tags(machine, tags, journal).await
    }

    async fn seen_power(&self, machine: MachineId) -> StoreResult<Option<SeenPower>> {
        self.power_of(machine).await
    }

    async fn insert_console_ticket(
        &self,
        ticket: &ConsoleTicket,
        now: Timestamp,
        journal: &Journal,
    ) -> StoreResult<()> {
        self.add_ticket(ticket, now, journal).await
    }

    async fn take_console_ticket(&self, hash: &str, now: Timestamp) -> StoreResult<Option<ConsoleTicket>> {
        self.take_ticket(hash, now).await
    }
}
