//! Machines in pages, and what is read of several tables at once.

use std::net::Ipv4Addr;

use super::*;
use crate::bmc::Power;
use crate::bmc_entry::BmcSightings;
use crate::lease::{Discovered, Lease};
use crate::machine::{DhcpClient, InterfaceView, MachineState, MachineView, Netboot, SeenPower};
use crate::network::NetworkAddress;
use crate::query::Condition;
use crate::store::{BootFacts, Held, MachineCount, MachineFilter, MachineReference, Page};

pub(super) async fn pages(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let efi = store.insert_subarch(&subarch(&arm, "efi"), &quiet()).await?;
    let mut all = Vec::new();
    for number in 0..5_i64 {
        let mut new = Machine::new(format!("m{number}"), arm.id);
        new.subarch = (number % 2 == 0).then_some(efi.id);
        new.state = if number == 4 { MachineState::Ready } else { MachineState::Unknown };
        new.netboot = if number > 2 { Netboot::ByHand } else { Netboot::Off };
        all.push(store.insert_machine(&new, &quiet()).await?);
    }
    let page = |after: i64, limit| MachineFilter { page: Page { after, limit }, ..MachineFilter::default() };
    let listed = |views: Vec<MachineView>| views.into_iter().map(|v| v.machine).collect::<Vec<_>>();
    same("all", &listed(store.machine_views(&page(0, 0)).await?), &all)?;
    same("the first page", &listed(store.machine_views(&page(0, 2)).await?), &all[..2].to_vec())?;
    let second = store.machine_views(&page(all[1].id.get(), 2)).await?;
    same("the second page", &listed(second), &all[2..4].to_vec())?;
    let last = store.machine_views(&page(all[3].id.get(), 2)).await?;
    let view = MachineView { machine: all[4].clone(), arch: "arm64".into(), subarch: Some("efi".into()) };
    same("the last page", &last, &vec![view.clone()])?;
    same("after the last page", &store.machine_views(&page(i64::MAX, 2)).await?, &vec![])?;
    same("machine_view", &store.machine_view(view.machine.id).await?, &Some(view))?;
    let bare = store.machine_view(all[1].id).await?.map(|view| view.subarch);
    same("machine_view without a subarchitecture", &bare, &Some(None))?;
    same("machine_view of none", &store.machine_view(Id::new(1 << 40)).await?, &None)?;
    same("machines", &store.machines(&page(0, 3)).await?, &all[..3].to_vec())?;
    overviews(store, &all).await?;
    let condition = Condition::parse("(= state \"ready\")").map_err(|error| Failure(error.to_string()))?;
    let ready = store.machines(&MachineFilter { condition, ..page(0, 0) }).await?;
    ids("those that are ready", &ready, |machine| machine.id, &[all[4].id])?;
    let mut counts = store.count_machines().await?;
    counts.sort_by_key(|count| (count.state.as_str(), count.netboot));
    let count = |state, netboot, count| MachineCount { state, netboot, count };
    let wanted = vec![
        count(MachineState::Ready, true, 1),
        count(MachineState::Unknown, false, 3),
        count(MachineState::Unknown, true, 1),
    ];
    same("count_machines", &counts, &wanted)
}

/// Of five machines the second is held by two, tagged and on.
async fn overviews(store: &dyn Store, all: &[Machine]) -> Outcome {
    let (alice, bob) = (user("alice"), user("bob"));
    for holder in [&bob, &alice] {
        let holder = store.insert_user(holder, &quiet()).await?;
        store.insert_assignment(&assignment(&all[1], &holder), &quiet()).await?;
    }
    let power = SeenPower { power: Power::On, at: AT };
    let sightings = BmcSightings { power: vec![(all[1].id, power)], ..BmcSightings::default() };
    store.put_bmc_sightings(&sightings).await?;
    let tags = vec!["gpu".to_owned(), "ssd".to_owned()];
    let tagged = store.set_tags(&all[1], &tags, &quiet()).await?;
    let filter = MachineFilter { page: Page { after: 0, limit: 3 }, ..MachineFilter::default() };
    let found = store.machine_overviews(&filter).await?;
    let machines: Vec<MachineView> = found.iter().map(|overview| overview.view.clone()).collect();
    same("machines of machine_overviews", &machines, &store.machine_views(&filter).await?)?;
    let beside: Vec<_> = found.into_iter().map(|found| (found.holders, found.tags, found.power)).collect();
    let second = (vec!["bob".to_owned(), "alice".to_owned()], tags, Some(power));
    let nothing = || (Vec::new(), Vec::new(), None);
    same("what machine_overviews has beside them", &beside, &vec![nothing(), second, nothing()])?;
    let none = MachineFilter { page: Page { after: i64::MAX, limit: 1 }, ..filter };
    same("machine_overviews of none", &store.machine_overviews(&none).await?, &vec![])?;
    store.set_tags(&tagged, &[], &quiet()).await?;
    Ok(())
}

