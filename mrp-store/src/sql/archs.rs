//! Architectures and subarchitectures.

use async_trait::async_trait;
use mrp_core::arch::{Arch, ArchId, Subarch, SubarchId};
use mrp_core::event::Journal;
use mrp_core::store::{ArchStore, Seen, StoreError, StoreResult};

use super::rows::{get, id, maybe_id};
use super::{Row, SqlStore, all, commit, deleted_as_seen, failed, inserted, one, sql, updated};

fn arch(row: &Row) -> StoreResult<Arch> {
    Ok(Arch {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        name: get(row, "name")?,
        description: get(row, "description")?,
    })
}

fn subarch(row: &Row) -> StoreResult<Subarch> {
    Ok(Subarch {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        arch: id(row, "arch_id")?,
        name: get(row, "name")?,
        description: get(row, "description")?,
        bootloader: maybe_id(row, "bootloader_id")?,
        efi_boot: get(row, "efi_boot")?,
    })
}

#[async_trait]
impl ArchStore for SqlStore {
    async fn archs(&self) -> StoreResult<Vec<Arch>> {
        all(sql("SELECT * FROM archs ORDER BY id").fetch_all(&self.read).await, arch)
    }

    async fn arch_by_name(&self, name: &str) -> StoreResult<Option<Arch>> {
        one(sql("SELECT * FROM archs WHERE name = $1").bind(name).fetch_optional(&self.read).await, arch)
    }

    async fn subarch(&self, id: SubarchId) -> StoreResult<Option<Subarch>> {
        one(
            sql("SELECT * FROM subarchs WHERE id = $1").bind(id.get()).fetch_optional(&self.read).await,
            subarch,
        )
    }

    async fn subarch_by_name(&self, arch: ArchId, name: &str) -> StoreResult<Option<Subarch>> {
        let query =
            sql("SELECT * FROM subarchs WHERE arch_id = $1 AND name = $2").bind(arch.get()).bind(name);
        one(query.fetch_optional(&self.read).await, subarch)
    }

    async fn subarchs(&self) -> StoreResult<Vec<Subarch>> {
        all(sql("SELECT * FROM subarchs ORDER BY id").fetch_all(&self.read).await, subarch)
    }

    async fn insert_arch(&self, arch: &Arch, journal: &Journal) -> StoreResult<Arch> {
        let mut tx = self.begin().await?;
        let query = sql("INSERT INTO archs (revision, name, description) VALUES (1, $1, $2) RETURNING id");
        let id = inserted(&mut tx, query.bind(&arch.name).bind(&arch.description)).await?;
        commit(tx, journal).await?;
        Ok(Arch { id, revision: 1, ..arch.clone() })
    }

    async fn update_arch(&self, arch: &Arch, journal: &Journal) -> StoreResult<Arch> {
        let mut tx = self.begin().await?;
        let query = sql(
            "UPDATE archs SET revision = revision + 1, name = $3, description = $4 WHERE id = $1 AND revision = $2",
        );
        let query = query.bind(arch.id.get()).bind(arch.revision).bind(&arch.name).bind(&arch.description);
        updated(&mut tx, query, "SELECT id FROM archs WHERE id = $1", arch.id.get()).await?;
        commit(tx, journal).await?;
        Ok(Arch { revision: arch.revision + 1, ..arch.clone() })
    }

    async fn delete_arch(&self, id: ArchId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        // Their rows would go with the architecture's.
        let query = sql("SELECT id FROM subarchs WHERE arch_id = $1").bind(id.get());
        if query.fetch_optional(&mut tx).await.map_err(failed)?.is_some() {
            return Err(StoreError::InUse { what: "subarchitectures".into() });
        }
        deleted_as_seen(&mut tx, "archs", id.get(), seen, "machines or images").await?;
        commit(tx, journal).await
    }

    async fn insert_subarch(&self, subarch: &Subarch, journal: &Journal) -> StoreResult<Subarch> {
        let mut tx = self.begin().await?;
        let query = sql(
            "INSERT INTO subarchs (revision, arch_id, name, description, bootloader_id, efi_boot) VALUES (1, $1, $2, $3, $4, $5) RETURNING id",
        );
        let query = query.bind(subarch.arch.get()).bind(&subarch.name).bind(&subarch.description);
        let query = query.bind(subarch.bootloader.map(|id| id.get())).bind(subarch.efi_boot);
        let id = inserted(&mut tx, query).await?;
        commit(tx, journal).await?;
        Ok(Subarch { id, revision: 1, ..subarch.clone() })
    }

    async fn update_subarch(&self, subarch: &Subarch, journal: &Journal) -> StoreResult<Subarch> {
        let mut tx = self.begin().await?;
        let query = sql(
            "UPDATE subarchs SET revision = revision + 1, name = $3, description = $4, bootloader_id = $5, efi_boot = $6 WHERE id = $1 AND revision = $2",
        );
        let query = query.bind(subarch.id.get()).bind(subarch.revision).bind(&subarch.name);
        let query = query.bind(&subarch.description).bind(subarch.bootloader.map(|id| id.get()));
        let query = query.bind(subarch.efi_boot);
        updated(&mut tx, query, "SELECT id FROM subarchs WHERE id = $1", subarch.id.get()).await?;
        commit(tx, journal).await?;
        Ok(Subarch { revision: subarch.revision + 1, ..subarch.clone() })
    }

    async fn delete_subarch(&self, id: SubarchId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        deleted_as_seen(&mut tx, "subarchs", id.get(), seen, "machines").await?;
        commit(tx, journal).await
    }
}
