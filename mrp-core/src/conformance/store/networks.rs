//! Networks, leases and discovered clients.

use std::net::Ipv4Addr;

use super::*;
use crate::lease::{Discovered, Lease};

pub(super) async fn life(store: &dyn Store) -> Outcome {
    let wanted = network("lab", "10.0.0.0/24")?;
    let lab = store.insert_network(&wanted, &journal("1")).await?;
    same("a new network", &lab, &Network { id: lab.id, revision: 1, ..wanted })?;
    let other = store.insert_network(&network("other", "10.0.1.0/24")?, &quiet()).await?;
    ids("networks", &store.networks().await?, |network| network.id, &[lab.id, other.id])?;
    for (name, subnet) in
        [("lab", "10.9.0.0/24"), ("b", "10.0.0.0/24"), ("c", "10.0.0.128/25"), ("d", "10.0.0.0/8")]
    {
        let refused = store.insert_network(&network(name, subnet)?, &journal("no")).await;
        conflict(&format!("insert_network of {name} {subnet}"), refused)?;
    }
    let wanted = Network {
        name: "lab 2".into(),
        subnet: network("", "10.0.0.0/25")?.subnet,
        static_net: lab.reserved_net,
        reserved_net: None,
        server_url: Some("http://10.0.0.1:8081".into()),
        trust_path_mac: false,
        ..lab.clone()
    };
    let changed = store.update_network(&wanted, &journal("2")).await?;
    same("a changed network", &changed, &Network { revision: 2, ..wanted.clone() })?;
    same("networks", &store.networks().await?, &vec![changed.clone(), other.clone()])?;
    stale("update_network", store.update_network(&wanted, &journal("no")).await)?;
    let into = Network { subnet: network("", "10.0.0.0/23")?.subnet, ..changed.clone() };
    conflict("update_network into another", store.update_network(&into, &journal("no")).await)?;
    let taken = Network { name: "other".into(), ..changed };
    conflict("update_network to a taken name", store.update_network(&taken, &journal("no")).await)?;

    let machine = stored_machine(store, "m1").await?;
    let plugged = Interface { network: Some(other.id), ..interface(&machine, 1) };
    let plugged = store.insert_interface(&plugged, &quiet()).await?;
    in_use("delete_network of an interface", store.delete_network(other.id, None, &journal("no")).await)?;
    let address = other.reserved_net.and_then(|range| range.hosts().last());
    let address = address.ok_or_else(|| Failure("the network has no reserved addresses".into()))?;
    let outside = Addressing::Reserved(Ipv4Addr::new(203, 0, 113, 9));
    let outside = Interface { addressing: outside, ..plugged.clone() };
    stale("update_interface out of its range", store.update_interface(&outside, &journal("no")).await)?;
    let held = Interface { addressing: Addressing::Reserved(address), ..plugged.clone() };
    store.update_interface(&held, &quiet()).await?;
    let smaller = Network { reserved_net: None, ..other.clone() };
    in_use("update_network without the range of an address", {
        store.update_network(&smaller, &journal("no")).await
    })?;
    store.delete_interface(plugged.id, None, &quiet()).await?;
    stale("delete_network as it was", store.delete_network(other.id, Some(&[0, 99]), &journal("no")).await)?;
    store.delete_network(other.id, Some(&[99, other.revision]), &journal("3")).await?;
    gone("delete_network again", store.delete_network(other.id, None, &journal("no")).await)?;
    gone("update_network of a removed one", store.update_network(&other, &journal("no")).await)?;
    written(store, 3, 3).await
}

pub(super) async fn leases(store: &dyn Store) -> Outcome {
    let (a, b, c) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 3]));
    let lease =
        |mac, last: u8, at| Lease { mac, ipv4: Ipv4Addr::new(10, 0, 0, last), last_seen: Timestamp(at) };
    store.put_lease(&lease(a, 1, 100), &journal("1")).await?;
    store.put_lease(&lease(b, 2, 200), &quiet()).await?;
    same("lease", &store.lease(a).await?, &Some(lease(a, 1, 100)))?;
    same("lease of none", &store.lease(c).await?, &None)?;
    store.put_lease(&lease(a, 3, 300), &journal("2")).await?;
    same("a renewed lease", &store.lease(a).await?, &Some(lease(a, 3, 300)))?;
    same("the address of before", &store.lease_by_address(Ipv4Addr::new(10, 0, 0, 1)).await?, &None)?;
    store.put_lease(&lease(c, 2, 250), &quiet()).await?;
    let newest = store.lease_by_address(Ipv4Addr::new(10, 0, 0, 2)).await?;
    same("the newest lease of an address", &newest, &Some(lease(c, 2, 250)))?;
    let mut found = store.leases(&[c, a, MacAddr([9; 6])]).await?;
    found.sort_by_key(|lease| lease.mac);
    same("leases", &found, &vec![lease(a, 3, 300), lease(c, 2, 250)])?;
    same("leases of no MAC", &store.leases(&[]).await?, &vec![])?;
    store.delete_lease(c).await?;
    store.delete_lease(c).await?;
    let left = store.lease_by_address(Ipv4Addr::new(10, 0, 0, 2)).await?;
    same("the lease that is left", &left, &Some(lease(b, 2, 200)))?;
    written(store, 2, 2).await
}

pub(super) async fn discovered(store: &dyn Store) -> Outcome {
    let (a, b) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([255; 6]));
    let client = |mac, hostname: Option<&str>, client_arch, at| Discovered {
        mac,
        hostname: hostname.map(str::to_owned),
        client_arch,
        vendor_class: hostname.map(|name| format!("class of {name}")),
        last_seen: Timestamp(at),
    };
    store.put_discovered(&client(a, Some("new"), Some(u16::MAX), 100)).await?;
    store.put_discovered(&client(b, None, None, 200)).await?;
    store.put_discovered(&client(a, None, None, 300)).await?;
    let wanted = vec![client(a, Some("new"), Some(u16::MAX), 300), client(b, None, None, 200)];
    same("discovered clients", &store.discovered().await?, &wanted)?;
    store.put_discovered(&client(a, Some("newer"), Some(0), 400)).await?;
    let first = store.discovered().await?.into_iter().next();
    same("a renewed client", &first, &Some(client(a, Some("newer"), Some(0), 400)))?;
    store.delete_discovered(a, &quiet()).await?;
    store.delete_discovered(a, &quiet()).await?;
    same("what is left", &store.discovered().await?, &vec![client(b, None, None, 200)])
}
