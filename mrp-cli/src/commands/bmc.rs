//! `mrp bmc`.

use anyhow::Result;
use clap::ValueEnum;
use mrp_core::api;
use mrp_core::bmc::Privilege;
use serde_json::{Map, Value, json};

use crate::commands::{Session, password};
use crate::resolve::find;

/// Baseboard management controllers; for admins.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BmcCommand {
    /// List BMCs
    List,
    Add(Add),
    Set(Set),
    Test(Test),
    /// Remove a BMC that no machine has
    Delete(One),
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
///   mrp bmc add bmc-01 10.1.0.1 --user admin --password-stdin < password-of-bmc-01
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
    /// Read the account's password from standard input
    #[arg(long)]
    password_stdin: bool,
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

/// Change a BMC. What is not named stays, its password too.
#[derive(Debug, clap::Args)]
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
    #[arg(long)]
    password: bool,
    /// Read a new password from standard input
    #[arg(long)]
    password_stdin: bool,
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

/// Log in at a BMC and read the power state.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// Name or id
    bmc: String,
    /// Address of a machine behind it, where it serves several
    #[arg(long, default_value = "")]
    node: String,
}

/// One BMC.
#[derive(Debug, clap::Args)]
pub struct One {
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
            BmcCommand::List => list(session).await,
            BmcCommand::Add(command) => command.run(session).await,
            BmcCommand::Set(command) => command.run(session).await,
            BmcCommand::Test(command) => command.run(session).await,
            BmcCommand::Delete(One { bmc }) => {
                let bmc: api::Bmc = find(&session.client, &bmc).await?;
                session.client.delete(&format!("/bmc/{}", bmc.id)).await?;
                session.output.done(&bmc, format!("BMC {} was removed", bmc.name))
            }
        }
    }
}

async fn list(session: &Session) -> Result<()> {
    let bmcs: Vec<api::Bmc> = session.client.get("/bmc").await?;
    session.output.list(
        &bmcs,
        &[
            ("ID", &|bmc| bmc.id.to_string()),
            ("NAME", &|bmc| bmc.name.clone()),
            ("ADDRESS", &|bmc| bmc.address.clone()),
            ("DRIVER", &|bmc| bmc.driver.clone()),
            ("USER", &|bmc| bmc.username.clone()),
            ("PRIVILEGE", &|bmc| bmc.privilege.clone()),
        ],
    )
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let password =
            password::read(self.password_stdin, &format!("Password of {} on {}:", self.user, self.name))
                .await?;
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
        let password = if self.password || self.password_stdin {
            Some(password::read(self.password_stdin, &format!("New password on {}:", old.name)).await?)
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
