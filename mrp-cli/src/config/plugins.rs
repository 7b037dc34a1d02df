//! BMC drivers that are not linked in.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Span;

/// Plugins: BMC drivers that are not linked in.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct PluginsSection {
    /// Folder with libraries and executables.
    pub dir: Option<PathBuf>,
    /// Names of libraries in it that are loaded into the server's own process.
    pub in_process: Vec<String>,
    /// How long a call may take.
    pub timeout: Span,
    /// Memory of a plugin's process in MiB.
    pub memory_mb: u64,
}

impl Default for PluginsSection {
    fn default() -> Self {
        Self { dir: None, in_process: Vec::new(), timeout: Span(Duration::from_secs(60)), memory_mb: 512 }
    }
}

impl PluginsSection {
    /// What is wrong with it, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.memory_mb < 16 {
            return Err("plugins.memory_mb: a process needs at least 16".into());
        }
        if self.timeout.0 < Duration::from_millis(100) {
            return Err("plugins.timeout: a call needs at least 100ms".into());
        }
        match self.in_process.first() {
            Some(name) if self.dir.is_none() => {
                Err(format!("plugins.in_process names {name:?}, but there is no plugins.dir"))
            }
            _ => Ok(()),
        }
    }
}
