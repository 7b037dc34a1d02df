//! Tags, power as last seen, console tickets.

use std::time::Duration;

use super::*;
use crate::bmc::Power;
use crate::console::ConsoleTicket;
use crate::machine::SeenPower;

pub(super) async fn tags(store: &dyn Store) -> Outcome {
    let (one, two) = (stored_machine(store, "m1").await?, stored_machine(store, "m2").await?);
    let list = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    same("tags of a new machine", &store.tags(one.id).await?, &vec![])?;
    let changed = store.set_tags(&one, &list(&["b", "B", "ä", "a"]), &journal("1")).await?;
    same("the machine", &changed, &Machine { revision: one.revision + 1, ..one.clone() })?;
    same("its tags", &store.tags(one.id).await?, &list(&["B", "a", "b", "ä"]))?;
    same("another's tags", &store.tags(two.id).await?, &vec![])?;
    stale("set_tags", store.set_tags(&one, &list(&["x"]), &journal("no")).await)?;
    same("tags after a stale change", &store.tags(one.id).await?.len(), &4)?;
    let changed = store.set_tags(&changed, &list(&["a"]), &quiet()).await?;
    same("fewer tags", &store.tags(one.id).await?, &list(&["a"]))?;
    store.delete_machine(&changed, &quiet()).await?;
    same("tags of a removed machine", &store.tags(one.id).await?, &vec![])?;
    gone("set_tags of a removed machine", store.set_tags(&changed, &[], &journal("no")).await)?;
    written(store, 1, 1).await
}

pub(super) async fn power(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let seen = |power, after| SeenPower { power, at: AT + Duration::from_secs(after) };
    same("power of a new machine", &store.seen_power(machine.id).await?, &None)?;
    for (new, kept) in [
        (seen(Power::On, 0), seen(Power::On, 0)),
        (seen(Power::On, 1), seen(Power::On, 0)),
        (seen(Power::On, 10), seen(Power::On, 10)),
        (seen(Power::Off, 11), seen(Power::Off, 11)),
    ] {
        store.put_seen_power(machine.id, &new).await?;
        same("seen_power", &store.seen_power(machine.id).await?, &Some(kept))?;
    }
    gone("put_seen_power of no machine", store.put_seen_power(Id::new(1 << 40), &seen(Power::On, 0)).await)?;
    store.delete_machine(&machine, &quiet()).await?;
    same("power of a removed machine", &store.seen_power(machine.id).await?, &None)
}

pub(super) async fn tickets(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let bob = store.insert_user(&user("bob"), &quiet()).await?;
    let at = |seconds| AT + Duration::from_secs(seconds);
    let ticket = |hash: &str, user: &User| ConsoleTicket {
        hash: hash.into(),
        machine: machine.id,
        user: user.id,
        expires: at(300),
    };
    let of = |ticket: Option<ConsoleTicket>| ticket.map(|ticket| ticket.hash);
    store.insert_console_ticket(&ticket("a", &alice), AT, &quiet()).await?;
    store.insert_console_ticket(&ticket("b", &bob), AT, &quiet()).await?;
    let taken = store.take_console_ticket("a", at(299)).await?;
    same("a ticket", &taken, &Some(ticket("a", &alice)))?;
    same("a ticket a second time", &store.take_console_ticket("a", at(299)).await?, &None)?;
    same("an expired ticket", &store.take_console_ticket("b", at(300)).await?, &None)?;
    same("an unknown ticket", &store.take_console_ticket("c", AT).await?, &None)?;
    store.insert_console_ticket(&ticket("d", &alice), at(300), &quiet()).await?;
    same("one that was expired before", &store.take_console_ticket("b", AT).await?, &None)?;
    let held = store.insert_assignment(&assignment(&machine, &alice), &quiet()).await?;
    store.insert_console_ticket(&ticket("e", &bob), AT, &quiet()).await?;
    store.end_assignment(held.id, &machine, &quiet()).await?;
    same("a ticket of whoever gave the machine back", &store.take_console_ticket("d", AT).await?, &None)?;
    same("another's", &of(store.take_console_ticket("e", AT).await?), &Some("e".into()))?;
    let nowhere = ConsoleTicket { machine: Id::new(1 << 40), ..ticket("f", &bob) };
    gone("a ticket for no machine", store.insert_console_ticket(&nowhere, AT, &quiet()).await)
}
