//! `mrp plugin check`: the suite that mrp's own drivers pass, on somebody else's.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use mrp_bmc::plugin::Carrier;
use mrp_core::bmc::{BmcConfig, BmcError, Drivers, Node, Privilege};
use mrp_core::conformance::{Failure, Report, Verdict, bmc};
use mrp_core::secret::Secret;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::exit::Exit;
use crate::output::{Format, clean, line, note};
use crate::plugins;

/// Run the suite that mrp's own drivers pass, on a BMC that nobody uses: it is switched on and off
///
/// The file has the BMC: {"address": "…", "username": "…", "password": "…", "privilege": "admin", "options": {…}, "node": "…"};
/// what is left out is empty. Exit code 1 if a case does not hold.
///
/// Examples:
///   mrp plugin check ./acme.so --config bmc.json
///   mrp plugin check ./acme.py --config bmc.json -o json
///   mrp plugin check redfish --config bmc.json      (a driver of mrp itself, on a BMC of yours)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Check {
    /// Library (NAME.so), executable or driver of mrp itself
    plugin: PathBuf,
    /// File with the BMC to try it on
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How long a machine may take to reach a power state
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "1min")]
    patience: Duration,
    /// Load the library into this process
    #[arg(long)]
    in_process: bool,
}

/// The BMC to try a plugin on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial {
    address: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    privilege: Privilege,
    #[serde(default)]
    options: Map<String, Value>,
    #[serde(default)]
    node: String,
}

impl Check {
    pub(super) async fn run(self, linked: &Drivers, output: Format) -> Result<()> {
        let file = self.config.display().to_string();
        let text = std::fs::read_to_string(&self.config).with_context(|| file.clone())?;
        let trial: Trial = serde_json::from_str(&text).with_context(|| file.clone())?;
        let node = Node(trial.node.clone());
        let name = self.plugin.to_str().unwrap_or_default();
        if linked.options(name).is_some() {
            let report = self.on(linked, name, trial, &node).await.with_context(|| file)?;
            show(&report.0, output)?;
            return if report.passed() { Ok(()) } else { Err(Exit::FAILED.into()) };
        }
        let carrier = if self.in_process { Carrier::InProcess } else { plugins::isolated() };
        let plugin = super::start(&self.plugin, carrier).await?;
        let mut drivers = Drivers::new();
        let name = plugin.hello().driver.clone();
        plugin.register(&mut drivers).with_context(|| self.plugin.display().to_string())?;
        let mut report = self.on(&drivers, &name, trial, &node).await.with_context(|| file)?;
        report.0.push((
            "each call is answered once",
            match plugin.strays().await {
                0 => Verdict::Passed,
                strays => Verdict::Failed(Failure(format!("{strays} answers were to no call that waited"))),
            },
        ));
        show(&report.0, output)?;
        if let Err(words) = mrp_bmc::plugin::folder::check_owner(&self.plugin) {
            note(format!("`mrp serve` would not take it as it lies there: {words}"));
        }
        if report.passed() { Ok(()) } else { Err(Exit::FAILED.into()) }
    }

    /// The suite's report on a BMC.
    async fn on(&self, drivers: &Drivers, name: &str, trial: Trial, node: &Node) -> Result<Report, BmcError> {
        let opened = drivers.open(name, trial.into()).await?;
        let report = bmc::run_within(self.patience, &*opened, node).await;
        opened.close().await;
        Ok(report)
    }
}

impl From<Trial> for BmcConfig {
    fn from(trial: Trial) -> Self {
        Self {
            address: trial.address,
            username: trial.username,
            password: Secret::new(trial.password),
            privilege: trial.privilege,
            options: trial.options,
        }
    }
}

fn show(cases: &[(&'static str, Verdict)], output: Format) -> Result<()> {
    if output == Format::Json {
        let cases: Vec<Value> = cases.iter().map(|(name, verdict)| as_json(name, verdict)).collect();
        return output.list::<Value>(&cases, &[]);
    }
    for (name, verdict) in cases {
        line(clean(
            &match verdict {
                Verdict::Passed => format!("ok       {name}"),
                Verdict::Skipped(capability) => format!("skipped  {name}: {capability} is not declared"),
                Verdict::Failed(failure) => format!("FAILED   {name}: {failure}"),
            },
            ' ',
        ))?;
    }
    let count = |wanted: fn(&Verdict) -> bool| cases.iter().filter(|(_, verdict)| wanted(verdict)).count();
    let failed = count(|it| matches!(it, Verdict::Failed(_)));
    let skipped = count(|it| matches!(it, Verdict::Skipped(_)));
    line(format!("{} ok, {failed} failed, {skipped} skipped", cases.len() - failed - skipped))
}

fn as_json(name: &str, verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Passed => json!({"case": name, "verdict": "ok"}),
        Verdict::Skipped(capability) => json!({"case": name, "verdict": "skipped", "undeclared": capability}),
        Verdict::Failed(failure) => json!({"case": name, "verdict": "failed", "reason": failure.to_string()}),
    }
}
