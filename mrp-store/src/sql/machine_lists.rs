//! Lists of machines by filter.

use std::collections::HashMap;

use mrp_core::machine::{MachineId, MachineOverview, MachineView, SeenPower};
use mrp_core::store::{MachineCount, MachineFilter, MachineReference, StoreResult};

use super::builder::QueryBuilder;
use super::machine_notes::seen;
use super::machines::machine;
use super::rows::{damaged, get, id, word};
use super::statement::{next, together};
use super::{Row, SqlStore, all, conditions, failed, one, packed, sql};

/// Machines with the names of their architectures. Looked up row by row, so that the order of the ids is that of the
/// table, and the first row of many costs no more than itself. What is selected of `machines m`.
pub(super) const VIEW: &str = "m.*, (SELECT a.name FROM archs a WHERE a.id = m.arch_id) AS arch_name, (SELECT s.name FROM subarchs s WHERE s.id = m.subarch_id) AS subarch_name";

pub(super) fn view(row: &Row) -> StoreResult<MachineView> {
    let machine = machine(row)?;
    Ok(MachineView { machine, arch: get(row, "arch_name")?, subarch: get(row, "subarch_name")? })
}

fn of_row(row: &Row) -> StoreResult<MachineId> {
    id(row, "machine_id")
}

/// Texts by the machine that they belong to, in their order.
fn grouped(texts: Vec<(MachineId, String)>) -> HashMap<MachineId, Vec<String>> {
    let mut groups: HashMap<MachineId, Vec<String>> = HashMap::new();
    for (machine, text) in texts {
        groups.entry(machine).or_default().push(text);
    }
    groups
}

impl SqlStore {
    pub(super) async fn views_of(&self, filter: &MachineFilter) -> StoreResult<Vec<MachineView>> {
        let mut query = QueryBuilder::with(packed::MACHINES, packed::parameters());
        conditions::push(&mut query, &filter.condition, &self.read);
        if let Some(user) = filter.held_by {
            query.push(" AND m.id IN (SELECT h.machine_id FROM assignments h WHERE h.user_id = ");
            query.push_bind(user.get()).push(")");
        }
        if filter.page.after > 0 {
            query.push(" AND m.id > ").push_bind(filter.page.after);
        }
        query.push(" ORDER BY m.id");
        if filter.page.limit > 0 {
            query.push(" LIMIT ").push_bind(i64::from(filter.page.limit));
        }
        query.push(packed::END);
        let row = query.build().fetch_one(&self.read).await.map_err(failed)?;
        packed::views(&row)
    }

    pub(super) async fn overviews_of(&self, filter: &MachineFilter) -> StoreResult<Vec<MachineOverview>> {
        let views = self.views_of(filter).await?;
        let (Some(first), Some(last)) = (views.first(), views.last()) else { return Ok(Vec::new()) };
        let (first, last) = (first.machine.id.get(), last.machine.id.get());
        let holders = sql(
            "SELECT a.machine_id, u.name FROM assignments a JOIN users u ON u.id = a.user_id WHERE a.machine_id >= $1 AND a.machine_id <= $2 ORDER BY a.id",
        );
        let tags = sql(
            "SELECT machine_id, tag FROM machine_tags WHERE machine_id >= $1 AND machine_id <= $2 ORDER BY machine_id, tag",
        );
        let powers = sql(
            "SELECT machine_id, state, at FROM machine_power WHERE machine_id >= $1 AND machine_id <= $2",
        );
        let queries = [holders, tags, powers].map(|query| query.bind(first).bind(last));
        let mut outcomes = together(&self.read, queries.into()).await?;
        let holders = next(&mut outcomes, |row| Ok((of_row(row)?, get(row, "name")?)))?;
        let tags = next(&mut outcomes, |row| Ok((of_row(row)?, get(row, "tag")?)))?;
        let powers = next(&mut outcomes, |row| Ok((of_row(row)?, seen(row)?)))?;
        let (mut holders, mut tags) = (grouped(holders), grouped(tags));
        let powers: HashMap<MachineId, SeenPower> = powers.into_iter().collect();
        let overview = |view: MachineView| {
            let id = view.machine.id;
            let (holders, tags) = (holders.remove(&id), tags.remove(&id));
            let (holders, tags) = (holders.unwrap_or_default(), tags.unwrap_or_default());
            MachineOverview { power: powers.get(&id).copied(), view, holders, tags }
        };
        Ok(views.into_iter().map(overview).collect())
    }

    pub(super) async fn view_of(&self, id: MachineId) -> StoreResult<Option<MachineView>> {
        let mut query = QueryBuilder::new("SELECT ");
        query.push(VIEW).push(" FROM machines m WHERE m.id = ").push_bind(id.get());
        one(query.build().fetch_optional(&self.read).await, view)
    }

    pub(super) async fn counted(&self) -> StoreResult<Vec<MachineCount>> {
        let query = sql(
            "SELECT state, (netboot <> 'off') AS armed, COUNT(*) AS machines FROM machines GROUP BY 1, 2",
        );
        all(query.fetch_all(&self.read).await, |row| {
            let count = u64::try_from(get::<i64>(row, "machines")?).map_err(|_| damaged("machines"))?;
            Ok(MachineCount { state: word(row, "state")?, netboot: get(row, "armed")?, count })
        })
    }

    pub(super) async fn referring(&self, to: MachineReference, limit: u32) -> StoreResult<Vec<String>> {
        let (text, id) = match to {
            MachineReference::Arch(id) => {
                ("SELECT name FROM machines WHERE arch_id = $1 ORDER BY id LIMIT $2", id.get())
            }
            MachineReference::Subarch(id) => {
                ("SELECT name FROM machines WHERE subarch_id = $1 ORDER BY id LIMIT $2", id.get())
            }
            MachineReference::Bmc(id) => {
                ("SELECT name FROM machines WHERE bmc_id = $1 ORDER BY id LIMIT $2", id.get())
            }
            MachineReference::Network(id) => (
                "SELECT name FROM machines WHERE id IN (SELECT machine_id FROM interfaces WHERE network_id = $1) ORDER BY id LIMIT $2",
                id.get(),
            ),
            MachineReference::Holder(id) => (
                "SELECT name FROM machines WHERE id IN (SELECT machine_id FROM assignments WHERE user_id = $1) ORDER BY id LIMIT $2",
                id.get(),
            ),
        };
        let query = sql(text).bind(id).bind(i64::from(limit));
        all(query.fetch_all(&self.read).await, |row| get(row, "name"))
    }
}
