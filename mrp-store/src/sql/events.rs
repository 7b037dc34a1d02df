//! Events and the audit log.

use async_trait::async_trait;
use mrp_core::event::{AuditEntry, AuditId, Event, EventId, Journal, NewAudit, NewEvent};
use mrp_core::id::Id;
use mrp_core::store::{AuditFilter, EventFilter, EventStore, StoreResult};
use mrp_core::token::TokenRef;

use super::builder::QueryBuilder;
use super::database::Database;
use super::query::Query;
use super::rows::{first, get, id, json, maybe_id, time, to_json, to_word, word};
use super::{Row, SqlStore, all, commit, failed, sql};

fn event(row: &Row) -> StoreResult<Event> {
    Ok(Event {
        id: id(row, "id")?,
        at: time(row, "at")?,
        machine: maybe_id(row, "machine_id")?,
        run: maybe_id(row, "run_id")?,
        kind: word(row, "kind")?,
        actor: get(row, "actor")?,
        text: get(row, "text")?,
        data: json(row, "data")?,
    })
}

fn audit_entry(row: &Row) -> StoreResult<AuditEntry> {
    Ok(AuditEntry {
        id: id(row, "id")?,
        at: time(row, "at")?,
        actor: get(row, "actor")?,
        token: token(row)?,
        action: get(row, "action")?,
        object: get(row, "object")?,
        name: get(row, "name")?,
        changes: json(row, "changes")?,
    })
}

/// Which token an audit entry names.
fn token(row: &Row) -> StoreResult<Option<TokenRef>> {
    let Some(id) = maybe_id(row, "token_id")? else { return Ok(None) };
    let description: Option<String> = get(row, "token")?;
    Ok(Some(TokenRef { id, description: description.unwrap_or_default() }))
}

/// What writes a journal. Where an entry about a machine has no name, the one of the machine in its events stands.
pub(super) fn statements(journal: &Journal) -> StoreResult<Vec<Query<'_>>> {
    statements_after(journal, "")
}

/// The same, each once for every row of what it is selected from: ` FROM …`.
pub(super) fn statements_after<'q>(journal: &'q Journal, from: &str) -> StoreResult<Vec<Query<'q>>> {
    let machine = journal.events.iter().find_map(|event| event.machine);
    let events = journal.events.iter().map(|event| {
        let query = event_statement(event, "$7", from)?;
        Ok(query.bind(event.machine.map(Id::get)))
    });
    let audit = journal.audit.iter().map(|entry| {
        let named = machine.filter(|_| entry.name.is_empty() && entry.object == "machine");
        let name = "COALESCE((SELECT name FROM machines WHERE id = $8), $9)";
        let query = audit_statement(entry, name, from)?;
        Ok(query.bind(named.map(Id::get)).bind(&entry.name))
    });
    events.chain(audit).collect()
}

/// What writes a journal, of one event and one audit entry, about the one machine of a relation, which they do not name: `id`
/// and `name` are its columns.
pub(super) fn statements_about<'q>(journal: &'q Journal, relation: &str) -> StoreResult<Vec<Query<'q>>> {
    let from = format!(" FROM {relation} about");
    let events = journal.events.iter().map(|event| event_statement(event, "about.id", &from));
    let audit = journal.audit.iter().map(|entry| audit_statement(entry, "about.name", &from));
    events.chain(audit).collect()
}

fn event_statement<'q>(event: &'q NewEvent, machine: &str, from: &str) -> StoreResult<Query<'q>> {
    let text = format!(
        "INSERT INTO events (at, run_id, kind, actor, text, data, machine_id) SELECT $1, $2, $3, $4, $5, $6, {machine}{from}"
    );
    let query = Query::made(text, Vec::new()).bind(event.at.0).bind(event.run.map(Id::get));
    let query = query.bind(to_word(&event.kind)?).bind(&event.actor).bind(&event.text);
    Ok(query.bind(to_json(&event.data)?))
}

