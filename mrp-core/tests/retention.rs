//! What is old goes, and the rest stays: history, tokens, images; and the key that seals the secrets changes.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::time::Duration;

use mrp_core::Settings;
use mrp_core::image::ImageKind;
use mrp_core::retention::{Limit, Retention};
use mrp_core::secret::ServerKey;
use mrp_core::service::keys;
use mrp_core::service::tokens::NewToken;
use mrp_core::store::{
    AuditFilter, BmcStore, EventFilter, EventStore, ImageStore, KeyStore, RunFilter, RunStore,
};

mod lab;

use lab::{BMC_PASSWORD, Lab, forbidden, refusal, upload};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn days(events: u64, audit: u64, runs: u64, unused_images: Option<u64>) -> Settings {
    let age = |days: u64| Limit { age: Some(DAY * u32::try_from(days).unwrap()), count: None };
    let unused_images = unused_images.map(|days| DAY * u32::try_from(days).unwrap());
    let retention = Retention { events: age(events), audit: age(audit), runs: age(runs), unused_images };
    Settings { retention, ..Settings::default() }
}

#[tokio::test]
async fn history_goes_when_it_is_old() {
    let lab = Lab::new().await;
    let (one, two) = (lab.node("m1").await, lab.node("m2").await);
    let run = lab.started(&one).await;
    lab.mrp.runs().cancel(&lab.alice, run.id).await.unwrap();
    let active = lab.started(&two).await;
    let expiring = NewToken { expires: Some(lab.mrp.now() + DAY), ..NewToken::default() };
    lab.mrp.users().create_token(&lab.alice, expiring).await.unwrap();

    // Its deadlines would end the run that is to stay.
    lab.mrp.shutdown().await;
    let mrp = lab.beside_with(days(10, 20, 30, None)).await;
    assert_eq!(mrp.remove_outdated().await.unwrap(), mrp_core::retention::Removed::default());
    lab.clock.advance(DAY * 15);
    let removed = mrp.remove_outdated().await.unwrap();
    assert!(
        removed.events > 0 && removed.audit == 0 && removed.runs == 0 && removed.tokens == 1,
        "{removed:?}"
    );
    let left = lab.store.events(&EventFilter::default()).await.unwrap();
    assert!(!left.is_empty() && left.iter().all(|event| event.run == Some(active.id)), "{left:?}");
    lab.clock.advance(DAY * 20);
    let removed = mrp.remove_outdated().await.unwrap();
    assert!(removed.audit > 0 && removed.runs == 1, "{removed:?}");
    let runs = lab.store.runs(&RunFilter::default()).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [active.id]);
    assert!(lab.store.audit_log(&AuditFilter::default()).await.unwrap().is_empty());
    mrp.shutdown().await;
}

#[tokio::test]
async fn more_than_a_batch_goes_in_one_turn() {
    let lab = Lab::new().await;
    for number in 0..603 {
        let description = number.to_string();
        lab.mrp.archs().update(&lab.admin, lab.arch, "x86_64", &description).await.unwrap();
    }
    let retention = Retention { audit: Limit { age: None, count: Some(2) }, ..Retention::default() };
    let mrp = lab.beside_with(Settings { retention, ..Settings::default() }).await;
    assert!(mrp.remove_outdated().await.unwrap().audit > 600);
    assert_eq!(lab.store.audit_log(&AuditFilter::default()).await.unwrap().len(), 2);
    let held = mrp.holdings(&lab.admin).await.unwrap();
    assert!(held.rows.contains(&("audit".to_owned(), 2)) && held.database_bytes > 0, "{held:?}");
    forbidden("holdings", mrp.holdings(&lab.alice).await);
    mrp.shutdown().await;
}

#[tokio::test]
async fn unused_images_go_where_that_is_asked() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let unused = upload(&lab.mrp, &lab.alice, "old-vmlinuz", ImageKind::Kernel, true).await;
    lab.clock.advance(DAY * 40);
    let young = upload(&lab.mrp, &lab.alice, "new-vmlinuz", ImageKind::Kernel, true).await;
    let mrp = lab.beside_with(Settings::default()).await;
    assert_eq!(mrp.remove_outdated().await.unwrap().images, 0, "by default none");
    mrp.shutdown().await;
    let mrp = lab.beside_with(days(90, 90, 90, Some(30))).await;
    assert_eq!(mrp.remove_outdated().await.unwrap().images, 1);
    for (id, stays) in [(unused.id, false), (young.id, true), (node.kernel.id, true), (lab.loader.id, true)] {
        assert_eq!(lab.store.image(id).await.unwrap().is_some(), stays);
    }
    let last =
        lab.store.audit_log(&AuditFilter { last: 1, ..AuditFilter::default() }).await.unwrap().remove(0);
    assert_eq!((last.actor.as_str(), last.action.as_str(), last.name), ("mrp", "delete", unused.name));
    mrp.shutdown().await;
}

#[tokio::test]
async fn a_key_goes_with_its_database_and_changes_with_all_secrets() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let (old, new) = (lab.key().clone(), ServerKey::generate());
    assert_eq!(
        keys::choose(&lab.store, std::slice::from_ref(&new)).await.unwrap(),
        None,
        "it opens no secret"
    );
    assert_eq!(lab.store.key_check().await.unwrap(), None);
    assert_eq!(keys::choose(&lab.store, &[new.clone(), old.clone()]).await.unwrap(), Some(1));

    let run = lab.started(&node).await;
    let refused = refusal(keys::rotate(&lab.store, &old, &new, lab.mrp.now()).await);
    assert!(refused.contains("is under way"), "{refused}");
    lab.mrp.runs().cancel(&lab.alice, run.id).await.unwrap();
    assert!(keys::rotate(&lab.store, &new, &old, lab.mrp.now()).await.is_err(), "with the wrong key");
    assert_eq!(keys::rotate(&lab.store, &old, &new, lab.mrp.now()).await.unwrap(), 1);
    let sealed = lab.store.bmcs().await.unwrap().remove(0).sealed_password;
    assert_eq!(new.open(&sealed).unwrap().expose(), BMC_PASSWORD);
    assert!(old.open(&sealed).is_err());
    assert_eq!(keys::choose(&lab.store, std::slice::from_ref(&old)).await.unwrap(), None);
    assert_eq!(keys::choose(&lab.store, &[old.clone(), new]).await.unwrap(), Some(1));
    let journal = lab.journal().await;
    assert!(journal.contains("server key") && !journal.contains(old.to_hex().expose()));
}
