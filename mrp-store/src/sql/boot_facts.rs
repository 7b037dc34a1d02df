//! What a machine boots with, and for whom: of many tables, in one go.

use mrp_core::id::Id;
use mrp_core::image::ImageId;
use mrp_core::machine::Machine;
use mrp_core::store::{BootFacts, StoreResult};

use super::statement::{next, together};
use super::{SqlStore, answer_files, images, interfaces, sql, users};

impl SqlStore {
    pub(super) async fn facts_of(&self, machine: &Machine) -> StoreResult<BootFacts> {
        let holders = sql(
            "SELECT u.* FROM assignments a JOIN users u ON u.id = a.user_id WHERE a.machine_id = $1 ORDER BY a.id",
        );
        let (kernel, initrd) = (machine.kernel.map(Id::get), machine.initrd.map(Id::get));
        let queries = vec![
            interfaces::views(machine.id),
            holders.bind(machine.id.get()),
            sql("SELECT * FROM images WHERE id = $1 OR id = $2").bind(kernel).bind(initrd),
            sql("SELECT * FROM answer_files WHERE id = $1").bind(machine.answer_file.map(Id::get)),
        ];
        let mut outcomes = together(&self.read, queries).await?;
        let interfaces = next(&mut outcomes, interfaces::view)?;
        let holders = next(&mut outcomes, users::user)?;
        let images = next(&mut outcomes, images::image)?;
        let answer_file = next(&mut outcomes, answer_files::answer_file)?.pop();
        let image = |id: Option<ImageId>| images.iter().find(|image| Some(image.id) == id).cloned();
        let (kernel, initrd) = (image(machine.kernel), image(machine.initrd));
        Ok(BootFacts { interfaces, holders, kernel, initrd, answer_file })
    }
}
