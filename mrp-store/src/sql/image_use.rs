//! What uses an image, and putting another in its place.

use mrp_core::event::Journal;
use mrp_core::image::{ImageId, ImageUse, MachineUse, SubarchUse};
use mrp_core::store::StoreResult;

use super::rows::{get, id};
use super::{SqlStore, all, commit, sql, updated};

impl SqlStore {
    pub(super) async fn users_of(&self, image: ImageId) -> StoreResult<ImageUse> {
        let query = sql(
            "SELECT id, revision, name, COALESCE(kernel_id = $1, FALSE) AS kernel, COALESCE(initrd_id = $1, FALSE) AS initrd FROM machines WHERE kernel_id = $1 OR initrd_id = $1 ORDER BY id",
        );
        let machines = all(query.bind(image.get()).fetch_all(&self.read).await, |row| {
            Ok(MachineUse {
                id: id(row, "id")?,
                revision: get(row, "revision")?,
                name: get(row, "name")?,
                kernel: get(row, "kernel")?,
                initrd: get(row, "initrd")?,
            })
        })?;
        let query = sql(
            "SELECT subarchs.id AS id, subarchs.revision AS revision, archs.name || '/' || subarchs.name AS name FROM subarchs JOIN archs ON archs.id = subarchs.arch_id WHERE bootloader_id = $1 ORDER BY subarchs.id",
        );
        let subarchs = all(query.bind(image.get()).fetch_all(&self.read).await, |row| {
            Ok(SubarchUse { id: id(row, "id")?, revision: get(row, "revision")?, name: get(row, "name")? })
        })?;
        Ok(ImageUse { machines, subarchs })
    }

    pub(super) async fn put_in_place(
        &self,
        old: ImageId,
        new: ImageId,
        users: &ImageUse,
        journal: &Journal,
    ) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        for machine in &users.machines {
            let query = sql(
                "UPDATE machines SET revision = revision + 1, kernel_id = CASE WHEN kernel_id = $3 THEN $4 ELSE kernel_id END, initrd_id = CASE WHEN initrd_id = $3 THEN $4 ELSE initrd_id END WHERE id = $1 AND revision = $2",
            );
            let query = query.bind(machine.id.get()).bind(machine.revision).bind(old.get()).bind(new.get());
            updated(&mut tx, query, "SELECT id FROM machines WHERE id = $1", machine.id.get()).await?;
        }
        for subarch in &users.subarchs {
            let query = sql(
                "UPDATE subarchs SET revision = revision + 1, bootloader_id = CASE WHEN bootloader_id = $3 THEN $4 ELSE bootloader_id END WHERE id = $1 AND revision = $2",
            );
            let query = query.bind(subarch.id.get()).bind(subarch.revision).bind(old.get()).bind(new.get());
            updated(&mut tx, query, "SELECT id FROM subarchs WHERE id = $1", subarch.id.get()).await?;
        }
        commit(tx, journal).await
    }
}
