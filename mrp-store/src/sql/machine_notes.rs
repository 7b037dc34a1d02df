//! What is kept beside a machine: its tags, its power as last seen, the tickets for its console.

use mrp_core::bmc::Power;
use mrp_core::console::ConsoleTicket;
use mrp_core::event::Journal;
use mrp_core::id::Timestamp;
use mrp_core::machine::{Machine, MachineId, SeenPower};
use mrp_core::store::StoreResult;

use super::query::Query;
use super::rows::{damaged, get, id, time};
use super::{Row, SqlStore, all, commit, failed, machines, one, sql, unreferred};

/// A machine's power, from its two columns.
pub(super) fn seen(row: &Row) -> StoreResult<SeenPower> {
    let power = match get::<&str>(row, "state")? {
        "on" => Power::On,
        "off" => Power::Off,
        _ => return Err(damaged("state")),
    };
    Ok(SeenPower { power, at: time(row, "at")? })
}

fn ticket(row: &Row) -> StoreResult<ConsoleTicket> {
    Ok(ConsoleTicket {
        hash: get(row, "hash")?,
        machine: id(row, "machine_id")?,
        user: id(row, "user_id")?,
        expires: time(row, "expires")?,
    })
}

/// Keeps a machine's power, if it still exists, and unless the same was seen less than ten seconds before.
pub(super) fn put_power(machine: MachineId, seen: &SeenPower) -> Query<'static> {
    let query = sql(
        "INSERT INTO machine_power (machine_id, state, at) SELECT id, $2, $3 FROM machines WHERE id = $1 ON CONFLICT (machine_id) DO UPDATE SET state = excluded.state, at = excluded.at WHERE machine_power.state <> excluded.state OR machine_power.at + 10000 <= excluded.at",
    );
    query.bind(machine.get()).bind(seen.power.to_string()).bind(seen.at.0)
}

impl SqlStore {
    pub(super) async fn tags_of(&self, machine: MachineId) -> StoreResult<Vec<String>> {
        let query = sql("SELECT tag FROM machine_tags WHERE machine_id = $1 ORDER BY tag");
        all(query.bind(machine.get()).fetch_all(&self.read).await, |row| get(row, "tag"))
    }

    pub(super) async fn replace_tags(
        &self,
        machine: &Machine,
        tags: &[String],
        journal: &Journal,
    ) -> StoreResult<Machine> {
        let mut tx = self.begin().await?;
        let machine = machines::update(&mut tx, machine).await?;
        let query = sql("DELETE FROM machine_tags WHERE machine_id = $1").bind(machine.id.get());
        query.execute(&mut tx).await.map_err(failed)?;
        for tag in tags {
            let query = sql("INSERT INTO machine_tags (machine_id, tag) VALUES ($1, $2)");
            query.bind(machine.id.get()).bind(tag).execute(&mut tx).await.map_err(unreferred)?;
        }
        commit(tx, journal).await?;
        Ok(machine)
    }

    pub(super) async fn power_of(&self, machine: MachineId) -> StoreResult<Option<SeenPower>> {
        let query = sql("SELECT state, at FROM machine_power WHERE machine_id = $1").bind(machine.get());
        one(query.fetch_optional(&self.read).await, seen)
    }

    pub(super) async fn add_ticket(
        &self,
        ticket: &ConsoleTicket,
        now: Timestamp,
        journal: &Journal,
    ) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let query = sql("DELETE FROM console_tickets WHERE expires <= $1").bind(now.0);
        query.execute(&mut tx).await.map_err(failed)?;
        let query =
            sql("INSERT INTO console_tickets (hash, machine_id, user_id, expires) VALUES ($1, $2, $3, $4)");
        let query = query.bind(&ticket.hash).bind(ticket.machine.get()).bind(ticket.user.get());
        query.bind(ticket.expires.0).execute(&mut tx).await.map_err(unreferred)?;
        commit(tx, journal).await
    }

    pub(super) async fn take_ticket(&self, hash: &str, now: Timestamp) -> StoreResult<Option<ConsoleTicket>> {
        let query = sql(
            "DELETE FROM console_tickets WHERE hash = $1 AND expires > $2 RETURNING hash, machine_id, user_id, expires",
        );
        one(query.bind(hash).bind(now.0).fetch_optional(&self.write).await, ticket)
    }
}
