//! Architectures and their ways to boot; admins change them, everybody sees them.

use serde_json::{Value, json};

use crate::actor::Actor;
use crate::arch::{Arch, ArchId, Subarch, SubarchId};
use crate::error::Error;
use crate::id::Id;
use crate::image::{ImageId, ImageKind};
use crate::machine::{check_name, check_text};
use crate::service::Provisioner;
use crate::service::expected::Expected;
use crate::service::journal::{between, of, said};
use crate::store::MachineReference;

/// Architectures and subarchitectures.
#[derive(Debug)]
pub struct Archs<'a>(&'a Provisioner, Expected);

/// A subarchitecture that is to be made, or what one is to become.
#[derive(Debug, Clone)]
pub struct SubarchSpec {
    /// Name, unique within the architecture.
    pub name: String,
    /// For people.
    pub description: String,
    /// The boot loader that its machines netboot.
    pub bootloader: Option<ImageId>,
    /// The BMC must ask for an EFI boot.
    pub efi_boot: bool,
}

impl Provisioner {
    /// Architectures and subarchitectures.
    pub fn archs(&self) -> Archs<'_> {
        Archs(self, Expected::Any)
    }

    /// What an architecture is called; nothing for one that is not there.
    pub(crate) async fn arch_name(&self, id: ArchId) -> Result<Option<String>, Error> {
        let archs = self.store().archs().await?;
        Ok(archs.into_iter().find(|arch| arch.id == id).map(|arch| arch.name))
    }
}

