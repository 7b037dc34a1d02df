//! Runs.

use async_trait::async_trait;
use mrp_core::event::Journal;
use mrp_core::id::Id;
use mrp_core::machine::{Machine, MachineId, Netboot};
use mrp_core::run::{Run, RunId};
use mrp_core::store::{RunFilter, RunStore, StoreError, StoreResult};

use super::builder::QueryBuilder;
use super::query::Query;
use super::rows::{get, id, json, maybe_id, maybe_time, time, to_json, to_word, word};
use super::{Row, SqlStore, all, commit, inserted, machines, one, sql, updated};

pub(super) fn run(row: &Row) -> StoreResult<Run> {
    Ok(Run {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        machine: id(row, "machine_id")?,
        user: maybe_id(row, "user_id")?,
        started_by: get(row, "started_by")?,
        plan: json(row, "plan")?,
        status: word(row, "status")?,
        verdict: get(row, "verdict")?,
        started: time(row, "started")?,
        ended: maybe_time(row, "ended")?,
        stages: json(row, "stages")?,
        deadline: json(row, "deadline")?,
        advanced: time(row, "advanced")?,
        boot: json(row, "boot")?,
    })
}

/// The run that a machine is in.
pub(super) fn active(machine: MachineId) -> Query<'static> {
    sql("SELECT * FROM runs WHERE machine_id = $1 AND status = 'active'").bind(machine.get())
}

#[async_trait]
impl RunStore for SqlStore {
    async fn runs(&self, filter: &RunFilter) -> StoreResult<Vec<Run>> {
        let mut query = QueryBuilder::new("SELECT * FROM runs WHERE id > 0");
        if let Some(machine) = filter.machine {
            query.push(" AND machine_id = ").push_bind(machine.get());
        }
        if filter.active {
            query.push(" AND status = 'active'");
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before.get());
        }
        query.push(" ORDER BY id DESC");
        if filter.limit > 0 {
            query.push(" LIMIT ").push_bind(i64::from(filter.limit));
        }
        all(query.build().fetch_all(&self.read).await, run)
    }

    async fn run(&self, id: RunId) -> StoreResult<Option<Run>> {
        let query = sql("SELECT * FROM runs WHERE id = $1").bind(id.get());
        one(query.fetch_optional(&self.read).await, run)
    }

    async fn active_run(&self, machine: MachineId) -> StoreResult<Option<Run>> {
        one(active(machine).fetch_optional(&self.read).await, run)
    }

    async fn insert_run(
        &self,
        run: &Run,
        machine: &Machine,
        journal: &Journal,
    ) -> StoreResult<(Run, Machine)> {
        let mut tx = self.begin().await?;
        let query = sql(
            "INSERT INTO runs (revision, machine_id, user_id, started_by, status, verdict, started, ended, advanced, plan, stages, deadline, boot) VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id",
        );
        let query = query.bind(machine.id.get()).bind(run.user.map(Id::get)).bind(&run.started_by);
        let query = query.bind(to_word(&run.status)?).bind(&run.verdict).bind(run.started.0);
        let query = query.bind(run.ended.map(|at| at.0)).bind(run.advanced.0).bind(to_json(&run.plan)?);
        let query = query.bind(to_json(&run.stages)?).bind(to_json(&run.deadline)?).bind(to_json(&run.boot)?);
        let id = inserted(&mut tx, query).await?;
        let armed = Machine { netboot: Netboot::ByRun(id), ..machine.clone() };
        let armed = machines::update(&mut tx, &armed).await?;
        let mut journal = journal.clone();
        for event in &mut journal.events {
            event.run.get_or_insert(id);
        }
        commit(tx, &journal).await?;
        Ok((Run { id, revision: 1, machine: machine.id, ..run.clone() }, armed))
    }

    async fn update_run(&self, run: &Run, machine: Option<&Machine>, journal: &Journal) -> StoreResult<Run> {
        let mut tx = self.begin().await?;
        let query = sql(
            "UPDATE runs SET revision = revision + 1, user_id = $3, started_by = $4, status = $5, verdict = $6, started = $7, ended = $8, advanced = $9, plan = $10, stages = $11, deadline = $12, boot = $13 WHERE id = $1 AND revision = $2",
        );
        let query = query.bind(run.id.get()).bind(run.revision).bind(run.user.map(Id::get));
        let query = query.bind(&run.started_by).bind(to_word(&run.status)?).bind(&run.verdict);
        let query = query.bind(run.started.0).bind(run.ended.map(|at| at.0)).bind(run.advanced.0);
        let query = query.bind(to_json(&run.plan)?).bind(to_json(&run.stages)?);
        let query = query.bind(to_json(&run.deadline)?).bind(to_json(&run.boot)?);
        updated(&mut tx, query, "SELECT id FROM runs WHERE id = $1", run.id.get()).await?;
        if let Some(machine) = machine {
            // The run refers to its machine: one that is gone has taken the run with it.
            match machines::update(&mut tx, machine).await {
                Err(StoreError::NotFound) => return Err(StoreError::Stale),
                other => other?,
            };
        }
        commit(tx, journal).await?;
        Ok(Run { revision: run.revision + 1, ..run.clone() })
    }
}
