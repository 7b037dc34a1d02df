//! `mrp preseed`: answer files of every kind.

use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use mrp_core::api;
use serde_json::{Map, Value, json};

use crate::commands::Session;
use crate::exit::Usage;
use crate::output::{Format, clean, note, or_none, yes};
use crate::resolve::{self, find};

mod edit;
mod history;

/// Answer files: preseed, kickstart, AutoYaST, autoinstall, Agama.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum PreseedCommand {
    List(List),
    Add(Add),
    Show(Show),
    Set(Set),
    Edit(edit::Edit),
    History(history::History),
    Restore(history::Restore),
    Lint(history::Lint),
    Render(Render),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// List your answer files and those that are public
///
/// Examples:
///   mrp preseed list
///   mrp preseed list --mine
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// Only your own
    #[arg(long)]
    mine: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Preseed,
    Kickstart,
    Autoyast,
    Autoinstall,
    Agama,
}

fn word(kind: Kind) -> String {
    kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Add an answer file; a template in Jinja's language
///
/// Examples:
///   mrp preseed add debian preseed.cfg --type preseed
///   mrp preseed add fedora - --type kickstart --public < ks.cfg
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Unique name
    name: String,
    /// The file, or `-` for standard input
    file: PathBuf,
    /// Which installer reads it
    #[arg(long = "type", value_enum)]
    kind: Kind,
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Everybody may use it
    #[arg(long)]
    public: bool,
    /// Mark it as working
    #[arg(long)]
    known_good: bool,
}

/// Show an answer file, unrendered
///
/// Example:
///   mrp preseed show debian > preseed.cfg
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// Name or id
    preseed: String,
}

/// Change an answer file. What is not named stays.
///
/// Examples:
///   mrp preseed set debian --file preseed.cfg
///   mrp preseed set debian --public true
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// Name or id
    preseed: String,
    /// New text, or `-` for standard input
    #[arg(long)]
    file: Option<PathBuf>,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// Which installer reads it
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
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

/// Show an answer file as a machine would get it
///
/// Example:
///   mrp preseed render debian --machine node-01
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Render {
    /// Name or id
    preseed: String,
    /// For which machine
    #[arg(long)]
    machine: String,
}

/// Remove an answer file that no machine uses
///
/// Example:
///   mrp preseed remove debian
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Name or id
    preseed: String,
}

impl PreseedCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            PreseedCommand::List(List { mine }) => list(session, mine).await,
            PreseedCommand::Add(command) => command.run(session).await,
            PreseedCommand::Show(command) => command.run(session).await,
            PreseedCommand::Set(command) => command.run(session).await,
            PreseedCommand::History(command) => command.run(session).await,
            PreseedCommand::Restore(command) => command.run(session).await,
            PreseedCommand::Lint(command) => command.run(session).await,
            PreseedCommand::Edit(command) => command.run(session).await,
            PreseedCommand::Render(command) => command.run(session).await,
            PreseedCommand::Remove(Remove { preseed }) => {
                let preseed: api::Preseed = find(&session.client, &preseed).await?;
                session.client.delete(&format!("/preseed/{}", preseed.id)).await?;
                session.output.done(&preseed, format!("answer file {} was removed", preseed.name))
            }
        }
    }
}

async fn list(session: &Session, mine: bool) -> Result<()> {
    let preseeds: Vec<api::Preseed> =
        session.client.list(&format!("/preseed?show_all={}", !mine), &[]).await?;
    session.output.list(
        &preseeds,
        &[
            ("ID", &|preseed| preseed.id.to_string()),
            ("NAME", &|preseed| preseed.name.clone()),
            ("TYPE", &|preseed| preseed.kind.clone()),
            ("OWNER", &|preseed| or_none(preseed.user.as_ref())),
            ("PUBLIC", &|preseed| yes(preseed.public)),
            ("GOOD", &|preseed| yes(preseed.known_good)),
            ("DESCRIPTION", &|preseed| or_none(preseed.description.as_ref())),
        ],
    )
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let body = json!({
            "name": self.name, "type": word(self.kind), "content": text_of(&self.file)?,
            "description": self.description, "public": self.public, "known_good": self.known_good,
        });
        let preseed: api::Preseed = session.client.post("/preseed", &body).await?;
        session.output.done(&preseed, format!("answer file {} was added", preseed.name))
    }
}

impl Show {
    async fn run(self, session: &Session) -> Result<()> {
        let preseed: api::Preseed = find(&session.client, &self.preseed).await?;
        session.output.text(&preseed, preseed.content.as_deref().unwrap_or_default())
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        let preseed: api::Preseed = find(&session.client, &self.preseed).await?;
        let mut change: Map<String, Value> = Map::new();
        if let Some(file) = &self.file {
            change.insert("content".into(), json!(text_of(file)?));
        }
        change.extend(self.name.map(|name| ("name".into(), json!(name))));
        change.extend(self.kind.map(|kind| ("type".into(), json!(word(kind)))));
        change.extend(self.description.map(|description| ("description".into(), json!(description))));
        change.extend(self.public.map(|public| ("public".into(), json!(public))));
        change.extend(self.known_good.map(|known_good| ("known_good".into(), json!(known_good))));
        if change.is_empty() {
            bail!(Usage("nothing to change was named; see mrp preseed set --help".into()));
        }
        let preseed: api::Preseed = session.client.put(&format!("/preseed/{}", preseed.id), &change).await?;
        session.output.done(&preseed, format!("answer file {} was changed", preseed.name))
    }
}

impl Render {
    async fn run(self, session: &Session) -> Result<()> {
        let preseed: api::Preseed = find(&session.client, &self.preseed).await?;
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let path = format!("/preseed/{}/render?machine={}", preseed.id, machine.id);
        let rendered: api::RenderedPreseed = session.client.get(&path).await?;
        if session.output == Format::Table {
            rendered.warnings.iter().for_each(|warning| note(format!("warning: {}", clean(warning, ' '))));
        }
        session.output.text(&rendered, &rendered.text)
    }
}

fn text_of(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        stdin().read_to_string(&mut text).context("reading standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}
