//! Architectures and subarchitectures.

use super::*;

pub(super) async fn life(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &journal("1")).await?;
    let x86 = store.insert_arch(&arch("x86_64"), &quiet()).await?;
    same("a new architecture", &arm, &Arch { id: arm.id, revision: 1, ..arch("arm64") })?;
    ids("archs", &store.archs().await?, |arch| arch.id, &[arm.id, x86.id])?;
    conflict("insert_arch of a taken name", store.insert_arch(&arch("arm64"), &journal("no")).await)?;
    let renamed = Arch { name: "aarch64".into(), description: String::new(), ..arm.clone() };
    let changed = store.update_arch(&renamed, &journal("2")).await?;
    same("a changed architecture", &changed, &Arch { revision: 2, ..renamed.clone() })?;
    stale("update_arch", store.update_arch(&renamed, &journal("no")).await)?;
    let taken = Arch { name: "x86_64".into(), ..changed.clone() };
    conflict("update_arch to a taken name", store.update_arch(&taken, &journal("no")).await)?;
    same("archs", &store.archs().await?, &vec![changed.clone(), x86.clone()])?;

    let efi = store.insert_subarch(&subarch(&arm, "efi"), &journal("3")).await?;
    same("a new subarchitecture", &efi, &Subarch { id: efi.id, revision: 1, ..subarch(&arm, "efi") })?;
    let other = store.insert_subarch(&subarch(&x86, "efi"), &quiet()).await?;
    let again = store.insert_subarch(&subarch(&arm, "efi"), &journal("no")).await;
    conflict("insert_subarch of a taken name", again)?;
    let nowhere = Subarch { arch: Id::new(1 << 40), ..subarch(&arm, "x") };
    gone("insert_subarch of no architecture", store.insert_subarch(&nowhere, &journal("no")).await)?;
    let renamed = Subarch { name: "uboot".into(), efi_boot: false, ..efi.clone() };
    let changed = store.update_subarch(&renamed, &journal("4")).await?;
    same("a changed subarchitecture", &changed, &Subarch { revision: 2, ..renamed.clone() })?;
    stale("update_subarch", store.update_subarch(&renamed, &journal("no")).await)?;
    same("subarchs", &store.subarchs().await?, &vec![changed.clone(), other.clone()])?;

    store.delete_subarch(other.id, None, &journal("5")).await?;
    gone("delete_subarch again", store.delete_subarch(other.id, None, &journal("no")).await)?;
    gone("update_subarch of a removed one", store.update_subarch(&other, &journal("no")).await)?;
    in_use("delete_arch with a subarchitecture", store.delete_arch(arm.id, None, &journal("no")).await)?;
    same("subarchs after a refusal", &store.subarchs().await?, &vec![changed.clone()])?;
    store.delete_subarch(efi.id, None, &quiet()).await?;
    store.delete_arch(arm.id, None, &journal("6")).await?;
    gone("delete_arch again", store.delete_arch(arm.id, None, &journal("no")).await)?;
    gone("update_arch of a removed one", store.update_arch(&arm, &journal("no")).await)?;
    written(store, 6, 6).await
}

pub(super) async fn references(store: &dyn Store) -> Outcome {
    let arm = store.insert_arch(&arch("arm64"), &quiet()).await?;
    let loader = store.insert_image(&image("a/grub.1", &arm, None, ImageKind::BootLoader), &quiet()).await?;
    let efi = Subarch { bootloader: Some(loader.id), ..subarch(&arm, "efi") };
    let efi = store.insert_subarch(&efi, &quiet()).await?;
    in_use("delete_arch with an image", store.delete_arch(arm.id, None, &journal("no")).await)?;
    in_use("delete_image of a subarchitecture", store.delete_image(loader.id, None, &journal("no")).await)?;
    let none = store.update_subarch(&Subarch { bootloader: None, ..efi.clone() }, &quiet()).await?;
    let missing = Subarch { bootloader: Some(Id::new(1 << 40)), ..none };
    gone("update_subarch to no image", store.update_subarch(&missing, &journal("no")).await)?;
    store.delete_image(loader.id, None, &quiet()).await?;
    let machine = Machine { subarch: Some(efi.id), ..Machine::new("m1", arm.id) };
    let machine = store.insert_machine(&machine, &quiet()).await?;
    in_use("delete_subarch of a machine", store.delete_subarch(efi.id, None, &journal("no")).await)?;
    in_use("delete_arch of a machine", store.delete_arch(arm.id, None, &journal("no")).await)?;
    same("subarchs after refusals", &store.subarchs().await?.len(), &1)?;
    store.delete_machine(&machine, &quiet()).await?;
    store.delete_subarch(efi.id, None, &quiet()).await?;
    store.delete_arch(arm.id, None, &quiet()).await?;
    written(store, 0, 0).await
}
