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
    same(
        "images_with_digest",
        &store.images_with_digest(&first.digest).await?,
        &vec![first.clone(), second.clone()],
    )?;
    let none = Digest::from_bytes([8; 32]);
    same("images_with_digest of none", &store.images_with_digest(&none).await?, &Vec::new())?;
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
    store.delete_image(first.id, None, &journal("3")).await?;
    gone("delete_image again", store.delete_image(first.id, None, &journal("no")).await)?;
    gone("update_image of a removed one", store.update_image(&first, &journal("no")).await)?;
    same("images_with_digest", &store.images_with_digest(&first.digest).await?, &vec![second])?;
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

pub(super) async fn replacement(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let efi = store.insert_subarch(&subarch(&arm, "efi"), &quiet()).await?;
    let old = store.insert_image(&image("a/old", &arm, None, ImageKind::Kernel), &quiet()).await?;
    let new = store.insert_image(&image("a/new", &arm, None, ImageKind::Kernel), &quiet()).await?;
    let other = store.insert_image(&image("a/other", &arm, None, ImageKind::Kernel), &quiet()).await?;
    same("use of an unused image", &store.image_use(old.id).await?, &ImageUse::default())?;
    let both = Machine { kernel: Some(old.id), initrd: Some(old.id), ..Machine::new("both", arm.id) };
    let both = store.insert_machine(&both, &quiet()).await?;
    let one = Machine { kernel: Some(other.id), initrd: Some(old.id), ..Machine::new("one", arm.id) };
    let one = store.insert_machine(&one, &quiet()).await?;
    let none = Machine { kernel: Some(other.id), ..Machine::new("none", arm.id) };
    let none = store.insert_machine(&none, &quiet()).await?;
    let efi = store.update_subarch(&Subarch { bootloader: Some(old.id), ..efi }, &quiet()).await?;
    let users = store.image_use(old.id).await?;
    let machine = |of: &Machine, kernel, initrd| {
        let (id, revision, name) = (of.id, of.revision, of.name.clone());
        MachineUse { id, revision, name, kernel, initrd }
    };
    let wanted = ImageUse {
        machines: vec![machine(&both, true, true), machine(&one, false, true)],
        subarchs: vec![SubarchUse { id: efi.id, revision: efi.revision, name: "arm64/efi".into() }],
    };
    same("image_use", &users, &wanted)?;
    let mut moved = users.clone();
    moved.machines[1].revision += 1;
    stale("replace_image", store.replace_image(old.id, new.id, &moved, &journal("no")).await)?;
    let nowhere = store.replace_image(old.id, Id::new(1 << 40), &users, &journal("no")).await;
    gone("replace_image by none", nowhere)?;
    same("nothing is changed by a refusal", &store.image_use(old.id).await?, &users)?;
    store.replace_image(old.id, new.id, &users, &journal("1")).await?;
    same("use of the old one", &store.image_use(old.id).await?, &ImageUse::default())?;
    let wanted = Machine { kernel: Some(new.id), initrd: Some(new.id), revision: both.revision + 1, ..both };
    same("both are replaced", &store.machine(wanted.id).await?, &Some(wanted))?;
    let wanted = Machine { initrd: Some(new.id), revision: one.revision + 1, ..one };
    same("the other stays", &store.machine(wanted.id).await?, &Some(wanted))?;
    same("who does not use it stays", &store.machine(none.id).await?, &Some(none))?;
    let wanted = Subarch { bootloader: Some(new.id), revision: efi.revision + 1, ..efi };
    same("the boot loader", &store.subarchs().await?, &vec![wanted])?;
    stale("replace_image again", store.replace_image(old.id, new.id, &users, &journal("no")).await)?;
    written(store, 1, 1).await
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
    versions(store, first.id).await?;
    let taken = AnswerFile { name: "empty".into(), ..current };
    conflict("update_answer_file to a taken name", {
        store.update_answer_file(&taken, &journal("no")).await
    })?;
    store.delete_answer_file(first.id, None, &journal("3")).await?;
    gone("delete_answer_file again", store.delete_answer_file(first.id, None, &journal("no")).await)?;
    gone("update_answer_file of a removed one", store.update_answer_file(&first, &journal("no")).await)?;
    same("answer_file that is gone", &store.answer_file(first.id).await?, &None)?;
    same("versions that are gone", &store.answer_file_versions(first.id).await?, &Vec::new())?;
    written(store, 7, 7).await
}

/// The answer file was saved with `d-i x\n`, nothing, `a`, nothing, an empty text, nothing.
async fn versions(store: &dyn Store, id: AnswerFileId) -> Outcome {
    let listed = store.answer_file_versions(id).await?;
    let numbers: Vec<i64> = listed.iter().map(|version| version.number).collect();
    same("versions, newest first", &numbers, &vec![6, 5, 4, 3, 2, 1])?;
    let bytes: Vec<u64> = listed.iter().map(|version| version.bytes).collect();
    same("their sizes", &bytes, &vec![0, 0, 0, 1, 0, 6])?;
    let wanted =
        AnswerFileVersion { number: 3, saved: Timestamp(AT.0 + 2), saved_by: "alice".into(), bytes: 1 };
    same("a listed version", &listed[3], &wanted)?;
    let third = store.answer_file_version(id, 3).await?;
    same("a version with its content", &third, &Some((wanted, Some("a".to_owned()))))?;
    for number in [0, 7, i64::MAX, i64::MIN] {
        same("a version that is none", &store.answer_file_version(id, number).await?, &None)?;
    }
    let other = store.answer_file_version(Id::new(1 << 40), 1).await?;
    same("a version of no answer file", &other, &None)
}
