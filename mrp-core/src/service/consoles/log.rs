//! Reading a console's record: a part of it by time or run, whole or those lines that have a text.

use crate::actor::Actor;
use crate::console::{Frame, FrameContent, RecordPage, RecordPlace};
use crate::error::Error;
use crate::id::Timestamp;
use crate::machine::MachineId;
use crate::peer::{PeerAct, PeerAnswer, record};
use crate::run::RunId;
use crate::service::Provisioner;
use crate::service::machines::not_held;
use crate::store::RunFilter;

use super::Consoles;

/// The longest line that is searched; a longer one is searched in parts.
const LINE: usize = 16 * 1024;

/// Which part of a console's record is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Only what came then or later.
    pub since: Option<Timestamp>,
    /// Only what came before.
    pub until: Option<Timestamp>,
    /// Only what came during this run of the machine.
    pub run: Option<RunId>,
    /// Only lines that have this text in them, whatever its case.
    pub text: Option<String>,
}

/// A part of a console's record, read piece by piece.
#[derive(Debug)]
pub struct ConsoleLog {
    service: Provisioner,
    actor: Actor,
    machine: MachineId,
    since: Timestamp,
    until: Option<Timestamp>,
    place: Option<RecordPlace>,
    search: Option<Search>,
    /// The machine's runs, the newest first, and when each began and ended.
    runs: Vec<(RunId, Timestamp, Option<Timestamp>)>,
}

impl Consoles<'_> {
    /// A machine's console as it was recorded: holders since they have the machine, and admins.
    pub async fn log(
        &self,
        actor: &Actor,
        machine: MachineId,
        filter: LogFilter,
    ) -> Result<ConsoleLog, Error> {
        self.0.load_machine(machine).await?;
        let (mut since, mut until) = (self.0.console_since(actor, machine).await?, filter.until);
        since = since.max(filter.since.unwrap_or_default());
        if let Some(id) = filter.run {
            let run = self.0.store().run(id).await?.filter(|run| run.machine == machine);
            let run = run.ok_or_else(|| Error::not_found("run", id))?;
            since = since.max(run.started);
            // The end itself belongs to the run.
            let end = run.ended.map(|ended| Timestamp(ended.0.saturating_add(1)));
            until = [until, end].into_iter().flatten().min();
        }
        let search = filter.text.filter(|text| !text.is_empty()).map(Search::new);
        let (service, actor) = (self.0.clone(), actor.clone());
        let place = Some(RecordPlace::at(since));
        let filter = RunFilter { machine: Some(machine), ..RunFilter::default() };
        let runs = service.store().runs(&filter).await?.into_iter();
        let runs = runs.map(|run| (run.id, run.started, run.ended)).collect();
        Ok(ConsoleLog { service, actor, machine, since, until, place, search, runs })
    }
}

impl Provisioner {
    /// A page of the record of a machine's console, from the server that drives its BMC.
    async fn record_page(&self, machine: MachineId, place: RecordPlace) -> Result<RecordPage, Error> {
        if self.is_clustered() {
            let row = self.load_machine(machine).await?;
            let RecordPlace { segment, offset } = place;
            let act = PeerAct::ReadConsole { machine, segment, offset };
            if let Some(answer) = self.pass_on(row.bmc, &act).await? {
                let page = match &answer {
                    PeerAnswer::Record { sealed } => record::open(&self.0.key, machine, sealed),
                    _ => None,
                };
                return page.ok_or_else(|| Error::Internal("a peer's answer is no record".into()));
            }
        }
        Ok(self.0.console_record.read(machine, place).await?)
    }
}

impl ConsoleLog {
    /// The machine's run at a time: a console's record has times alone, and the runs have theirs.
    pub fn run_at(&self, at: Timestamp) -> Option<RunId> {
        let during =
            |began: Timestamp, ended: Option<Timestamp>| began <= at && ended.is_none_or(|ended| at <= ended);
        self.runs.iter().find(|(_, began, ended)| during(*began, *ended)).map(|(run, ..)| *run)
    }

    /// The next frames; `None` at the end. With a text, a frame is a line without its end. Whoever loses the machine
    /// meanwhile is refused.
    pub async fn next(&mut self) -> Result<Option<Vec<Frame>>, Error> {
        let Some(place) = self.place else { return Ok(None) };
        if self.service.console_since(&self.actor, self.machine).await? > self.since {
            return Err(not_held());
        }
        let page = self.service.record_page(self.machine, place).await?;
        self.place = page.next;
        let is_over = |frame: &Frame| self.until.is_some_and(|until| frame.at >= until);
        if page.frames.last().is_some_and(is_over) {
            self.place = None;
        }
        let mut frames = page.frames;
        frames.retain(|frame| frame.at >= self.since && !is_over(frame));
        let Some(search) = &mut self.search else { return Ok(Some(frames)) };
        let mut found: Vec<Frame> = frames.iter().flat_map(|frame| search.push(frame)).collect();
        if self.place.is_none() {
            found.extend(search.finish());
        }
        Ok(Some(found))
    }
}

/// Cuts output into lines, and finds those with a text.
#[derive(Debug)]
struct Search {
    wanted: Vec<u8>,
    line: Vec<u8>,
    /// When the line began.
    began: Timestamp,
}

impl Search {
    fn new(text: String) -> Self {
        Self { wanted: text.to_ascii_lowercase().into_bytes(), line: Vec::new(), began: Timestamp::default() }
    }

    fn push(&mut self, frame: &Frame) -> Vec<Frame> {
        let bytes = match &frame.content {
            FrameContent::Output(bytes) => bytes,
            FrameContent::Mark(text) => {
                return if self.has(text.as_bytes()) { vec![frame.clone()] } else { Vec::new() };
            }
            FrameContent::Typed(_) => return Vec::new(),
        };
        let mut found = Vec::new();
        for &byte in bytes {
            if self.line.is_empty() {
                self.began = frame.at;
            }
            if byte == b'\n' || self.line.len() >= LINE {
                found.extend(self.finish());
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
        found
    }

    /// The line that has come so far, if it is one that is wanted.
    fn finish(&mut self) -> Option<Frame> {
        let mut line = std::mem::take(&mut self.line);
        while line.last() == Some(&b'\r') {
            line.pop();
        }
        let content = FrameContent::Output(line.into());
        let FrameContent::Output(line) = &content else { return None };
        self.has(line).then(|| Frame { at: self.began, content })
    }

    fn has(&self, line: &[u8]) -> bool {
        let line = line.to_ascii_lowercase();
        line.windows(self.wanted.len()).any(|window| window == self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_wherever_the_frames_end() {
        let text = b"one\r\nTwo login: x\r\nlast LOGIN";
        for size in [1, 3, 100] {
            let mut search = Search::new("login".into());
            let mut found = Vec::new();
            for (at, chunk) in text.chunks(size).enumerate() {
                let content = FrameContent::Output(chunk.to_vec().into());
                found.extend(search.push(&Frame { at: Timestamp(at as i64), content }));
            }
            found.extend(search.finish());
            let lines: Vec<_> = found.iter().map(|frame| frame.content.clone()).collect();
            let line = |text: &'static [u8]| FrameContent::Output(text.into());
            assert_eq!(lines, [line(b"Two login: x"), line(b"last LOGIN")], "chunks of {size}");
            assert_eq!(found[0].at, Timestamp((5 / size) as i64));
        }
    }
}
