//! What mrp and the DHCP server need of each other.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::Duration;

use mrp_core::dhcp::DhcpHost;
use mrp_core::store::Store;
use mrp_netboot::dnsmasq::host_file as host_file_of;
use mrp_netboot::vendors::IeeeVendors;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Finding, kea};
use crate::config::{Config, DhcpKind};
use crate::wiring::{self, Files};

pub(super) async fn examine(config: &Config, store: Option<&dyn Store>) -> Vec<Finding> {
    let mut findings = match config.dhcp.backend {
        DhcpKind::None => {
            vec![Finding::ok(
                "DHCP",
                "not steered by mrp (dhcp.backend = \"none\"); mr-provisioner's Kea hook may ask",
            )]
        }
        DhcpKind::Dnsmasq => {
            vec![dnsmasq_version().await, host_file(config), content(config, store).await]
        }
        DhcpKind::Kea => kea::examine(config, store).await,
    };
    findings.extend(observer(config));
    findings.extend(token(config));
    if let Some(store) = store {
        findings.extend(believing_networks(store).await);
    }
    findings
}

async fn dnsmasq_version() -> Finding {
    let mut command = Command::new("dnsmasq");
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = match timeout(Duration::from_secs(5), command.output()).await {
        Ok(Ok(output)) if output.status.success() => output,
        _ => {
            let advice =
                "install it here, or run mrp beside it: the host file has to be on dnsmasq's machine";
            return Finding::warning("dnsmasq", "is not on this machine", advice);
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(2).unwrap_or("of an unknown version").to_owned();
    Finding::ok("dnsmasq", format!("version {version}"))
}

fn host_file(config: &Config) -> Finding {
    let path = Files::of(config).dnsmasq_hosts(config);
    let (about, shown) = ("dhcp.dnsmasq_hosts", path.display());
    match fs::metadata(&path) {
        Err(_) => {
            Finding::warning(about, format!("{shown} is not there yet"), "mrp serve writes it at its start")
        }
        Ok(metadata) if metadata.mode() & 0o004 == 0 => {
            let text = format!(
                "{shown} cannot be read by dnsmasq's own user (mode {:04o})",
                metadata.mode() & 0o777
            );
            Finding::warning(about, text, format!("chmod o+r {shown}, and its folders o+x"))
        }
        Ok(_) if config.dhcp.dnsmasq_reload.is_empty() => Finding::ok(
            about,
            format!(
                "{shown}; dnsmasq reads changes by the path unit of `mrp dnsmasq config`, or set dhcp.dnsmasq_reload"
            ),
        ),
        Ok(_) => Finding::ok(about, format!("{shown}; reload: {}", config.dhcp.dnsmasq_reload.join(" "))),
    }
}

fn observer(config: &Config) -> Vec<Finding> {
    const ABOUT: &str = "dhcp.observe";
    if config.dhcp.observe.as_ref().is_some_and(Vec::is_empty) {
        return vec![Finding::ok(ABOUT, "DHCP is not observed (dhcp.observe = [])")];
    }
    let may = match mrp_netboot::observer::check_permission() {
        Ok(()) => Finding::ok(ABOUT, "this user may listen to DHCP"),
        Err(error) => Finding::warning(
            ABOUT,
            format!("DHCP is not observed: this user may not listen to the network ({error})"),
            wiring::how_to_grant_observer(),
        ),
    };
    let makers = match IeeeVendors::default().list() {
        Some(list) => Finding::ok("network cards", format!("their makers are named by {}", list.display())),
        None => Finding::ok(
            "network cards",
            "their makers are not named: Debian's package ieee-data has the list",
        ),
    };
    vec![may, makers]
}

/// Whether the file says what the database says: somebody may have edited it.
async fn content(config: &Config, store: Option<&dyn Store>) -> Finding {
    const ABOUT: &str = "addresses";
    let path = Files::of(config).dnsmasq_hosts(config);
    let Some(store) = store else {
        return Finding::warning(ABOUT, "not compared without the database", "see above");
    };
    let wanted = match store.configured_addresses(None).await {
        Ok(addresses) => host_file_of(&addresses.into_iter().map(DhcpHost::from).collect::<Vec<_>>()),
        Err(error) => {
            return Finding::warning(ABOUT, format!("not compared: {error}"), "see the database above");
        }
    };
    match fs::read_to_string(&path) {
        Ok(found) if found == wanted => Finding::ok(
            ABOUT,
            format!("{} in dnsmasq's host file, as they should be", wanted.lines().count()),
        ),
        _ => Finding::warning(
            ABOUT,
            format!("{} is missing or does not say what the database says", path.display()),
            "mrp serve mends it within seconds and writes an event (`mrp events --kind dhcp`): start it",
        ),
    }
}

fn token(config: &Config) -> Option<Finding> {
    let path = config.machine.token_file.as_ref()?;
    let shown = path.display();
    Some(match fs::read_to_string(path) {
        Err(error) => Finding::problem(
            "machine.token_file",
            format!("{shown}: {error}"),
            "make it readable by this user",
        ),
        Ok(text) if text.trim().len() < 16 => Finding::problem(
            "machine.token_file",
            format!("{shown} is too short"),
            "put at least 16 characters into it",
        ),
        Ok(_) => Finding::ok("machine.token_file", shown.to_string()),
    })
}

async fn believing_networks(store: &dyn Store) -> Option<Finding> {
    let networks = store.networks().await.ok()?;
    let believing: Vec<&str> =
        networks.iter().filter(|n| n.trust_path_mac).map(|n| n.name.as_str()).collect();
    let text = format!(
        "a MAC address in a boot loader's path is believed where DHCP has reported nothing of the client, in: {}; `mrp network set NAME --trust-path-mac false` ends that",
        believing.join(", ")
    );
    (!believing.is_empty()).then(|| Finding::ok("networks", text))
}
