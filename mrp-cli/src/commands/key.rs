//! `mrp key`: the key that seals the passwords of BMCs.

use std::path::PathBuf;

use anyhow::Result;

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
/// Run it on the server, as the user that `mrp serve` runs as, while no server serves and no run is under way. Where several
/// servers share a database, stop them all, and copy the new key file to each before it starts. A backup of before needs the key of before. A crash at any point loses nothing: the next start takes the right key.
///
/// Example:
///   mrp key rotate --config /etc/mrp/mrp.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Rotate {
    /// Configuration file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl KeyCommand {
    pub(super) async fn run(self) -> Result<()> {
        let KeyCommand::Rotate(Rotate { config }) = self;
        let config = Config::load(config.as_deref())?;
        let (path, resealed) = wiring::rotate_key(&config).await?;
        let passwords = if resealed == 1 { "password" } else { "passwords" };
        line(format!("{} holds a new key; {resealed} BMC {passwords} sealed with it", path.display()))?;
        if config.database.url.is_some() {
            line("copy it to the other servers on this database before they start")?;
        }
        Ok(())
    }
}
