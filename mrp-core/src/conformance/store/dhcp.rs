//! The table of a DHCP server that answers by itself.

use std::net::Ipv4Addr;

use super::*;
use crate::machine::{DhcpEntry, Netboot};

pub(super) async fn table(store: &dyn Store) -> Outcome {
    let Netbooted { lab, efi, one, two, .. } = Netbooted::insert(store).await?;
    let plug = |machine, card, addressing| Interface {
        network: Some(lab.id),
        addressing,
        ..interface(machine, card)
    };
    let fixed = plug(&two, 2, Addressing::Static(Ipv4Addr::new(10, 0, 0, 9)));
    let fixed = store.insert_interface(&fixed, &quiet()).await?;
    let reserved = plug(&one, 1, Addressing::Reserved(Ipv4Addr::new(10, 0, 0, 10)));
    let reserved = store.insert_interface(&reserved, &quiet()).await?;
    let loose = store.insert_interface(&interface(&one, 3), &quiet()).await?;
    let entry = |interface: &Interface, machine: &Machine, boot_loader: Option<&str>| DhcpEntry {
        mac: interface.mac,
        addressing: interface.addressing,
        machine_name: machine.name.clone(),
        netboot: false,
        boot_loader: boot_loader.map(str::to_owned),
        server_url: None,
    };
    let grub = Some("a/grub.1");
    let mut wanted = vec![entry(&reserved, &one, grub), entry(&fixed, &two, None), entry(&loose, &one, grub)];
    same("dhcp_table", &store.dhcp_table().await?, &wanted)?;

    let mut marks = vec![store.dhcp_mark().await?];
    same("dhcp_mark of the same table", &store.dhcp_mark().await?, &marks[0])?;
    store.update_machine(&Machine { netboot: Netboot::ByHand, ..two }, &quiet()).await?;
    wanted[1].netboot = true;
    same("dhcp_table with netboot", &store.dhcp_table().await?, &wanted)?;
    marks.push(store.dhcp_mark().await?);
    let url = Some("http://10.0.0.1:8081".to_owned());
    store.update_network(&Network { server_url: url.clone(), ..lab }, &quiet()).await?;
    marks.push(store.dhcp_mark().await?);
    store.update_subarch(&Subarch { bootloader: None, ..efi }, &quiet()).await?;
    marks.push(store.dhcp_mark().await?);
    store.delete_interface(loose.id, None, &quiet()).await?;
    marks.push(store.dhcp_mark().await?);
    store.insert_interface(&interface(&one, 3), &quiet()).await?;
    marks.push(store.dhcp_mark().await?);
    for (row, server_url) in wanted.iter_mut().zip([url.clone(), url, None]) {
        (row.boot_loader, row.server_url) = (None, server_url);
    }
    same("dhcp_table of the end", &store.dhcp_table().await?, &wanted)?;
    for (number, mark) in marks.iter().enumerate() {
        let seen_before = marks[..number].contains(mark);
        same(&format!("a mark of another table for change {number}"), &seen_before, &false)?;
    }
    Ok(())
}
