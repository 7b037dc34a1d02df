//! Who may do what: admins all, holders what concerns their machine, everybody may look. A refusal writes nothing.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use mrp_core::Error;
use mrp_core::image::ImageKind;
use mrp_core::mac::MacAddr;
use mrp_core::machine::{Machine, MachineState};
use mrp_core::network::Network;
use mrp_core::secret::Secret;
use mrp_core::service::answer_files::AnswerFileChange;
use mrp_core::service::archs::SubarchSpec;
use mrp_core::service::images::ImageChange;
use mrp_core::service::interfaces::InterfaceChange;
use mrp_core::service::machines::{Definition, Settings};
use mrp_core::service::runs::StartRun;
use mrp_core::service::users::NewUser;
use mrp_core::store::{AuditFilter, EventFilter, EventStore};

mod lab;

use lab::{Lab, bmc_spec, forbidden, upload};

fn options(options: &str) -> Settings {
    Settings { kernel_options: Some(options.into()), ..Settings::default() }
}

#[tokio::test]
async fn a_machine_is_its_holders_and_the_admins() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    let (mrp, bob, before) = (&lab.mrp, &lab.bob, lab.journal().await);
    let interface = mrp.interfaces().list(bob, node.id).await.unwrap().remove(0).interface;
    let own = mrp.assignments().own(&lab.alice, node.id).await.unwrap().assignment;
    forbidden("settings", mrp.machines().set(bob, node.id, options("x")).await);
    forbidden("state", mrp.machines().set_state(bob, node.id, MachineState::Ready).await);
    forbidden("power", mrp.power(bob, node.id).on().await);
    forbidden("provision", mrp.runs().start(bob, node.id, StartRun::default()).await);
    forbidden("cancel", mrp.runs().cancel(bob, run.id).await);
    let name = || InterfaceChange { identifier: Some(Some("eth9".into())), ..InterfaceChange::default() };
    forbidden("interface", mrp.interfaces().update(bob, node.id, interface.id, name()).await);
    forbidden("reason", mrp.assignments().explain(bob, node.id, own.id, "x", None).await);
    forbidden("give back", mrp.assignments().give_back(bob, node.id, own.id).await);
    assert_eq!(lab.journal().await, before, "a refusal writes nothing");

    for actor in [&lab.alice, &lab.admin] {
        mrp.machines().set(actor, node.id, options(&actor.name)).await.unwrap();
        mrp.power(actor, node.id).on().await.unwrap();
        mrp.interfaces().update(actor, node.id, interface.id, name()).await.unwrap();
        mrp.assignments().explain(actor, node.id, own.id, &actor.name, None).await.unwrap();
    }
    assert_eq!(lab.machine(&node).await.kernel_options.as_deref(), Some("root"));
    mrp.machines().get(bob, node.id).await.unwrap();
    mrp.power(bob, node.id).status().await.unwrap();
    mrp.runs().get(bob, run.id).await.unwrap();
    mrp.events().list(bob, EventFilter::default()).await.unwrap();
}

#[tokio::test]
async fn what_the_site_is_made_of_is_the_admins() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let (mrp, alice, before) = (&lab.mrp, &lab.alice, lab.journal().await);
    let machine = lab.machine(&node).await;
    let interface = mrp.interfaces().list(alice, node.id).await.unwrap().remove(0).interface;
    let bmc = mrp.bmcs().list(&lab.admin).await.unwrap().remove(0);
    let network = |name: &str, subnet: &str| Network {
        id: mrp_core::id::Id::NEW,
        revision: 0,
        name: name.into(),
        subnet: subnet.parse().unwrap(),
        static_net: None,
        reserved_net: None,
        server_url: None,
        trust_path_mac: true,
    };
    let subarch =
        || SubarchSpec { name: "bios".into(), description: String::new(), bootloader: None, efi_boot: false };
    let user = NewUser {
        name: "eve".into(),
        email: String::new(),
        password: Secret::new("long enough"),
        admin: true,
        ssh_keys: String::new(),
    };
    let mac = MacAddr([2; 6]);
    forbidden("arch", mrp.archs().create(alice, "arm64", "").await);
    forbidden("arch", mrp.archs().update(alice, machine.arch, "x", "").await);
    forbidden("arch", mrp.archs().delete(alice, machine.arch).await);
    forbidden("subarch", mrp.archs().create_subarch(alice, machine.arch, subarch()).await);
    let efi = machine.subarch.unwrap();
    forbidden("subarch", mrp.archs().update_subarch(alice, efi, "x86_64", subarch()).await);
    forbidden("subarch", mrp.archs().delete_subarch(alice, efi).await);
    forbidden("network", mrp.networks().create(alice, network("n", "10.0.0.0/24")).await);
    forbidden("user", mrp.users().create(alice, user).await);
    forbidden("bmcs", mrp.bmcs().list(alice).await);
    forbidden("bmc", mrp.bmcs().get(alice, bmc.id).await);
    forbidden("bmc", mrp.bmcs().create(alice, bmc_spec("b", &node.bmc)).await);
    forbidden("bmc", mrp.bmcs().update(alice, bmc.id, bmc_spec("b", &node.bmc)).await);
    forbidden("bmc", mrp.bmcs().delete(alice, bmc.id).await);
    forbidden("bmc test", mrp.bmcs().test(alice, bmc.id, mrp_core::bmc::Node::default()).await);
    forbidden("machine", mrp.machines().create(alice, Machine::new("m9", machine.arch), None).await);
    forbidden("machine", mrp.machines().define(alice, node.id, Definition::default()).await);
    forbidden("machine", mrp.machines().delete(alice, node.id).await);
    forbidden("interface", mrp.interfaces().create(alice, node.id, mac, None, None).await);
    forbidden("interface", mrp.interfaces().delete(alice, node.id, interface.id).await);
    let change = InterfaceChange { mac: Some(mac), ..InterfaceChange::default() };
    forbidden("MAC", mrp.interfaces().update(alice, node.id, interface.id, change).await);
    forbidden("assign", mrp.assignments().assign(alice, node.id, "bob", "", None).await);
    forbidden("audit", mrp.events().audit(alice, AuditFilter::default()).await);
    assert_eq!(lab.journal().await, before, "a refusal writes nothing");

    let lan = mrp.networks().create(&lab.admin, network("lan", "10.0.0.0/24")).await.unwrap();
    forbidden("network", mrp.networks().update(alice, lan.clone()).await);
    forbidden("network", mrp.networks().delete(alice, lan.id).await);
    let overlap = mrp.networks().create(&lab.admin, network("wan", "10.0.0.0/8")).await;
    assert!(lab::refusal(overlap).contains("network lan"));
    let audit = lab.store.audit(mrp_core::id::Id::NEW, 1000).await.unwrap();
    let last = audit.last().unwrap();
    assert_eq!(
        (&*last.actor, &*last.action, &*last.object, &*last.name),
        ("root", "create", "network", "lan")
    );
}

