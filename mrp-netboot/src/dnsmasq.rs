//! The site's dnsmasq: a host file with the addresses that it gives, the configuration to paste, and what its script hears.
//!
//! dnsmasq reads additions to the host file at once. Changed and removed lines need a SIGHUP, which an ordinary user may
//! not send: a systemd path unit does it (see [`ServerConfig`]), or a command that the site names. A host line never has a
//! tag (`set:`): dnsmasq before 2.91 dies at the SIGHUP after it served such a host.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mrp_core::dhcp::{DhcpBackend, DhcpError, DhcpHost};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

mod config;
mod event;
mod spool;

pub use config::ServerConfig;
pub use event::{Action, ScriptError, ScriptEvent};
pub use spool::{Spool, Spooled};

/// Changes within this time make dnsmasq read its files once.
const COLLECT: Duration = Duration::from_secs(1);
/// Longest run of the reload command.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

/// Writes the host file of a dnsmasq, and looks after it.
#[derive(Debug)]
pub struct DnsmasqBackend {
    hosts: PathBuf,
    reload: Vec<String>,
    state: Mutex<State>,
    /// Counts applications, so that the last of several reloads for all.
    applied: AtomicU64,
}

/// What is known of the file and of what dnsmasq has read.
#[derive(Debug)]
struct State {
    /// What the file is to say; `None` before the first table.
    wanted: Option<String>,
    /// The file as it was when it said so.
    seen: Option<Look>,
    /// dnsmasq may hold lines that are not in the file any more. Before the first reload it may, from a server of before; after
    /// it, it tells its script all leases, those of before the start too.
    stale: bool,
}

/// What tells a file that was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    inode: u64,
    len: u64,
    modified: (i64, i64),
    mode: u32,
}

impl Look {
    fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Some(Self { inode: metadata.ino(), len: metadata.len(), modified, mode: metadata.mode() })
    }

    /// dnsmasq's own user may read it.
    fn is_readable(self) -> bool {
        self.mode & 0o004 != 0
    }
}

impl DnsmasqBackend {
    /// Writes `hosts`, which lies in a folder of its own that is dnsmasq's `dhcp-hostsdir`. `reload` is a command and its
    /// arguments that makes dnsmasq read it again, run without a shell; empty where something else does that.
    pub fn new(hosts: PathBuf, reload: Vec<String>) -> Self {
        let state = State { wanted: None, seen: None, stale: true };
        Self { hosts, reload, state: Mutex::new(state), applied: AtomicU64::new(0) }
    }

    /// Writes the table if the file differs, and always the first time: a path unit that watches the file then makes dnsmasq
    /// tell all leases. Answers whether dnsmasq has to forget lines.
    async fn write(&self, text: String) -> Result<bool, DhcpError> {
        let mut state = self.state.lock().await;
        let first = state.wanted.is_none();
        let old = self.read();
        state.wanted = Some(text.clone());
        let old = old.map_err(|error| self.not_writable(&error))?;
        if first || old.as_deref() != Some(text.as_str()) {
            replace(&self.hosts, &text).map_err(|error| self.not_writable(&error))?;
            state.stale |= lines_not_in(&old.unwrap_or_default(), &text) > 0;
        }
        state.seen = Look::at(&self.hosts);
        Ok(state.stale)
    }

