//! The claim of the first free machine: found, taken and written down in one go, so that whoever asks next finds it taken.

use mrp_core::event::Journal;
use mrp_core::machine::{Assignment, MachineView};
use mrp_core::query::Condition;
use mrp_core::store::StoreResult;
use sqlx::error::ErrorKind;

use super::builder::QueryBuilder;
use super::database::{Pool, TURN};
use super::machine_lists::{VIEW, view};
use super::query::{Outcome, Query, Value, with};
use super::rows::id;
use super::{SqlStore, conditions, events, sql, unreferred};

/// On SQLite, the machine of the newest assignment: ids only grow, and no other transaction writes meanwhile.
const NEWEST: &str =
    "(SELECT * FROM machines WHERE id = (SELECT machine_id FROM assignments ORDER BY id DESC LIMIT 1))";

impl SqlStore {
    pub(super) async fn claim(
        &self,
        condition: &Condition,
        assignment: &Assignment,
        journal: &Journal,
    ) -> StoreResult<Option<(Assignment, MachineView)>> {
        let claimed = match &self.write {
            Pool::Sqlite(_) => self.claim_on_sqlite(condition, assignment, journal).await?,
            Pool::Postgres(_) => self.claim_on_postgres(condition, assignment, journal).await?,
        };
        let Some(row) = claimed.and_then(|outcome| outcome.rows.into_iter().next()) else { return Ok(None) };
        let view = view(&row)?;
        let (id, machine) = (id(&row, "assignment_id")?, view.machine.id);
        Ok(Some((Assignment { id, revision: 1, machine, ..assignment.clone() }, view)))
    }

    /// Statements one after another. Where no machine is free, the assignment has none, which the table refuses: the first
    /// of them fails.
    async fn claim_on_sqlite(
        &self,
        condition: &Condition,
        assignment: &Assignment,
        journal: &Journal,
    ) -> StoreResult<Option<Outcome>> {
        let mut take = QueryBuilder::with(
            "INSERT INTO assignments (revision, user_id, reason, since, until, machine_id) VALUES (1, $1, $2, $3, $4, (SELECT m.id FROM machines m WHERE m.holders = 0 AND ",
            values(assignment),
        );
        conditions::push(&mut take, condition, &self.read);
        take.push(" ORDER BY m.id LIMIT 1))");
        let mut taken = QueryBuilder::new("SELECT (SELECT MAX(id) FROM assignments) AS assignment_id, ");
        taken.push(VIEW).push(" FROM ").push(NEWEST).push(" m");
        let mut queries = vec![take.build()];
        queries.extend(events::statements_about(journal, NEWEST)?);
        queries.push(taken.build());
        match self.begin().await?.commit_after(queries).await {
            Err(sqlx::Error::Database(error)) if error.kind() == ErrorKind::NotNullViolation => Ok(None),
            claimed => claimed.map_err(unreferred),
        }
    }

    /// One statement, and thereby one way to the server and back. It may have read before its turn came; the lock on the row
    /// makes sure that the machine is free still, or the next one is looked at.
    async fn claim_on_postgres(
        &self,
        condition: &Condition,
        assignment: &Assignment,
        journal: &Journal,
    ) -> StoreResult<Option<Outcome>> {
        let mut free = QueryBuilder::new("SELECT ");
        free.push(VIEW).push(" FROM turn, machines m WHERE m.holders = 0 AND ");
        conditions::push(&mut free, condition, &self.read);
        free.push(" ORDER BY m.id LIMIT 1 FOR NO KEY UPDATE OF m");
        let take = Query::made(
            "INSERT INTO assignments (revision, user_id, reason, since, until, machine_id) SELECT 1, $1, $2, $3, $4, id FROM free RETURNING id AS assignment_id".into(),
            values(assignment),
        );
        let mut queries = events::statements_about(journal, "free")?;
        queries.push(sql("SELECT taken.assignment_id, free.* FROM free, taken"));
        let named = vec![("turn", sql(TURN)), ("free", free.build()), ("taken", take)];
        let Some(claim) = with(named, queries) else { return Ok(None) };
        let row = self.write.run_alone(claim).await.map_err(unreferred)?;
        Ok(row.map(|row| Outcome { rows: vec![row], written: 1 }))
    }
}

/// What an assignment says of its user.
fn values(assignment: &Assignment) -> Vec<Value<'_>> {
    let Assignment { user, reason, since, until, .. } = assignment;
    vec![user.get().into(), reason.into(), since.0.into(), until.map(|until| until.0).into()]
}
