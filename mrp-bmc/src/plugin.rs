//! BMC drivers that are not linked in: executables, and dynamic libraries in a process of their own or in the server's.
//!
//! The protocol is `mrp_core::plugin`'s, and so is each message. What differs is the carrier: `executable` writes lines,
//! [`host`] frames, `library` calls C functions. All that waits for answers is written once (`client`), and so is what starts,
//! watches and ends a process (`process`). [`Plugin`] is one plugin whatever carries it; [`folder`] finds those of a site.

mod bmc;
mod client;
mod executable;
pub mod folder;
mod host;
mod library;
mod process;
mod supervisor;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use mrp_core::plugin::{Hello, VERSION};

pub use bmc::PluginBmc;
pub use host::{HostError, host};
pub use library::Linked;
pub use supervisor::Plugin;

/// What a plugin may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for a call.
    pub call: Duration,
    /// Time for the answer to a cancelled call, after which its process is killed.
    pub grace: Duration,
    /// Time for the hello.
    pub hello: Duration,
    /// Memory of a process, in MiB.
    pub memory_mb: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(60),
            grace: Duration::from_secs(5),
            hello: Duration::from_secs(10),
            memory_mb: 512,
        }
    }
}

/// What carries a plugin's messages.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// A process of its own. The command is a program and its arguments; the program passes what is put behind them, the limit
    /// of memory in MiB and the file, to [`host`].
    Process(Vec<OsString>),
    /// The library is loaded into this process.
    InProcess,
    /// A driver that is linked in, carried as if it were a library.
    Linked(Linked),
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Carrier::Process(_) => "process",
            Carrier::InProcess => "in-process",
            Carrier::Linked(_) => "linked",
        })
    }
}

/// Whether a file counts as a dynamic library; any other is an executable.
fn is_library(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "so")
}

/// Reads what a plugin says of itself.
fn read_hello(json: &[u8]) -> Result<Hello, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        mrp_plugin: u32,
    }
    let shown = || String::from_utf8_lossy(&json[..json.len().min(80)]).trim_end().to_owned();
    // The version first: what follows it may have another shape.
    let version: Version =
        serde_json::from_slice(json).map_err(|_| format!("it does not say hello, but {:?}", shown()))?;
    if version.mrp_plugin != VERSION {
        return Err(format!(
            "it speaks version {} of the protocol, this mrp speaks {VERSION}",
            version.mrp_plugin
        ));
    }
    serde_json::from_slice(json).map_err(|error| format!("its hello is not understood: {error}"))
}
