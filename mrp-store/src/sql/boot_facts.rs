//! A machine, what it boots with, for whom, and who holds it: of many tables, in one go.

use mrp_core::image::ImageId;
use mrp_core::machine::MachineId;
use mrp_core::store::{BootFacts, Held, StoreResult};

use super::statement::{next, together};
use super::{SqlStore, answer_files, assignments, images, interfaces, machines, runs, sql, users};

/// Each has the machine's id as its one parameter.
const MACHINE: &str = "SELECT * FROM machines WHERE id = $1";
const HOLDERS: &str =
    "SELECT u.* FROM assignments a JOIN users u ON u.id = a.user_id WHERE a.machine_id = $1 ORDER BY a.id";
const IMAGES: &str = "SELECT * FROM images WHERE id = (SELECT kernel_id FROM machines WHERE id = $1) OR id = (SELECT initrd_id FROM machines WHERE id = $1)";
const ANSWER_FILE: &str =
    "SELECT * FROM answer_files WHERE id = (SELECT answer_file_id FROM machines WHERE id = $1)";

impl SqlStore {
    pub(super) async fn held_of(&self, id: MachineId) -> StoreResult<Option<Held>> {
        let [machine, assignments] = [MACHINE, assignments::OF_MACHINE].map(|text| sql(text).bind(id.get()));
        let mut outcomes = together(&self.read, vec![machine, runs::active(id), assignments]).await?;
        let Some(machine) = next(&mut outcomes, machines::machine)?.pop() else { return Ok(None) };
        let run = next(&mut outcomes, runs::run)?.pop();
        let assignments = next(&mut outcomes, assignments::assignment)?;
        Ok(Some(Held { machine, run, assignments }))
    }

    pub(super) async fn facts_of(&self, id: MachineId) -> StoreResult<Option<BootFacts>> {
        let [machine, holders, images, answer_file] =
            [MACHINE, HOLDERS, IMAGES, ANSWER_FILE].map(|text| sql(text).bind(id.get()));
        let queries = vec![machine, runs::active(id), interfaces::views(id), holders, images, answer_file];
        let mut outcomes = together(&self.read, queries).await?;
        let Some(machine) = next(&mut outcomes, machines::machine)?.pop() else { return Ok(None) };
        let run = next(&mut outcomes, runs::run)?.pop();
        let interfaces = next(&mut outcomes, interfaces::view)?;
        let holders = next(&mut outcomes, users::user)?;
        let images = next(&mut outcomes, images::image)?;
        let answer_file = next(&mut outcomes, answer_files::answer_file)?.pop();
        let image = |id: Option<ImageId>| images.iter().find(|image| Some(image.id) == id).cloned();
        let (kernel, initrd) = (image(machine.kernel), image(machine.initrd));
        Ok(Some(BootFacts { machine, run, interfaces, holders, kernel, initrd, answer_file }))
    }
}
