//! `mrp bootloader`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum as _;
use mrp_core::api;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::commands::Session;
use crate::output::{Format, note};
use crate::resolve::file_of;
use crate::upload::{Content, Upload};

mod distribution;

use distribution::{Cpu, File, Loader, Program};

/// Boot loaders of the distribution; admins take them in.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BootloaderCommand {
    Add(Add),
}

/// Take the boot loaders of this machine's distribution into the image store, and give them to subarchitectures
///
/// From the packages installed here (names of Debian's):
///   x86_64/efi        GRUB, built by grub-mkimage   grub-common, grub-efi-amd64-bin
///   x86_64/bios       PXELINUX                      pxelinux, syslinux-common
///   x86_64/efi-ipxe   iPXE (snponly.efi)            ipxe
///   x86_64/bios-ipxe  iPXE (undionly.kpxe)          ipxe
///   arm64/efi         GRUB, built by grub-mkimage   grub-common, grub-efi-arm64-bin
///
/// A subarchitecture that is missing is made; one that has another boot loader keeps it. What is there already stays as it
/// is: the same command takes in what a newer package brought.
///
/// Examples:
///   mrp bootloader add --from-distribution
///   mrp bootloader add --from-distribution --arch arm64 --loader grub --root /srv/arm64-packages
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Those that the distribution has packages of; others are uploaded by mrp image upload
    #[arg(long, required = true)]
    from_distribution: bool,
    /// For this architecture, which is made if it is missing [default: those that the server has, else this machine's]
    #[arg(long, value_name = "ARCH")]
    arch: Vec<String>,
    /// Only this one [default: all]
    #[arg(long, value_enum)]
    loader: Vec<Program>,
    /// Folder below which the packages are unpacked, where they are not installed
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
}

impl BootloaderCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let BootloaderCommand::Add(command) = self;
        command.run(session).await
    }
}

/// What became of one loader.
struct Outcome {
    subarch: String,
    image: Option<api::Image>,
    words: String,
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let programs = if self.loader.is_empty() { Program::value_variants() } else { &self.loader };
        let mut outcomes = Vec::new();
        for (arch, cpu) in self.archs(session).await? {
            for loader in
                distribution::LOADERS.iter().filter(|l| l.cpu == cpu && programs.contains(&l.program))
            {
                outcomes.push(self.add(session, &arch, loader).await?);
            }
        }
        if outcomes.is_empty() {
            bail!(
                "the distribution has none of these boot loaders for this architecture; upload one by mrp image upload"
            );
        }
        report(session, &outcomes)?;
        if outcomes.iter().all(|outcome| outcome.image.is_none()) {
            bail!("no boot loader was taken in");
        }
        Ok(())
    }

    /// The architectures, made where they are missing.
    async fn archs(&self, session: &Session) -> Result<Vec<(String, Cpu)>> {
        let known: Vec<api::Arch> = session.client.list("/arch", &[]).await?;
        let mut names = self.arch.clone();
        if names.is_empty() {
            names
                .extend(known.iter().map(|arch| arch.name.clone()).filter(|name| Cpu::named(name).is_some()));
        }
        if names.is_empty() {
            names.push(std::env::consts::ARCH.replace("aarch64", "arm64"));
        }
        let mut archs = Vec::new();
        for name in names {
            let Some(cpu) = Cpu::named(&name) else {
                bail!(
                    "the distribution's boot loaders are for x86_64 and arm64, not for {name}; upload one by mrp image upload"
                );
            };
            if !known.iter().any(|arch| arch.name == name) {
                let new = api::NewArch { name: name.clone(), description: String::new() };
                session.client.post::<api::Arch>("/arch", &new).await?;
            }
            archs.push((name, cpu));
        }
        Ok(archs)
    }

    async fn add(&self, session: &Session, arch: &str, loader: &Loader) -> Result<Outcome> {
        let subarch = format!("{arch}/{}", loader.subarch);
        let files = match loader.files(&self.root).await {
            Ok(files) => files,
            Err(missing) => return Ok(Outcome { subarch, image: None, words: missing }),
        };
        let mut first = None;
        for file in &files {
            let image = take_in(session, arch, file).await?;
            first.get_or_insert(image);
        }
        let Some(image) = first else { bail!("{} has no files", loader.name()) };
        let kept = give(session, arch, loader, &image).await?;
        let words = match kept {
            None => format!("{} as {}", loader.name(), image.name),
            Some(other) => format!(
                "{} as {}; the subarchitecture keeps {other}: mrp subarch set {subarch} --bootloader {}",
                loader.name(),
                image.name,
                image.name
            ),
        };
        Ok(Outcome { subarch, image: Some(image), words })
    }
}

