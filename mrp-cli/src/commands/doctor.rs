//! `mrp doctor`: looks at what a server needs, and says what is wrong and what to do. Changes nothing, and works beside a
//! server that runs.

use std::path::PathBuf;

use anyhow::Result;
use mrp_core::bmc::Drivers;
use serde::Serialize;

use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Format, line};

mod bmcs;
mod data;
mod dhcp;
mod kea;
mod plugins;
mod ports;

/// Look at data folder, database, ports, privileges, DHCP and BMCs; say what is wrong and what to do
///
/// Run it on the server, as the user that `mrp serve` runs as. Exit code 1 if there is a problem.
///
/// Examples:
///   mrp doctor
///   mrp doctor --config /etc/mrp/mrp.toml -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Doctor {
    /// Configuration file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Problem,
}

/// What was looked at, how it stands, and what to do.
#[derive(Debug, Clone, Serialize)]
struct Finding {
    level: Level,
    about: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, about: about.into(), text: text.into(), advice: None }
    }

    fn warning(about: impl Into<String>, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, about: about.into(), text: text.into(), advice: Some(advice.into()) }
    }

    fn problem(about: impl Into<String>, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Problem, about: about.into(), text: text.into(), advice: Some(advice.into()) }
    }
}

impl Doctor {
    pub(super) async fn run(self, drivers: Drivers, output: Format) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        let mut findings = data::examine(&config);
        let store = data::open(&config, &mut findings).await;
        findings.extend(ports::examine(&config).await);
        findings.extend(dhcp::examine(&config, store.as_deref()).await);
        let (drivers, of_plugins) = plugins::examine(&config, drivers).await;
        findings.extend(of_plugins);
        if let Some(store) = &store {
            findings.extend(data::clock(&**store).await);
            findings.extend(data::key_of(&config, &**store).await);
            findings.push(data::holdings(&**store).await);
            findings.extend(bmcs::examine(&config, &drivers, &**store).await);
        }
        show(&findings, output)?;
        let problem = findings.iter().any(|finding| finding.level == Level::Problem);
        if problem { Err(Exit::FAILED.into()) } else { Ok(()) }
    }
}

fn show(findings: &[Finding], output: Format) -> Result<()> {
    if output == Format::Json {
        return output.list(findings, &[]);
    }
    for Finding { level, about, text, advice } in findings {
        let level = match level {
            Level::Ok => "ok",
            Level::Warning => "WARNING",
            Level::Problem => "PROBLEM",
        };
        line(format!("{level:<8} {about}: {text}"))?;
        if let Some(advice) = advice {
            line(format!("         -> {advice}"))?;
        }
    }
    Ok(())
}
