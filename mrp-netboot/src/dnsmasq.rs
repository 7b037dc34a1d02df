//! The site's dnsmasq: a host file with the addresses that it gives, the configuration to paste, and what its script hears.
//!
//! dnsmasq reads additions to the host file at once. Changed and removed lines need a SIGHUP, which an ordinary user may
//! not send: a systemd path unit does it (see [`ServerConfig`]), or a command that the site names. A host line never has a
//! tag (`set:`): dnsmasq before 2.91 dies at the SIGHUP after it served such a host.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt;
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

/// Writes the host file of a dnsmasq.
#[derive(Debug)]
pub struct DnsmasqBackend {
    hosts: PathBuf,
    reload: Vec<String>,
    /// True while dnsmasq holds lines that are not in the file any more.
    stale: Mutex<bool>,
    /// Counts applications, so that the last of several reloads for all.
    applied: AtomicU64,
}

impl DnsmasqBackend {
    /// Writes `hosts`, which lies in a folder of its own that is dnsmasq's `dhcp-hostsdir`. `reload` is a command and its
    /// arguments that makes dnsmasq read it again, run without a shell; empty where something else does that.
    pub fn new(hosts: PathBuf, reload: Vec<String>) -> Self {
        Self { hosts, reload, stale: Mutex::new(false), applied: AtomicU64::new(0) }
    }

    /// Writes the table if the file differs, and notes whether dnsmasq has to forget lines.
    async fn write(&self, text: &str) -> Result<bool, DhcpError> {
        let mut stale = self.stale.lock().await;
        let failed = |error: std::io::Error| DhcpError {
            message: format!(
                "{} cannot be written ({error}); let this user write in its folder, or set dhcp.dnsmasq_hosts to another file",
                self.hosts.display()
            ),
        };
        let old = match fs::read(&self.hosts) {
            Ok(old) => Some(String::from_utf8_lossy(&old).into_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if old.as_deref() != Some(text) {
            replace(&self.hosts, text).map_err(failed)?;
            let lines: HashSet<&str> = text.lines().collect();
            *stale |= old.unwrap_or_default().lines().any(|line| !lines.contains(line));
        }
        Ok(*stale)
    }

    async fn reload(&self) -> Result<(), DhcpError> {
        let Some((program, arguments)) = self.reload.split_first() else { return Ok(()) };
        let mut stale = self.stale.lock().await;
        let run = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
        let problem = match timeout(RELOAD_PATIENCE, run).await {
            Ok(Ok(output)) if output.status.success() => {
                *stale = false;
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
                "dnsmasq still gives addresses that were changed or removed: the reload command {:?} {problem}; \
                 correct dhcp.dnsmasq_reload, or use the systemd path unit that `mrp dnsmasq config` prints",
                self.reload.join(" ")
            ),
        })
    }
}

#[async_trait]
impl DhcpBackend for DnsmasqBackend {
    async fn apply(&self, hosts: &[DhcpHost]) -> Result<(), DhcpError> {
        let mine = self.applied.fetch_add(1, Ordering::SeqCst) + 1;
        if !self.write(&host_file(hosts)).await? || self.reload.is_empty() {
            return Ok(());
        }
        sleep(COLLECT).await;
        // A later call, which saw the same stale lines, reloads for this one too.
        if self.applied.load(Ordering::SeqCst) != mine {
            return Ok(());
        }
        self.reload().await
    }
}

/// The text of the host file: sorted, a line a host.
fn host_file(hosts: &[DhcpHost]) -> String {
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
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
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
