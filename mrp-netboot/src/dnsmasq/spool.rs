//! Keeps lease reports while mrp is away: a file a report, bounded in number.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ScriptEvent;

/// Reports kept; more are not of use, since each lease needs its newest one only.
const MAX_REPORTS: usize = 10_000;

/// How long mrp is left alone after it did not answer: dnsmasq runs one script at a time, and a server that hangs would hold up
/// each of them.
const REST: Duration = Duration::from_secs(5);

/// A folder of lease reports. Several processes may use it at once.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
    max: usize,
}

/// A report in the spool, held until it is removed.
#[derive(Debug)]
pub struct Spooled {
    /// The report.
    pub event: ScriptEvent,
    path: PathBuf,
}

impl Spooled {
    /// Forgets the report, which has arrived.
    pub fn remove(self) -> io::Result<()> {
        ignore_missing(fs::remove_file(self.path))
    }
}

impl Spool {
    /// Uses a folder, which is made when it is needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), max: MAX_REPORTS }
    }

    /// The same with another bound.
    #[must_use]
    pub fn with_max(self, max: usize) -> Self {
        Self { max, ..self }
    }

    /// Keeps a report. The oldest ones are dropped where there are too many.
    pub fn append(&self, event: &ScriptEvent) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let _lock = self.lock()?;
        let files = self.files()?;
        let next = files.last().and_then(|path| number(path)).map_or(0, |last| last + 1);
        let surplus = (files.len() + 1).saturating_sub(self.max);
        for path in files.iter().take(surplus) {
            ignore_missing(fs::remove_file(path))?;
        }
        let mut file = tempfile::Builder::new().prefix(".report-").tempfile_in(&self.folder)?;
        file.write_all(&serde_json::to_vec(event)?)?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join(format!("{next:020}.json")))?;
        Ok(())
    }

    /// The reports kept, the oldest first. Files that are no reports are removed.
    pub fn reports(&self) -> io::Result<Vec<Spooled>> {
        let mut reports = Vec::new();
        for path in self.files()? {
            match fs::read(&path).map(|text| serde_json::from_slice(&text)) {
                Ok(Ok(event)) => reports.push(Spooled { event, path }),
                Ok(Err(_)) => ignore_missing(fs::remove_file(&path))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reports)
    }

    /// Hands each report over, the oldest first, and forgets it; ends at the first that cannot be handed over, which is
    /// kept. Answers how many went.
    pub fn drain<E: From<io::Error>>(
        &self,
        mut post: impl FnMut(&ScriptEvent) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut sent = 0;
        for report in self.reports()? {
            post(&report.event)?;
            report.remove()?;
            sent += 1;
        }
        Ok(sent)
    }

    /// Notes that mrp did not answer.
    pub fn rest(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        fs::write(self.rest_mark(), "1")
    }

    /// True for some seconds after mrp did not answer.
    pub fn rests(&self) -> bool {
        let noted = fs::metadata(self.rest_mark()).and_then(|mark| mark.modified());
        // A mark of the future is one of before the clock was set back.
        noted.is_ok_and(|noted| noted.elapsed().is_ok_and(|since| since < REST))
    }

    fn rest_mark(&self) -> PathBuf {
        self.folder.join(".rest")
    }

    fn lock(&self) -> io::Result<File> {
        let lock = File::create(self.folder.join(".lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut paths: Vec<PathBuf> = paths?.into_iter().filter(|path| number(path).is_some()).collect();
        paths.sort();
        Ok(paths)
    }
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
