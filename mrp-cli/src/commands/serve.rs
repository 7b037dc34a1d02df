//! `mrp serve`: the server.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Result;
use mrp_core::bmc::Drivers;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::wiring::{Files, Server, greet};

/// Serve API, boot files, answer files and TFTP
///
/// Examples:
///   mrp serve
///   mrp serve --config /etc/mrp/mrp.toml
///   MRP_WEB__LISTEN=127.0.0.1:8080 mrp serve
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Serve {
    /// Configuration file; every key has a default (see mrp.example.toml)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    /// Serves until SIGINT or SIGTERM.
    pub(super) async fn run(self, drivers: Drivers) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        start_log(&config.server.log)?;
        allow_many_files();
        let server = Server::start(&config, drivers).await?;
        // Before it says that it serves: who hears that may stop it.
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        greet(&server, &Files::of(&config));
        let shutdown = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("stopping");
        };
        server.run(shutdown).await;
        Ok(())
    }
}

/// Raises the limit of open files to what the system allows: each BMC, console and client has a socket, and shells begin with
/// a thousand.
fn allow_many_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

fn start_log(filter: &str) -> Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        anyhow::anyhow!("server.log: {error}; write it as \"info\" or \"info,mrp_bmc=debug\"")
    })?;
    let terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
    Ok(())
}
