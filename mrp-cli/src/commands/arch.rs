//! `mrp arch`.

use anyhow::{Result, bail};
use mrp_core::api;

use crate::commands::Session;
use crate::exit::Usage;
use crate::resolve::find;

/// Architectures; admins change them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ArchCommand {
    List(List),
    Show(Show),
    Add(Add),
    Set(Set),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// List architectures
///
/// Example:
///   mrp arch list
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {}

/// Show an architecture
///
/// Example:
///   mrp arch show arm64
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// Name or id
    arch: String,
}

/// Add an architecture
///
/// Example:
///   mrp arch add arm64 --description "Arm, 64 bit"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Unique name
    name: String,
    /// For people
    #[arg(long, default_value = "")]
    description: String,
}

/// Change an architecture. What is not named stays
///
/// Example:
///   mrp arch set arm46 --name arm64
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// Name or id
    arch: String,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

/// Remove an architecture that nothing uses
///
/// Example:
///   mrp arch remove arm64
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Name or id
    arch: String,
}

impl ArchCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            ArchCommand::List(List {}) => list(session).await,
            ArchCommand::Show(Show { arch }) => {
                let arch: api::Arch = find(&session.client, &arch).await?;
                let facts = [
                    ("name", arch.name.clone()),
                    ("id", arch.id.to_string()),
                    ("description", arch.description.clone()),
                ];
                session.output.object(&arch, &facts)
            }
            ArchCommand::Add(Add { name, description }) => {
                let new = api::NewArch { name, description };
                let arch: api::Arch = session.client.post("/arch", &new).await?;
                session.output.done(&arch, format!("architecture {} was added", arch.name))
            }
            ArchCommand::Set(command) => command.run(session).await,
            ArchCommand::Remove(Remove { arch }) => {
                let arch: api::Arch = find(&session.client, &arch).await?;
                session.client.delete(&format!("/arch/{}", arch.id)).await?;
                session.output.done(&arch, format!("architecture {} was removed", arch.name))
            }
        }
    }
}

async fn list(session: &Session) -> Result<()> {
    let archs: Vec<api::Arch> = session.client.list("/arch", &[]).await?;
    session.output.list(
        &archs,
        &[
            ("ID", &|arch| arch.id.to_string()),
            ("NAME", &|arch| arch.name.clone()),
            ("DESCRIPTION", &|arch| arch.description.clone()),
        ],
    )
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        if self.name.is_none() && self.description.is_none() {
            bail!(Usage("nothing to change was named; see mrp arch set --help".into()));
        }
        let arch: api::Arch = find(&session.client, &self.arch).await?;
        let name = self.name.unwrap_or(arch.name);
        let description = self.description.unwrap_or(arch.description);
        let new = api::NewArch { name, description };
        let arch: api::Arch = session.client.put(&format!("/arch/{}", arch.id), &new).await?;
        session.output.done(&arch, format!("architecture {} was changed", arch.name))
    }
}
