//! Events, audit, and their atomicity.

use super::*;
use crate::event::{Event, EventId};

pub(super) async fn lists(store: &dyn Store) -> Outcome {
    same("last_event of none", &store.last_event().await?, &Id::NEW)?;
    let (one, two) = (stored_machine(store, "m1").await?, stored_machine(store, "m2").await?);
    let (run, _) = store.insert_run(&provision(&one, None), &one, &quiet()).await?;
    let mut new = Vec::new();
    for (number, kind) in EventKind::ALL.into_iter().take(11).enumerate() {
        let machine = if number % 2 == 0 { one.id } else { two.id };
        let run = (number % 4 == 0).then_some(run.id);
        let text = format!("event {number}");
        new.push(NewEvent { run, kind, ..event(Some(machine), &text) });
    }
    store.record(&Journal { events: new.clone(), ..Journal::default() }).await?;
    let all = store.events(&EventFilter::default()).await?;
    let again: Vec<NewEvent> = all.iter().cloned().map(unstored).collect();
    same("events", &again, &new)?;
    ensure(all.windows(2).all(|pair| pair[0].id < pair[1].id), || "the ids of events do not grow".into())?;
    same("last_event", &Some(store.last_event().await?), &all.last().map(|event| event.id))?;
    let none = EventFilter::default();
    let picked = |pick: fn(usize) -> bool| -> Vec<EventId> {
        all.iter().enumerate().filter(|(number, _)| pick(*number)).map(|(_, event)| event.id).collect()
    };
    let after = Some(all[3].id);
    for (what, filter, wanted) in [
        ("machine", EventFilter { machine: Some(one.id), ..none.clone() }, picked(|n| n % 2 == 0)),
        ("run", EventFilter { run: Some(run.id), ..none.clone() }, picked(|n| n % 4 == 0)),
        ("kind", EventFilter { kind: Some(EventKind::Dhcp), ..none.clone() }, picked(|n| n == 2)),
        ("after", EventFilter { after, ..none.clone() }, picked(|n| n > 3)),
        ("limit", EventFilter { limit: 2, ..none.clone() }, picked(|n| n < 2)),
        ("last", EventFilter { last: 3, ..none.clone() }, picked(|n| n > 7)),
        ("last and limit", EventFilter { last: 3, limit: 2, ..none.clone() }, picked(|n| n == 8 || n == 9)),
        ("more than there are", EventFilter { last: 90, limit: 90, ..none.clone() }, picked(|_| true)),
        (
            "all at once",
            EventFilter { machine: Some(two.id), run: None, kind: None, after, last: 2, limit: 1 },
            picked(|n| n == 7),
        ),
        ("both", EventFilter { machine: Some(two.id), run: Some(run.id), ..none.clone() }, picked(|_| false)),
    ] {
        ids(&format!("events by {what}"), &store.events(&filter).await?, |event| event.id, &wanted)?;
    }
    let kinds = EventKind::ALL.map(|kind| NewEvent { kind, ..event(None, "of each kind") });
    store.record(&Journal { events: kinds.to_vec(), ..Journal::default() }).await?;
    let filter = EventFilter { after: all.last().map(|event| event.id), ..none };
    let found: Vec<EventKind> = store.events(&filter).await?.iter().map(|event| event.kind).collect();
    same("every kind", &found, &EventKind::ALL.to_vec())
}

fn unstored(event: Event) -> NewEvent {
    let Event { at, machine, run, kind, actor, text, data, .. } = event;
    NewEvent { at, machine, run, kind, actor, text, data }
}

