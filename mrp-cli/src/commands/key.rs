//! `mrp key`: the key that seals the passwords of BMCs.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::config::Config;
use crate::output::line;
use crate::wiring;

/// The key that seals the passwords of BMCs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeyCommand {
    Rotate(Rotate),
}

/// Make a new key file and seal all BMC passwords with it
///
/// Run it on the server, as the user that `mrp serve` runs as, while no server serves and no run is under way. A backup of
/// before needs the key of before. A crash at any point loses nothing: the next start takes the right key.
///
/// Example:
///   mrp key rotate --config /etc/mrp/mrp.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Rotate {
    /// Configuration file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With a PostgreSQL database: the other servers on it are stopped, and get the new key file before they start
    #[arg(long)]
    others_stopped: bool,
}

impl KeyCommand {
    pub(super) async fn run(self) -> Result<()> {
        let KeyCommand::Rotate(Rotate { config, others_stopped }) = self;
        let config = Config::load(config.as_deref())?;
        if config.database.url.is_some() && !others_stopped {
            bail!(
                "several servers may use this database, each with a copy of the key file: stop them all, run this with --others-stopped, and copy the new key file to the others before they start"
            );
        }
        let (path, resealed) = wiring::rotate_key(&config).await?;
        let passwords = if resealed == 1 { "password" } else { "passwords" };
        line(format!("{} holds a new key; {resealed} BMC {passwords} sealed with it", path.display()))
    }
}
