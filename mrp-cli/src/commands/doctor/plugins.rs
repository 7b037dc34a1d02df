//! Plugins: which are used, and why one is not.

use mrp_core::bmc::Drivers;

use super::Finding;
use crate::config::Config;
use crate::plugins;

/// The drivers with the site's plugins, and what there is to say of them.
pub(super) async fn examine(config: &Config, drivers: Drivers) -> (Drivers, Vec<Finding>) {
    let Some(dir) = &config.plugins.dir else { return (drivers, Vec::new()) };
    let about = format!("plugins in {}", dir.display());
    match plugins::add_to(config, drivers.clone()).await {
        Err(error) => {
            (drivers, vec![Finding::problem(about, format!("{error:#}"), "mend plugins.dir in mrp.toml")])
        }
        Ok((drivers, refused)) if refused.is_empty() => {
            let names = drivers.names().join(", ");
            (drivers, vec![Finding::ok(about, format!("the drivers are {names}"))])
        }
        Ok((drivers, refused)) => {
            let advice = "mrp plugin list, mrp plugin check";
            (
                drivers,
                refused.into_iter().map(|words| Finding::problem(about.clone(), words, advice)).collect(),
            )
        }
    }
}
