//! What `mrp dnsmasq-event` reports of dnsmasq's leases.

use std::net::Ipv4Addr;
use std::time::Duration;

use mrp_core::id::Timestamp;
use mrp_core::mac::MacAddr;
use mrp_core::service::discovery::Seen;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::call::Call;
use crate::error::Answer;
use crate::reply;
use crate::router::{Route, Who};

/// A report that was kept back for longer tells of an address, but of no boot that goes on now.
const FRESH: Duration = Duration::from_secs(5 * 60);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new("POST", "/dhcp/lease-event", "dhcp_lease_event", Who::Dhcp, lease_event)
            .about("A lease of dnsmasq began, went on or ended")
            .body::<LeaseEvent>()
            .answers_nothing(204),
    ]
}

/// dnsmasq's word for what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// A new lease.
    Add,
    /// A lease that was there already: renewed, or told again with all others after dnsmasq started or read its files.
    Old,
    /// A lease ended.
    Del,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LeaseEvent {
    action: Action,
    mac: MacAddr,
    ipv4: Ipv4Addr,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    client_arch: Option<u16>,
    /// Who asked: firmware, or an operating system. `None` where dnsmasq did not hear the client itself.
    #[serde(default)]
    firmware: Option<bool>,
    /// When the lease ends, in seconds since 1970; mrp believes what it was told last.
    #[serde(default, rename = "expires")]
    _expires: Option<i64>,
    /// Milliseconds since 1970.
    at: i64,
}

async fn lease_event(call: Call) -> Answer {
    let event: LeaseEvent = call.exact().await?;
    let discovery = call.service().discovery();
    let LeaseEvent { mac, ipv4, client_arch, firmware, .. } = event;
    let report = format!("{:?} {ipv4} {firmware:?} {}", event.action, event.at);
    if discovery.is_repeated(mac, &report) {
        return Ok(reply::no_content());
    }
    let fresh = call.service().now().since(Timestamp(event.at)) < FRESH;
    match (event.action, firmware) {
        (Action::Del, _) => discovery.lease_ended(mac, ipv4).await?,
        (Action::Add, _) | (Action::Old, Some(_)) if fresh => {
            if discovery.answer(mac).await?.is_none() {
                let hostname = event.hostname;
                discovery.seen(Seen { mac, hostname, client_arch, discover: false }).await?;
            }
            discovery.lease(mac, ipv4, firmware).await?;
        }
        (Action::Add | Action::Old, _) => discovery.lease_repeated(mac, ipv4).await?,
    }
    Ok(reply::no_content())
}
