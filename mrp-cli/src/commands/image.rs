//! `mrp image`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mrp_core::api;
use serde_json::{Map, json};

use crate::commands::Session;
use crate::exit::{Exit, Usage};
use crate::output::{clean, or_none, when_http, yes};
use crate::resolve::{self, any_image};
use crate::upload::{Content, Step};

mod replace;
mod uploads;

/// Kernels, initrds and boot loaders.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ImageCommand {
    List(List),
    Show(Show),
    Upload(Upload),
    Set(Set),
    Replace(replace::Replace),
    Uploads(uploads::Uploads),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// List your images and those that are public
///
/// Examples:
///   mrp image list
///   mrp image list --mine -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// Only your own
    #[arg(long)]
    mine: bool,
}

/// Show an image, with its size and SHA-256
///
/// Example:
///   mrp image show vmlinuz
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// Name, id, or the name of the file that was uploaded
    image: String,
}

/// Change an image. What is not named stays
///
/// Examples:
///   mrp image set vmlinuz --public true --description "6.12, works"
///   mrp image set vmlinuz --known-good true
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// Name, id, or the name of the file that was uploaded
    image: String,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Everybody may use it
    #[arg(long, value_name = "BOOL")]
    public: Option<bool>,
    /// Mark it as working
    #[arg(long, value_name = "BOOL")]
    known_good: Option<bool>,
}

/// Remove an image that no machine uses
///
/// Example:
///   mrp image remove vmlinuz
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Name, id, or the name of the file that was uploaded
    image: String,
}

/// Upload an image
///
/// Examples:
///   mrp image upload vmlinuz --type kernel --arch x86_64
///   mrp image upload bootx64.efi --type bootloader --arch x86_64 --public
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Upload {
    /// The file
    file: PathBuf,
    /// What it is
    #[arg(long = "type", value_enum)]
    kind: Kind,
    /// The architecture it is for
    #[arg(long)]
    arch: String,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Everybody may use it; machines may fetch a boot loader only if it is public or their own
    #[arg(long)]
    public: bool,
    /// Mark it as working
    #[arg(long)]
    known_good: bool,
    /// Name to go by [default: that of the file]
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Kernel,
    Initrd,
    Bootloader,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Kernel => "Kernel",
            Kind::Initrd => "Initrd",
            Kind::Bootloader => "bootloader",
        }
    }
}

impl ImageCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            ImageCommand::List(command) => command.run(session).await,
            ImageCommand::Show(command) => command.run(session).await,
            ImageCommand::Set(command) => command.run(session).await,
            ImageCommand::Upload(command) => command.run(session).await,
            ImageCommand::Replace(command) => command.run(session).await,
            ImageCommand::Uploads(command) => command.run(session).await,
            ImageCommand::Remove(command) => command.run(session).await,
        }
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<()> {
        let path = format!("/image?show_all={}", !self.mine);
        let images: Vec<api::Image> = session.client.list(&path, &[]).await?;
        session.output.list(
            &images,
            &[
                ("ID", &|image| image.id.to_string()),
                ("NAME", &|image| image.name.clone()),
                ("TYPE", &|image| image.kind.clone()),
                ("ARCH", &|image| image.arch.clone()),
                ("PUBLIC", &|image| yes(image.public)),
                ("GOOD", &|image| yes(image.known_good)),
                ("UPLOADED", &|image| when_http(&image.upload_date)),
                ("DESCRIPTION", &|image| or_none(image.description.as_ref())),
            ],
        )
    }
}

