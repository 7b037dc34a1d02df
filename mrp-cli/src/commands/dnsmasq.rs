//! `mrp dnsmasq config` and `mrp dnsmasq-event`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use mrp_core::id::Timestamp;
use mrp_netboot::dnsmasq::{ScriptEvent, ServerConfig, Spool};
use reqwest::StatusCode;
use tokio::time::{Instant, timeout_at};

use crate::config::{Config, DhcpKind};
use crate::output::line;
use crate::wiring::Files;

/// dnsmasq runs one script at a time: a report that takes longer keeps the others waiting.
const PATIENCE: Duration = Duration::from_secs(1);

/// What belongs into the configuration of the site's dnsmasq.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum DnsmasqCommand {
    Config(PrintConfig),
}

/// Print the piece of configuration to paste: boot loaders, host file, lease reports
///
/// Example:
///   mrp dnsmasq config > /etc/dnsmasq.d/mrp.conf
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct PrintConfig {
    /// Configuration file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the script is put that dnsmasq runs
    #[arg(long, value_name = "FILE", default_value = "/usr/local/lib/mrp-dnsmasq-event")]
    script: PathBuf,
    /// Where reports wait while mrp is away
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/misc/mrp-dnsmasq")]
    spool: PathBuf,
    /// Print the script instead
    #[arg(long)]
    print_script: bool,
}

impl DnsmasqCommand {
    pub(super) fn run(self) -> Result<()> {
        let DnsmasqCommand::Config(command) = self;
        command.run()
    }
}

impl PrintConfig {
    fn run(self) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        let machines = config.machine_door();
        let program = std::env::current_exe().context("finding this program")?;
        let mut event_command = vec![program.display().to_string(), "dnsmasq-event".into()];
        event_command.extend(["--url".into(), format!("http://{machines}")]);
        event_command.extend(["--spool".into(), self.spool.display().to_string()]);
        if let Some(file) = &config.machine.token_file {
            event_command.extend(["--token-file".into(), file.display().to_string()]);
        }
        let server = ServerConfig {
            hosts: Files::of(&config).dnsmasq_hosts(&config),
            next_server: config.boot.next_server,
            http_base: (!machines.ip().is_loopback()).then(|| format!("http://{machines}/boot")),
            script: self.script,
            event_command,
        };
        if self.print_script {
            return line(server.script().trim_end());
        }
        line((config.not_configured_yet(DhcpKind::Dnsmasq, "#") + &server.text()).trim_end())
    }
}

/// Report a lease to mrp: dnsmasq runs this as its script. Never fails, so that dnsmasq goes on.
///
/// While mrp is away reports wait in the spool folder; a later call sends them first. A server that
/// does not answer within a second is left alone for five.
///
/// Example:
///   mrp dnsmasq-event --url http://10.0.0.1:8081 add 52:54:00:12:34:56 10.0.0.7 node-01
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DnsmasqEvent {
    /// mrp's machine.listen
    #[arg(long, default_value = "http://127.0.0.1:8081")]
    url: String,
    /// File with the token of machine.token_file
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where reports wait while mrp is away
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/misc/mrp-dnsmasq")]
    spool: PathBuf,
    /// What dnsmasq says: add, old or del, MAC address, address, host name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "DNSMASQ'S ARGUMENTS")]
    arguments: Vec<String>,
}

impl DnsmasqEvent {
    pub(super) async fn run(self) -> Result<()> {
        let at = Timestamp::from(SystemTime::now()).0;
        match ScriptEvent::from_args_and_env(&self.arguments, |name| std::env::var(name).ok(), at) {
            Ok(Some(event)) => {
                if let Err(error) = self.report(&event).await {
                    eprintln!("mrp dnsmasq-event: {error:#}");
                }
            }
            Ok(None) => {}
            Err(error) => eprintln!("mrp dnsmasq-event: {error}"),
        }
        Ok(())
    }

    async fn report(&self, event: &ScriptEvent) -> Result<()> {
        let spool = Spool::new(&self.spool);
        if spool.rests() {
            return spool
                .append(event)
                .with_context(|| format!("{} cannot be written", self.spool.display()));
        }
        let sent = self.send(&spool, event).await;
        if let Err(reason) = sent {
            // Without the mark the next report waits for mrp as this one did.
            let _ = spool.rest();
            spool
                .append(event)
                .with_context(|| format!("{reason:#}, and {} cannot be written", self.spool.display()))?;
            return Err(reason.context("the report waits in the spool"));
        }
        Ok(())
    }

    /// Older reports first: the newest word on a lease has to arrive last.
    async fn send(&self, spool: &Spool, event: &ScriptEvent) -> Result<()> {
        let post = Post::new(&self.url, self.token_file.as_deref())?;
        let until = Instant::now() + PATIENCE;
        let waiting = spool.reports().unwrap_or_else(|error| {
            eprintln!("mrp dnsmasq-event: {}: {error}", self.spool.display());
            Vec::new()
        });
        for report in waiting {
            post.send(&report.event, until).await?;
            report.remove()?;
        }
        post.send(event, until).await
    }
}

struct Post {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Post {
    fn new(url: &str, token_file: Option<&Path>) -> Result<Self> {
        let token =
            token_file.map(|path| std::fs::read_to_string(path).with_context(|| path.display().to_string()));
        let token = token.transpose()?.map(|token| token.trim().to_owned());
        let url = format!("{}/dhcp/lease-event", url.trim_end_matches('/'));
        Ok(Self { http: reqwest::Client::builder().no_proxy().build()?, url, token })
    }

    async fn send(&self, event: &ScriptEvent, until: Instant) -> Result<()> {
        let mut request = self.http.post(&self.url).json(event);
        if let Some(token) = &self.token {
            request = request.header("X-MRP-Token", token);
        }
        let answer = timeout_at(until, request.send()).await.context("mrp does not answer in time")??;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                anyhow::bail!("mrp takes no reports from here: see machine.dhcp_from and machine.token_file")
            }
            status if status.is_server_error() => anyhow::bail!("mrp answers {status}"),
            status => {
                // It would be refused again: keeping it would hold up all that come after.
                eprintln!("mrp dnsmasq-event: mrp refuses the report of {}: {status}", event.mac);
                Ok(())
            }
        }
    }
}
