//! `mrp user`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use mrp_core::Actor;
use mrp_core::api;
use mrp_core::bmc::Drivers;
use mrp_core::service::users::UserChange;

use crate::commands::{Session, password};
use crate::config::Config;
use crate::exit::Usage;
use crate::output::yes;
use crate::resolve::find;
use crate::wiring;

/// Users; admins make and remove them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum UserCommand {
    List(List),
    Show(Show),
    Add(Add),
    Set(Set),
    Passwd(Passwd),
    ResetPassword(ResetPassword),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

/// List users
///
/// Example:
///   mrp user list
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {}

/// Show a user, with the SSH keys
///
/// Example:
///   mrp user show alice
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// Name or id
    user: String,
}

/// Add a user (admins)
///
/// Example:
///   mrp user add alice --email alice@example.org
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Unique name
    name: String,
    /// E-mail
    #[arg(long, default_value = "")]
    email: String,
    /// May do everything
    #[arg(long)]
    admin: bool,
    /// File of public SSH keys, one a line, for answer files
    #[arg(long, value_name = "FILE")]
    ssh_keys: Option<PathBuf>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

/// Change a user: yourself, or anybody (admins). What is not named stays
///
/// Examples:
///   mrp user set alice --email alice@example.org
///   mrp user set alice --ssh-keys ~/.ssh/id_ed25519.pub
///   mrp user set alice --admin true
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// Name or id
    user: String,
    /// E-mail
    #[arg(long)]
    email: Option<String>,
    /// May do everything (admins)
    #[arg(long, value_name = "BOOL")]
    admin: Option<bool>,
    /// File of public SSH keys, one a line
    #[arg(long, value_name = "FILE")]
    ssh_keys: Option<PathBuf>,
}

/// Give a user a new password: yourself, or anybody (admins). All logins of that user end
///
/// To change your own you are asked for the one of before.
///
/// Examples:
///   mrp user passwd
///   mrp user passwd alice --revoke-tokens
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Passwd {
    /// Name or id [default: yourself]
    user: Option<String>,
    /// Read the password from standard input; for your own first the one of before, on a line of its own
    #[arg(long)]
    password_stdin: bool,
    /// End the user's API tokens too
    #[arg(long)]
    revoke_tokens: bool,
}

/// Give a user a new password on the server itself, without a login: for a forgotten password of the only admin
///
/// Run it as the user that `mrp serve` runs as. The server may go on running.
///
/// Example:
///   mrp user reset-password admin --config /etc/mrp/mrp.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ResetPassword {
    /// Name
    user: String,
    /// Configuration file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

/// Remove a user; what was theirs stays
///
/// Example:
///   mrp user remove alice
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Name or id
    user: String,
}

impl UserCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            UserCommand::List(List {}) => list(session).await,
            UserCommand::Show(Show { user }) => show(session, &find(&session.client, &user).await?),
            UserCommand::Add(command) => command.run(session).await,
            UserCommand::Set(command) => command.run(session).await,
            UserCommand::Passwd(command) => command.run(session).await,
            UserCommand::ResetPassword(_) => unreachable!("it has run before, without a session"),
            UserCommand::Remove(Remove { user }) => {
                let user: api::User = find(&session.client, &user).await?;
                session.client.delete(&format!("/user/{}", user.id)).await?;
                session.output.done(&user, format!("user {} was removed", user.name))
            }
        }
    }
}

async fn list(session: &Session) -> Result<()> {
    let users: Vec<api::User> = session.client.list("/user", &[]).await?;
    session.output.list(
        &users,
        &[
            ("ID", &|user| user.id.to_string()),
            ("NAME", &|user| user.name.clone()),
            ("EMAIL", &|user| user.email.clone()),
            ("ADMIN", &|user| yes(user.admin)),
        ],
    )
}

fn show(session: &Session, user: &api::User) -> Result<()> {
    let facts = [
        ("name", user.name.clone()),
        ("id", user.id.to_string()),
        ("email", user.email.clone()),
        ("admin", yes(user.admin)),
        ("SSH keys", user.ssh_keys.clone()),
    ];
    session.output.object(user, &facts)
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let ssh_keys = keys_of(self.ssh_keys)?.unwrap_or_default();
        let password =
            password::read_new(self.password_stdin, &format!("Password for {}:", self.name)).await?;
        let Self { name, email, admin, .. } = self;
        let new = api::NewUser { name, email, password: password.expose().to_owned(), admin, ssh_keys };
        let user: api::User = session.client.post("/user", &new).await?;
        session.output.done(&user, format!("user {} was added", user.name))
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        let user: api::User = find(&session.client, &self.user).await?;
        let ssh_keys = keys_of(self.ssh_keys)?;
        if self.email.is_none() && self.admin.is_none() && ssh_keys.is_none() {
            bail!(Usage("nothing to change was named; see mrp user set --help".into()));
        }
        let (email, admin) = (self.email, self.admin);
        let change = api::UserChange { email, admin, ssh_keys, ..api::UserChange::default() };
        let user: api::User = session.client.put(&format!("/user/{}", user.id), &change).await?;
        session.output.done(&user, format!("user {} was changed", user.name))
    }
}

impl Passwd {
    async fn run(self, session: &Session) -> Result<()> {
        let own: api::User = session.client.get("/session").await?;
        let user = match &self.user {
            Some(user) => find(&session.client, user).await?,
            None => own.clone(),
        };
        let current_password = if user.id == own.id {
            let current =
                password::read(self.password_stdin, &format!("Present password of {}:", user.name)).await?;
            Some(current.expose().to_owned())
        } else {
            None
        };
        let password =
            password::read_new(self.password_stdin, &format!("New password for {}:", user.name)).await?;
        let change = api::UserChange {
            password: Some(password.expose().to_owned()),
            current_password,
            revoke_tokens: self.revoke_tokens,
            ..api::UserChange::default()
        };
        let user: api::User = session.client.put(&format!("/user/{}", user.id), &change).await?;
        session.output.done(&user, format!("{} has a new password; log in again", user.name))
    }
}

impl ResetPassword {
    pub(super) async fn run(self, drivers: Drivers) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        let provisioner = wiring::quiet_provisioner(&config, drivers).await?;
        let actor = Actor::system();
        let user = provisioner.users().by_name(&actor, &self.user).await?;
        let password =
            password::read_new(self.password_stdin, &format!("New password for {}:", user.name)).await?;
        let change = UserChange { password: Some(password), ..UserChange::default() };
        provisioner.users().update(&actor, user.id, change).await?;
        provisioner.shutdown().await;
        crate::output::line(format!("{} has a new password; all logins of that user have ended", user.name))
    }
}

fn keys_of(file: Option<PathBuf>) -> Result<Option<String>> {
    use anyhow::Context as _;
    file.map(|file| std::fs::read_to_string(&file).with_context(|| file.display().to_string())).transpose()
}
