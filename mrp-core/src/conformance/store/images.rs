//! Images and answer files.

use super::*;

pub(super) async fn life(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let wanted = image("alice/linux.1", &arm, Some(&alice), ImageKind::Kernel);
    let first = store.insert_image(&wanted, &journal("1")).await?;
    same("a new image", &first, &Image { id: first.id, revision: 1, ..wanted.clone() })?;
    conflict("insert_image of a taken name", store.insert_image(&wanted, &journal("no")).await)?;
    let second = Image { name: "alice/linux.2".into(), ..wanted.clone() };
    let second = store.insert_image(&second, &quiet()).await?;
    let nowhere = Image { name: "x".into(), arch: Id::new(1 << 40), ..wanted };
    gone("insert_image of no architecture", store.insert_image(&nowhere, &journal("no")).await)?;
    same("images", &store.images().await?, &vec![first.clone(), second.clone()])?;
    same("image", &store.image(second.id).await?, &Some(second.clone()))?;
    same("image_by_name", &store.image_by_name("alice/linux.1").await?, &Some(first.clone()))?;
    same("image_by_name of none", &store.image_by_name("linux.1").await?, &None)?;
    same("images_with_digest", &store.images_with_digest(&first.digest).await?, &2)?;
    let none = Digest::from_bytes([8; 32]);
    same("images_with_digest of none", &store.images_with_digest(&none).await?, &0)?;
    let wanted = Image {
        kind: ImageKind::Initrd,
        description: Some("d".into()),
        known_good: true,
        public: false,
        ..first.clone()
    };
    let changed = store.update_image(&wanted, &journal("2")).await?;
    same("a changed image", &changed, &Image { revision: 2, ..wanted.clone() })?;
    same("a changed image, read again", &store.image(first.id).await?, &Some(changed.clone()))?;
    stale("update_image", store.update_image(&wanted, &journal("no")).await)?;
    let taken = Image { name: second.name.clone(), ..changed };
    conflict("update_image to a taken name", store.update_image(&taken, &journal("no")).await)?;
    store.delete_image(first.id, &journal("3")).await?;
    gone("delete_image again", store.delete_image(first.id, &journal("no")).await)?;
    gone("update_image of a removed one", store.update_image(&first, &journal("no")).await)?;
    same("images_with_digest", &store.images_with_digest(&first.digest).await?, &1)?;
    written(store, 3, 3).await
}

pub(super) async fn boot_loaders(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let admin = store.insert_user(&User { admin: true, ..user("root") }, &quiet()).await?;
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let mut stored = Vec::new();
    for (name, kind, public, age, owner) in [
        ("a/1", ImageKind::BootLoader, true, 2, Some(&admin)),
        ("a/2", ImageKind::BootLoader, true, 1, Some(&admin)),
        ("a/3", ImageKind::BootLoader, false, 0, Some(&admin)),
        ("a/4", ImageKind::Kernel, true, 0, Some(&admin)),
        ("a/5", ImageKind::BootLoader, true, 3, Some(&admin)),
        ("a/6", ImageKind::BootLoader, true, 0, Some(&alice)),
        ("a/7", ImageKind::BootLoader, true, 0, None),
    ] {
        let uploaded = Timestamp(AT.0 - age);
        let new = Image { public, uploaded, file_name: "grub.efi".into(), ..image(name, &arm, owner, kind) };
        stored.push(store.insert_image(&new, &quiet()).await?);
    }
    let found = store.boot_loader_by_file_name("grub.efi").await?;
    same("the newest public boot loader of an admin", &found, &Some(stored[1].clone()))?;
    same("of another name", &store.boot_loader_by_file_name("GRUB.EFI").await?, &None)
}

pub(super) async fn answer_files(store: &dyn Store) -> Outcome {
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let wanted = answer_file("debian", Some(&alice));
    let first = store.insert_answer_file(&wanted, &journal("1")).await?;
    same("a new answer file", &first, &AnswerFile { id: first.id, revision: 1, ..wanted.clone() })?;
    conflict("insert_answer_file of a taken name", store.insert_answer_file(&wanted, &journal("no")).await)?;
    let second = AnswerFile { content: None, description: None, ..answer_file("empty", None) };
    let second = store.insert_answer_file(&second, &quiet()).await?;
    same("answer_files", &store.answer_files().await?, &vec![first.clone(), second.clone()])?;
    same("answer_file", &store.answer_file(second.id).await?, &Some(second.clone()))?;
    let mut current = first.clone();
    for (kind, content) in
        AnswerFileKind::ALL.into_iter().zip([None, Some("a".to_owned()), None, Some(String::new()), None])
    {
        let saved = Timestamp(current.saved.0 + 1);
        let wanted = AnswerFile { kind, content, saved, public: !current.public, ..current };
        current = store.update_answer_file(&wanted, &journal("2")).await?;
        same("a changed one", &current, &AnswerFile { revision: wanted.revision + 1, ..wanted.clone() })?;
        same("read again", &store.answer_file(first.id).await?, &Some(current.clone()))?;
        stale("update_answer_file", store.update_answer_file(&wanted, &journal("no")).await)?;
    }
    let taken = AnswerFile { name: "empty".into(), ..current };
    conflict("update_answer_file to a taken name", {
        store.update_answer_file(&taken, &journal("no")).await
    })?;
    store.delete_answer_file(first.id, &journal("3")).await?;
    gone("delete_answer_file again", store.delete_answer_file(first.id, &journal("no")).await)?;
    gone("update_answer_file of a removed one", store.update_answer_file(&first, &journal("no")).await)?;
    same("answer_file that is gone", &store.answer_file(first.id).await?, &None)?;
    written(store, 7, 7).await
}
