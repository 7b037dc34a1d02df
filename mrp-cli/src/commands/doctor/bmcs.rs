//! Each BMC: whether it answers, and takes the stored account.

use std::sync::Arc;
use std::time::Duration;

use mrp_core::bmc::{BmcConfig, BmcError, Drivers, Node};
use mrp_core::bmc_entry::BmcEntry;
use mrp_core::secret::ServerKey;
use mrp_core::store::{MachineFilter, Store};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Finding;
use crate::config::Config;
use crate::wiring;

/// BMCs asked at once.
const AT_ONCE: usize = 32;
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn examine(config: &Config, drivers: &Drivers, store: &dyn Store) -> Vec<Finding> {
    let (Ok(bmcs), Ok(Some(key))) = (store.bmcs().await, wiring::existing_key(config)) else {
        return Vec::new();
    };
    let machines = store.machines(&MachineFilter::default()).await.unwrap_or_default();
    let (permits, mut asked) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for bmc in bmcs {
        let node = machines
            .iter()
            .find(|machine| machine.bmc == Some(bmc.id))
            .map(|machine| machine.bmc_info.clone());
        let (permits, drivers, key) = (permits.clone(), drivers.clone(), key.clone());
        asked.spawn(async move {
            let _permit = permits.acquire_owned().await;
            ask(&bmc, Node(node.unwrap_or_default()), &drivers, &key).await
        });
    }
    let mut findings = asked.join_all().await;
    findings.sort_by(|a, b| a.about.cmp(&b.about));
    findings
}

async fn ask(bmc: &BmcEntry, node: Node, drivers: &Drivers, key: &ServerKey) -> Finding {
    let about = format!("BMC {}", bmc.name);
    let Ok(password) = key.open(&bmc.sealed_password) else {
        let advice = format!("enter it again: mrp bmc set {} --password; or restore the key file", bmc.name);
        return Finding::problem(about, "its stored password does not open with this key file", advice);
    };
    let config = BmcConfig {
        address: bmc.address.clone(),
        username: bmc.username.clone(),
        password,
        privilege: bmc.privilege,
        options: bmc.options.clone(),
    };
    let power = async {
        let opened = drivers.open(&bmc.driver, config).await?;
        let power = opened.power(&node).await;
        opened.close().await;
        power
    };
    match timeout(PATIENCE, power).await {
        Ok(Ok(power)) => Finding::ok(about, format!("{} answers, power {power}", bmc.address)),
        Ok(Err(error)) => Finding::problem(about, error.to_string(), advice(&bmc.name, &error)),
        Err(_) => {
            Finding::problem(about, format!("{} did not finish in time", bmc.address), "is it overloaded?")
        }
    }
}

fn advice(name: &str, error: &BmcError) -> String {
    match error {
        BmcError::Unauthorized { .. } => format!("mend the account: mrp bmc set {name} --user … --password"),
        BmcError::Unreachable { .. } | BmcError::Timeout { .. } => {
            "is its address right, is it powered and cabled, is IPMI over LAN on, and UDP port 623 open to it?".into()
        }
        BmcError::Busy { .. } => "it has no free session: end those of others, or wait".into(),
        BmcError::Config(_) => format!("mend it: mrp bmc set {name} …"),
        _ => "see whether its firmware has an update".into(),
    }
}