/// Of a machine with interfaces, held by two who came one after another.
async fn boot_facts(
    store: &dyn Store,
    arch: &Arch,
    machine: &Machine,
    interfaces: Vec<InterfaceView>,
) -> Outcome {
    let new = BootFacts {
        machine: machine.clone(),
        run: None,
        interfaces: interfaces.clone(),
        holders: Vec::new(),
        kernel: None,
        initrd: None,
        answer_file: None,
    };
    same("boot_facts of a new machine", &store.boot_facts(machine.id).await?, &Some(new))?;
    same("boot_facts of no machine", &store.boot_facts(Id::new(i64::MAX)).await?, &None)?;
    let free = Held { machine: machine.clone(), run: None, assignments: Vec::new() };
    same("held of a free machine", &store.held(machine.id).await?, &Some(free))?;
    same("held of no machine", &store.held(Id::new(i64::MAX)).await?, &None)?;
    let (mut holders, mut assignments) = (Vec::new(), Vec::new());
    for name in ["zoe", "adam"] {
        let holder = store.insert_user(&user(name), &quiet()).await?;
        assignments.push(store.insert_assignment(&assignment(machine, &holder), &quiet()).await?);
        holders.push(holder);
    }
    // The initrd is the older one of the two.
    let initrd = store.insert_image(&image("a/initrd.1", arch, None, ImageKind::Initrd), &quiet()).await?;
    let kernel = store.insert_image(&image("a/linux.1", arch, None, ImageKind::Kernel), &quiet()).await?;
    let file = store.insert_answer_file(&answer_file("debian", None), &quiet()).await?;
    let armed = Machine {
        kernel: Some(kernel.id),
        initrd: Some(initrd.id),
        answer_file: Some(file.id),
        ..machine.clone()
    };
    let armed = store.update_machine(&armed, &quiet()).await?;
    let (run, armed) = store.insert_run(&provision(&armed, None), &armed, &quiet()).await?;
    let wanted = Held { machine: armed.clone(), run: Some(run.clone()), assignments };
    same("held", &store.held(armed.id).await?, &Some(wanted))?;
    let wanted = BootFacts {
        machine: armed.clone(),
        run: Some(run),
        interfaces,
        holders,
        kernel: Some(kernel),
        initrd: Some(initrd),
        answer_file: Some(file),
    };
    same("boot_facts", &store.boot_facts(armed.id).await?, &Some(wanted))
}

pub(super) async fn referring(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let efi = store.insert_subarch(&subarch(&arm, "efi"), &quiet()).await?;
    let other = store.insert_arch(&arch("x86_64"), &quiet()).await?;
    let bmc = store.insert_bmc(&bmc("b1", "10.1.0.1"), &quiet()).await?;
    let lab = store.insert_network(&network("lab", "10.0.0.0/24")?, &quiet()).await?;
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    for number in 1..=3_u8 {
        let new = Machine {
            subarch: Some(efi.id),
            bmc: Some(bmc.id),
            ..Machine::new(format!("m{number}"), arm.id)
        };
        let machine = store.insert_machine(&new, &quiet()).await?;
        store.insert_assignment(&assignment(&machine, &alice), &quiet()).await?;
        for card in [number, number + 100] {
            let plugged = Interface { network: Some(lab.id), ..interface(&machine, card) };
            store.insert_interface(&plugged, &quiet()).await?;
        }
    }
    let names = |count: usize| (1..=count).map(|number| format!("m{number}")).collect::<Vec<_>>();
    for reference in [
        MachineReference::Arch(arm.id),
        MachineReference::Subarch(efi.id),
        MachineReference::Bmc(bmc.id),
        MachineReference::Network(lab.id),
        MachineReference::Holder(alice.id),
    ] {
        let found = store.machines_referring(reference, 10).await?;
        same(&format!("machines that refer to {reference:?}"), &found, &names(3))?;
        same("two of them", &store.machines_referring(reference, 2).await?, &names(2))?;
    }
    let none = store.machines_referring(MachineReference::Arch(other.id), 10).await?;
    same("machines of an architecture that has none", &none, &vec![])?;
    same("arch_by_name", &store.arch_by_name("x86_64").await?, &Some(other.clone()))?;
    same("arch_by_name of none", &store.arch_by_name("X86_64").await?, &None)?;
    same("subarch", &store.subarch(efi.id).await?, &Some(efi.clone()))?;
    same("subarch_by_name", &store.subarch_by_name(arm.id, "efi").await?, &Some(efi))?;
    same("subarch_by_name of another", &store.subarch_by_name(other.id, "efi").await?, &None)?;
    same("network", &store.network(lab.id).await?, &Some(lab))?;
    same("network of none", &store.network(Id::new(1 << 40)).await?, &None)
}

