//! An import in the making: rows find their place, values that do not fit are fitted, and every step is noted.

use std::collections::{HashMap, HashSet};

use crate::event::NewEvent;
use crate::import::{ImportBatch, ImportNote, ImportReport, Imported, Legacy, Noun, TableReport};
use crate::service::Provisioner;
use crate::service::import::object::Object;
use crate::service::import::state::State;
use crate::service::import::{Content, Contents};

/// Decides what an import writes; writes nothing itself.
pub(super) struct Plan<'a> {
    pub(super) service: &'a Provisioner,
    pub(super) legacy: &'a Legacy,
    pub(super) state: &'a State,
    contents: &'a Contents,
    pub(super) batch: ImportBatch,
    pub(super) events: Vec<NewEvent>,
    tables: HashMap<Noun, TableReport>,
    notes: Vec<ImportNote>,
    /// mrp's ids by those of mr-provisioner.
    ids: HashMap<(Noun, i64), i64>,
    /// Unique values of rows that are to be written.
    planned: HashMap<(Noun, String), i64>,
    taken: HashSet<(Noun, i64)>,
    last: HashMap<Noun, i64>,
}

/// Where a row is being looked at, for notes.
#[derive(Debug, Clone, Copy)]
pub(super) struct At(pub(super) Noun, pub(super) i64);

impl<'a> Plan<'a> {
    pub(super) fn make(
        service: &'a Provisioner,
        legacy: &'a Legacy,
        state: &'a State,
        contents: &'a Contents,
    ) -> Self {
        let mut plan = Self {
            service,
            legacy,
            state,
            contents,
            batch: ImportBatch::default(),
            events: Vec::new(),
            tables: HashMap::new(),
            notes: Vec::new(),
            ids: HashMap::new(),
            planned: HashMap::new(),
            taken: HashSet::new(),
            last: HashMap::new(),
        };
        plan.people();
        plan.archs_and_images();
        plan.subarchs_and_answer_files();
        plan.bmcs();
        plan.networks();
        plan.machines();
        plan.interfaces();
        plan.assignments();
        plan.leases();
        plan.discovered();
        plan.machine_events();
        plan.gone();
        for (table, rows) in &legacy.others {
            let reason = format!("{rows} rows of a table that mrp has nothing for");
            plan.notes.push(note(table, None, "", reason, NOT_BROUGHT));
        }
        plan
    }

    pub(super) fn report(mut self, dry_run: bool) -> ImportReport {
        let tables = Noun::ALL.into_iter().map(|noun| {
            let table = self.tables.remove(&noun).unwrap_or_default();
            TableReport { table: noun.table().into(), found: self.legacy.ids(noun).len() as u64, ..table }
        });
        let tables = tables.collect();
        ImportReport { dry_run, tables, notes: self.notes }
    }

    pub(super) fn count(&mut self, noun: Noun) -> &mut TableReport {
        self.tables.entry(noun).or_default()
    }

    /// Notes what did not fit, and what was done about it.
    pub(super) fn note(&mut self, at: At, field: &str, reason: impl Into<String>, done: impl Into<String>) {
        self.notes.push(note(at.0.table(), Some(at.1), field, reason, done));
    }

    /// Notes what did not fit of several rows.
    pub(super) fn note_many(&mut self, noun: Noun, field: &str, reason: String, done: &str) {
        self.notes.push(note(noun.table(), None, field, reason, done));
    }

    /// Leaves a row out.
    pub(super) fn leave_out(&mut self, at: At, field: &str, reason: impl Into<String>) {
        self.count(at.0).left_out += 1;
        self.note(at, field, reason, NOT_BROUGHT);
    }

