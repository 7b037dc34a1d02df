//! Not every file to everyone: who asks is decided by the source address.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::net::{IpAddr, Ipv4Addr};

use mrp_core::Error;
use mrp_core::event::EventKind;
use mrp_core::image::{Image, ImageKind};
use mrp_core::service::archs::SubarchSpec;
use mrp_core::service::machines::Settings;

mod lab;

use lab::{CABLED_STRANGER, LOCAL, Lab, forbidden, upload};

const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// Two machines with leases, both armed.
async fn two() -> (Lab, lab::Node, lab::Node) {
    let lab = Lab::new().await;
    let (one, two) = (lab.node("m1").await, lab.node("m2").await);
    for node in [&one, &two] {
        lab.mrp.discovery().lease(node.mac, node.ip, Some(true)).await.unwrap();
        let armed = Settings { netboot: Some(true), ..Settings::default() };
        lab.mrp.machines().set(&lab.alice, node.id, armed).await.unwrap();
    }
    (lab, one, two)
}

#[tokio::test]
async fn a_configuration_of_another_machine_is_refused_and_its_people_are_told() {
    let (lab, one, two) = two().await;
    let path = format!("grub/01-{}", one.mac.dashed());
    forbidden("m1's configuration for m2", lab.fetch(&two, &path).await.map(|_| ()));
    let text = format!("{} asked for its boot configuration and was refused: it is not this machine", two.ip);
    assert_eq!(lab.texts(&one, EventKind::Refused).await, [text]);
    assert_eq!(lab.texts(&two, EventKind::Refused).await, Vec::<String>::new());
    assert!(lab::text(lab.fetch(&one, "grub/grub.cfg").await.unwrap()).contains(&one.kernel.name));
    assert!(lab::text(lab.fetch(&two, "pxelinux.cfg/default").await.unwrap()).contains(&two.kernel.name));
}

#[tokio::test]
async fn a_kernel_of_another_machine_is_refused() {
    let (lab, one, two) = two().await;
    lab.fetch_image(&one, &one.kernel).await;
    for client in [two.ip, STRANGER] {
        forbidden("m1's kernel", lab.fetch_from(client, &one.kernel.name).await.map(|_| ()));
    }
    let refused = lab.texts(&one, EventKind::Refused).await;
    assert_eq!(refused.len(), 2);
    assert!(refused[0].contains(&one.kernel.name), "{refused:?}");
    // Both machines that boot it are told.
    let (two_boots_it, kernel) =
        (Settings { kernel: Some(Some(one.kernel.id)), ..Settings::default() }, &one.kernel);
    lab.mrp.machines().set(&lab.alice, two.id, two_boots_it).await.unwrap();
    let other = Ipv4Addr::new(10, 9, 9, 7);
    forbidden("their kernel", lab.fetch_from(other, &kernel.name).await.map(|_| ()));
    for node in [&one, &two] {
        assert!(lab.texts(node, EventKind::Refused).await.iter().any(|text| text.contains("10.9.9.7")));
    }
    lab.fetch_image(&two, kernel).await;
    let hidden = upload(&lab.mrp, &lab.bob, "grubx64.efi", ImageKind::BootLoader, false).await;
    forbidden("a private boot loader", lab.fetch_from(STRANGER, &hidden.name).await.map(|_| ()));
    lab.fetch_from(STRANGER, &lab.loader.name).await.unwrap();
    lab.fetch_from(STRANGER, "efi/bootx64.efi").await.unwrap();
    for path in ["../etc/passwd", "nothing", "a\0b", "efi\\x", ""] {
        let missing = lab.fetch_from(STRANGER, path).await;
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{path}: {missing:?}");
    }
}

#[tokio::test]
async fn an_ipxe_of_the_network_card_loads_the_machines_own_loader_and_boots_where_that_is_ipxe() {
    let (lab, node, _) = two().await;
    let asked = async || lab::text(lab.fetch(&node, "boot.ipxe").await.unwrap());
    assert_eq!(asked().await, format!("chain: {}", lab.loader.name));
    let subarch = lab.mrp.archs().subarchs(&lab.alice).await.unwrap().remove(0);
    let give = async |loader: Option<&Image>| {
        let bootloader = loader.map(|image| image.id);
        let (name, description, efi_boot) = (subarch.name.clone(), String::new(), true);
        let spec = SubarchSpec { name, description, bootloader, efi_boot };
        lab.mrp.archs().update_subarch(&lab.admin, subarch.id, "x86_64", spec).await.unwrap();
    };
    let ipxe = upload(&lab.mrp, &lab.admin, "snponly.efi", ImageKind::BootLoader, true).await;
    for loader in [Some(&ipxe), None] {
        give(loader).await;
        assert!(asked().await.starts_with(&format!("linux: {}", node.kernel.name)), "{loader:?}");
    }
    give(Some(&lab.loader)).await;
    let off = Settings { netboot: Some(false), ..Settings::default() };
    lab.mrp.machines().set(&lab.alice, node.id, off).await.unwrap();
    assert_eq!(asked().await, "local: netboot is off");
}