/// Uploads a file, unless the same is there.
async fn take_in(session: &Session, arch: &str, file: &File) -> Result<api::Image> {
    let digest = hex::encode(Sha256::digest(&file.content));
    let images: Vec<api::Image> = session.client.list("/image?show_all=true", &[]).await?;
    let same = |image: &&api::Image| {
        image.kind == "bootloader" && image.public && image.arch == arch && file_of(&image.name) == file.name
    };
    for image in images.iter().filter(same) {
        let detail: api::ImageDetail = session.client.get(&format!("/image/{}/detail", image.id)).await?;
        if detail.sha256 == digest {
            return Ok(image.clone());
        }
    }
    let upload = Upload {
        file_name: file.name,
        kind: "bootloader",
        arch,
        description: Some(file.description),
        public: true,
        known_good: false,
    };
    Ok(session.client.upload(&upload, &Content::Bytes(file.content.clone()), &|_| {}).await?)
}

/// Gives the image to the loader's subarchitecture, which is made if it is missing. One that has another loader than this
/// command gave it keeps that: its name is answered.
async fn give(session: &Session, arch: &str, loader: &Loader, image: &api::Image) -> Result<Option<String>> {
    let all: Vec<api::Subarch> = session.client.list("/subarch", &[]).await?;
    let new = |description: &str, efiboot: bool| api::NewSubarch {
        arch: arch.to_owned(),
        name: loader.subarch.to_owned(),
        description: description.to_owned(),
        bootloader_id: Some(image.id),
        efiboot,
    };
    let Some(subarch) = all.into_iter().find(|known| known.arch == arch && known.name == loader.subarch)
    else {
        session.client.post::<api::Subarch>("/subarch", &new("", loader.efi)).await?;
        return Ok(None);
    };
    if let Some(id) = subarch.bootloader_id {
        let old: api::Image = session.client.get(&format!("/image/{id}")).await?;
        if id == image.id {
            return Ok(None);
        }
        if file_of(&old.name) != file_of(&image.name) {
            return Ok(Some(old.name));
        }
    }
    let changed = new(&subarch.description, subarch.efiboot);
    session.client.put::<api::Subarch>(&format!("/subarch/{}", subarch.id), &changed).await?;
    Ok(None)
}

/// A line a loader; what is missing goes to standard error.
fn report(session: &Session, outcomes: &[Outcome]) -> Result<()> {
    let (added, missing): (Vec<&Outcome>, Vec<&Outcome>) =
        outcomes.iter().partition(|outcome| outcome.image.is_some());
    if session.output == Format::Table {
        for outcome in &missing {
            note(format!("{}: {}", outcome.subarch, outcome.words));
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    let words: Vec<String> = added.iter().map(|done| format!("{}: {}", done.subarch, done.words)).collect();
    let images = added.iter().map(|done| (done.subarch.clone(), json!(done.image)));
    let missing = missing.iter().map(|outcome| (outcome.subarch.clone(), json!(outcome.words)));
    let (images, missing) = (images.collect::<Map<_, Value>>(), missing.collect::<Map<_, Value>>());
    session.output.done(&json!({"added": images, "missing": missing}), words.join("\n"))
}
