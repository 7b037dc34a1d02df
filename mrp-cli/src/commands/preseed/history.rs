//! `mrp preseed history`, `restore` and `lint`.

use std::path::Path;

use anyhow::Result;
use mrp_core::api;
use serde_json::{Value, json};

use crate::commands::Session;
use crate::commands::field::field;
use crate::commands::preseed::{Kind, text_of, word};
use crate::exit::Exit;
use crate::resolve::{self, find};

/// List the saved versions of an answer file, or print one of them
///
/// Examples:
///   mrp preseed history debian
///   mrp preseed history debian --version 3 > preseed-3.cfg
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct History {
    /// Name or id
    preseed: String,
    /// Print this version
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
}

impl History {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let preseed: api::Preseed = find(&session.client, &self.preseed).await?;
        let path = format!("/preseed/{}/version", preseed.id);
        if let Some(number) = self.version {
            let version: Value = session.client.get(&format!("{path}/{number}")).await?;
            return session.output.text(&version, &field(&version, "content"));
        }
        let versions: Vec<Value> = session.client.list(&path, &[]).await?;
        session.output.list(
            &versions,
            &[
                ("VERSION", &|version| field(version, "version")),
                ("SAVED", &|version| field(version, "saved")),
                ("BY", &|version| field(version, "saved_by")),
                ("BYTES", &|version| field(version, "bytes")),
            ],
        )
    }
}

/// Save an old version of an answer file as a new one
///
/// Example:
///   mrp preseed restore debian 3
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Restore {
    /// Name or id
    preseed: String,
    /// The version; mrp preseed history lists them
    version: u32,
}

impl Restore {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let preseed: api::Preseed = find(&session.client, &self.preseed).await?;
        let path = format!("/preseed/{}/version", preseed.id);
        let restored: api::Preseed = session.client.post(&path, &json!({"restore": self.version})).await?;
        session.output.done(&restored, format!("{} is as version {} was", restored.name, self.version))
    }
}

/// Look for what is wrong with an answer file; exit code 1 if there is an error in it
///
/// Examples:
///   mrp preseed lint debian
///   mrp preseed lint debian --machine node-01
///   mrp preseed lint preseed.cfg --type preseed
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Lint {
    /// Name or id; with --type a file of yours, or `-` for standard input
    #[arg(value_name = "PRESEED|FILE")]
    preseed: String,
    /// Look at a file that is not saved, for this installer
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
    /// As this machine would get it
    #[arg(long)]
    machine: Option<String>,
}

impl Lint {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let machine = match &self.machine {
            Some(machine) => Some(resolve::machine(&session.client, machine).await?.id),
            None => None,
        };
        let (name, lint): (String, Value) = match self.kind {
            Some(kind) => {
                let content = text_of(Path::new(&self.preseed))?;
                let body = json!({"content": content, "type": word(kind), "machine": machine});
                (self.preseed, session.client.post("/preseed/lint", &body).await?)
            }
            None => {
                let preseed: api::Preseed = find(&session.client, &self.preseed).await?;
                let parameters: Vec<_> = machine.iter().map(|id| ("machine", id.to_string())).collect();
                let path = format!("/preseed/{}/lint", preseed.id);
                (preseed.name, session.client.query(&path, &parameters).await?)
            }
        };
        let findings = lint["findings"].as_array().cloned().unwrap_or_default();
        if findings.is_empty() {
            return session.output.done(&lint, format!("nothing is wrong with {name}"));
        }
        let line = |finding: &Value| match (finding["line"].as_u64(), finding["rendered"] == json!(true)) {
            (Some(line), true) => format!("{line} (rendered)"),
            (Some(line), false) => line.to_string(),
            (None, _) => String::new(),
        };
        let columns: [crate::output::Column<'_, Value>; 3] = [
            ("LINE", &line),
            ("SEVERITY", &|finding| field(finding, "severity")),
            ("WHAT", &|finding| field(finding, "message")),
        ];
        session.output.list_of(&lint, &findings, &columns)?;
        if lint["ok"] == json!(true) { Ok(()) } else { Err(Exit::FAILED.into()) }
    }
}
