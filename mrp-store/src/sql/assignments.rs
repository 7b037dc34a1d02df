//! Who holds which machine.

use mrp_core::event::Journal;
use mrp_core::id::Timestamp;
use mrp_core::machine::{Assignment, AssignmentId, Machine, MachineId};
use mrp_core::store::{StoreError, StoreResult};

use super::database::{Pool, TURN};
use super::query::{Query, with};
use super::rows::{get, id, maybe_time, time};
use super::{Row, SqlStore, Tx, all, commit, events, failed, inserted, machines, sql, unreferred, updated};

/// Those of the machine with this id.
pub(super) const OF_MACHINE: &str = "SELECT * FROM assignments WHERE machine_id = $1 ORDER BY id";

pub(super) fn assignment(row: &Row) -> StoreResult<Assignment> {
    Ok(Assignment {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        machine: id(row, "machine_id")?,
        user: id(row, "user_id")?,
        reason: get(row, "reason")?,
        since: time(row, "since")?,
        until: maybe_time(row, "until")?,
    })
}

impl SqlStore {
    pub(super) async fn assignments_of(&self, machine: MachineId) -> StoreResult<Vec<Assignment>> {
        let query = sql(OF_MACHINE);
        all(query.bind(machine.get()).fetch_all(&self.read).await, assignment)
    }

    pub(super) async fn every_assignment(&self) -> StoreResult<Vec<Assignment>> {
        all(sql("SELECT * FROM assignments ORDER BY id").fetch_all(&self.read).await, assignment)
    }

    pub(super) async fn add_assignment(
        &self,
        assignment: &Assignment,
        journal: &Journal,
    ) -> StoreResult<Assignment> {
        let mut tx = self.begin().await?;
        let stored = insert(&mut tx, assignment).await?;
        commit(tx, journal).await?;
        Ok(stored)
    }

    pub(super) async fn change_assignment(
        &self,
        assignment: &Assignment,
        journal: &Journal,
    ) -> StoreResult<Assignment> {
        let mut tx = self.begin().await?;
        let query = sql(
            "UPDATE assignments SET revision = revision + 1, machine_id = $3, user_id = $4, reason = $5, since = $6, until = $7 WHERE id = $1 AND revision = $2",
        );
        let query = query.bind(assignment.id.get()).bind(assignment.revision).bind(assignment.machine.get());
        let query = query.bind(assignment.user.get()).bind(&assignment.reason).bind(assignment.since.0);
        let query = query.bind(assignment.until.map(|until| until.0));
        updated(&mut tx, query, "SELECT id FROM assignments WHERE id = $1", assignment.id.get()).await?;
        commit(tx, journal).await?;
        Ok(Assignment { revision: assignment.revision + 1, ..assignment.clone() })
    }

    pub(super) async fn overdue(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<Assignment>> {
        let query = sql("SELECT * FROM assignments WHERE until <= $1 ORDER BY until, id LIMIT $2");
        all(query.bind(now.0).bind(i64::from(limit)).fetch_all(&self.read).await, assignment)
    }

    /// Everything in one go. Each statement does something only if the one on which it depends has, so that nothing is left
    /// to roll back.
    pub(super) async fn end(
        &self,
        id: AssignmentId,
        machine: &Machine,
        journal: &Journal,
    ) -> StoreResult<()> {
        let ended = match &self.write {
            Pool::Sqlite(_) => {
                let last = self.begin().await?.commit_after(ending_on_sqlite(id, machine, journal)?).await;
                last.map(|last| last.and_then(|last| last.rows.into_iter().next()))
            }
            Pool::Postgres(_) => self.write.run_alone(ending_on_postgres(id, machine, journal)?).await,
        };
        if ended.map_err(unreferred)?.is_some() {
            return Ok(());
        }
        let there = sql("SELECT id FROM assignments WHERE id = $1 AND machine_id = $2");
        let there = there.bind(id.get()).bind(machine.id.get()).fetch_optional(&self.read).await;
        Err(if there.map_err(failed)?.is_some() { StoreError::Stale } else { StoreError::NotFound })
    }
}

pub(super) async fn insert(tx: &mut Tx, assignment: &Assignment) -> StoreResult<Assignment> {
    let query = sql(
        "INSERT INTO assignments (revision, machine_id, user_id, reason, since, until) VALUES (1, $1, $2, $3, $4, $5) RETURNING id",
    );
    let query = query.bind(assignment.machine.get()).bind(assignment.user.get());
    let query = query.bind(&assignment.reason).bind(assignment.since.0);
    let query = query.bind(assignment.until.map(|until| until.0));
    let id = inserted(tx, query).await?;
    Ok(Assignment { id, revision: 1, ..assignment.clone() })
}

/// The holder's tickets, while the assignment and the machine are as they were seen.
fn forgetting_tickets<'q>(id: AssignmentId, machine: &Machine) -> Query<'q> {
    let tickets = sql(
        "DELETE FROM console_tickets WHERE machine_id = $2 AND user_id IN (SELECT user_id FROM assignments WHERE id = $1 AND machine_id = $2) AND EXISTS (SELECT 1 FROM machines WHERE id = $2 AND revision = $3)",
    );
    tickets.bind(id.get()).bind(machine.id.get()).bind(machine.revision)
}

/// Statements one after another, each only if the one before has written a row.
fn ending_on_sqlite<'q>(
    id: AssignmentId,
    machine: &'q Machine,
    journal: &'q Journal,
) -> StoreResult<Vec<Query<'q>>> {
    let held = " AND EXISTS (SELECT 1 FROM assignments WHERE id = $16 AND machine_id = $1)";
    let changed = machines::changing(machine)?.and(held).bind(id.get());
    let mut queries = vec![forgetting_tickets(id, machine), changed];
    queries.extend(events::statements_after(journal, " WHERE changes() = 1")?);
    let gone = sql("DELETE FROM assignments WHERE id = $1 AND changes() = 1 RETURNING id");
    queries.push(gone.bind(id.get()));
    Ok(queries)
}

/// One statement. What depends on another part of it is joined with that part's rows, which hold also where a row has moved
/// since the statement began.
fn ending_on_postgres<'q>(
    id: AssignmentId,
    machine: &'q Machine,
    journal: &'q Journal,
) -> StoreResult<Query<'q>> {
    let held = sql(
        "SELECT m.id FROM turn, machines m WHERE m.id = $1 AND m.revision = $2 AND EXISTS (SELECT 1 FROM assignments WHERE id = $3 AND machine_id = $1) FOR NO KEY UPDATE OF m",
    );
    let held = held.bind(machine.id.get()).bind(machine.revision).bind(id.get());
    let changed = machines::changing(machine)?.and(" AND id IN (SELECT id FROM held) RETURNING id");
    let gone = sql("DELETE FROM assignments USING changed WHERE assignments.id = $1 RETURNING changed.id");
    let mut others = vec![forgetting_tickets(id, machine)];
    others.extend(events::statements_after(journal, " FROM changed")?);
    others.push(gone.bind(id.get()));
    let all = with(vec![("turn", sql(TURN)), ("held", held), ("changed", changed)], others);
    Ok(all.expect("there is a last statement"))
}
