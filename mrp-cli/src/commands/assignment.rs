//! `mrp assignment`: who holds a machine. `mrp reserve` and `mrp release` are the short way for oneself.

use anyhow::{Result, bail};
use mrp_core::api;
use serde_json::json;

use crate::client::Client;
use crate::commands::Session;
use crate::resolve::{self, find, hint, shown};

/// Who holds a machine, and why.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AssignmentCommand {
    List(List),
    Add(Add),
    Set(Set),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// List who holds a machine
///
/// Example:
///   mrp assignment list node-01
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// Machine
    machine: String,
}

/// Give a machine to a user, beside those who hold it (admins)
///
/// Example:
///   mrp assignment add node-01 alice --reason "kernel bisect"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Machine
    machine: String,
    /// User
    user: String,
    /// Why, for the others
    #[arg(long, default_value = "")]
    reason: String,
}

/// Say anew why a machine is held
///
/// Examples:
///   mrp assignment set node-01 --reason "bisect goes on"
///   mrp assignment set node-01 alice --reason "until Friday"      (admins)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// Machine
    machine: String,
    /// Whose assignment [default: your own]
    user: Option<String>,
    /// Why, for the others
    #[arg(long)]
    reason: String,
}

/// Take a machine from a user; one's own is given back by mrp release
///
/// Example:
///   mrp assignment remove node-01 alice      (admins)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Machine
    machine: String,
    /// User
    user: String,
}

impl AssignmentCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            AssignmentCommand::List(command) => command.run(session).await,
            AssignmentCommand::Add(command) => command.run(session).await,
            AssignmentCommand::Set(command) => command.run(session).await,
            AssignmentCommand::Remove(Remove { machine, user }) => {
                let machine = resolve::machine(&session.client, &machine).await?;
                let held = of_user(&session.client, &machine, &user).await?;
                let path = format!("/machine/{}/assignee/{}", machine.id, held.id);
                session.client.delete(&path).await?;
                session.output.done(&held, format!("{} holds {} no more", held.user, machine.name))
            }
        }
    }
}

/// The assignment of a user.
pub(super) async fn of_user(client: &Client, machine: &api::Machine, user: &str) -> Result<api::Assignee> {
    let all: Vec<api::Assignee> = client.get(&format!("/machine/{}/assignee", machine.id)).await?;
    let names: Vec<String> = all.iter().map(|held| held.user.clone()).collect();
    match all.into_iter().find(|held| held.user == user) {
        Some(held) => Ok(held),
        None if names.is_empty() => bail!("{} is free: nobody holds it", machine.name),
        None => bail!("{} does not hold {}{}", shown(user), machine.name, hint(&names, user)),
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let held: Vec<api::Assignee> =
            session.client.get(&format!("/machine/{}/assignee", machine.id)).await?;
        session.output.list(
            &held,
            &[
                ("ID", &|held| held.id.to_string()),
                ("USER", &|held| held.user.clone()),
                ("REASON", &|held| held.reason.clone()),
            ],
        )
    }
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        give(session, &machine, &self.user, &self.reason).await
    }
}

/// Gives a machine to a user.
pub(super) async fn give(session: &Session, machine: &api::Machine, user: &str, reason: &str) -> Result<()> {
    let user: api::User = find(&session.client, user).await?;
    let body = json!({"user": user.name, "reason": reason});
    let given: api::Assignee =
        session.client.post(&format!("/machine/{}/assignee", machine.id), &body).await?;
    session.output.done(&given, format!("{} holds {}", given.user, machine.name))
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        let client = &session.client;
        let machine = resolve::machine(client, &self.machine).await?;
        let whose = match &self.user {
            None => "self".to_owned(),
            Some(user) => of_user(client, &machine, user).await?.id.to_string(),
        };
        let path = format!("/machine/{}/assignee/{whose}", machine.id);
        match client.put::<api::Assignee>(&path, &json!({"reason": self.reason})).await {
            Err(error) if error.status() == Some(404) => bail!("you do not hold {}", machine.name),
            held => {
                let held = held?;
                session.output.done(&held, format!("{} holds {}: {}", held.user, machine.name, held.reason))
            }
        }
    }
}
