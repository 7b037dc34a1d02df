//! Uploads that may go on later, and what the servers of a database have in common.

use std::time::Duration;

use super::*;
use crate::claim::Claim;

fn upload(of: &User) -> PendingUpload {
    PendingUpload {
        key: UploadKey::generate(),
        user: of.id,
        file_name: "vmlinuz".into(),
        kind: ImageKind::Kernel,
        arch: "arm64".into(),
        description: Some("ü".into()),
        known_good: true,
        public: false,
        digest: Some(Digest::from_bytes([7; 32])),
        length: 1 << 40,
        received: 0,
        created: AT,
        advanced: AT,
        image: None,
    }
}

pub(super) async fn life(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let bob = store.insert_user(&user("bob"), &quiet()).await?;
    let mut first = upload(&alice);
    let second = PendingUpload {
        digest: None,
        description: None,
        length: 0,
        created: Timestamp(AT.0 + 1),
        ..upload(&bob)
    };
    gone("insert_upload of no user", {
        store.insert_upload(&PendingUpload { user: Id::new(1 << 40), ..upload(&bob) }).await
    })?;
    store.insert_upload(&second).await?;
    store.insert_upload(&first).await?;
    same("uploads", &store.uploads(None).await?, &vec![first.clone(), second.clone()])?;
    same("a user's uploads", &store.uploads(Some(bob.id)).await?, &vec![second.clone()])?;
    same("upload", &store.upload(&first.key).await?, &Some(first.clone()))?;
    same("an upload that is none", &store.upload(&UploadKey::generate()).await?, &None)?;

    let at = Timestamp(AT.0 + 5);
    store.advance_upload(&first.key, 0, 1 << 33, at).await?;
    (first.received, first.advanced) = (1 << 33, at);
    same("an upload that went on", &store.upload(&first.key).await?, &Some(first.clone()))?;
    stale("advance_upload from elsewhere", store.advance_upload(&first.key, 0, 5, at).await)?;
    let none = UploadKey::generate();
    gone("advance_upload of none", store.advance_upload(&none, 0, 5, at).await)?;

    let wanted = image("alice/linux.1", &arm, Some(&alice), ImageKind::Kernel);
    gone("finish_upload of none", store.finish_upload(&none, &wanted, &journal("no")).await)?;
    let made = store.finish_upload(&first.key, &wanted, &journal("1")).await?;
    same("the image", &store.image(made.id).await?, &Some(made.clone()))?;
    (first.received, first.advanced, first.image) = (first.length, wanted.uploaded, Some(made.id));
    same("a finished upload", &store.upload(&first.key).await?, &Some(first.clone()))?;
    let again = Image { name: "alice/linux.2".into(), ..wanted };
    stale("finish_upload again", store.finish_upload(&first.key, &again, &journal("no")).await)?;
    same("no second image", &store.images().await?, &vec![made.clone()])?;
    stale("advance_upload of a finished one", {
        store.advance_upload(&first.key, first.length, first.length + 1, at).await
    })?;
    store.delete_image(made.id, None, &quiet()).await?;
    same("a finished upload goes with its image", &store.upload(&first.key).await?, &None)?;

    store.delete_user(&bob, &quiet()).await?;
    same("an upload goes with its user", &store.uploads(None).await?, &Vec::new())?;
    let third = upload(&alice);
    store.insert_upload(&third).await?;
    store.delete_upload(&third.key).await?;
    store.delete_upload(&third.key).await?;
    same("a forgotten upload", &store.upload(&third.key).await?, &None)?;
    written(store, 1, 1).await
}

pub(super) async fn contents(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let wanted = image("a/linux.1", &arm, None, ImageKind::Kernel);
    let digest = wanted.digest.clone();
    let hour = Duration::from_secs(3600);
    let mut times = 0;
    let mut remove = async |now: Timestamp| {
        let removal = async { times += 1 };
        let done = store.remove_content(&digest, now, Box::pin(removal)).await?;
        Ok::<_, Failure>((done, times))
    };
    same("content that nobody has", &remove(AT).await?, &(true, 1))?;
    let first = store.claim(&Claim::of_contents(AT, hour), AT).await?;
    let second = store.claim(&Claim::of_contents(AT, hour * 2), AT).await?;
    same("content that two put there", &remove(AT).await?, &(false, 1))?;
    let under = |claim: &Claim| Journal { under: Some(claim.name.clone()), ..journal("1") };
    let made = store.insert_image(&wanted, &under(&first)).await?;
    let again = Image { name: "a/linux.2".into(), ..wanted.clone() };
    stale("insert_image under a claim that has ended", store.insert_image(&again, &under(&first)).await)?;
    same("what is refused leaves no row", &store.images().await?, &vec![made.clone()])?;
    same("content that is put there again", &remove(AT).await?, &(false, 1))?;
    same("content that an image has", &remove(AT + hour * 3).await?, &(false, 1))?;
    stale("insert_image under a claim that has lapsed", {
        store.insert_image(&again, &under(&second)).await
    })?;
    store.delete_image(made.id, None, &quiet()).await?;
    let bmc = Claim { name: "bmc:1".into(), holder: "a".into(), url: String::new(), until: AT + hour * 9 };
    store.claim(&bmc, AT).await?;
    same("other claims are none of its", &remove(AT).await?, &(true, 2))?;
    same("they stay", &store.claim_named("bmc:1").await?, &Some(bmc))?;
    written(store, 1, 1).await
}

pub(super) async fn steps(store: &dyn Store) -> Outcome {
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let upload = upload(&alice);
    store.insert_upload(&upload).await?;
    let steps = (1..=20).map(|to| store.advance_upload(&upload.key, 0, to, AT));
    let done = futures_util::future::join_all(steps).await;
    let noted: Vec<u64> = (1..=20).zip(&done).filter(|(_, step)| step.is_ok()).map(|(to, _)| to).collect();
    let found = store.upload(&upload.key).await?.map(|upload| vec![upload.received]);
    same("the step that was noted", &found, &Some(noted))
}

pub(super) async fn site(store: &dyn Store) -> Outcome {
    let claims = ["a", "b", "c", "d"].map(|value| store.site_value("image_store", value));
    let found = futures_util::future::join_all(claims).await;
    let mut values = Vec::new();
    for value in found {
        values.push(value?);
    }
    values.dedup();
    ensure(values.len() == 1, || format!("several servers got several values: {values:?}"))?;
    same("the value stays", &store.site_value("image_store", "e").await?, &values[0])?;
    same("another name", &store.site_value("other", "e").await?, &"e".to_owned())
}
