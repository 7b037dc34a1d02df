//! `mrp token`: tokens for CI jobs.

use anyhow::Result;
use mrp_core::api;
use mrp_core::id::Timestamp;
use mrp_core::token::Scope;
use serde_json::json;

use crate::commands::Session;
use crate::output::{or_none, when};
use crate::resolve::find;

/// Tokens for programs, to put into MRP_TOKEN.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenCommand {
    List(List),
    Add(Add),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// List your tokens and logins
///
/// Examples:
///   mrp token list
///   mrp token list --all      (admins)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// Everybody's (admins)
    #[arg(long)]
    all: bool,
}

/// Make a token; it is shown this once
///
/// Examples:
///   mrp token add --description "nightly kernel tests" --scope use --valid 90d
///   mrp token add --description "wall display" --scope read
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// What it is for
    #[arg(long, default_value = "")]
    description: String,
    /// How long it is valid, as `90d` or `12h` [default: until it is deleted]
    #[arg(long, visible_alias = "expires", value_name = "DURATION", value_parser = humantime::parse_duration)]
    valid: Option<std::time::Duration>,
    /// How much it may: `read` only looks, `use` may what a plain user may, `admin` everything that you may [default:
    /// as much as your login]
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

/// End a token at once
///
/// Examples:
///   mrp token remove "nightly kernel tests"
///   mrp token remove 12
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Its description, or its id
    token: String,
}

impl TokenCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            TokenCommand::List(command) => command.run(session).await,
            TokenCommand::Add(command) => command.run(session).await,
            TokenCommand::Remove(command) => command.run(session).await,
        }
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<()> {
        let path = if self.all { "/token?all=true" } else { "/token" };
        let tokens: Vec<api::Token> = session.client.list(path, &[]).await?;
        session.output.list(
            &tokens,
            &[
                ("ID", &|token| token.id.to_string()),
                ("USER", &|token| token.user.clone()),
                ("KIND", &|token| token.kind.clone()),
                ("SCOPE", &|token| token.scope.to_string()),
                ("DESCRIPTION", &|token| token.description.clone()),
                ("CREATED", &|token| when(token.created)),
                ("EXPIRES", &|token| or_none(token.expires.map(when))),
                ("LAST USED", &|token| or_none(token.last_used.map(when))),
            ],
        )
    }
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let expires = self.valid.map(|valid| Timestamp::from(std::time::SystemTime::now() + valid));
        let new = api::NewToken { description: self.description, expires, scope: self.scope };
        let token: api::IssuedToken = session.client.post("/token", &new).await?;
        session.output.done(&token, &token.token)
    }
}

impl Remove {
    async fn run(self, session: &Session) -> Result<()> {
        let id = match (find::<api::Token>(&session.client, &self.token).await, self.token.parse::<u32>()) {
            (Ok(token), _) => token.id,
            // It may be another user's, which admins end by its id.
            (Err(_), Ok(id)) => id.into(),
            (Err(error), Err(_)) => return Err(error),
        };
        session.client.delete(&format!("/token/{id}")).await?;
        session.output.done(&json!({"id": id}), format!("token {id} has ended"))
    }
}