impl Archs<'_> {
    /// The same, for changes of an object as it was seen.
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.1 = expected;
        self
    }

    /// All architectures.
    pub async fn list(&self, _actor: &Actor) -> Result<Vec<Arch>, Error> {
        Ok(self.0.store().archs().await?)
    }

    /// An architecture by name; the refusal is mr-provisioner's.
    pub async fn by_name(&self, _actor: &Actor, name: &str) -> Result<Arch, Error> {
        let found = self.0.store().arch_by_name(name).await?;
        found.ok_or_else(|| Error::Refused("no such architecture".into()))
    }

    /// Makes an architecture.
    pub async fn create(&self, actor: &Actor, name: &str, description: &str) -> Result<Arch, Error> {
        actor.require_admin()?;
        check_name(name, 1, 64)?;
        check_text("description", description, 0, 1024)?;
        let arch = Arch { id: Id::NEW, revision: 0, name: name.into(), description: description.into() };
        let journal = self.0.draft(actor)?.audit("create", "arch", name, said(arch_described(&arch))).done();
        Ok(self.0.store().insert_arch(&arch, &journal).await?)
    }

    /// Renames or describes an architecture.
    pub async fn update(
        &self,
        actor: &Actor,
        id: ArchId,
        name: &str,
        description: &str,
    ) -> Result<Arch, Error> {
        actor.require_admin()?;
        check_text("description", description, 0, 1024)?;
        let mut arch = self.load(id).await?;
        self.1.check(arch.revision)?;
        if arch.name != name {
            check_name(name, 1, 64)?;
        }
        let old = arch_described(&arch);
        (arch.name, arch.description) = (name.into(), description.into());
        let changes = between(&old, &arch_described(&arch));
        let journal = self.0.draft(actor)?.audit("update", "arch", name, changes).done();
        self.1.settle(self.0.store().update_arch(&arch, &journal).await, arch.revision)
    }

    /// Removes an architecture that nothing uses, and that has no subarchitectures.
    pub async fn delete(&self, actor: &Actor, id: ArchId) -> Result<(), Error> {
        actor.require_admin()?;
        let arch = self.load(id).await?;
        self.1.check(arch.revision)?;
        let changes = said(arch_described(&arch));
        let journal = self.0.draft(actor)?.audit("delete", "arch", &arch.name, changes).done();
        let deleted = self.0.store().delete_arch(id, self.1.seen(), &journal).await;
        let deleted = self.1.overtaken(deleted, arch.revision)?;
        self.0.removed(deleted, MachineReference::Arch(id)).await
    }

    /// All subarchitectures.
    pub async fn subarchs(&self, _actor: &Actor) -> Result<Vec<Subarch>, Error> {
        Ok(self.0.store().subarchs().await?)
    }

    /// One subarchitecture.
    pub async fn subarch(&self, _actor: &Actor, id: SubarchId) -> Result<Subarch, Error> {
        let found = self.0.store().subarch(id).await?;
        found.ok_or_else(|| Error::not_found("subarch", id))
    }

    /// Makes a subarchitecture.
    pub async fn create_subarch(
        &self,
        actor: &Actor,
        arch: ArchId,
        spec: SubarchSpec,
    ) -> Result<Subarch, Error> {
        actor.require_admin()?;
        check_name(&spec.name, 1, 64)?;
        self.check(&spec).await?;
        let SubarchSpec { name, description, bootloader, efi_boot } = spec;
        let subarch = Subarch { id: Id::NEW, revision: 0, arch, name, description, bootloader, efi_boot };
        let changes = said(self.described(&subarch).await?);
        let journal = self.0.draft(actor)?.audit("create", "subarch", &subarch.name, changes).done();
        Ok(self.0.store().insert_subarch(&subarch, &journal).await?)
    }

    /// Changes a subarchitecture, which stays with its architecture.
    pub async fn update_subarch(
        &self,
        actor: &Actor,
        id: SubarchId,
        arch: &str,
        spec: SubarchSpec,
    ) -> Result<Subarch, Error> {
        actor.require_admin()?;
        self.check(&spec).await?;
        let mut subarch = self.subarch(actor, id).await?;
        self.1.check(subarch.revision)?;
        if subarch.name != spec.name {
            check_name(&spec.name, 1, 64)?;
        }
        if self.by_name(actor, arch).await?.id != subarch.arch {
            return Err(Error::invalid("arch", "a subarchitecture stays with its architecture"));
        }
        let old = self.described(&subarch).await?;
        (subarch.name, subarch.description) = (spec.name, spec.description);
        (subarch.bootloader, subarch.efi_boot) = (spec.bootloader, spec.efi_boot);
        let changes = of(between(&old, &self.described(&subarch).await?), "arch", json!(arch));
        let journal = self.0.draft(actor)?.audit("update", "subarch", &subarch.name, changes).done();
        let updated = self.0.store().update_subarch(&subarch, &journal).await;
        let updated = self.1.settle(updated, subarch.revision)?;
        self.0.announce();
        Ok(updated)
    }

    /// Removes a subarchitecture that no machine uses.
    pub async fn delete_subarch(&self, actor: &Actor, id: SubarchId) -> Result<(), Error> {
        actor.require_admin()?;
        let subarch = self.subarch(actor, id).await?;
        self.1.check(subarch.revision)?;
        let changes = said(self.described(&subarch).await?);
        let journal = self.0.draft(actor)?.audit("delete", "subarch", &subarch.name, changes).done();
        let deleted = self.0.store().delete_subarch(id, self.1.seen(), &journal).await;
        let deleted = self.1.overtaken(deleted, subarch.revision)?;
        self.0.removed(deleted, MachineReference::Subarch(id)).await
    }

    async fn load(&self, id: ArchId) -> Result<Arch, Error> {
        let archs = self.0.store().archs().await?;
        archs.into_iter().find(|arch| arch.id == id).ok_or_else(|| Error::not_found("arch", id))
    }

    /// What the audit log says of a subarchitecture.
    async fn described(&self, subarch: &Subarch) -> Result<Value, Error> {
        Ok(json!({
            "name": subarch.name,
            "arch": self.0.arch_name(subarch.arch).await?,
            "description": subarch.description,
            "bootloader": self.0.image_name(subarch.bootloader).await?,
            "efiboot": subarch.efi_boot,
        }))
    }

    async fn check(&self, spec: &SubarchSpec) -> Result<(), Error> {
        check_text("description", &spec.description, 0, 1024)?;
        let Some(id) = spec.bootloader else { return Ok(()) };
        let image = self.0.store().image(id).await?.ok_or_else(|| Error::not_found("image", id))?;
        if image.kind == ImageKind::BootLoader {
            Ok(())
        } else {
            Err(Error::invalid("bootloader_id", format!("image {} is no bootloader", image.name)))
        }
    }
}

/// What the audit log says of an architecture.
fn arch_described(arch: &Arch) -> Value {
    json!({"name": arch.name, "description": arch.description})
}
