//! `mrp token`: tokens for CI jobs.

use anyhow::Result;
use mrp_core::api;
use mrp_core::id::Timestamp;
use mrp_core::token::Scope;
use serde_json::json;

use crate::commands::Session;
use crate::output::or_none;

/// Tokens for programs, to put into MRP_TOKEN.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// List your tokens and logins
    List(List),
    Add(Add),
    /// End a token at once
    Delete(One),
}

/// List tokens and logins.
#[derive(Debug, clap::Args)]
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
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    valid: Option<std::time::Duration>,
    /// How much it may: `read` only looks, `use` may what a plain user may, `admin` everything that you may [default:
    /// as much as your login]
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,
}

/// One token.
#[derive(Debug, clap::Args)]
pub struct One {
    /// Its id
    token: i64,
}

impl TokenCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            TokenCommand::List(command) => command.run(session).await,
            TokenCommand::Add(command) => command.run(session).await,
            TokenCommand::Delete(One { token }) => {
                session.client.delete(&format!("/token/{token}")).await?;
                session.output.done(&json!({"id": token}), format!("token {token} has ended"))
            }
        }
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<()> {
        let path = if self.all { "/token?all=true" } else { "/token" };
        let tokens: Vec<api::Token> = session.client.get(path).await?;
        session.output.list(
            &tokens,
            &[
                ("ID", &|token| token.id.to_string()),
                ("USER", &|token| token.user.clone()),
                ("KIND", &|token| token.kind.clone()),
                ("SCOPE", &|token| token.scope.to_string()),
                ("DESCRIPTION", &|token| token.description.clone()),
                ("CREATED", &|token| token.created.to_string()),
                ("EXPIRES", &|token| or_none(token.expires)),
                ("LAST USED", &|token| or_none(token.last_used)),
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
