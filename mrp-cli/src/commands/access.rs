//! `mrp login`, `logout`, `whoami`.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use anyhow::Result;
use mrp_core::api;
use mrp_tls::Fingerprint;
use serde_json::json;

use crate::client::{Client, ClientError};
use crate::commands::{Session, password};
use crate::credentials::{self, Credentials, Trust};
use crate::output::{Format, yes};

/// Log in at a server; the other commands use the last login
///
/// Examples:
///   mrp login http://mrp.example.org:8080 --user alice
///   mrp login https://mrp.example.org --ca lab-ca.pem
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Login {
    /// The server
    url: String,
    /// Name of the user [default: that of the login of before, else the one of this system]
    #[arg(long)]
    user: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Trust the certificates of this authority (PEM), and no other
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust exactly the certificate with this SHA-256
    #[arg(long, value_name = "SHA256", conflicts_with = "ca")]
    fingerprint: Option<Fingerprint>,
}

impl Login {
    pub(super) async fn run(self, output: Format) -> Result<()> {
        // Before the password is asked for: a file of logins that cannot be read is not written over.
        let before = Credentials::load()?.pick(Some(&self.url));
        let trust = match (&self.ca, self.fingerprint.clone()) {
            (Some(file), _) => Trust::from_ca_file(file)?,
            (None, Some(fingerprint)) => Trust { ca: None, fingerprint: Some(fingerprint) },
            (None, None) => before.as_ref().map(|login| login.trust.clone()).unwrap_or_default(),
        };
        let (mut client, trust) = reach(&self.url, trust).await?;
        let system = || std::env::var("USER").unwrap_or_else(|_| "admin".into());
        let user = self.user.or_else(|| before.map(|login| login.user)).unwrap_or_else(system);
        let password =
            password::read(self.password_stdin, &format!("Password of {user} at {}:", client.url())).await?;
        let issued = client.log_in(&user, &password).await?;
        let url = client.url().to_owned();
        let login = credentials::Login { url: url.clone(), user: user.clone(), token: issued.token, trust };
        Credentials::change(|credentials| credentials.add(login))?;
        output.done(
            &json!({"url": url, "user": user, "expires": issued.expires}),
            format!("logged in at {url} as {user}"),
        )
    }
}

/// A client that trusts the server; asks the user about a certificate that nobody vouches for.
async fn reach(url: &str, trust: Trust) -> Result<(Client, Trust)> {
    let client = Client::new(url, &trust)?;
    // Any answer will do, a refusal too: it came over a trusted connection.
    let answer = client.get::<serde_json::Value>("/session").await;
    let Err(error @ (ClientError::Untrusted { .. } | ClientError::Unreachable { .. })) = answer else {
        return Ok((client, trust));
    };
    if matches!(error, ClientError::Unreachable { .. }) || !stdin().is_terminal() {
        return Err(error.into());
    }
    let Some(shown) = mrp_tls::shown_by(url).await else { return Err(error.into()) };
    let known = trust.fingerprint.is_some() || trust.ca.is_some();
    let warning = if known { "\nThis is NOT the certificate that you trusted before." } else { "" };
    let question = format!(
        "No authority vouches for the certificate of {url}.{warning}\nIts SHA-256 is {shown}\nTrust it?"
    );
    if !password::confirm(&question).await? {
        return Err(error.into());
    }
    let trust = Trust { ca: None, fingerprint: Some(shown) };
    Ok((Client::new(url, &trust)?, trust))
}

/// End the login and forget its token
///
/// Example:
///   mrp logout
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Logout {}

impl Logout {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let url = session.client.url();
        match session.client.delete("/session").await {
            // The token is of no use any more: all the same to whoever logs out.
            Ok(()) | Err(ClientError::NoLogin(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if !session.client.is_job() {
            Credentials::change(|credentials| credentials.remove(url))?;
        }
        session.output.done(&json!({"url": url}), format!("logged out at {url}"))
    }
}

/// Show the server and the user of the login
///
/// Example:
///   mrp whoami
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Whoami {}

impl Whoami {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let user: api::User = session.client.get("/session").await?;
        let facts = [
            ("user", user.name.clone()),
            ("admin", yes(user.admin)),
            ("email", user.email.clone()),
            ("server", session.client.url().to_owned()),
        ];
        session.output.object(&user, &facts)
    }
}