fn audit_statement<'q>(entry: &'q NewAudit, name: &str, from: &str) -> StoreResult<Query<'q>> {
    let text = format!(
        "INSERT INTO audit (at, actor, action, object, changes, token_id, token, name) SELECT $1, $2, $3, $4, $5, $6, $7, {name}{from}"
    );
    let query = Query::made(text, Vec::new()).bind(entry.at.0).bind(&entry.actor).bind(&entry.action);
    let query = query.bind(&entry.object).bind(to_json(&entry.changes)?);
    let token = entry.token.as_ref();
    let query = query.bind(token.map(|token| token.id.get()));
    Ok(query.bind(token.map(|token| token.description.as_str())))
}

#[async_trait]
impl EventStore for SqlStore {
    async fn events(&self, filter: &EventFilter) -> StoreResult<Vec<Event>> {
        let after = filter.after.unwrap_or(Id::NEW);
        let mut query = QueryBuilder::new("SELECT * FROM events WHERE id > ");
        query.push_bind(after.get());
        if let Some(machine) = filter.machine {
            query.push(" AND machine_id = ").push_bind(machine.get());
        }
        if let Some(run) = filter.run {
            query.push(" AND run_id = ").push_bind(run.get());
        }
        if let Some(kind) = filter.kind {
            query.push(" AND kind = ").push_bind(kind.as_str());
        }
        let newest_first = filter.last > 0;
        query.push(if newest_first { " ORDER BY id DESC" } else { " ORDER BY id" });
        let most = if newest_first { filter.last } else { filter.limit };
        if most > 0 {
            query.push(" LIMIT ").push_bind(i64::from(most));
        }
        let mut events = all(query.build().fetch_all(&self.read).await, event)?;
        if newest_first {
            events.reverse();
            if filter.limit > 0 {
                events.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
            }
        }
        Ok(events)
    }

    async fn last_event(&self) -> StoreResult<EventId> {
        let query = sql("SELECT COALESCE(MAX(id), 0) FROM events");
        let row = query.fetch_one(&self.read).await.map_err(failed)?;
        first(&row).map(Id::new)
    }

    async fn heard(&self) -> StoreResult<()> {
        match &self.database {
            Database::Postgres(listener) => listener.heard().await.map_err(failed),
            Database::SqliteFile | Database::SqliteMemory(_) => std::future::pending().await,
        }
    }

    async fn record(&self, journal: &Journal) -> StoreResult<()> {
        match journal.under {
            None => self.recorder.record(&self.write, journal).await,
            Some(_) => commit(self.begin().await?, journal).await,
        }
    }

    async fn audit_log(&self, filter: &AuditFilter) -> StoreResult<Vec<AuditEntry>> {
        let mut query = QueryBuilder::new("SELECT * FROM audit WHERE id > ");
        query.push_bind(filter.after.map_or(0, Id::get));
        for (column, value) in [
            (" AND actor = ", &filter.actor),
            (" AND object = ", &filter.object),
            (" AND name = ", &filter.name),
        ] {
            if let Some(value) = value {
                query.push(column).push_bind(value);
            }
        }
        if let Some(since) = filter.since {
            query.push(" AND at >= ").push_bind(since.0);
        }
        let newest_first = filter.last > 0;
        query.push(if newest_first { " ORDER BY id DESC" } else { " ORDER BY id" });
        let most = if newest_first { filter.last } else { filter.limit };
        if most > 0 {
            query.push(" LIMIT ").push_bind(i64::from(most));
        }
        let mut entries = all(query.build().fetch_all(&self.read).await, audit_entry)?;
        if newest_first {
            entries.reverse();
            if filter.limit > 0 {
                entries.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
            }
        }
        Ok(entries)
    }

    async fn last_audit(&self) -> StoreResult<AuditId> {
        let query = sql("SELECT COALESCE(MAX(id), 0) FROM audit");
        let row = query.fetch_one(&self.read).await.map_err(failed)?;
        first(&row).map(Id::new)
    }
}
