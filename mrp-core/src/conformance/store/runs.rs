//! Runs.

use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::boot::Transport;
use crate::machine::{MachineState, Netboot};
use crate::run::{Observation, RunStatus, StageKind, TftpFacts, TransferFacts};
use crate::store::RunFilter;

fn ended(run: Run) -> Run {
    Run { status: RunStatus::Failed, verdict: Some("no DHCP".into()), ended: Some(AT), deadline: None, ..run }
}

pub(super) async fn life(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let wanted = provision(&machine, Some(&alice));
    let armed = Machine { boot_epoch: 3, state: MachineState::Provisioning, ..machine.clone() };
    let mut started = journal("started");
    started.events.push(event(Some(machine.id), "of the machine"));
    let (run, armed_row) = store.insert_run(&wanted, &armed, &started).await?;
    same("a new run", &run, &Run { id: run.id, revision: 1, ..wanted })?;
    let wanted = Machine { netboot: Netboot::ByRun(run.id), revision: machine.revision + 1, ..armed };
    same("its machine", &armed_row, &wanted)?;
    same("its machine, read again", &store.machine(machine.id).await?, &Some(wanted))?;
    let events = store.events(&EventFilter { run: Some(run.id), ..EventFilter::default() }).await?;
    same("events of the new run", &events.len(), &2)?;

    let (limits, mut wanted) = (RunLimits::default(), run.clone());
    let later = AT + Duration::from_secs(3);
    wanted.observe(Observation::PowerStarted, &limits, later);
    wanted.observe(Observation::Dhcp { firmware: Some(true), address: None }, &limits, later);
    wanted.config_requested(&limits, later);
    let transfer = Observation::Transfer {
        stage: StageKind::Kernel,
        bytes: u64::MAX - 1,
        total: u64::MAX,
        detail: "TFTP, \"quoted\" ünicode".into(),
        facts: TransferFacts {
            protocol: Transport::Tftp,
            bytes_per_second: u64::MAX,
            tftp: Some(TftpFacts { blksize: 65464, windowsize: 1, tsize: true, retransmissions: u64::MAX }),
        },
    };
    wanted.observe(transfer, &limits, later);
    let changed = store.update_run(&wanted, None, &journal("advanced")).await?;
    same("a changed run", &changed, &Run { revision: 2, ..wanted.clone() })?;
    same("a changed run, read again", &store.run(run.id).await?, &Some(changed.clone()))?;
    same("active_run", &store.active_run(machine.id).await?, &Some(changed.clone()))?;
    stale("update_run", store.update_run(&wanted, None, &journal("no")).await)?;
    let last = store.update_run(&ended(changed), None, &journal("ended")).await?;
    same("an ended run", &store.run(run.id).await?, &Some(last))?;
    same("active_run of none", &store.active_run(machine.id).await?, &None)?;
    gone("update_run of none", store.update_run(&Run { id: Id::new(1 << 40), ..run }, None, &quiet()).await)?;
    written(store, 4, 3).await
}

pub(super) async fn lists(store: &dyn Store) -> Outcome {
    let (mut one, two) = (stored_machine(store, "m1").await?, stored_machine(store, "m2").await?);
    let mut order = Vec::new();
    for _ in 0..3 {
        let (run, machine) = store.insert_run(&provision(&one, None), &one, &quiet()).await?;
        store.update_run(&ended(run.clone()), None, &quiet()).await?;
        one = machine;
        order.push(run.id);
    }
    let (active, _) = store.insert_run(&provision(&two, None), &two, &quiet()).await?;
    order.push(active.id);
    order.reverse();
    let list = |filter: RunFilter| async move { store.runs(&filter).await };
    let all = RunFilter::default();
    ids("runs", &list(all.clone()).await?, |run| run.id, &order)?;
    let limited = list(RunFilter { limit: 2, ..all.clone() }).await?;
    ids("two runs", &limited, |run| run.id, &order[..2])?;
    let older = list(RunFilter { before: Some(limited[1].id), ..all.clone() }).await?;
    ids("runs before one", &older, |run| run.id, &order[2..])?;
    let under_way = list(RunFilter { active: true, ..all.clone() }).await?;
    ids("active runs", &under_way, |run| run.id, &[active.id])?;
    let of_one = list(RunFilter { machine: Some(one.id), limit: 2, ..all.clone() }).await?;
    ids("runs of a machine", &of_one, |run| run.id, &order[1..3])?;
    let none = list(RunFilter { machine: Some(one.id), active: true, ..all }).await?;
    ids("active runs of a machine that has none", &none, |run| run.id, &[])
}

pub(super) async fn one_active(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let stale_machine = machine.clone();
    let (run, machine) = store.insert_run(&provision(&machine, None), &machine, &quiet()).await?;
    for row in [&machine, &stale_machine] {
        let second = store.insert_run(&provision(row, None), row, &journal("no")).await;
        conflict("insert_run beside an active one", second)?;
    }
    same("the machine after refusals", &store.machine(machine.id).await?, &Some(machine.clone()))?;
    store.update_run(&ended(run), None, &quiet()).await?;
    let refused = store.insert_run(&provision(&stale_machine, None), &stale_machine, &journal("no")).await;
    stale("insert_run on an old machine", refused)?;
    same("runs", &store.runs(&RunFilter::default()).await?.len(), &1)?;
    store.insert_run(&provision(&machine, None), &machine, &quiet()).await?;
    let missing = Machine { id: Id::new(1 << 40), ..machine };
    gone("insert_run of no machine", store.insert_run(&provision(&missing, None), &missing, &quiet()).await)?;
    written(store, 0, 0).await
}

pub(super) async fn concurrent(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let (wanted, started) = (provision(&machine, None), journal("started"));
    let starts = (0..20).map(|_| store.insert_run(&wanted, &machine, &started));
    let mut winners = 0;
    for start in join_all(starts).await {
        match start {
            Ok(_) => winners += 1,
            refused => conflict("insert_run beside others", refused)?,
        }
    }
    same("runs that started of 20", &winners, &1)?;
    same("runs", &store.runs(&RunFilter::default()).await?.len(), &1)?;
    written(store, 1, 1).await
}

pub(super) async fn with_machine(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let (run, machine) = store.insert_run(&provision(&machine, None), &machine, &quiet()).await?;
    let disarmed = Machine { netboot: Netboot::Off, state: MachineState::Error, ..machine.clone() };
    let moved = store.update_machine(&machine, &quiet()).await?;
    let refused = store.update_run(&ended(run.clone()), Some(&disarmed), &journal("no")).await;
    stale("update_run with an old machine", refused)?;
    same("the run after a stale machine", &store.run(run.id).await?, &Some(run.clone()))?;
    let disarmed = Machine { revision: moved.revision, ..disarmed };
    let old = Run { revision: run.revision - 1, ..ended(run.clone()) };
    stale("update_run of an old run", store.update_run(&old, Some(&disarmed), &journal("no")).await)?;
    same("the machine after a stale run", &store.machine(machine.id).await?, &Some(moved))?;
    store.update_run(&ended(run), Some(&disarmed), &journal("1")).await?;
    let wanted = Machine { revision: disarmed.revision + 1, ..disarmed };
    same("the machine after the run", &store.machine(machine.id).await?, &Some(wanted))?;
    written(store, 1, 1).await
}
