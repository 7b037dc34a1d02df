//! `mrp backup` and `mrp restore`.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::backup;
use crate::config::Config;
use crate::exit::Usage;
use crate::output::Format;

/// Back up database, images, key and certificate into one file, also while the server runs
///
/// Run it on the server's machine as the user that `mrp serve` runs as. The file is a tar archive of mode 0600; it holds
/// the key that opens BMC passwords, so keep it as safe as those.
///
/// Examples:
///   mrp backup /backup/mrp-monday.tar --config /etc/mrp/mrp.toml
///   mrp backup --list /backup/mrp-monday.tar
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Backup {
    /// The file to make; it must not be there
    #[arg(required_unless_present = "list")]
    file: Option<PathBuf>,
    /// Read and check a backup, and say what it holds
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    list: Option<PathBuf>,
    /// Configuration file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Put a backup into an empty data folder
///
/// The server must not run. Images go into `images.dir`, where that is set. The whole backup is checked before anything is changed.
///
/// Examples:
///   mrp restore /backup/mrp-monday.tar --config /etc/mrp/mrp.toml
///   mrp restore /backup/mrp-monday.tar --force
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Restore {
    /// The backup
    file: PathBuf,
    /// Move what is in the data folder aside, into a folder `before-restore-…` within it
    #[arg(long)]
    force: bool,
    /// Configuration file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Backup {
    pub(super) async fn run(self, output: Format) -> Result<()> {
        if let Some(file) = self.list {
            let manifest = backup::list(&file)?;
            return output.done(&manifest, format!("{}: {manifest}", file.display()));
        }
        let Some(file) = self.file else { bail!(Usage("which file? mrp backup FILE".into())) };
        let config = Config::load(self.config.as_deref())?;
        let manifest = backup::backup(&config, self.config.as_deref(), &file).await?;
        output.done(&manifest, format!("{}: {manifest}", file.display()))
    }
}

impl Restore {
    pub(super) async fn run(self, output: Format) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        let restored = backup::restore(&config, &self.file, self.force).await?;
        let folder = config.server.data_dir.display();
        let mut words = format!("restored into {folder}: {}", restored.manifest);
        for before in &restored.before {
            words.push_str(&format!("\nwhat was there before is in {}", before.display()));
        }
        output.done(&restored.manifest, words)
    }
}
