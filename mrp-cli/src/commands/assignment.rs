//! `mrp assignment`: who holds a machine. `mrp reserve` and `mrp release` are the short way for oneself.

use anyhow::{Result, bail};
use mrp_core::api;
use serde_json::json;

use crate::client::Client;
use crate::commands::{Session, time};
use crate::exit::Usage;
use crate::output::{or_none, when};
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
    /// Until when: 2026-01-31, 2026-01-31T12:00:00Z, or for how long: 3d, 12h
    #[arg(long, value_name = "TIME", value_parser = time::future)]
    until: Option<time::Time>,
}

/// Say anew why and until when a machine is held. What is not named stays
///
/// Examples:
///   mrp assignment set node-01 --reason "bisect goes on"
///   mrp assignment set node-01 --until 3d
///   mrp assignment set node-01 alice --until none      (admins)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// Machine
    machine: String,
    /// Whose assignment [default: your own]
    user: Option<String>,
    /// Why, for the others
    #[arg(long)]
    reason: Option<String>,
    /// Until when: 2026-01-31, 2026-01-31T12:00:00Z, for how long: 3d, 12h; or `none`
    #[arg(long, value_name = "TIME", value_parser = time::future_or_none)]
    until: Option<time::Time>,
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
        let path = format!("/machine/{}/assignee", machine.id);
        let held: Vec<api::Assignee> = session.client.list(&path, &[]).await?;
        session.output.list(
            &held,
            &[
                ("ID", &|held| held.id.to_string()),
                ("USER", &|held| held.user.clone()),
                ("REASON", &|held| held.reason.clone()),
                ("UNTIL", &|held| or_none(held.until.map(when))),
            ],
        )
    }
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        give(session, &machine, &self.user, &self.reason, self.until).await
    }
}

/// Gives a machine to a user.
pub(super) async fn give(
    session: &Session,
    machine: &api::Machine,
    user: &str,
    reason: &str,
    until: Option<time::Time>,
) -> Result<()> {
    let user: api::User = find(&session.client, user).await?;
    let mut body = json!({"user": user.name, "reason": reason});
    if let Some(time::Time(until)) = until {
        body["until"] = json!(until);
    }
    let given: api::Assignee =
        session.client.post(&format!("/machine/{}/assignee", machine.id), &body).await?;
    session.output.done(&given, format!("{} holds {}", given.user, machine.name))
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        if self.reason.is_none() && self.until.is_none() {
            bail!(Usage("nothing to change was named; see mrp assignment set --help".into()));
        }
        let client = &session.client;
        let machine = resolve::machine(client, &self.machine).await?;
        let held = match &self.user {
            None => client.get(&format!("/machine/{}/assignee/self", machine.id)).await,
            Some(user) => Ok(of_user(client, &machine, user).await?),
        };
        let held: api::Assignee = match held {
            Err(error) if error.status() == Some(404) => bail!("you do not hold {}", machine.name),
            held => held?,
        };
        let mut body = json!({"reason": self.reason.as_ref().unwrap_or(&held.reason)});
        if let Some(time::Time(until)) = self.until {
            body["until"] = json!(until);
        }
        let path = format!("/machine/{}/assignee/{}", machine.id, held.id);
        let held: api::Assignee = client.put(&path, &body).await?;
        session.output.done(&held, format!("{} holds {}: {}", held.user, machine.name, held.reason))
    }
}
