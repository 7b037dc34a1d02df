//! `mrp import`: what another program has, brought over on the server's machine.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mrp_core::Actor;
use mrp_core::bmc::Drivers;
use mrp_core::import::{ImportNote, ImportReport, TableReport};
use mrp_core::secret::Secret;

use crate::config::Config;
use crate::output::{Format, line};
use crate::wiring;

/// Bring over what another program has
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ImportCommand {
    MrProvisioner(MrProvisioner),
}

/// Bring over users, tokens, machines, networks, BMCs, images, answer files and more from mr-provisioner
///
/// Runs on the server's machine while no server serves from its data folder. Ids are kept, and everything that does not
/// fit is listed. mr-provisioner's database is only read.
///
/// It can be repeated: what is new in mr-provisioner comes, what was changed there and not in mrp is changed in mrp. What
/// was changed or removed in mrp since the last import stays as mrp has it, and nothing is removed in mrp.
///
/// Examples:
///   mrp import mr-provisioner postgres://reader@db/provisioner --images /srv/tftp --dry-run
///   PGPASSWORD=… mrp import mr-provisioner postgres://reader@db/provisioner --images /srv/tftp
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct MrProvisioner {
    /// Its database; other users of this machine can see a password in it while the command runs
    #[arg(value_name = "URL", value_parser = secret)]
    database: Secret,
    /// Its TFTP folder (TFTP_ROOT), or a copy of it
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Write nothing; print what would be done
    #[arg(long)]
    dry_run: bool,
    /// File with the password of the database's user [default: PGPASSWORD]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Time zone of the machine on which mr-provisioner runs: its dates are local times
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// Configuration file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What is given is kept from errors and logs.
fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

impl ImportCommand {
    pub(super) async fn run(self, drivers: Drivers, output: Format) -> Result<()> {
        let ImportCommand::MrProvisioner(command) = self;
        command.run(drivers, output).await
    }
}

impl MrProvisioner {
    async fn run(self, drivers: Drivers, output: Format) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        let password = self.password_file.as_deref().map(read_password).transpose()?;
        let files = wiring::mr_provisioner_files(&self.images)?;
        let legacy = wiring::mr_provisioner(&self.database, password.as_ref(), &self.time_zone).await?;
        let target = wiring::import_target(&config, drivers, self.dry_run).await?;
        let imports = target.provisioner.imports();
        let report = imports.mr_provisioner(&Actor::system(), &legacy, &files, self.dry_run).await;
        target.provisioner.shutdown().await;
        print(&report?, output)
    }
}

fn read_password(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path).with_context(|| format!("password file {}", path.display()))?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

fn print(report: &ImportReport, output: Format) -> Result<()> {
    if output == Format::Json {
        return output.object(report, &[]);
    }
    output.list(
        &report.tables,
        &[
            ("TABLE", &|table: &TableReport| table.table.clone()),
            ("FOUND", &|table: &TableReport| table.found.to_string()),
            ("BROUGHT", &|table: &TableReport| table.brought.to_string()),
            ("UPDATED", &|table: &TableReport| table.updated.to_string()),
            ("UNCHANGED", &|table: &TableReport| table.unchanged.to_string()),
            ("KEPT", &|table: &TableReport| table.kept.to_string()),
            ("LEFT OUT", &|table: &TableReport| table.left_out.to_string()),
        ],
    )?;
    if !report.notes.is_empty() {
        line("")?;
        output.list(
            &report.notes,
            &[
                ("TABLE", &|note: &ImportNote| note.table.clone()),
                ("ID", &|note: &ImportNote| note.id.map(|id| id.to_string()).unwrap_or_default()),
                ("FIELD", &|note: &ImportNote| note.field.clone()),
                ("DONE", &|note: &ImportNote| note.done.clone()),
                ("REASON", &|note: &ImportNote| note.reason.clone()),
            ],
        )?;
    }
    let (changes, notes) = (report.changes(), report.notes.len());
    let written = if report.dry_run { "would be written; nothing was" } else { "written" };
    line(format!("\n{changes} rows {written}. {notes} notes."))
}
