//! `mrp preseed edit`: an answer file in one's own editor. What somebody else saved meanwhile is not overwritten, and a
//! text that could not be saved is kept.

use std::fs::{self, OpenOptions};
use std::io::{IsTerminal, Write, stdin};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use mrp_core::api;
use serde_json::json;

use crate::client::{Client, ClientError};
use crate::commands::Session;
use crate::exit::Usage;
use crate::resolve::find;

/// Edit an answer file in $VISUAL or $EDITOR
///
/// If somebody else saved it meanwhile, nothing is overwritten, and your text is kept in a file.
///
/// Examples:
///   mrp preseed edit debian
///   EDITOR=nano mrp preseed edit debian
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Edit {
    /// Name or id
    preseed: String,
}

impl Edit {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let editor = editor()?;
        let found: api::Preseed = find(&session.client, &self.preseed).await?;
        let path = format!("/preseed/{}", found.id);
        let (old, tag): (api::Preseed, _) = session.client.get_tagged(&path).await?;
        let before = old.content.clone().unwrap_or_default();
        let file = Draft::new(&old.name, &before)?;
        let after = file.edited_by(&editor)?;
        if after == before {
            file.remove();
            return session.output.done(&old, format!("nothing was changed in {}", old.name));
        }
        match save(&session.client, &path, &before, &after, tag.as_deref()).await {
            Ok(saved) => {
                file.remove();
                session.output.done(&saved, format!("answer file {} was changed", saved.name))
            }
            Err(error) => Err(error.context(format!(
                "{} was not saved; your text is in {}",
                old.name,
                file.0.display()
            ))),
        }
    }
}

async fn save(
    client: &Client,
    path: &str,
    before: &str,
    after: &str,
    tag: Option<&str>,
) -> Result<api::Preseed> {
    let moved = "it was changed by somebody else meanwhile";
    if tag.is_none() {
        let current: api::Preseed = client.get(path).await?;
        if current.content.as_deref().unwrap_or_default() != before {
            bail!(moved);
        }
    }
    match client.put_if(path, &json!({"content": after}), tag).await {
        Err(ClientError::Refused { status: 412, .. }) => bail!(moved),
        saved => Ok(saved?),
    }
}

/// The user's editor, a command line for a shell.
fn editor() -> Result<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    match variable("VISUAL").or_else(|| variable("EDITOR")) {
        Some(editor) => Ok(editor),
        None if stdin().is_terminal() => Ok("vi".into()),
        None => bail!(Usage(
            "there is no terminal to edit at; give the text with mrp preseed set NAME --file FILE".into()
        )),
    }
}

/// A file for the editor, readable by its user only.
struct Draft(PathBuf);

impl Draft {
    fn new(name: &str, text: &str) -> Result<Self> {
        let safe: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
        let mut number = 0;
        loop {
            let file = format!("mrp-{safe}-{}-{number}.txt", std::process::id());
            let path = std::env::temp_dir().join(file);
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(mut file) => {
                    file.write_all(text.as_bytes()).with_context(|| path.display().to_string())?;
                    return Ok(Self(path));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < 100 => {
                    number += 1
                }
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
    }

    /// Waits for the editor and reads what it left.
    fn edited_by(&self, editor: &str) -> Result<String> {
        let outcome = run(editor, &self.0);
        match outcome {
            Ok(true) => {
                fs::read_to_string(&self.0).with_context(|| format!("your text in {}", self.0.display()))
            }
            Ok(false) => {
                self.remove();
                bail!("the editor ({editor}) ended with an error; nothing was changed")
            }
            Err(error) => {
                self.remove();
                Err(error).with_context(|| format!("starting the editor ({editor})"))
            }
        }
    }

    fn remove(&self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// An editor may have arguments: a shell takes it apart.
fn run(editor: &str, file: &Path) -> std::io::Result<bool> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file);
    Ok(shell.status()?.success())
}
