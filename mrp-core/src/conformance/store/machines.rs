//! Machines, interfaces and assignments.

use std::net::Ipv4Addr;

use super::*;
use crate::machine::{MachineState, Netboot};
use crate::store::MachineFilter;

pub(super) async fn life(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let wanted = Machine::new("m1", arm.id);
    let machine = store.insert_machine(&wanted, &journal("1")).await?;
    same("a new machine", &machine, &Machine { id: machine.id, revision: 1, ..wanted })?;
    let events = store.events(&EventFilter { machine: Some(machine.id), ..EventFilter::default() }).await?;
    same("the new machine in its event", &events.len(), &1)?;
    conflict("insert_machine of a taken name", {
        store.insert_machine(&Machine::new("m1", arm.id), &journal("no")).await
    })?;
    let other = store.insert_machine(&Machine::new("m2", arm.id), &quiet()).await?;
    same("machine", &store.machine(machine.id).await?, &Some(machine.clone()))?;
    same("machine_by_name", &store.machine_by_name("m2").await?, &Some(other.clone()))?;
    same("machine_by_name of none", &store.machine_by_name("M2").await?, &None)?;
    for (netboot, state, kernel_options) in [
        (Netboot::ByHand, MachineState::Error, None),
        (Netboot::ByRun(Id::new(i64::MAX)), MachineState::Provisioning, Some("a=b; $c".to_owned())),
        (Netboot::Off, MachineState::Ready, Some(String::new())),
    ] {
        let read = store.machine(machine.id).await?.ok_or(Failure("the machine is gone".into()))?;
        let (boot_epoch, bmc_info) = (read.boot_epoch + 1, format!("node {}", read.revision));
        let wanted = Machine { netboot, state, kernel_options, boot_epoch, bmc_info, ..read };
        let changed = store.update_machine(&wanted, &journal("2")).await?;
        same("a changed machine", &changed, &Machine { revision: wanted.revision + 1, ..wanted.clone() })?;
        same("a changed machine, read again", &store.machine(machine.id).await?, &Some(changed))?;
        stale("update_machine", store.update_machine(&wanted, &journal("no")).await)?;
    }
    let taken = Machine { name: "m1".into(), ..other.clone() };
    conflict("update_machine to a taken name", store.update_machine(&taken, &journal("no")).await)?;
    let all = store.machines(&MachineFilter::default()).await?;
    ids("machines", &all, |machine| machine.id, &[machine.id, other.id])?;
    stale("delete_machine on an old revision", store.delete_machine(&machine, &journal("no")).await)?;
    store.delete_machine(&other, &journal("3")).await?;
    gone("delete_machine again", store.delete_machine(&other, &journal("no")).await)?;
    gone("update_machine of a removed one", store.update_machine(&other, &journal("no")).await)?;
    written(store, 5, 5).await
}

pub(super) async fn references(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let kernel = store.insert_image(&image("a/k.1", &arm, None, ImageKind::Kernel), &quiet()).await?;
    let initrd = store.insert_image(&image("a/i.1", &arm, None, ImageKind::Initrd), &quiet()).await?;
    let file = store.insert_answer_file(&answer_file("debian", None), &quiet()).await?;
    let missing = 1 << 40;
    let base = Machine::new("m1", arm.id);
    for wrong in [
        Machine { arch: Id::new(missing), ..base.clone() },
        Machine { subarch: Some(Id::new(missing)), ..base.clone() },
        Machine { bmc: Some(Id::new(missing)), ..base.clone() },
        Machine { kernel: Some(Id::new(missing)), ..base.clone() },
        Machine { initrd: Some(Id::new(missing)), ..base.clone() },
        Machine { answer_file: Some(Id::new(missing)), ..base.clone() },
    ] {
        gone("insert_machine with what is not there", store.insert_machine(&wrong, &journal("no")).await)?;
    }
    let machine = store.insert_machine(&base, &quiet()).await?;
    let wrong = Machine { kernel: Some(Id::new(missing)), ..machine.clone() };
    gone("update_machine to what is not there", store.update_machine(&wrong, &journal("no")).await)?;
    let (kernel_id, initrd_id, file_id) = (Some(kernel.id), Some(initrd.id), Some(file.id));
    let full = Machine { kernel: kernel_id, initrd: initrd_id, answer_file: file_id, ..machine };
    let full = store.update_machine(&full, &quiet()).await?;
    let second = Machine { kernel: kernel_id, ..Machine::new("m2", arm.id) };
    store.insert_machine(&second, &quiet()).await?;
    let users = store.machines_using_image(kernel.id).await?;
    same("machines_using_image", &users, &vec!["m1".to_owned(), "m2".to_owned()])?;
    same("of an initrd", &store.machines_using_image(initrd.id).await?, &vec!["m1".to_owned()])?;
    let users = store.machines_using_answer_file(file.id).await?;
    same("machines_using_answer_file", &users, &vec!["m1".to_owned()])?;
    in_use("delete_image of a kernel", store.delete_image(kernel.id, None, &journal("no")).await)?;
    in_use("delete_image of an initrd", store.delete_image(initrd.id, None, &journal("no")).await)?;
    in_use("delete_answer_file", store.delete_answer_file(file.id, None, &journal("no")).await)?;
    let bare = Machine { kernel: None, initrd: None, answer_file: None, ..full };
    store.update_machine(&bare, &quiet()).await?;
    store.delete_image(initrd.id, None, &quiet()).await?;
    store.delete_answer_file(file.id, None, &quiet()).await?;
    written(store, 0, 0).await
}

