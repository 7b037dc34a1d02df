//! `mrp reserve` and `mrp release`.

use anyhow::{Result, bail};
use mrp_core::api;
use serde_json::json;

use crate::client::{Client, ClientError};
use crate::commands::{Session, assignment, time};
use crate::exit::Usage;
use crate::resolve::{self, quoted};

/// Take a free machine
///
/// Examples:
///   mrp reserve node-01 --reason "kernel bisect"
///   mrp reserve --query '(= arch "arm64")' --until 3d
///   mrp reserve --query '(= free t)'      (any)
///   mrp reserve node-01 --for alice      (admins; whoever holds it)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Reserve {
    /// Name or id
    #[arg(required_unless_present = "query", conflicts_with = "query")]
    machine: Option<String>,
    /// The first free machine that matches; see mrp machine list --help
    #[arg(short, long)]
    query: Option<String>,
    /// Why, for the others
    #[arg(long, default_value = "")]
    reason: String,
    /// Until when: 2026-01-31, 2026-01-31T12:00:00Z, or for how long: 3d, 12h [default: until it is given back]
    #[arg(long, value_name = "TIME", value_parser = time::future)]
    until: Option<time::Time>,
    /// Give it to this user, whoever holds it (admins)
    #[arg(long = "for", value_name = "USER", requires = "machine")]
    holder: Option<String>,
}

impl Reserve {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let client = &session.client;
        if self.query.as_ref().is_some_and(|query| query.trim().is_empty()) {
            bail!(Usage("the query is empty; for any free machine say --query '(= free t)'".into()));
        }
        let wanted = match &self.machine {
            Some(name) => Some(resolve::machine(client, name).await?),
            None => None,
        };
        if let (Some(user), Some(machine)) = (&self.holder, &wanted) {
            return assignment::give(session, machine, user, &self.reason, self.until).await;
        }
        let query = match &wanted {
            Some(machine) => format!("(= name {})", quoted(&machine.name)),
            None => self.query.unwrap_or_default(),
        };
        let mut body = json!({"query": query, "reason": self.reason});
        if let Some(time::Time(until)) = self.until {
            body["until"] = json!(until);
        }
        match (client.post::<api::Machine>("/machine/reservation", &body).await, wanted) {
            (Ok(machine), _) => session.output.done(&machine, format!("you hold {}", machine.name)),
            (Err(error), Some(machine)) if error.status() == Some(404) => {
                bail!(held(client, &machine).await?)
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

async fn held(client: &Client, machine: &api::Machine) -> Result<String, ClientError> {
    let holders: Vec<api::Assignee> = client.get(&format!("/machine/{}/assignee", machine.id)).await?;
    let holders = holders.iter().map(|holder| match holder.reason.as_str() {
        "" => holder.user.clone(),
        reason => format!("{} ({reason})", holder.user),
    });
    Ok(format!("{} is held by {}", machine.name, holders.collect::<Vec<_>>().join(", ")))
}

/// Give a machine back. Its run is cancelled, its netboot switched off
///
/// Examples:
///   mrp release node-01
///   mrp release node-01 --from alice      (admins)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Release {
    /// Name or id
    machine: String,
    /// Take it from this user (admins)
    #[arg(long, value_name = "USER")]
    from: Option<String>,
}

impl Release {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let client = &session.client;
        let machine = resolve::machine(client, &self.machine).await?;
        let path = format!("/machine/{}/assignee", machine.id);
        let whose = match &self.from {
            None => "self".to_owned(),
            Some(user) => assignment::of_user(client, &machine, user).await?.id.to_string(),
        };
        match client.delete(&format!("{path}/{whose}")).await {
            Err(error) if error.status() == Some(404) => bail!("you do not hold {}", machine.name),
            other => other?,
        }
        session.output.done(&machine, format!("{} is given back", machine.name))
    }
}
