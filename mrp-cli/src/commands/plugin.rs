//! `mrp plugin`: BMC drivers that are not linked in; for admins on the server, and for those who write one.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use mrp_bmc::plugin::{Carrier, Limits, Plugin};
use mrp_core::bmc::{Capabilities, Drivers};
use mrp_core::plugin::{Hello, VERSION};
use serde::Serialize;
use serde_json::Value;

use crate::config::Config;
use crate::output::{Format, line};
use crate::plugins::{self, Found};

mod check;
mod new;

/// BMC drivers that are not linked in: libraries and executables.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum PluginCommand {
    List(List),
    Describe(Describe),
    Check(check::Check),
    New(new::New),
    Host(Host),
}

/// List the BMC drivers: those of mrp itself, the plugins in the server's folder, and why one is not used
///
/// Run it on the server, as the user that `mrp serve` runs as.
///
/// Example:
///   mrp plugin list --config /etc/mrp/mrp.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// Configuration file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Show what a plugin says of itself: its driver, what it can do, its options
///
/// A name without a slash that is a driver's of mrp itself is that driver. With -o json the options are a JSON Schema.
///
/// Examples:
///   mrp plugin describe ./acme.so
///   mrp plugin describe redfish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Describe {
    /// Library (NAME.so), executable or driver of mrp itself
    plugin: PathBuf,
}

/// Serve a library on standard input, or become the executable, within limits.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct Host {
    /// Memory in MiB
    memory_mb: u64,
    /// Library or executable
    plugin: PathBuf,
}

impl PluginCommand {
    pub(super) async fn run(self, drivers: Drivers, output: Format) -> Result<()> {
        match self {
            PluginCommand::List(command) => command.run(&drivers, output).await,
            PluginCommand::Describe(command) => command.run(&drivers, output).await,
            PluginCommand::Check(command) => command.run(&drivers, output).await,
            PluginCommand::New(command) => command.run(output),
            PluginCommand::Host(Host { memory_mb, plugin }) => {
                match mrp_bmc::plugin::host(&plugin, memory_mb)? {}
            }
        }
    }
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Listed {
    /// None for a driver that is linked in.
    file: Option<PathBuf>,
    driver: Option<String>,
    carrier: Option<String>,
    /// Why it is not used.
    refused: Option<String>,
}

impl From<Found> for Listed {
    fn from(Found { path, plugin }: Found) -> Self {
        match plugin {
            Ok(plugin) => Self {
                file: Some(path),
                driver: Some(plugin.hello().driver.clone()),
                carrier: Some(plugin.carrier().to_string()),
                refused: None,
            },
            Err(words) => Self { file: Some(path), driver: None, carrier: None, refused: Some(words) },
        }
    }
}

impl Listed {
    fn linked(driver: &str) -> Self {
        let carrier = Some("linked in".to_owned());
        Self { file: None, driver: Some(driver.to_owned()), carrier, refused: None }
    }
}

impl List {
    async fn run(self, drivers: &Drivers, output: Format) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        let mut found: Vec<Listed> = drivers.names().into_iter().map(Listed::linked).collect();
        found.extend(plugins::find(&config).await?.into_iter().map(Listed::from));
        output.list(
            &found,
            &[
                ("FILE", &|it| it.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default()),
                ("DRIVER", &|it| it.driver.clone().unwrap_or_default()),
                ("RUNS", &|it| it.carrier.clone().unwrap_or_default()),
                ("NOT USED BECAUSE", &|it| it.refused.clone().unwrap_or_default()),
            ],
        )
    }
}

impl Describe {
    async fn run(self, drivers: &Drivers, output: Format) -> Result<()> {
        let name = self.plugin.to_str().unwrap_or_default();
        let hello = match drivers.options(name) {
            Some(options) => Hello {
                mrp_plugin: VERSION,
                driver: name.to_owned(),
                capabilities: Capabilities::default(),
                node: drivers.node(name).cloned().unwrap_or_default(),
                options: options.clone(),
            },
            None => start(&self.plugin, plugins::isolated()).await?.hello().clone(),
        };
        let hello = &hello;
        output.object(
            hello,
            &[
                ("driver", hello.driver.clone()),
                ("protocol", format!("version {}", hello.mrp_plugin)),
                ("can", abilities(hello.capabilities)),
            ],
        )?;
        if output == Format::Table { describe_options(hello) } else { Ok(()) }
    }
}

/// Starts a plugin of its author's, from wherever it is.
async fn start(path: &std::path::Path, carrier: Carrier) -> Result<std::sync::Arc<Plugin>> {
    Plugin::start(path, carrier, Limits::default())
        .await
        .map_err(|words| anyhow!("{}: {words}", path.display()))
}

/// The capabilities in words; a library in Rust declares them when a BMC is opened.
fn abilities(capabilities: Capabilities) -> String {
    let declared = serde_json::to_value(capabilities).unwrap_or_default();
    let declared = declared.as_object().into_iter().flatten().filter(|(_, can)| **can == Value::Bool(true));
    let names: Vec<&str> = declared.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        "power; each BMC says what else".into()
    } else {
        format!("power, {}", names.join(", "))
    }
}

fn describe_options(hello: &Hello) -> Result<()> {
    if let Some(words) = hello.node["description"].as_str() {
        line(crate::output::clean(&format!("bmc_info of a machine: {words}"), ' '))?;
    }
    let required = |name: &str| {
        let mut required = hello.options["required"].as_array().into_iter().flatten();
        if required.any(|it| it == name) { " (required)" } else { "" }
    };
    for (name, schema) in hello.options["properties"].as_object().into_iter().flatten() {
        let kind = schema.get("type").map(|kind| format!(", {}", kind.to_string().replace('"', "")));
        let default = schema.get("default").map(|default| format!(", default {default}"));
        let words = schema["description"].as_str().unwrap_or_default();
        let (kind, default) = (kind.unwrap_or_default(), default.unwrap_or_default());
        line(crate::output::clean(&format!("option {name}{}{kind}{default}: {words}", required(name)), ' '))?;
    }
    Ok(())
}