pub(super) async fn clients(store: &dyn Store) -> Outcome {
    let Netbooted { lab, arm, one, two, .. } = Netbooted::insert(store).await?;
    let address = |last| Ipv4Addr::new(10, 0, 0, last);
    let plug = |machine, card, addressing| Interface {
        network: Some(lab.id),
        addressing,
        ..interface(machine, card)
    };
    let reserved =
        store.insert_interface(&plug(&one, 1, Addressing::Reserved(address(10))), &quiet()).await?;
    let fixed = store.insert_interface(&plug(&two, 2, Addressing::Static(address(9))), &quiet()).await?;
    let loose = store.insert_interface(&interface(&one, 3), &quiet()).await?;
    let lease = Lease { mac: reserved.mac, ipv4: address(77), last_seen: AT };
    store.put_lease(&lease, &quiet()).await?;
    let views = store.interface_views(one.id).await?;
    let with = InterfaceView { interface: reserved.clone(), network: Some(lab.clone()), lease: Some(lease) };
    let without = InterfaceView { interface: loose.clone(), network: None, lease: None };
    let wanted = vec![with, without];
    same("interface_views", &views, &wanted)?;
    let found = store.dhcp_client(reserved.mac).await?;
    let boot_loader = Some("a/grub.1".to_owned());
    same(
        "dhcp_client",
        &found,
        &Some(DhcpClient { machine: one.clone(), interface: reserved.clone(), boot_loader }),
    )?;
    let found = store.dhcp_client(fixed.mac).await?;
    same(
        "dhcp_client without a boot loader",
        &found,
        &Some(DhcpClient { machine: two.clone(), interface: fixed.clone(), boot_loader: None }),
    )?;
    same("dhcp_client of none", &store.dhcp_client(MacAddr([0; 6])).await?, &None)?;
    let taken = |machine: &Machine, interface: &Interface, last| NetworkAddress {
        address: address(last),
        addressing: interface.addressing,
        interface: interface.id,
        mac: interface.mac,
        identifier: interface.identifier.clone(),
        machine: machine.id,
        machine_name: machine.name.clone(),
    };
    let all = vec![taken(&two, &fixed, 9), taken(&one, &reserved, 10)];
    same("configured_addresses", &store.configured_addresses(Some(lab.id)).await?, &all)?;
    same("of all networks", &store.configured_addresses(None).await?, &all)?;
    same("of no network", &store.configured_addresses(Some(Id::new(1 << 40))).await?, &vec![])?;
    boot_facts(store, &arm, &one, wanted).await
}

pub(super) async fn discovered_machine(store: &dyn Store) -> Outcome {
    let taken = stored_machine(store, "taken").await?;
    let client = |card: u8| Discovered {
        mac: MacAddr([2, 0, 0, 0, 0, card]),
        hostname: Some("host".into()),
        client_arch: Some(7),
        vendor_class: None,
        last_seen: AT,
    };
    for card in 1..=3 {
        store.put_discovered(&client(card)).await?;
    }
    same("discovered_client", &store.discovered_client(client(1).mac).await?, &Some(client(1)))?;
    same("discovered_client of none", &store.discovered_client(MacAddr([0; 6])).await?, &None)?;
    let card = |card| Interface { machine: Id::NEW, ..interface(&taken, card) };
    let new = Machine::new("new", taken.arch);
    let made = store.insert_discovered_machine(&new, &card(1), &journal("1")).await?;
    same("a machine of a client", &made, &Machine { id: made.id, revision: 1, ..new.clone() })?;
    let plugged = store.interfaces(made.id).await?;
    same("its interfaces", &plugged.iter().map(|i| i.mac).collect::<Vec<_>>(), &vec![client(1).mac])?;
    let events = store.events(&EventFilter { machine: Some(made.id), ..EventFilter::default() }).await?;
    same("the new machine in its event", &events.len(), &1)?;
    let second = Machine { name: "second".into(), ..new };
    gone("of a client that is not discovered", {
        store.insert_discovered_machine(&second, &card(1), &journal("no")).await
    })?;
    let same_name = Machine { name: "taken".into(), ..second.clone() };
    conflict("of a taken name", store.insert_discovered_machine(&same_name, &card(2), &journal("no")).await)?;
    same("what is discovered after refusals", &store.discovered().await?.len(), &2)?;
    store.insert_interface(&Interface { machine: taken.id, ..card(2) }, &quiet()).await?;
    let left: Vec<_> = store.discovered().await?.into_iter().map(|client| client.mac).collect();
    same("what is discovered after a new interface", &left, &vec![client(3).mac])?;
    store.put_discovered(&client(2)).await?;
    conflict("of a taken MAC", store.insert_discovered_machine(&second, &card(2), &journal("no")).await)?;
    same("machine_by_name of a refused one", &store.machine_by_name("second").await?, &None)?;
    written(store, 1, 1).await
}
