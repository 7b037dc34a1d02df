//! `mrp bmc`.

use anyhow::Result;
use clap::ValueEnum;
use mrp_core::api;
use mrp_core::bmc::Privilege;
use mrp_core::health::BmcHealth;
use mrp_core::id::Timestamp;
use serde_json::{Map, Value, json};

use crate::commands::{Session, password};
use crate::resolve::find;

/// Baseboard management controllers; for admins.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BmcCommand {
    List(List),
    Show(Show),
    Add(Add),
    Set(Set),
    Test(Test),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// List BMCs
///
/// Example:
///   mrp bmc list
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {}

/// Show a BMC; never its password
///
/// Example:
///   mrp bmc show bmc-01
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// Name or id
    bmc: String,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Level {
    User,
    Operator,
    #[default]
    Admin,
}

impl From<Level> for Privilege {
    fn from(level: Level) -> Self {
        match level {
            Level::User => Privilege::User,
            Level::Operator => Privilege::Operator,
            Level::Admin => Privilege::Admin,
        }
    }
}

/// Add a BMC
///
/// Examples:
///   mrp bmc add bmc-01 10.1.0.1 --user admin
///   mrp bmc add bmc-01 10.1.0.1 --user admin --password-file password-of-bmc-01
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Unique name
    name: String,
    /// host or host:port
    address: String,
    /// Account on the BMC
    #[arg(long, default_value = "")]
    user: String,
    #[command(flatten)]
    password: password::Source,
    /// How it is spoken to
    #[arg(long, default_value = "plain")]
    driver: String,
    /// Privilege that sessions ask for
    #[arg(long, value_enum, default_value_t)]
    privilege: Level,
    /// Option of the driver, its value in JSON; may be repeated
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = option)]
    options: Vec<(String, Value)>,
}

/// Change a BMC. What is not named stays, its password too
///
/// Examples:
///   mrp bmc set bmc-01 --address 10.1.0.9
///   mrp bmc set bmc-01 --password                 (asks for the new one)
///   mrp bmc set bmc-01 --password-file new-password
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// Name or id
    bmc: String,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// host or host:port
    #[arg(long)]
    address: Option<String>,
    /// Account on the BMC
    #[arg(long)]
    user: Option<String>,
    /// Ask for a new password of the account
    #[arg(long = "password")]
    ask_password: bool,
    #[command(flatten)]
    password: password::Source,
    /// How it is spoken to
    #[arg(long)]
    driver: Option<String>,
    /// Privilege that sessions ask for
    #[arg(long, value_enum)]
    privilege: Option<Level>,
    /// Option of the driver, its value in JSON; may be repeated
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = option)]
    options: Vec<(String, Value)>,
}

/// Log in at a BMC and read the power state
///
/// Examples:
///   mrp bmc test bmc-01
///   mrp bmc test chassis --node 7
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Test {
    /// Name or id
    bmc: String,
    /// Address of a machine behind it, where it serves several
    #[arg(long, default_value = "")]
    node: String,
}

/// Remove a BMC that no machine has
///
/// Example:
///   mrp bmc remove bmc-01
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Name or id
    bmc: String,
}

/// `key=value`; what is no JSON is text.
fn option(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}

impl BmcCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            BmcCommand::List(List {}) => list(session).await,
            BmcCommand::Show(Show { bmc }) => show(session, &find(&session.client, &bmc).await?),
            BmcCommand::Add(command) => command.run(session).await,
            BmcCommand::Set(command) => command.run(session).await,
            BmcCommand::Test(command) => command.run(session).await,
            BmcCommand::Remove(Remove { bmc }) => {
                let bmc: api::Bmc = find(&session.client, &bmc).await?;
                session.client.delete(&format!("/bmc/{}", bmc.id)).await?;
                session.output.done(&bmc, format!("BMC {} was removed", bmc.name))
            }
        }
    }
}

