//! Who holds which machine.

use mrp_core::event::Journal;
use mrp_core::id::Timestamp;
use mrp_core::machine::{Assignment, AssignmentId, Machine, MachineId};
use mrp_core::store::{StoreError, StoreResult};

use super::query::Wanted;
use super::rows::{get, id, maybe_time, time};
use super::{Row, SqlStore, Tx, all, commit, inserted, machines, sql, unreferred, updated};

fn assignment(row: &Row) -> StoreResult<Assignment> {
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
        let query = sql("SELECT * FROM assignments WHERE machine_id = $1 ORDER BY id");
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

    pub(super) async fn end(
        &self,
        id: AssignmentId,
        machine: &Machine,
        journal: &Journal,
    ) -> StoreResult<()> {
        let tickets = sql(
            "DELETE FROM console_tickets WHERE machine_id = $2 AND user_id IN (SELECT user_id FROM assignments WHERE id = $1)",
        );
        let assignment = sql("DELETE FROM assignments WHERE id = $1 AND machine_id = $2");
        let [tickets, assignment] =
            [tickets, assignment].map(|query| query.bind(id.get()).bind(machine.id.get()));
        let mut tx = self.begin().await?;
        let queries = vec![tickets, assignment, machines::changing(machine)?];
        let outcomes = tx.run(queries, Wanted::All).await.map_err(unreferred)?;
        match outcomes.iter().map(|outcome| outcome.written).collect::<Vec<_>>()[..] {
            [_, 1, 1] => commit(tx, journal).await,
            [_, 1, _] => Err(StoreError::Stale),
            _ => Err(StoreError::NotFound),
        }
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