pub(super) async fn interfaces(store: &dyn Store) -> Outcome {
    let (one, two) = (stored_machine(store, "m1").await?, stored_machine(store, "m2").await?);
    let lab = store.insert_network(&network("lab", "10.0.0.0/24")?, &quiet()).await?;
    let far = store.insert_network(&network("far", "10.0.1.0/24")?, &quiet()).await?;
    let address = Ipv4Addr::new(10, 0, 0, 9);
    let wanted =
        Interface { network: Some(lab.id), addressing: Addressing::Reserved(address), ..interface(&one, 1) };
    let first = store.insert_interface(&wanted, &journal("1")).await?;
    same("a new interface", &first, &Interface { id: first.id, revision: 1, ..wanted.clone() })?;
    let bare = Interface { identifier: None, ..interface(&two, 2) };
    let second = store.insert_interface(&bare, &quiet()).await?;
    let third = store.insert_interface(&interface(&one, 3), &quiet()).await?;
    ids("interfaces", &store.interfaces(one.id).await?, |i| i.id, &[first.id, third.id])?;
    let all = store.all_interfaces().await?;
    ids("all_interfaces", &all, |i| i.id, &[first.id, second.id, third.id])?;
    same("interface_by_mac", &store.interface_by_mac(bare.mac).await?, &Some(second.clone()))?;
    same("interface_by_mac of none", &store.interface_by_mac(MacAddr([0; 6])).await?, &None)?;
    same("interface_by_address", &store.interface_by_address(address).await?, &Some(first.clone()))?;
    let none = store.interface_by_address(Ipv4Addr::UNSPECIFIED).await?;
    same("interface_by_address of none", &none, &None)?;
    conflict("insert_interface of a taken MAC", {
        store.insert_interface(&interface(&two, 1), &journal("no")).await
    })?;
    let taken = Interface { mac: MacAddr([2; 6]), machine: two.id, ..wanted.clone() };
    conflict("insert_interface of a taken address", store.insert_interface(&taken, &journal("no")).await)?;
    let elsewhere = Interface { network: Some(far.id), addressing: Addressing::Static(address), ..taken };
    let elsewhere = store.insert_interface(&elsewhere, &quiet()).await?;
    let found = store.interface_by_address(address).await?;
    same("the first of several networks", &found, &Some(first.clone()))?;
    let back = Interface { network: Some(lab.id), ..elsewhere };
    conflict("update_interface to a taken address", store.update_interface(&back, &journal("no")).await)?;
    let back = Interface { mac: first.mac, ..second.clone() };
    conflict("update_interface to a taken MAC", store.update_interface(&back, &journal("no")).await)?;
    let moved = Interface { network: None, addressing: Addressing::Dynamic, ..first };
    let changed = store.update_interface(&moved, &journal("2")).await?;
    same("a changed interface", &changed, &Interface { revision: 2, ..moved.clone() })?;
    same("read again", &store.interface_by_mac(moved.mac).await?, &Some(changed))?;
    stale("update_interface", store.update_interface(&moved, &journal("no")).await)?;
    let nowhere = Interface { machine: Id::new(1 << 40), ..interface(&one, 9) };
    gone("insert_interface of no machine", store.insert_interface(&nowhere, &journal("no")).await)?;
    store.delete_interface(second.id, None, &journal("3")).await?;
    gone("delete_interface again", store.delete_interface(second.id, None, &journal("no")).await)?;
    gone("update_interface of a removed one", store.update_interface(&second, &journal("no")).await)?;
    written(store, 3, 3).await
}

