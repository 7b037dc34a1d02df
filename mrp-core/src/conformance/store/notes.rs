//! Tags, what was learned of BMCs and the power behind them, console tickets.

use std::time::Duration;

use super::*;
use crate::bmc::{Node, Power};
use crate::bmc_entry::{BmcNode, BmcSightings};
use crate::console::ConsoleTicket;
use crate::health::{BmcHealth, BmcState};
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

pub(super) async fn sightings(store: &dyn Store) -> Outcome {
    let bmc = store.insert_bmc(&bmc("b1", "10.1.0.1"), &quiet()).await?;
    let other = store.insert_bmc(&super::bmc("b2", "10.1.0.2"), &quiet()).await?;
    let (machine, apart) = (stored_machine(store, "m1").await?, stored_machine(store, "m2").await?);
    same("nodes", &store.bmc_nodes().await?, &vec![])?;
    let behind = Machine { bmc: Some(bmc.id), bmc_info: "7".into(), ..machine };
    let machine = store.update_machine(&behind, &quiet()).await?;
    let node = BmcNode { bmc: bmc.id, machine: machine.id, node: Node("7".into()) };
    same("nodes of one machine", &store.bmc_nodes().await?, &vec![node])?;
    let seen = |power, after| SeenPower { power, at: AT + Duration::from_secs(after) };
    same("power of a new machine", &store.seen_power(machine.id).await?, &None)?;
    for (new, kept) in [
        (seen(Power::On, 0), seen(Power::On, 0)),
        (seen(Power::On, 1), seen(Power::On, 0)),
        (seen(Power::On, 10), seen(Power::On, 10)),
        (seen(Power::Off, 11), seen(Power::Off, 11)),
    ] {
        // Together with a machine that was removed meanwhile.
        let power = vec![(Id::new(1 << 40), new), (machine.id, new)];
        store.put_bmc_sightings(&BmcSightings { power, ..BmcSightings::default() }).await?;
        same("seen_power", &store.seen_power(machine.id).await?, &Some(kept))?;
    }
    same("another's power", &store.seen_power(apart.id).await?, &None)?;
    let health = |commands| BmcHealth {
        state: BmcState::Silent,
        commands,
        p50_ms: Some(12),
        last_contact: Some(AT),
        failure: Some("é".into()),
        ..BmcHealth::default()
    };
    for commands in [1, 2] {
        let health = vec![(Id::new(1 << 40), health(9)), (bmc.id, health(commands))];
        store.put_bmc_sightings(&BmcSightings { health, ..BmcSightings::default() }).await?;
    }
    let list = vec![(bmc.id, health(2))];
    same("health", &store.bmc_health().await?, &list)?;
    same("health of one BMC", &store.bmc_health_of(bmc.id).await?, &Some(health(2)))?;
    same("health of one that was not asked", &store.bmc_health_of(other.id).await?, &None)?;
    store.delete_bmc(other.id, None, &quiet()).await?;
    same("health after another BMC went", &store.bmc_health().await?, &list)?;
    store.delete_machine(&machine, &quiet()).await?;
    same("power of a removed machine", &store.seen_power(machine.id).await?, &None)?;
    store.delete_bmc(bmc.id, None, &quiet()).await?;
    same("health of a removed BMC", &store.bmc_health().await?, &vec![])
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
