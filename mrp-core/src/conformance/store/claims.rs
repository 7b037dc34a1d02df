//! Reserving: one machine for one of many, and its end.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::query::Condition;

fn named(names: &[&str]) -> Result<Condition, Failure> {
    let any: String = names.iter().map(|name| format!(" (= name \"{name}\")")).collect();
    Condition::parse(&format!("(or{any})")).map_err(|error| Failure(error.to_string()))
}

pub(super) async fn order(store: &dyn Store) -> Outcome {
    let (one, two) = (stored_machine(store, "m1").await?, stored_machine(store, "m2").await?);
    let three = stored_machine(store, "m3").await?;
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let bob = store.insert_user(&user("bob"), &quiet()).await?;
    let open = |user: &User| Assignment { machine: Id::NEW, until: Some(AT), ..assignment(&one, user) };
    let mut nameless = journal("");
    nameless.audit[0].object = "machine".into();
    let first = store.claim_machine(&named(&["m3", "m2"])?, &open(&alice), &nameless).await?;
    let (first, view) = first.ok_or(Failure("claim_machine: no machine of two free ones".into()))?;
    let wanted = Assignment { id: first.id, revision: 1, machine: two.id, ..open(&alice) };
    same("the claim of the first match", &first, &wanted)?;
    same("its machine", &view.machine, &two)?;
    same("its machine's architecture", &view.arch, &"arch of m2".to_owned())?;
    same("what is stored of it", &store.assignments(two.id).await?, &vec![first.clone()])?;
    let events = store.events(&EventFilter { machine: Some(two.id), ..EventFilter::default() }).await?;
    same("the claimed machine in its event", &events.len(), &1)?;
    let entry = store.audit(Id::NEW, 1).await?.remove(0);
    same("the claimed machine in its audit entry", &entry.name, &"m2".to_owned())?;
    let any = Condition::default();
    let second = store.claim_machine(&any, &open(&bob), &journal("2")).await?;
    same("the next claim", &second.map(|(a, _)| a.machine), &Some(one.id))?;
    let third = store.claim_machine(&named(&["m2", "m1"])?, &open(&bob), &journal("no")).await?;
    same("a claim when all that match are held", &third.is_none(), &true)?;
    let nobody = Assignment { user: Id::new(1 << 40), ..open(&bob) };
    gone("a claim by nobody", store.claim_machine(&any, &nobody, &journal("no")).await)?;
    let moved = Assignment { machine: three.id, ..first };
    let moved = store.update_assignment(&moved, &quiet()).await?;
    let freed = store.claim_machine(&any, &open(&bob), &journal("3")).await?;
    same("the machine of an assignment that moved", &freed.map(|(a, _)| a.machine), &Some(two.id))?;
    store.end_assignment(moved.id, &three, &quiet()).await?;
    let freed = store.claim_machine(&any, &open(&alice), &journal("4")).await?;
    same("a machine that was given back", &freed.map(|(a, _)| a.machine), &Some(three.id))?;
    written(store, 4, 4).await
}

pub(super) async fn one_of_many(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let mut users = Vec::new();
    for number in 0..20 {
        users.push(store.insert_user(&user(&format!("user{number}")), &quiet()).await?);
    }
    let (condition, won) = (named(&["m1"])?, journal("claimed"));
    let wanted: Vec<_> = users.iter().map(|user| assignment(&machine, user)).collect();
    let claims = wanted.iter().map(|wanted| store.claim_machine(&condition, wanted, &won));
    let mut winners = 0;
    for claim in join_all(claims).await {
        winners += usize::from(claim?.is_some());
    }
    same("winners of 20 concurrent claims", &winners, &1)?;
    same("holders", &store.assignments(machine.id).await?.len(), &1)?;
    written(store, 1, 1).await
}

pub(super) async fn thousand(store: &dyn Store) -> Outcome {
    const MACHINES: usize = 100;
    let first = stored_machine(store, "m0").await?;
    let mut machines = BTreeSet::from([first.id]);
    for number in 1..MACHINES {
        let new = Machine::new(format!("m{number}"), first.arch);
        machines.insert(store.insert_machine(&new, &quiet()).await?.id);
    }
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let (condition, wanted, won) = (Condition::default(), assignment(&first, &alice), journal("claimed"));
    let claims = (0..1000).map(|_| store.claim_machine(&condition, &wanted, &won));
    let mut claimed = BTreeSet::new();
    for claim in join_all(claims).await {
        if let Some((claim, _)) = claim? {
            ensure(claimed.insert(claim.machine), || format!("machine {} was claimed twice", claim.machine))?;
        }
    }
    same("machines that were claimed", &claimed, &machines)?;
    same("assignments", &store.all_assignments().await?.len(), &MACHINES)?;
    written(store, MACHINES, MACHINES).await
}

pub(super) async fn overdue(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let mut held = Vec::new();
    for (name, until) in [("a", Some(20)), ("b", None), ("c", Some(10)), ("d", Some(30))] {
        let user = store.insert_user(&user(name), &quiet()).await?;
        let until = until.map(|seconds| AT + Duration::from_secs(seconds));
        let wanted = Assignment { until, ..assignment(&machine, &user) };
        held.push(store.insert_assignment(&wanted, &quiet()).await?);
    }
    let at = |seconds| AT + Duration::from_secs(seconds);
    let found = store.overdue_assignments(at(9), 10).await?;
    ids("before the first end", &found, |a| a.id, &[])?;
    let found = store.overdue_assignments(at(20), 10).await?;
    ids("at an end", &found, |a| a.id, &[held[2].id, held[0].id])?;
    same("the assignment itself", &found[1], &held[0])?;
    let found = store.overdue_assignments(at(99), 2).await?;
    ids("at most two", &found, |a| a.id, &[held[2].id, held[0].id])?;
    let open = Assignment { until: None, ..held[2].clone() };
    store.update_assignment(&open, &quiet()).await?;
    let found = store.overdue_assignments(at(99), 10).await?;
    ids("without one that was prolonged", &found, |a| a.id, &[held[0].id, held[3].id])
}