    /// The content of a new image.
    pub(super) fn content(&self, image: i64) -> Option<&'a Content> {
        self.contents.get(&image)
    }

    /// mrp's id of a row, if it is there.
    pub(super) fn id(&self, noun: Noun, source: i64) -> Option<i64> {
        self.ids.get(&(noun, source)).copied()
    }

    /// A reference that may be missing; one that leads nowhere is noted and cleared.
    pub(super) fn reference(&mut self, at: At, field: &str, noun: Noun, source: Option<i64>) -> Option<i64> {
        let source = source?;
        let id = self.id(noun, source);
        if id.is_none() {
            let reason = format!("{} {source} is not in mrp", noun.table());
            self.note(at, field, reason, "cleared");
        }
        id
    }

    /// A reference without which a row cannot be; the row is left out.
    pub(super) fn needed(&mut self, at: At, field: &str, noun: Noun, source: Option<i64>) -> Option<i64> {
        let id = source.and_then(|source| self.id(noun, source));
        if id.is_none() {
            let reason = match source {
                Some(source) => format!("{} {source} is not in mrp", noun.table()),
                None => format!("belongs to no {}", noun.table()),
            };
            self.leave_out(at, field, reason);
        }
        id
    }

    /// Text within a length and without control characters.
    pub(super) fn text(&mut self, at: At, field: &str, text: &str, max: usize) -> String {
        let mut fitted: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if fitted != text {
            self.note(at, field, "has control characters", "made spaces");
        }
        let length = fitted.chars().count();
        if length > max {
            fitted = fitted.chars().take(max).collect();
            let reason = format!("{length} characters; {max} are allowed");
            self.note(at, field, reason, format!("cut after {max} characters"));
        }
        fitted
    }

    /// The same for a name: one that has to change gets the row's id at its end, so that it stays unique.
    pub(super) fn name(&mut self, at: At, field: &str, name: &str, min: usize, max: usize) -> String {
        let length = name.chars().count();
        let reason = if name.contains(char::is_control) {
            "has control characters".to_owned()
        } else if !(min..=max).contains(&length) {
            format!("{length} characters; {min} to {max} are allowed")
        } else {
            return name.to_owned();
        };
        let suffix = format!("-{}", at.1);
        let kept = name.chars().map(|c| if c.is_control() { '-' } else { c });
        let kept: String = kept.take(max - suffix.len()).collect();
        let renamed = kept + &suffix;
        self.note(at, field, reason, format!("renamed to {renamed}"));
        renamed
    }

    /// Finds the place of a row, and tells mrp's id. `None` if it is left out.
    pub(super) fn settle<T: Object>(&mut self, source: i64, wanted: T) -> Option<i64> {
        let at = At(T::NOUN, source);
        let id = match self.state.mark(T::NOUN, source) {
            Some(mark) => self.again(at, mark, wanted),
            None => self.first(at, wanted),
        }?;
        self.ids.insert((T::NOUN, source), id);
        Some(id)
    }

    /// A row that an earlier import has brought.
    fn again<T: Object>(&mut self, at: At, mark: Imported, mut wanted: T) -> Option<i64> {
        let Some(ours) = self.state.find::<T>(mark.id) else {
            self.count(T::NOUN).kept += 1;
            self.note(at, "", "removed in mrp since the last import", "not brought again");
            return None;
        };
        wanted.place(ours.id(), ours.revision());
        wanted.adopt(ours);
        let differences = wanted.differences(ours);
        if differences.is_empty() {
            self.count(T::NOUN).unchanged += 1;
            return Some(mark.id);
        }
        let fields = differences.join(", ");
        if ours.revision() != mark.revision {
            self.count(T::NOUN).kept += 1;
            self.note(at, &fields, "changed in mrp since the last import", "mrp's values are kept");
            return Some(mark.id);
        }
        let keys = wanted.keys();
        let taken = self.planned(T::NOUN, &keys).is_some()
            || self.state.holder(T::NOUN, &keys).is_some_and(|holder| holder != mark.id);
        if taken {
            self.count(T::NOUN).kept += 1;
            self.note(at, &fields, "another row of mrp has this unique value", "mrp's values are kept");
            return Some(mark.id);
        }
        self.count(T::NOUN).updated += 1;
        self.write(at, mark.id, mark.revision + 1, wanted);
        Some(mark.id)
    }

    /// A row that no import has brought yet.
    fn first<T: Object>(&mut self, at: At, mut wanted: T) -> Option<i64> {
        let keys = wanted.keys();
        if let Some(other) = self.planned(T::NOUN, &keys) {
            self.leave_out(at, "", format!("row {other} is the same object"));
            return None;
        }
        if let Some(holder) = self.state.holder(T::NOUN, &keys) {
            if self.state.was_brought(T::NOUN, holder) {
                self.leave_out(
                    at,
                    "",
                    format!("is the same object as {holder} in mrp, which an import brought"),
                );
                return None;
            }
            self.count(T::NOUN).kept += 1;
            self.note(at, "", format!("is in mrp already, as {holder}"), "mrp's is kept and stands for it");
            return Some(holder);
        }
        let id = self.place::<T>(at);
        wanted.place(id, 0);
        self.count(T::NOUN).brought += 1;
        self.write(at, id, 1, wanted);
        Some(id)
    }

    fn planned(&self, noun: Noun, keys: &[String]) -> Option<i64> {
        keys.iter().find_map(|key| self.planned.get(&(noun, key.clone())).copied())
    }

    fn write<T: Object>(&mut self, at: At, id: i64, revision: i64, wanted: T) {
        self.planned.extend(wanted.keys().into_iter().map(|key| ((T::NOUN, key), at.1)));
        self.batch.rows.push(wanted.row());
        self.batch.marks.push(Imported { noun: T::NOUN, source: at.1, id, revision });
    }

    /// The id of a new row: mr-provisioner's, or the next above all where mrp has given that one away.
    fn place<T: Object>(&mut self, at: At) -> i64 {
        let taken = |plan: &Self, id: i64| {
            id < 1 || plan.state.find::<T>(id).is_some() || plan.taken.contains(&(T::NOUN, id))
        };
        let mut id = at.1;
        if taken(self, id) {
            let highest = self.last.get(&T::NOUN).copied().unwrap_or_else(|| self.highest::<T>());
            id = highest + 1;
            self.last.insert(T::NOUN, id);
            let reason = if at.1 < 1 { "is no id" } else { "another object of mrp has this id" };
            self.note(at, "id", reason, format!("brought as {id}"));
        }
        self.taken.insert((T::NOUN, id));
        id
    }

    /// The highest id on both sides.
    fn highest<T: Object>(&self) -> i64 {
        let here = T::here(self.state).last().map_or(0, T::id);
        let marked = self.state.marks().into_iter().filter(|mark| mark.noun == T::NOUN).map(|mark| mark.id);
        self.legacy.ids(T::NOUN).into_iter().chain(marked).fold(here, i64::max)
    }

    /// Notes what earlier imports have brought and mr-provisioner has no more.
    fn gone(&mut self) {
        for noun in Noun::ALL {
            let there: HashSet<i64> = self.legacy.ids(noun).into_iter().collect();
            let marks = self.state.marks().into_iter();
            for mark in marks.filter(|mark| mark.noun == noun && !there.contains(&mark.source)) {
                if self.state.has(noun, mark.id) {
                    let at = At(noun, mark.source);
                    self.note(at, "", "removed in mr-provisioner since the last import", "kept in mrp");
                }
            }
        }
    }
}

const NOT_BROUGHT: &str = "not brought";

fn note(
    table: &str,
    id: Option<i64>,
    field: &str,
    reason: impl Into<String>,
    done: impl Into<String>,
) -> ImportNote {
    ImportNote { table: table.into(), id, field: field.into(), reason: reason.into(), done: done.into() }
}
