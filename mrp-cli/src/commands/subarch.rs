//! `mrp subarch`.

use anyhow::{Result, bail};
use mrp_core::api;

use crate::client::Client;
use crate::commands::Session;
use crate::exit::Usage;
use crate::output::{or_none, yes};
use crate::resolve::{self, find};

/// Subarchitectures: what boots on machines of an architecture, and with which boot loader; admins change them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SubarchCommand {
    List(List),
    Show(Show),
    Add(Add),
    Set(Set),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// List subarchitectures with their boot loaders
///
/// Example:
///   mrp subarch list
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {}

/// A subarchitecture: `x86_64/efi`, `x86_64 efi`, its id, or its name where only one architecture has it.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// Architecture and name: `x86_64/efi`; or the architecture, and the name after it
    #[arg(value_name = "ARCH/SUBARCH")]
    subarch: String,
    /// The name, if the architecture stands before it
    #[arg(value_name = "SUBARCH")]
    name: Option<String>,
}

impl Named {
    async fn find(&self, client: &Client) -> Result<api::Subarch> {
        match &self.name {
            None => resolve::subarch(client, None, &self.subarch).await,
            Some(name) => {
                let arch: api::Arch = find(client, &self.subarch).await?;
                resolve::subarch(client, Some(&arch.name), name).await
            }
        }
    }
}

/// Show a subarchitecture
///
/// Example:
///   mrp subarch show x86_64/efi
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    #[command(flatten)]
    named: Named,
}

/// Add a subarchitecture
///
/// Examples:
///   mrp subarch add x86_64/efi --bootloader bootx64.efi --efi
///   mrp subarch add x86_64 bios --bootloader pxelinux.0
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    #[command(flatten)]
    named: Named,
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

/// Change a subarchitecture. What is not named stays
///
/// Examples:
///   mrp subarch set x86_64/efi --bootloader shimx64.efi
///   mrp subarch set x86_64/bios --efi false --bootloader none
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    #[command(flatten)]
    named: Named,
    /// New name
    #[arg(long)]
    rename: Option<String>,
    /// Image of the boot loader, or `none`
    #[arg(long)]
    bootloader: Option<String>,
    /// BMCs must ask for an EFI boot
    #[arg(long, value_name = "BOOL")]
    efi: Option<bool>,
    /// For people
    #[arg(long)]
    description: Option<String>,
}

/// Remove a subarchitecture that no machine has
///
/// Example:
///   mrp subarch remove x86_64/bios
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    #[command(flatten)]
    named: Named,
}

impl SubarchCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            SubarchCommand::List(List {}) => list(session).await,
            SubarchCommand::Show(command) => command.run(session).await,
            SubarchCommand::Add(command) => command.run(session).await,
            SubarchCommand::Set(command) => command.run(session).await,
            SubarchCommand::Remove(Remove { named }) => {
                let subarch = named.find(&session.client).await?;
                session.client.delete(&format!("/subarch/{}", subarch.id)).await?;
                session.output.done(&subarch, told(&subarch, "removed"))
            }
        }
    }
}

fn told(subarch: &api::Subarch, done: &str) -> String {
    format!("subarchitecture {}/{} was {done}", subarch.arch, subarch.name)
}

async fn list(session: &Session) -> Result<()> {
    let subarchs: Vec<api::Subarch> = session.client.list("/subarch", &[]).await?;
    let images: Vec<api::Image> = session.client.list("/image?show_all=true", &[]).await?;
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

async fn bootloader_id(client: &Client, given: &str) -> Result<i64> {
    Ok(resolve::image(client, given, "bootloader", None).await?.id)
}

impl Show {
    async fn run(self, session: &Session) -> Result<()> {
        let subarch = self.named.find(&session.client).await?;
        let facts = [
            ("name", format!("{}/{}", subarch.arch, subarch.name)),
            ("id", subarch.id.to_string()),
            ("boot loader", super::machine::image_name(&session.client, subarch.bootloader_id).await?),
            ("EFI", yes(subarch.efiboot)),
            ("description", subarch.description.clone()),
        ];
        session.output.object(&subarch, &facts)
    }
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let (arch, name) = match (&self.named.name, self.named.subarch.split_once('/')) {
            (Some(name), _) => (self.named.subarch.as_str(), name.as_str()),
            (None, Some((arch, name))) => (arch, name),
            (None, None) => bail!(Usage("name architecture and subarchitecture, as x86_64/efi".into())),
        };
        let arch: api::Arch = find(&session.client, arch).await?;
        let bootloader_id = match &self.bootloader {
            Some(given) => Some(bootloader_id(&session.client, given).await?),
            None => None,
        };
        let (name, description, efiboot) = (name.to_owned(), self.description, self.efi);
        let new = api::NewSubarch { arch: arch.name, name, description, bootloader_id, efiboot };
        let subarch: api::Subarch = session.client.post("/subarch", &new).await?;
        session.output.done(&subarch, told(&subarch, "added"))
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        let asked = [
            self.rename.is_some(),
            self.bootloader.is_some(),
            self.efi.is_some(),
            self.description.is_some(),
        ];
        if !asked.contains(&true) {
            bail!(Usage("nothing to change was named; see mrp subarch set --help".into()));
        }
        let old = self.named.find(&session.client).await?;
        let bootloader_id = match self.bootloader.as_deref() {
            None => old.bootloader_id,
            Some("none") => None,
            Some(given) => Some(bootloader_id(&session.client, given).await?),
        };
        let new = api::NewSubarch {
            arch: old.arch,
            name: self.rename.unwrap_or(old.name),
            description: self.description.unwrap_or(old.description),
            bootloader_id,
            efiboot: self.efi.unwrap_or(old.efiboot),
        };
        let subarch: api::Subarch = session.client.put(&format!("/subarch/{}", old.id), &new).await?;
        session.output.done(&subarch, told(&subarch, "changed"))
    }
}