impl Show {
    async fn run(self, session: &Session) -> Result<()> {
        let image = any_image(&session.client, &self.image).await?;
        let detail: api::ImageDetail = session.client.get(&format!("/image/{}/detail", image.id)).await?;
        let machines = detail.used_by.machines.iter().map(|machine| machine.name.as_str());
        let subarchs = detail.used_by.subarchs.iter().map(|subarch| subarch.name.as_str());
        let users: Vec<&str> = machines.chain(subarchs).collect();
        let facts = [
            ("name", image.name.clone()),
            ("id", image.id.to_string()),
            ("type", image.kind.clone()),
            ("arch", image.arch.clone()),
            ("size", format!("{} ({} bytes)", HumanBytes(detail.size), detail.size)),
            ("sha256", detail.sha256.clone()),
            ("uploaded", when_http(&image.upload_date)),
            ("public", yes(image.public)),
            ("known good", yes(image.known_good)),
            ("description", or_none(image.description.as_ref())),
            ("used by", users.join(", ")),
        ];
        session.output.object(&detail, &facts)
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        let mut change = Map::new();
        change.extend(self.description.map(|description| ("description".into(), json!(description))));
        change.extend(self.public.map(|public| ("public".into(), json!(public))));
        change.extend(self.known_good.map(|known_good| ("known_good".into(), json!(known_good))));
        if change.is_empty() {
            bail!(Usage("nothing to change was named; see mrp image set --help".into()));
        }
        let image = any_image(&session.client, &self.image).await?;
        let image: api::Image = session.client.put(&format!("/image/{}", image.id), &change).await?;
        session.output.done(&image, format!("image {} was changed", image.name))
    }
}

impl Remove {
    async fn run(self, session: &Session) -> Result<()> {
        let image = any_image(&session.client, &self.image).await?;
        session.client.delete(&format!("/image/{}", image.id)).await?;
        session.output.done(&image, format!("image {} was removed", image.name))
    }
}

impl Upload {
    async fn run(self, session: &Session) -> Result<()> {
        let name = self.file_name()?;
        // The server refuses the rest with the file half sent; better to know before.
        let arch: api::Arch = resolve::find(&session.client, &self.arch).await?;
        let metadata =
            tokio::fs::metadata(&self.file).await.with_context(|| self.file.display().to_string())?;
        if !metadata.is_file() {
            bail!("{} is no file; give the path of the image", self.file.display());
        }
        let bar = progress(metadata.len(), &name);
        let upload = crate::upload::Upload {
            file_name: &name,
            kind: self.kind.word(),
            arch: &arch.name,
            description: self.description.as_deref(),
            public: self.public,
            known_good: self.known_good,
        };
        let content = Content::File(self.file.clone());
        let told = |step| show(&bar, &name, &step);
        let image = tokio::select! {
            image = session.client.upload(&upload, &content, &told) => image,
            _ = tokio::signal::ctrl_c() => {
                bar.abandon();
                eprintln!("cancelled; the same command goes on where it was");
                return Err(Exit::INTERRUPTED.into());
            }
        };
        bar.finish_and_clear();
        let image = image?;
        let size = HumanBytes(metadata.len());
        session.output.done(&image, format!("uploaded {} ({size}) as {}", self.file.display(), image.name))
    }

    fn file_name(&self) -> Result<String> {
        let own = || Path::new(&self.file).file_name().map(|name| name.to_string_lossy().into_owned());
        self.name.clone().or_else(own).with_context(|| format!("{} is no file", self.file.display()))
    }
}

fn show(bar: &ProgressBar, name: &str, step: &Step) {
    match step {
        Step::Read(bytes) => {
            bar.set_message(format!("{name}: SHA-256"));
            bar.set_position(*bytes);
        }
        Step::Sent(bytes) => {
            bar.set_message(name.to_owned());
            bar.set_position(*bytes);
        }
        Step::Waiting(why) => {
            let why = clean(why, ' ');
            // A bar that is hidden, where there is no terminal, prints nothing.
            if bar.is_hidden() {
                eprintln!("{why}; trying again");
            } else {
                bar.println(format!("{why}; trying again"));
            }
        }
    }
}

fn progress(length: u64, name: &str) -> ProgressBar {
    // On a terminal only; indicatif draws nothing elsewhere.
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let template = "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_message(name.to_owned())
}