#[tokio::test]
async fn images_and_answer_files_are_their_owners_and_public_ones_everybodys() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let (mrp, alice, bob) = (&lab.mrp, &lab.alice, &lab.bob);
    let hidden = upload(mrp, bob, "hidden", ImageKind::Kernel, false).await;
    let open = upload(mrp, bob, "open", ImageKind::Kernel, true).await;
    let kernel = |id| Settings { kernel: Some(Some(id)), ..Settings::default() };
    forbidden("looking at it", mrp.images().get(alice, hidden.id).await);
    forbidden("booting it", mrp.machines().set(alice, node.id, kernel(hidden.id)).await);
    forbidden("changing it", mrp.images().update(alice, open.id, ImageChange::default()).await);
    forbidden("removing it", mrp.images().delete(alice, open.id).await);
    mrp.machines().set(alice, node.id, kernel(open.id)).await.unwrap();
    let used = mrp.images().delete(bob, open.id).await;
    assert!(matches!(&used, Err(Error::Conflict(words)) if words.contains("m1")), "{used:?}");
    let names = |all| async move {
        let list = mrp.images().list(alice, all).await.unwrap();
        list.into_iter().map(|view| view.image.id).collect::<Vec<_>>()
    };
    assert!(names(true).await.contains(&open.id) && !names(true).await.contains(&hidden.id));
    assert!(!names(false).await.contains(&open.id));
    mrp.images().delete(bob, hidden.id).await.unwrap();

    let files = mrp.answer_files();
    forbidden("looking at it", files.get(bob, node.answer_file).await);
    forbidden("changing it", files.update(bob, node.answer_file, AnswerFileChange::default()).await);
    forbidden("removing it", files.delete(bob, node.answer_file).await);
    forbidden("previewing it", files.preview(bob, node.answer_file, node.id).await);
    let used = files.delete(alice, node.answer_file).await;
    assert!(matches!(&used, Err(Error::Conflict(words)) if words.contains("m1")), "{used:?}");
    let public = AnswerFileChange { public: Some(true), ..AnswerFileChange::default() };
    files.update(alice, node.answer_file, public).await.unwrap();
    files.get(bob, node.answer_file).await.unwrap();
    forbidden("a public one for a machine one does not hold", {
        files.preview(bob, node.answer_file, node.id).await
    });
}

#[tokio::test]
async fn content_is_kept_while_an_image_has_it() {
    let lab = Lab::new().await;
    let (mrp, alice) = (&lab.mrp, &lab.alice);
    let one = upload(mrp, alice, "same", ImageKind::Kernel, false).await;
    let two = upload(mrp, alice, "same", ImageKind::Kernel, false).await;
    assert_eq!(one.digest, two.digest);
    use mrp_core::blob::BlobStore;
    let blobs = lab.blobs().await;
    mrp.images().delete(alice, one.id).await.unwrap();
    blobs.open(&two.digest).await.unwrap();
    mrp.images().delete(alice, two.id).await.unwrap();
    assert!(blobs.open(&two.digest).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_keeps_its_content_while_the_last_image_of_the_same_goes() {
    let lab = Lab::new().await;
    use mrp_core::blob::BlobStore;
    let blobs = lab.blobs().await;
    let mut image = upload(&lab.mrp, &lab.alice, "same", ImageKind::Kernel, false).await;
    for _ in 0..30 {
        let images = lab.mrp.images();
        let uploaded = upload(&lab.mrp, &lab.alice, "same", ImageKind::Kernel, false);
        let (removed, next) = tokio::join!(images.delete(&lab.alice, image.id), uploaded);
        removed.unwrap();
        blobs.open(&next.digest).await.expect("the image that is there has its content");
        image = next;
    }
}

#[tokio::test]
async fn a_node_that_a_bmc_cannot_have_is_refused() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let define = async |info: &str| {
        let new = Definition { bmc_info: Some(info.into()), ..Definition::default() };
        lab.mrp.machines().define(&lab.admin, node.id, new).await
    };
    define("slot-8").await.unwrap();
    let error = define("slot-9").await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    let words = error.to_string();
    assert!(
        words.contains("bmc_info") && words.ends_with("; it is: nothing, or slot-1 to slot-8"),
        "{words}"
    );
    assert_eq!(lab.machine(&node).await.bmc_info, "slot-8");
}