async fn list(session: &Session) -> Result<()> {
    let bmcs: Vec<api::Bmc> = session.client.list("/bmc", &[]).await?;
    session.output.list(
        &bmcs,
        &[
            ("ID", &|bmc| bmc.id.to_string()),
            ("NAME", &|bmc| bmc.name.clone()),
            ("ADDRESS", &|bmc| bmc.address.clone()),
            ("DRIVER", &|bmc| bmc.driver.clone()),
            ("USER", &|bmc| bmc.username.clone()),
            ("STATE", &|bmc| bmc.health.state.to_string()),
            ("SUCCEEDED", &|bmc| succeeded(&bmc.health)),
            ("MEDIAN", &|bmc| milliseconds(bmc.health.p50_ms)),
            ("LAST CONTACT", &|bmc| bmc.health.last_contact.map(|at| at.to_string()).unwrap_or_default()),
        ],
    )
}

/// `63/64`.
fn succeeded(health: &BmcHealth) -> String {
    if health.commands == 0 { String::new() } else { format!("{}/{}", health.succeeded, health.commands) }
}

fn milliseconds(time: Option<u32>) -> String {
    time.map(|time| format!("{time} ms")).unwrap_or_default()
}

fn show(session: &Session, bmc: &api::Bmc) -> Result<()> {
    let (health, at) = (&bmc.health, |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default());
    let options = bmc.options.iter().map(|(key, value)| format!("{key}={value}"));
    let facts = [
        ("name", bmc.name.clone()),
        ("id", bmc.id.to_string()),
        ("address", bmc.address.clone()),
        ("driver", bmc.driver.clone()),
        ("user", bmc.username.clone()),
        ("privilege", bmc.privilege.clone()),
        ("options", options.collect::<Vec<_>>().join(" ")),
        ("state", health.state.to_string()),
        ("succeeded", succeeded(health)),
        ("median", milliseconds(health.p50_ms)),
        ("95 of 100", milliseconds(health.p95_ms)),
        ("last contact", at(health.last_contact)),
        ("last failure", at(health.last_failure)),
        ("failure", health.failure.clone().unwrap_or_default()),
    ];
    session.output.object(bmc, &facts)
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let password = self.password.read(&format!("Password of {} on {}:", self.user, self.name)).await?;
        let new = api::NewBmc {
            name: self.name,
            address: self.address,
            driver: self.driver,
            username: self.user,
            password: Some(password.expose().to_owned()),
            privilege: self.privilege.into(),
            options: self.options.into_iter().collect(),
        };
        let bmc: api::Bmc = session.client.post("/bmc", &new).await?;
        session.output.done(&bmc, format!("BMC {0} was added; try it: mrp bmc test {0}", bmc.name))
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        let old: api::Bmc = find(&session.client, &self.bmc).await?;
        let password = if self.ask_password || self.password.is_given() {
            Some(self.password.read(&format!("New password on {}:", old.name)).await?)
        } else {
            None
        };
        let mut options: Map<String, Value> = old.options;
        options.extend(self.options);
        let privilege = match self.privilege {
            Some(level) => level.into(),
            None => serde_json::from_value(json!(old.privilege))?,
        };
        let new = api::NewBmc {
            name: self.name.unwrap_or(old.name),
            address: self.address.unwrap_or(old.address),
            driver: self.driver.unwrap_or(old.driver),
            username: self.user.unwrap_or(old.username),
            password: password.map(|password| password.expose().to_owned()),
            privilege,
            options,
        };
        let bmc: api::Bmc = session.client.put(&format!("/bmc/{}", old.id), &new).await?;
        session.output.done(&bmc, format!("BMC {} was changed", bmc.name))
    }
}

impl Test {
    async fn run(self, session: &Session) -> Result<()> {
        let bmc: api::Bmc = find(&session.client, &self.bmc).await?;
        let path = format!("/bmc/{}/test", bmc.id);
        let state: api::State = session.client.post(&path, &json!({"node": self.node})).await?;
        session.output.done(&state, format!("{} answers: the power is {}", bmc.name, state.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_json_or_text() {
        assert_eq!(option("bridge=true"), Ok(("bridge".into(), json!(true))));
        assert_eq!(option("mode=fast"), Ok(("mode".into(), json!("fast"))));
        assert!(option("mode").is_err());
    }
}
