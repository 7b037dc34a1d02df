//! The plugins of a site: found in the folder of the configuration, checked for who may write them, started, and added to the
//! drivers. One that cannot be had is named with the reason, and the rest goes on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use mrp_bmc::plugin::{Carrier, Limits, Plugin, folder};
use mrp_core::bmc::Drivers;

use crate::config::Config;

/// A file in the folder of plugins.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// The plugin, or why it is not had, in words that begin with "it" or name a path.
    pub plugin: Result<Arc<Plugin>, String>,
}

/// A process of its own for a plugin: this very program, also where its file was replaced.
pub fn isolated() -> Carrier {
    let command = ["/proc/self/exe", "plugin", "host"];
    Carrier::Process(command.iter().map(OsString::from).collect())
}

/// What the configuration lets a plugin take.
pub fn limits(config: &Config) -> Limits {
    Limits { call: config.plugins.timeout.0, memory_mb: config.plugins.memory_mb, ..Limits::default() }
}

/// Starts the plugins of the configuration, all at once.
pub async fn find(config: &Config) -> Result<Vec<Found>> {
    let Some(dir) = &config.plugins.dir else { return Ok(Vec::new()) };
    let paths = folder::plugins(dir).with_context(|| format!("plugins.dir {}", dir.display()))?;
    let names: Vec<&str> =
        paths.iter().filter_map(|path| path.file_name()).filter_map(|name| name.to_str()).collect();
    if let Some(missing) = config.plugins.in_process.iter().find(|name| !names.contains(&name.as_str())) {
        bail!(
            "plugins.in_process: {} has no library {missing:?}; there is: {}",
            dir.display(),
            names.join(", ")
        );
    }
    let limits = limits(config);
    Ok(join_all(paths.into_iter().map(|path| async move {
        let plugin = match folder::check_owner(&path) {
            Ok(()) => Plugin::start(&path, carrier(config, &path), limits).await,
            Err(words) => Err(words),
        };
        Found { path, plugin }
    }))
    .await)
}

fn carrier(config: &Config, path: &Path) -> Carrier {
    let named = |name: &String| path.file_name().is_some_and(|file| file == name.as_str());
    if config.plugins.in_process.iter().any(named) { Carrier::InProcess } else { isolated() }
}

/// Adds the plugins of the configuration to the drivers. What could not be added is said in words.
pub async fn add_to(config: &Config, mut drivers: Drivers) -> Result<(Drivers, Vec<String>)> {
    let mut refused = Vec::new();
    for Found { path, plugin } in find(config).await? {
        let registered = match plugin {
            Ok(plugin) => plugin.register(&mut drivers).map_err(|error| error.to_string()),
            Err(words) => Err(words),
        };
        if let Err(words) = registered {
            refused.push(format!("the plugin {} is not used: {words}", path.display()));
        }
    }
    Ok((drivers, refused))
}
