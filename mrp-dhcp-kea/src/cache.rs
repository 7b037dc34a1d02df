//! The copy of the table on disk: read before Kea answers its first packet, replaced by rename.
//!
//! Lines: a title, the lines of a whole table as mrp sends them, and the SHA-256 of all that.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use mrp_core::api::kea::TableLine;
use sha2::{Digest, Sha256};

use crate::feed::{Feed, FeedError, Step};
use crate::table::Table;

/// Names the form of the file.
const TITLE: &str = "mrp-dhcp-table 1";
/// What comes before the check sum.
const SUM: &str = "sha256 ";

/// A copy on disk.
#[derive(Debug, Clone)]
pub struct Cache(PathBuf);

/// Why a copy is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// It is cut off, changed, or something else.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// Its lines are no table.
    #[error("it is damaged: {0}")]
    Lines(#[from] FeedError),
}

impl Cache {
    /// The copy in this file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The table in the file; `None` where there is no file.
    pub fn read(&self) -> Result<Option<Table>, CacheError> {
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CacheError::Read(error)),
        };
        let text = String::from_utf8(text).map_err(|_| CacheError::Damaged("it is no text"))?;
        parse(&text).map(Some)
    }

    /// Puts a table in the file's place, in one step.
    pub fn write(&self, table: &Table) -> io::Result<()> {
        let mut name = self.0.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = self.0.with_file_name(name);
        let mut file = File::create(&new)?;
        file.write_all(text(table).as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.0)
    }
}

fn text(table: &Table) -> String {
    let mut text = format!("{TITLE}\n");
    let clients = table.clients().map(TableLine::Client);
    let lines = std::iter::once(TableLine::Begin(table.head().clone())).chain(clients);
    for line in lines.chain([TableLine::Complete(table.len() as u64)]) {
        text.push_str(&serde_json::to_string(&line).expect("a line has text keys only"));
        text.push('\n');
    }
    let sum = hex::encode(Sha256::digest(text.as_bytes()));
    let _ = writeln!(text, "{SUM}{sum}");
    text
}

fn parse(text: &str) -> Result<Table, CacheError> {
    let damaged = CacheError::Damaged;
    let body = text.strip_suffix('\n').ok_or(damaged("it is cut off"))?;
    let (lines, sum) = body.rsplit_once('\n').ok_or(damaged("it is cut off"))?;
    let sum = sum.strip_prefix(SUM).ok_or(damaged("it is cut off"))?;
    if hex::encode(Sha256::digest(&text.as_bytes()[..=lines.len()])) != sum {
        return Err(damaged("its check sum is another one"));
    }
    let lines = lines.strip_prefix(TITLE).ok_or(damaged("its title is another one"))?;
    let mut feed = Feed::default();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        if let Step::Whole(head, clients) = feed.line(line)? {
            return Ok(Table::new(head, clients));
        }
    }
    Err(damaged("it has no end"))
}

#[cfg(test)]
mod tests {
    use mrp_core::api::kea::{TableClient, TableHead};
    use mrp_core::mac::MacAddr;

    use super::*;

    fn table() -> Table {
        let clients = (1..4).map(|last| TableClient {
            mac: MacAddr([2, 0, 0, 0, 0, last]),
            ipv4: Some([10, 0, 0, last].into()),
            hostname: format!("node-{last}"),
            netboot: true,
            boot_loader: None,
            server_url: Some("http://10.0.0.1:8081".into()),
        });
        Table::new(TableHead { next_server: None, http_port: 8081 }, clients)
    }

    #[test]
    fn a_table_comes_back_from_disk() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("table"));
        assert!(cache.read().unwrap().is_none());
        for _ in 0..2 {
            cache.write(&table()).unwrap();
            let read = cache.read().unwrap().unwrap();
            assert_eq!(read.head(), table().head());
            assert!(read.clients().eq(table().clients()));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("table"));
        cache.write(&table()).unwrap();
        let whole = fs::read(cache.path()).unwrap();
        for length in 0..whole.len() {
            fs::write(cache.path(), &whole[..length]).unwrap();
            assert!(cache.read().is_err(), "cut off after {length} bytes");
            let mut changed = whole.clone();
            changed[length] ^= 1;
            fs::write(cache.path(), changed).unwrap();
            assert!(cache.read().is_err(), "byte {length} changed");
        }
        fs::write(cache.path(), [0xff, 0xfe, 0]).unwrap();
        assert_eq!(cache.read().unwrap_err().to_string(), "it is damaged: it is no text");
        assert!(matches!(Cache::at(folder.path()).read(), Err(CacheError::Read(_))));
    }
}