pub(super) async fn assignments(store: &dyn Store) -> Outcome {
    let (one, two) = (stored_machine(store, "m1").await?, stored_machine(store, "m2").await?);
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let bob = store.insert_user(&user("bob"), &quiet()).await?;
    let wanted = assignment(&two, &alice);
    let first = store.insert_assignment(&wanted, &journal("1")).await?;
    same("a new assignment", &first, &Assignment { id: first.id, revision: 1, ..wanted.clone() })?;
    conflict("insert_assignment a second time", store.insert_assignment(&wanted, &journal("no")).await)?;
    let second = store.insert_assignment(&assignment(&two, &bob), &quiet()).await?;
    let third = store.insert_assignment(&assignment(&one, &bob), &quiet()).await?;
    ids("assignments", &store.assignments(two.id).await?, |a| a.id, &[first.id, second.id])?;
    let all = store.all_assignments().await?;
    ids("all_assignments", &all, |a| a.id, &[first.id, second.id, third.id])?;
    let held = store.machines(&MachineFilter::held_by(alice.id)).await?;
    ids("machines that alice holds", &held, |machine| machine.id, &[two.id])?;
    let held = store.machines(&MachineFilter::held_by(bob.id)).await?;
    ids("machines that bob holds", &held, |machine| machine.id, &[one.id, two.id])?;
    let explained = Assignment { reason: "another".into(), until: Some(AT), ..first };
    let changed = store.update_assignment(&explained, &journal("2")).await?;
    same("a changed assignment", &changed, &Assignment { revision: 2, ..explained.clone() })?;
    stale("update_assignment", store.update_assignment(&explained, &journal("no")).await)?;
    let nobody = Assignment { user: Id::new(1 << 40), ..assignment(&one, &alice) };
    gone("insert_assignment to nobody", store.insert_assignment(&nobody, &journal("no")).await)?;
    written(store, 2, 2).await
}

pub(super) async fn end_assignment(store: &dyn Store) -> Outcome {
    let (machine, other) = (stored_machine(store, "m1").await?, stored_machine(store, "m2").await?);
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let held = store.insert_assignment(&assignment(&machine, &alice), &quiet()).await?;
    let reset = Machine { boot_epoch: 7, ..machine.clone() };
    let wrong = Machine { boot_epoch: 7, ..other };
    gone("end_assignment of another machine", {
        store.end_assignment(held.id, &wrong, &journal("no")).await
    })?;
    let moved = store.update_machine(&machine, &quiet()).await?;
    stale("end_assignment", store.end_assignment(held.id, &reset, &journal("no")).await)?;
    same("the assignment after a stale change", &store.assignments(machine.id).await?.len(), &1)?;
    let reset = Machine { boot_epoch: 7, ..moved };
    store.end_assignment(held.id, &reset, &journal("1")).await?;
    same("assignments", &store.assignments(machine.id).await?, &vec![])?;
    let changed = Machine { revision: reset.revision + 1, ..reset };
    same("the machine", &store.machine(machine.id).await?, &Some(changed.clone()))?;
    gone("end_assignment again", store.end_assignment(held.id, &changed, &journal("no")).await)?;
    gone("update_assignment of an ended one", store.update_assignment(&held, &journal("no")).await)?;
    written(store, 1, 1).await
}

pub(super) async fn removal(store: &dyn Store) -> Outcome {
    let machine = stored_machine(store, "m1").await?;
    let kept = stored_machine(store, "m2").await?;
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    store.insert_interface(&interface(&machine, 1), &quiet()).await?;
    let held = store.insert_assignment(&assignment(&machine, &alice), &quiet()).await?;
    let (run, machine) = store.insert_run(&provision(&machine, None), &machine, &journal("run")).await?;
    let of = |machine: &Machine, text| Journal {
        events: vec![event(Some(machine.id), text)],
        ..Journal::default()
    };
    store.record(&of(&machine, "its own")).await?;
    store.record(&of(&kept, "another's")).await?;
    in_use("delete_machine with an active run", store.delete_machine(&machine, &journal("no")).await)?;
    let ended = Run { status: crate::run::RunStatus::Cancelled, ended: Some(AT), deadline: None, ..run };
    store.update_run(&ended, None, &quiet()).await?;
    in_use("delete_machine of a holder", store.delete_machine(&machine, &journal("no")).await)?;
    store.end_assignment(held.id, &machine, &quiet()).await?;
    let machine = Machine { revision: machine.revision + 1, ..machine };
    store.delete_machine(&machine, &quiet()).await?;
    same("interfaces", &store.all_interfaces().await?, &vec![])?;
    same("assignments", &store.all_assignments().await?, &vec![])?;
    same("runs", &store.run(ended.id).await?, &None)?;
    let texts: Vec<_> = store.events(&EventFilter::default()).await?.into_iter().map(|e| e.text).collect();
    same("events that are left", &texts, &vec!["another's".to_owned()])?;
    let machines = store.machines(&MachineFilter::default()).await?;
    ids("machines that are left", &machines, |machine| machine.id, &[kept.id])
}
