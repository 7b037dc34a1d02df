//! What concerns a store as a whole: ids, values, concurrency, persistence.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};

use super::*;
use crate::store::MachineFilter;

pub(super) async fn ids(store: &dyn Store) -> Outcome {
    let first = store.insert_user(&user("alice"), &quiet()).await?;
    store.delete_user(&first, &quiet()).await?;
    let second = store.insert_user(&user("alice"), &quiet()).await?;
    ensure(second.id > first.id, || format!("user {} came after user {}", second.id, first.id))?;
    let machine = stored_machine(store, "m1").await?;
    store.record(&Journal { events: vec![event(Some(machine.id), "x")], ..Journal::default() }).await?;
    let before = store.last_event().await?;
    store.delete_machine(&machine, &quiet()).await?;
    let again = store.insert_machine(&Machine::new("m1", machine.arch), &quiet()).await?;
    ensure(again.id > machine.id, || format!("machine {} came after machine {}", again.id, machine.id))?;
    store.record(&journal("y")).await?;
    let after = store.last_event().await?;
    ensure(after > before, || format!("event {after} came after event {before}"))
}

const TEXTS: [&str; 6] = [
    "'; DROP TABLE users; --",
    "\"double\" and 'single' and `back`",
    "ünïcödé ☃ 🦀 \u{202e}right to left",
    "$1 ? :name %s {} \\n \\",
    "  leading, trailing and\ttab  ",
    "line\nline\r\nline",
];

pub(super) async fn values(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    for text in TEXTS {
        let new = User { email: text.into(), ssh_keys: text.into(), ..user(text) };
        let stored = store.insert_user(&new, &journal(text)).await?;
        same("a user's texts", &store.user_by_name(text).await?, &Some(stored))?;
        let new = Machine { kernel_options: Some(text.into()), ..Machine::new(text, arm.id) };
        let stored = store.insert_machine(&new, &quiet()).await?;
        same("a machine's texts", &store.machine_by_name(text).await?, &Some(stored))?;
        let new = AnswerFile { content: Some(text.repeat(1000)), ..answer_file(text, None) };
        let stored = store.insert_answer_file(&new, &quiet()).await?;
        same("an answer file's texts", &store.answer_file(stored.id).await?, &Some(stored))?;
        let data = json!({"text": text, text: [null, true, {"deep": [text]}]});
        let happened = NewEvent { data: data.clone(), actor: text.into(), ..event(None, text) };
        store.record(&Journal { events: vec![happened], ..Journal::default() }).await?;
        let last = store.events(&EventFilter { last: 1, ..EventFilter::default() }).await?;
        let found: Vec<_> = last.iter().map(|event| (&*event.text, &*event.actor, &event.data)).collect();
        same("an event's texts", &found, &vec![(text, text, &data)])?;
    }
    for (number, size) in [0, 1, u64::MAX, i64::MAX.unsigned_abs() + 1].into_iter().enumerate() {
        let at = Timestamp(if number % 2 == 0 { i64::MAX } else { i64::MIN });
        let new = image(&format!("image {number}"), &arm, None, ImageKind::Kernel);
        let stored = store.insert_image(&Image { size, uploaded: at, ..new }, &quiet()).await?;
        same("an image's numbers", &store.image(stored.id).await?, &Some(stored))?;
        let happened =
            NewEvent { at, data: json!([u64::MAX, i64::MIN, -1, 0.5, 1e300]), ..event(None, "numbers") };
        store.record(&Journal { events: vec![happened.clone()], ..Journal::default() }).await?;
        let last = store.events(&EventFilter { last: 1, ..EventFilter::default() }).await?;
        same("an event's time", &last.first().map(|event| event.at), &Some(at))?;
        same("an event's numbers", &last.first().map(|event| event.data.clone()), &Some(happened.data))?;
    }
    let bytes: Vec<u8> = (0..=255).collect();
    let new = BmcEntry { sealed_password: bytes, ..bmc("b", "a") };
    let stored = store.insert_bmc(&new, &quiet()).await?;
    same("a BMC's bytes", &store.bmc(stored.id).await?, &Some(stored))
}

pub(super) async fn concurrent_changes(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let wanted: Vec<Machine> = (1..=20).map(|boot_epoch| Machine { boot_epoch, ..machine.clone() }).collect();
    let note = journal("changed");
    let changes = wanted.iter().map(|wanted| store.update_machine(wanted, &note));
    let mut winner = None;
    for change in join_all(changes).await {
        match change {
            Ok(row) => {
                ensure(winner.is_none(), || "two changes of one revision were taken".into())?;
                winner = Some(row);
            }
            refused => stale("update_machine beside others", refused)?,
        }
    }
    same("the machine", &store.machine(machine.id).await?, &winner)?;
    written(store, 1, 1).await
}

pub(super) async fn readers(store: &dyn Store) -> Outcome {
    const CHANGES: i64 = 100;
    let machine = stored_machine(store, "m1").await?;
    let over = AtomicBool::new(false);
    let writer = async {
        let result = count_up(store, machine, CHANGES).await;
        over.store(true, Ordering::SeqCst);
        result
    };
    let reader = async {
        loop {
            let last = over.load(Ordering::SeqCst);
            let before = store.machines(&MachineFilter::default()).await?;
            let Some(before) = before.first() else { return Err(Failure("the machine is gone".into())) };
            let events = store.events(&EventFilter::default()).await?.len();
            let epoch = usize::try_from(before.boot_epoch).unwrap_or(0);
            ensure(events >= epoch, || format!("change {epoch} was seen with {events} events only"))?;
            if last {
                return same("the last change", &before.boot_epoch, &CHANGES);
            }
            tokio::task::yield_now().await;
        }
    };
    let (written, read) = join(writer, reader).await;
    written.and(read)
}

async fn count_up(store: &dyn Store, mut machine: Machine, to: i64) -> Outcome {
    for boot_epoch in 1..=to {
        let happened = event(Some(machine.id), &boot_epoch.to_string());
        let note = Journal { events: vec![happened], ..Journal::default() };
        machine = store.update_machine(&Machine { boot_epoch, ..machine }, &note).await?;
    }
    Ok(())
}

pub(super) async fn reopened(db: &mut dyn TestDatabase) -> Outcome {
    let store = db.store();
    let alice = store.insert_user(&user("alice"), &journal("alice comes")).await?;
    let machine = stored_machine(store, "m1").await?;
    let held = store.insert_assignment(&assignment(&machine, &alice), &quiet()).await?;
    let (run, machine) = store.insert_run(&provision(&machine, Some(&alice)), &machine, &quiet()).await?;
    let events = store.events(&EventFilter::default()).await?;
    if !db.reopen().await? {
        same("users of a new database", &db.store().users().await?, &vec![])?;
        return written(db.store(), 0, 0).await;
    }
    let store = db.store();
    same("users", &store.users().await?, &vec![alice])?;
    same("machines", &store.machines(&MachineFilter::default()).await?, &vec![machine.clone()])?;
    same("assignments", &store.all_assignments().await?, &vec![held])?;
    same("the active run", &store.active_run(machine.id).await?, &Some(run))?;
    same("events", &store.events(&EventFilter::default()).await?, &events)?;
    let bob = store.insert_user(&user("bob"), &quiet()).await?;
    store.delete_user(&bob, &quiet()).await?;
    written(store, 1, 1).await
}