#[tokio::test]
async fn an_answer_file_goes_to_its_machine_alone() {
    let (lab, one, two) = two().await;
    let boot = lab.mrp.boot();
    let (own, foreign) = (IpAddr::V4(one.ip), IpAddr::V4(two.ip));
    let token = lab::token(&lab.config(&one).await);
    let others = lab::token(&lab.config(&two).await);
    boot.answer_file(one.id, Some(&token), foreign, LOCAL).await.unwrap();
    boot.answer_file(one.id, None, own, LOCAL).await.unwrap();
    boot.answer_file_by_token(&token, foreign, LOCAL).await.unwrap();
    forbidden("by another address", boot.answer_file(one.id, None, foreign, LOCAL).await);
    forbidden("by another's token", boot.answer_file(one.id, Some(&others), own, LOCAL).await);
    forbidden("by half a token", boot.answer_file(one.id, Some(&token[..9]), own, LOCAL).await);
    assert_eq!(
        lab.texts(&one, EventKind::Refused).await.len(),
        2,
        "the same refusal within a minute is told once"
    );
    // A token of before names its machine, whose people are told.
    let old = format!("{:x}-{}", one.id.get(), "0".repeat(32));
    for refused in [
        boot.answer_file_by_token(&old, foreign, LOCAL).await.map(drop),
        boot.check_token(&old, foreign).await.map(drop),
        boot.phone_home(&old, true, None, foreign).await,
    ] {
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    }
    let told = lab.texts(&one, EventKind::Refused).await;
    let text = |what: &str| {
        format!(
            "{foreign} asked for {what} with an old or foreign token and was refused: it is not this machine"
        )
    };
    assert_eq!(told[2..], [text("the answer file"), text("its phone-home")]);
    assert_eq!(lab.texts(&two, EventKind::Refused).await, Vec::<String>::new());
    for wrong in ["", "1", "1-", "zz-00", "é-0", &format!("{token}0")] {
        let refused = boot.phone_home(wrong, true, None, own).await;
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{wrong}: {refused:?}");
    }
    let off = Settings { netboot: Some(false), ..Settings::default() };
    let on = Settings { netboot: Some(true), ..Settings::default() };
    lab.mrp.machines().set(&lab.alice, one.id, off).await.unwrap();
    lab.mrp.machines().set(&lab.alice, one.id, on).await.unwrap();
    forbidden("by a token of before", boot.answer_file(one.id, Some(&token), own, LOCAL).await);
}

#[tokio::test]
async fn a_card_that_the_kernel_sees_is_no_other_card() {
    let (lab, one, _) = two().await;
    let path = format!("grub/01-{}", one.mac.dashed());
    forbidden("m1's configuration for a stranger", lab.fetch_from(CABLED_STRANGER, &path).await.map(|_| ()));
    assert_eq!(lab.texts(&one, EventKind::Refused).await.len(), 1);
}

#[tokio::test]
async fn a_client_of_whom_nothing_is_known_is_believed_by_its_path_where_the_network_allows_it() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let armed = Settings { netboot: Some(true), ..Settings::default() };
    lab.mrp.machines().set(&lab.alice, node.id, armed).await.unwrap();
    assert!(lab::text(lab.fetch_from(STRANGER, "grub/grub.cfg").await.unwrap()).starts_with("local:"));
    let path = format!("grub/01-{}", node.mac.dashed());
    assert!(lab::text(lab.fetch_from(STRANGER, &path).await.unwrap()).contains(&node.kernel.name));
    lab.fetch_from(STRANGER, &node.kernel.name).await.unwrap();
    lab.wait(11);
    forbidden("after ten minutes", lab.fetch_from(STRANGER, &node.kernel.name).await.map(|_| ()));

    let network = mrp_core::network::Network {
        id: mrp_core::id::Id::NEW,
        revision: 0,
        name: "strict".into(),
        subnet: "10.0.0.0/24".parse().unwrap(),
        static_net: None,
        reserved_net: None,
        server_url: Some("http://10.0.0.1:8081/".into()),
        trust_path_mac: false,
    };
    let network = lab.mrp.networks().create(&lab.admin, network).await.unwrap();
    let interface = lab.mrp.interfaces().list(&lab.admin, node.id).await.unwrap().remove(0).interface;
    let change = mrp_core::service::interfaces::InterfaceChange {
        network: Some(Some(network.id)),
        ..Default::default()
    };
    lab.mrp.interfaces().update(&lab.admin, node.id, interface.id, change).await.unwrap();
    forbidden("where the network forbids it", lab.fetch_from(STRANGER, &path).await.map(|_| ()));
    lab.mrp.discovery().lease(node.mac, node.ip, Some(true)).await.unwrap();
    let config = lab.config(&node).await;
    assert!(config.contains("url=http://10.0.0.1:8081/preseed/"), "{config}");
}
