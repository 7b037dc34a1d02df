//! `mrp arch` and `mrp subarch`.

use anyhow::Result;
use mrp_core::api;

use crate::client::Client;
use crate::commands::Session;
use crate::output::{or_none, yes};
use crate::resolve::{self, find};

/// Architectures; admins change them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ArchCommand {
    /// List architectures
    List,
    /// Add an architecture: mrp arch add arm64
    Add {
        /// Unique name
        name: String,
        /// For people
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Change an architecture
    Set {
        /// Name or id
        arch: String,
        /// New name
        #[arg(long)]
        name: Option<String>,
        /// For people
        #[arg(long)]
        description: Option<String>,
    },
    /// Remove an architecture that nothing uses
    Delete {
        /// Name or id
        arch: String,
    },
}

impl ArchCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let client = &session.client;
        match self {
            ArchCommand::List => {
                let archs: Vec<api::Arch> = client.get("/arch").await?;
                session.output.list(
                    &archs,
                    &[
                        ("ID", &|arch| arch.id.to_string()),
                        ("NAME", &|arch| arch.name.clone()),
                        ("DESCRIPTION", &|arch| arch.description.clone()),
                    ],
                )
            }
            ArchCommand::Add { name, description } => {
                let arch: api::Arch = client.post("/arch", &api::NewArch { name, description }).await?;
                session.output.done(&arch, format!("architecture {} was added", arch.name))
            }
            ArchCommand::Set { arch, name, description } => {
                let arch: api::Arch = find(client, &arch).await?;
                let (name, description) =
                    (name.unwrap_or(arch.name), description.unwrap_or(arch.description));
                let new = api::NewArch { name, description };
                let arch: api::Arch = client.put(&format!("/arch/{}", arch.id), &new).await?;
                session.output.done(&arch, format!("architecture {} was changed", arch.name))
            }
            ArchCommand::Delete { arch } => {
                let arch: api::Arch = find(client, &arch).await?;
                client.delete(&format!("/arch/{}", arch.id)).await?;
                session.output.done(&arch, format!("architecture {} was removed", arch.name))
            }
        }
    }
}

/// Subarchitectures: what boots on machines of an architecture, and with which boot loader; admins change them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SubarchCommand {
    /// List subarchitectures
    List,
    Add(Add),
    Set(Set),
    /// Remove a subarchitecture that no machine has
    Delete {
        /// Architecture
        arch: String,
        /// Name
        name: String,
    },
}

/// Add a subarchitecture
///
/// Examples:
///   mrp subarch add x86_64 efi --bootloader bootx64.efi --efi
///   mrp subarch add x86_64 bios --bootloader pxelinux.0
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Architecture
    arch: String,
    /// Name, unique within the architecture
    name: String,
    /// Image of the boot loader
    #[arg(long)]
    bootloader: Option<String>,
    /// BMCs must ask for an EFI boot
    #[arg(long)]
    efi: bool,
    /// For people
    #[arg(long, default_value = "")]
    description: String,
}

/// Change a subarchitecture. What is not named stays.
#[derive(Debug, clap::Args)]
pub struct Set {
    /// Architecture
    arch: String,
    /// Name
    name: String,
    /// New name
    #[arg(long)]
    rename: Option<String>,
    /// Image of the boot loader
    #[arg(long)]
    bootloader: Option<String>,
    /// BMCs must ask for an EFI boot
    #[arg(long, value_name = "BOOL")]
    efi: Option<bool>,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

impl SubarchCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            SubarchCommand::List => list(session).await,
            SubarchCommand::Add(command) => command.run(session).await,
            SubarchCommand::Set(command) => command.run(session).await,
            SubarchCommand::Delete { arch, name } => {
                let subarch: api::Subarch = find(&session.client, &format!("{arch}/{name}")).await?;
                session.client.delete(&format!("/subarch/{}", subarch.id)).await?;
                session.output.done(&subarch, format!("subarchitecture {arch}/{name} was removed"))
            }
        }
    }
}

async fn list(session: &Session) -> Result<()> {
    let subarchs: Vec<api::Subarch> = session.client.get("/subarch").await?;
    let images: Vec<api::Image> = session.client.get("/image?show_all=true").await?;
    let loader = |subarch: &api::Subarch| {
        let id = subarch.bootloader_id?;
        Some(
            images
                .iter()
                .find(|image| image.id == id)
                .map_or_else(|| id.to_string(), |image| image.name.clone()),
        )
    };
    session.output.list(
        &subarchs,
        &[
            ("ID", &|subarch| subarch.id.to_string()),
            ("ARCH", &|subarch| subarch.arch.clone()),
            ("NAME", &|subarch| subarch.name.clone()),
            ("BOOT LOADER", &|subarch| or_none(loader(subarch))),
            ("EFI", &|subarch| yes(subarch.efiboot)),
            ("DESCRIPTION", &|subarch| subarch.description.clone()),
        ],
    )
}

async fn bootloader_id(client: &Client, given: Option<&String>) -> Result<Option<i64>> {
    let Some(given) = given else { return Ok(None) };
    Ok(Some(resolve::image(client, given, "bootloader", None).await?.id))
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let arch: api::Arch = find(&session.client, &self.arch).await?;
        let bootloader_id = bootloader_id(&session.client, self.bootloader.as_ref()).await?;
        let Self { name, description, efi, .. } = self;
        let new = api::NewSubarch { arch: arch.name, name, description, bootloader_id, efiboot: efi };
        let subarch: api::Subarch = session.client.post("/subarch", &new).await?;
        session.output.done(&subarch, format!("subarchitecture {}/{} was added", subarch.arch, subarch.name))
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        let old: api::Subarch = find(&session.client, &format!("{}/{}", self.arch, self.name)).await?;
        let bootloader_id = bootloader_id(&session.client, self.bootloader.as_ref()).await?;
        let new = api::NewSubarch {
            arch: old.arch,
            name: self.rename.unwrap_or(old.name),
            description: self.description.unwrap_or(old.description),
            bootloader_id: bootloader_id.or(old.bootloader_id),
            efiboot: self.efi.unwrap_or(old.efiboot),
        };
        let subarch: api::Subarch = session.client.put(&format!("/subarch/{}", old.id), &new).await?;
        session
            .output
            .done(&subarch, format!("subarchitecture {}/{} was changed", subarch.arch, subarch.name))
    }
}