pub(super) async fn audit(store: &dyn Store) -> Outcome {
    for name in ["one", "two", "three"] {
        store.record(&journal(name)).await?;
    }
    let by_hand = NewAudit { token: None, ..journal("four").audit.remove(0) };
    store.record(&Journal { audit: vec![by_hand], ..Journal::default() }).await?;
    let all = store.audit(Id::NEW, 100).await?;
    let names: Vec<_> = all.iter().map(|entry| entry.name.as_str()).collect();
    same("audit", &names, &vec!["one", "two", "three", "four"])?;
    let wanted = journal("one").audit.remove(0);
    let first = &all[0];
    let found = NewAudit {
        at: first.at,
        actor: first.actor.clone(),
        token: first.token.clone(),
        action: first.action.clone(),
        object: first.object.clone(),
        name: first.name.clone(),
        changes: first.changes.clone(),
    };
    same("an audit entry", &found, &wanted)?;
    same("an audit entry of no token", &all[3].token, &None)?;
    let page = store.audit(all[0].id, 1).await?;
    ids("a page of the audit log", &page, |entry| entry.id, &[all[1].id])?;
    ids("the end of the audit log", &store.audit(all[3].id, 9).await?, |entry| entry.id, &[])
}

pub(super) async fn audit_filters(store: &dyn Store) -> Outcome {
    same("last_audit of none", &store.last_audit().await?, &Id::NEW)?;
    for (number, (actor, object, name)) in
        [("alice", "machine", "m1"), ("bob", "machine", "m2"), ("alice", "image", "m1"), ("mrp", "key", "k")]
            .into_iter()
            .enumerate()
    {
        let mut one = journal(name);
        let entry = &mut one.audit[0];
        (entry.actor, entry.object) = (actor.into(), object.into());
        entry.at = Timestamp(number as i64);
        store.record(&one).await?;
    }
    let all = store.audit_log(&AuditFilter::default()).await?;
    same("audit_log", &all.len(), &4)?;
    same("last_audit", &Some(store.last_audit().await?), &all.last().map(|entry| entry.id))?;
    let none = AuditFilter::default();
    for (what, filter, wanted) in [
        ("actor", AuditFilter { actor: Some("alice".into()), ..none.clone() }, vec![0, 2]),
        ("object", AuditFilter { object: Some("machine".into()), ..none.clone() }, vec![0, 1]),
        ("name", AuditFilter { name: Some("m1".into()), ..none.clone() }, vec![0, 2]),
        ("case", AuditFilter { name: Some("M1".into()), ..none.clone() }, vec![]),
        ("since", AuditFilter { since: Some(Timestamp(2)), ..none.clone() }, vec![2, 3]),
        ("after", AuditFilter { after: Some(all[1].id), ..none.clone() }, vec![2, 3]),
        ("limit", AuditFilter { limit: 2, ..none.clone() }, vec![0, 1]),
        ("last", AuditFilter { last: 2, ..none.clone() }, vec![2, 3]),
        ("last and limit", AuditFilter { last: 3, limit: 1, ..none.clone() }, vec![1]),
        (
            "all at once",
            AuditFilter {
                after: Some(all[0].id),
                actor: Some("alice".into()),
                object: Some("image".into()),
                name: Some("m1".into()),
                since: Some(Timestamp(0)),
                last: 9,
                limit: 9,
            },
            vec![2],
        ),
        ("of nobody", AuditFilter { actor: Some("' OR 1=1".into()), ..none.clone() }, vec![]),
    ] {
        let wanted: Vec<_> = wanted.into_iter().map(|number: usize| all[number].id).collect();
        ids(&format!("audit by {what}"), &store.audit_log(&filter).await?, |entry| entry.id, &wanted)?;
    }
    Ok(())
}

/// Each noun's own case shows it for its refusals; here a journal that cannot be written takes the change with it.
pub(super) async fn atomic(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let mut torn = journal("first half");
    torn.events.push(event(Some(Id::new(1 << 40)), "of no machine"));
    gone("record of an event of no machine", store.record(&torn).await)?;
    gone("insert_user with such a journal", store.insert_user(&user("alice"), &torn).await)?;
    let changed = Machine { boot_epoch: 9, ..machine.clone() };
    gone("update_machine with such a journal", store.update_machine(&changed, &torn).await)?;
    gone("delete_machine with such a journal", store.delete_machine(&machine, &torn).await)?;
    same("users", &store.users().await?, &vec![])?;
    same("the machine", &store.machine(machine.id).await?, &Some(machine))?;
    written(store, 0, 0).await
}
