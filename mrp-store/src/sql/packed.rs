//! Lists of machines, however long, as one text out of the database.
//!
//! sqlx copies each value of each row of SQLite by itself and hands the rows over from thread to thread: that costs several
//! times what the database does to find them. So it writes a whole list as one text, columns and rows kept apart by
//! control characters, which no text of ours has in it (`mrp_core::machine::check_text`).

use std::collections::HashMap;
use std::str::{FromStr, Split};

use mrp_core::id::Id;
use mrp_core::machine::{Machine, MachineView};
use mrp_core::store::StoreResult;

use super::Row;
use super::machines::read_netboot;
use super::query::Value;
use super::rows::{damaged, get, known_word};

/// Between columns.
const COLUMN: char = '\u{1f}';
/// Between rows.
const ROW: char = '\u{1e}';

/// Names by id, and machines `m` as far as what follows says: a condition, an order, a limit, then [`END`].
pub(super) const MACHINES: &str = "SELECT (SELECT string_agg(format($1, id, name), $2) FROM archs) AS archs, (SELECT string_agg(format($1, id, name), $2) FROM subarchs) AS subarchs, (SELECT string_agg(line, $2) FROM (SELECT format($3, m.id, m.revision, m.name, m.arch_id, m.subarch_id, m.bmc_id, m.bmc_info, m.kernel_id, m.initrd_id, COALESCE('=' || m.kernel_options, ''), m.answer_file_id, m.netboot, m.netboot_run_id, m.boot_epoch, m.state) AS line FROM machines m WHERE ";
/// See [`MACHINES`].
pub(super) const END: &str = ") AS chosen) AS machines";
/// Columns of a machine.
const COLUMNS: usize = 15;

/// The values of the parameters in [`MACHINES`].
pub(super) fn parameters() -> Vec<Value<'static>> {
    let format = |columns: usize| vec!["%s"; columns].join(&COLUMN.to_string());
    vec![format(2).into(), ROW.to_string().into(), format(COLUMNS).into()]
}

/// The machines of the row that [`MACHINES`] gives, sorted by id.
pub(super) fn views(row: &Row) -> StoreResult<Vec<MachineView>> {
    let (archs, subarchs) = (names(row, "archs")?, names(row, "subarchs")?);
    let lines = lines(row, "machines")?;
    let mut views = Vec::with_capacity(lines.clone().count());
    for mut line in lines.map(Columns::of) {
        let machine = line.machine()?;
        let arch = archs.get(&machine.arch.get()).ok_or_else(|| damaged("arch_id"))?.to_string();
        let subarch = match machine.subarch {
            Some(id) => Some(subarchs.get(&id.get()).ok_or_else(|| damaged("subarch_id"))?.to_string()),
            None => None,
        };
        views.push(MachineView { machine, arch, subarch });
    }
    // They are, but nothing in SQL says that what joins a list keeps its order.
    views.sort_by_key(|view| view.machine.id);
    Ok(views)
}

fn lines<'r>(
    row: &'r Row,
    column: &'static str,
) -> StoreResult<impl Iterator<Item = &'r str> + Clone + use<'r>> {
    let text: Option<&str> = get(row, column)?;
    Ok(text.into_iter().flat_map(|text| text.split(ROW)))
}

fn names<'r>(row: &'r Row, column: &'static str) -> StoreResult<HashMap<i64, &'r str>> {
    let lines = lines(row, column)?.map(Columns::of);
    lines.map(|mut line| Ok((line.number("id")?, line.text("name")?))).collect()
}

/// The columns of a row, from left to right.
struct Columns<'r>(Split<'r, char>);

impl<'r> Columns<'r> {
    fn of(line: &'r str) -> Self {
        Self(line.split(COLUMN))
    }

    fn text(&mut self, column: &'static str) -> StoreResult<&'r str> {
        self.0.next().ok_or_else(|| damaged(column))
    }

    fn number<T: FromStr>(&mut self, column: &'static str) -> StoreResult<T> {
        self.text(column)?.parse().map_err(|_| damaged(column))
    }

    fn id<T>(&mut self, column: &'static str) -> StoreResult<Id<T>> {
        self.number(column).map(Id::new)
    }

    fn maybe_id<T>(&mut self, column: &'static str) -> StoreResult<Option<Id<T>>> {
        match self.text(column)? {
            "" => Ok(None),
            number => number.parse().map(|id| Some(Id::new(id))).map_err(|_| damaged(column)),
        }
    }

    fn machine(&mut self) -> StoreResult<Machine> {
        let machine = Machine {
            id: self.id("id")?,
            revision: self.number("revision")?,
            name: self.text("name")?.to_owned(),
            arch: self.id("arch_id")?,
            subarch: self.maybe_id("subarch_id")?,
            bmc: self.maybe_id("bmc_id")?,
            bmc_info: self.text("bmc_info")?.to_owned(),
            kernel: self.maybe_id("kernel_id")?,
            initrd: self.maybe_id("initrd_id")?,
            kernel_options: self.text("kernel_options")?.strip_prefix('=').map(str::to_owned),
            answer_file: self.maybe_id("answer_file_id")?,
            netboot: read_netboot(self.text("netboot")?, self.maybe_id("netboot_run_id")?)?,
            boot_epoch: self.number("boot_epoch")?,
            state: known_word(self.text("state")?, "state")?,
        };
        if self.0.next().is_some() { Err(damaged("name")) } else { Ok(machine) }
    }
}