    fn read(&self) -> io::Result<Option<String>> {
        match fs::read(&self.hosts) {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn not_writable(&self, error: &io::Error) -> DhcpError {
        DhcpError {
            message: format!(
                "{} cannot be written ({error}); let this user write in its folder, or set dhcp.dnsmasq_hosts to another file",
                self.hosts.display()
            ),
        }
    }

    async fn reload(&self, state: &mut State) -> Result<(), DhcpError> {
        let Some((program, arguments)) = self.reload.split_first() else { return Ok(()) };
        let run = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
        let problem = match timeout(RELOAD_PATIENCE, run).await {
            Ok(Ok(output)) if output.status.success() => {
                state.stale = false;
                return Ok(());
            }
            Ok(Ok(output)) => {
                let said = String::from_utf8_lossy(&output.stderr);
                format!("ended with {}: {}", output.status, said.trim())
            }
            Ok(Err(error)) => format!("cannot be run: {error}"),
            Err(_) => format!("did not end within {} seconds", RELOAD_PATIENCE.as_secs()),
        };
        Err(DhcpError {
            message: format!(
                "dnsmasq may still give addresses that were changed or removed: the reload command {:?} {problem}; \
                 correct dhcp.dnsmasq_reload, or use the systemd path unit that `mrp dnsmasq config` prints",
                self.reload.join(" ")
            ),
        })
    }

    /// What is wrong with the file, in words.
    fn damage(&self, wanted: &str) -> io::Result<Option<String>> {
        let Some(found) = self.read()? else { return Ok(Some("was missing".into())) };
        if found != wanted {
            let (strange, lost) = (lines_not_in(&found, wanted), lines_not_in(wanted, &found));
            return Ok(Some(format!(
                "was changed by somebody else ({strange} lines that are not mrp's, {lost} of mrp's missing)"
            )));
        }
        let readable = Look::at(&self.hosts).is_some_and(Look::is_readable);
        Ok((!readable).then(|| "could not be read by dnsmasq's user".into()))
    }
}

#[async_trait]
impl DhcpBackend for DnsmasqBackend {
    async fn apply(&self, hosts: &[DhcpHost]) -> Result<(), DhcpError> {
        let mine = self.applied.fetch_add(1, Ordering::SeqCst) + 1;
        if !self.write(host_file(hosts)).await? || self.reload.is_empty() {
            return Ok(());
        }
        sleep(COLLECT).await;
        let mut state = self.state.lock().await;
        // A later call, which saw the same stale lines, reloads for this one too.
        if self.applied.load(Ordering::SeqCst) != mine || !state.stale {
            return Ok(());
        }
        self.reload(&mut state).await
    }

    async fn tend(&self) -> Result<Option<String>, DhcpError> {
        let mut state = self.state.lock().await;
        let Some(wanted) = state.wanted.clone() else { return Ok(None) };
        let mut mended = None;
        let look = Look::at(&self.hosts);
        if look.is_none() || look != state.seen {
            mended = self.damage(&wanted).map_err(|error| self.not_writable(&error))?;
            if mended.is_some() {
                replace(&self.hosts, &wanted).map_err(|error| self.not_writable(&error))?;
                state.stale = true;
            }
            state.seen = Look::at(&self.hosts);
        }
        let reload = if self.reload.is_empty() {
            "; dnsmasq gives what it read before until it is reloaded, which dhcp.dnsmasq_reload or the systemd path unit that \
             `mrp dnsmasq config` prints would do"
        } else {
            ""
        };
        let mended = mended.map(|how| format!("{} {how} and was written anew{reload}", self.hosts.display()));
        if state.stale
            && let Err(DhcpError { message }) = self.reload(&mut state).await
        {
            return Err(DhcpError {
                message: mended.map_or(message.clone(), |mended| format!("{mended}; {message}")),
            });
        }
        Ok(mended)
    }
}

/// Lines of a text that another one does not have.
fn lines_not_in(text: &str, other: &str) -> usize {
    let other: HashSet<&str> = other.lines().collect();
    text.lines().filter(|line| !other.contains(line)).count()
}

/// The text of the host file: sorted, a line a host.
pub fn host_file(hosts: &[DhcpHost]) -> String {
    let mut hosts: Vec<&DhcpHost> = hosts.iter().collect();
    hosts.sort();
    hosts.dedup();
    let mut text = String::new();
    for host in hosts {
        let _ = write!(text, "{},{}", host.mac, host.ipv4);
        if is_name(&host.hostname) {
            let _ = write!(text, ",{}", host.hostname);
        }
        text.push('\n');
    }
    text
}

/// True for what dnsmasq takes as a host name; digits with or without a unit are a lease time to it, and some words mean
/// something else.
fn is_name(name: &str) -> bool {
    let words = ["ignore", "infinite", "deprecated"];
    let lease_time = name.trim_end_matches(|c: char| "smhdwSMHDW".contains(c));
    let is_lease_time = lease_time.len() + 1 >= name.len() && lease_time.chars().all(|c| c.is_ascii_digit());
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    plain
        && !name.is_empty()
        && name.len() <= 63
        && !name.starts_with('-')
        && !words.contains(&name)
        && !is_lease_time
}

/// Puts a text in a file's place in one step. dnsmasq passes over names that begin with a dot.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    let mut file = tempfile::Builder::new().prefix(".hosts-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    // dnsmasq runs as a user of its own.
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_dnsmasq_would_misread_are_left_out() {
        for name in ["node-01", "3com", "12x", "a1h"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "12", "12h", "45", "7W", "ignore", "infinite", "a,b", "a b", "-a", "set:x"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
