//! What an observer of the network hears of DHCP: written down for the machine that it is about, else for the network.
//!
//! What belongs to no machine is bounded: strangers are named together once a minute, their problems within a budget.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::Error;
use crate::event::{EventKind, NewEvent};
use crate::id::Timestamp;
use crate::lease::Discovered;
use crate::mac::MacAddr;
use crate::machine::{Interface, Machine};
use crate::run::Observation;
use crate::service::discovery::{Discovery, reserved};
use crate::service::{Provisioner, lock};
use crate::sighting::{Heard, SeenClient, Sighting};

/// How often clients that are no machine's are named.
const STRANGERS: Duration = Duration::from_secs(60);
/// Clients that are named at once.
const NAMED: usize = 5;
/// Events about no machine that may come at once, and how long each later one waits.
const BUDGET: u32 = 20;
const BUDGET_EVERY: Duration = Duration::from_secs(60);

/// What belongs to no machine and waits to be told, or must not be told yet.
#[derive(Debug, Default)]
pub(crate) struct Unclaimed {
    /// New clients: the first ones, in words.
    named: Vec<String>,
    /// How many there are.
    strangers: usize,
    /// When they were last told.
    told: Option<Timestamp>,
    /// Events that were written lately, as time that has to pass.
    spent: Duration,
    counted: Timestamp,
    /// Events that were not written.
    left_out: u64,
}

impl Unclaimed {
    fn stranger(&mut self, name: String) {
        self.strangers += 1;
        if self.named.len() < NAMED {
            self.named.push(name);
        }
    }

    /// The text about new clients, where it is time for one.
    fn strangers(&mut self, now: Timestamp) -> Option<String> {
        let early = self.told.is_some_and(|told| now >= told && now.since(told) < STRANGERS);
        if self.strangers == 0 || early {
            return None;
        }
        self.told = Some(now);
        let (named, count) = (std::mem::take(&mut self.named), std::mem::take(&mut self.strangers));
        let more = match count - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let noun = if count == 1 { "a client asks" } else { "clients ask" };
        Some(format!("{noun} for an address that no machine has: {}{more}", named.join("; ")))
    }

    /// True if one more event may be written; how many were left out before it.
    fn may_tell(&mut self, now: Timestamp) -> Option<u64> {
        self.spent = self.spent.saturating_sub(now.since(self.counted));
        self.counted = now;
        if self.spent + BUDGET_EVERY > BUDGET_EVERY * BUDGET {
            self.left_out += 1;
            return None;
        }
        self.spent += BUDGET_EVERY;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Discovery<'_> {
    /// Takes in what an observer heard; without anything, tells what has waited long enough.
    pub async fn observed(&self, sightings: Vec<Sighting>) -> Result<(), Error> {
        for sighting in sightings {
            match &sighting.client {
                Some(client) => self.heard_client(&sighting, client).await?,
                None => self.tell_unclaimed(&sighting, None).await?,
            }
        }
        let now = self.service().now();
        let strangers = lock(&self.service().0.unknown_dhcp).strangers(now);
        match strangers {
            Some(text) => {
                self.service().record_event(network_event(now, text, json!({"heard": "strangers"}))).await
            }
            None => Ok(()),
        }
    }

    async fn heard_client(&self, sighting: &Sighting, client: &SeenClient) -> Result<(), Error> {
        let service = self.service();
        let owner = service.interfaces().owner_of(client.mac).await?;
        if let Heard::Took { address, .. } | Heard::Gave { address, .. } = sighting.what {
            let data = json!({"heard": "taken", "mac": client.mac, "ipv4": address});
            self.tell_holder(client.mac, address, data).await?;
        }
        let Some((machine, interface)) = owner else {
            return match sighting.what {
                Heard::Asked { .. } => self.stranger(client).await,
                _ if sighting.what.is_routine() => Ok(()),
                _ => self.tell_unclaimed(sighting, Some(client)).await,
            };
        };
        let seen = match sighting.what {
            // Who asked is left to the DHCP server's own report, which comes in time: this one may come late.
            Heard::Gave { address, .. } => Some(Observation::Dhcp { firmware: None, address: Some(address) }),
            _ => None,
        };
        let text = match &sighting.what {
            what @ Heard::Asked { .. } => format!("{client}: {what}"),
            what => format!("{}: {what}", client.mac),
        };
        let event = self.machine_event(&machine, text, data(sighting));
        match seen {
            Some(seen) => service.note_machine(&machine, seen, Some(event)).await?,
            None => service.record_event(event).await?,
        }
        self.check_reservation(&machine, &interface, client, sighting).await
    }

    /// A client got another address than the one that is reserved for it.
    async fn check_reservation(
        &self,
        machine: &Machine,
        interface: &Interface,
        client: &SeenClient,
        sighting: &Sighting,
    ) -> Result<(), Error> {
        let (Heard::Took { server, address } | Heard::Gave { server, address }) = &sighting.what else {
            return Ok(());
        };
        let Some(own) = reserved(interface).filter(|own| own != address) else { return Ok(()) };
        let why = match &client.client_id {
            Some(id) => format!(
                "it names itself by the client identifier {}, by which the server may know another lease of it",
                hex::encode(&id[..id.len().min(32)])
            ),
            None => {
                "the server does not know the reservation yet, or another client holds the address".into()
            }
        };
        let text = format!(
            "{}: has {address} of {server}, and not {own}, which is reserved for it: {why}",
            client.mac
        );
        let mut data = data(sighting);
        data["heard"] = json!("not_reserved");
        data["reserved"] = json!(own);
        self.service().record_event(self.machine_event(machine, text, data)).await
    }

    /// A client got the address of a machine's interface: tells the machine's people, once a minute.
    pub(super) async fn tell_holder(
        &self,
        mac: MacAddr,
        address: Ipv4Addr,
        data: Value,
    ) -> Result<(), Error> {
        let service = self.service();
        let Some(holder) = service.store().interface_by_address(address).await? else { return Ok(()) };
        if holder.mac == mac {
            return Ok(());
        }
        let Some((machine, _)) = service.interfaces().owner_of(holder.mac).await? else { return Ok(()) };
        let text = format!("{}: its address {address} was given to {}", holder.mac, self.named(mac));
        if !service.boot().is_news(machine.id, address.into(), &text) {
            return Ok(());
        }
        service.record_event(self.machine_event(&machine, text, data)).await
    }

    async fn stranger(&self, client: &SeenClient) -> Result<(), Error> {
        let service = self.service();
        let known = service.store().discovered_client(client.mac).await?.is_some();
        let SeenClient { mac, hostname, client_arch, vendor_class, .. } = client.clone();
        let last_seen = service.now();
        let discovered = Discovered { mac, hostname, client_arch, vendor_class, last_seen };
        service.store().put_discovered(&discovered).await?;
        if !known {
            let vendor = self.vendor(mac).map(|vendor| format!(" ({vendor})")).unwrap_or_default();
            lock(&service.0.unknown_dhcp).stranger(format!("{client}{vendor}"));
        }
        Ok(())
    }

    async fn tell_unclaimed(&self, sighting: &Sighting, client: Option<&SeenClient>) -> Result<(), Error> {
        let (service, now) = (self.service(), self.service().now());
        let Some(left_out) = lock(&service.0.unknown_dhcp).may_tell(now) else { return Ok(()) };
        let mut text = match client {
            Some(client) => format!("{}: {}", self.named(client.mac), sighting.what),
            None => format!("{}: {}", sighting.interface, sighting.what),
        };
        if left_out > 0 {
            text += &format!(" (before it {left_out} more about no machine, not written down)");
        }
        service.record_event(network_event(now, text, data(sighting))).await
    }

    /// A MAC address with the card's maker.
    fn named(&self, mac: MacAddr) -> String {
        match self.vendor(mac) {
            Some(vendor) => format!("{mac} ({vendor})"),
            None => mac.to_string(),
        }
    }

    fn service(&self) -> &Provisioner {
        self.0
    }

    /// What DHCP did with a machine.
    pub(super) fn machine_event(&self, machine: &Machine, text: String, data: Value) -> NewEvent {
        NewEvent { machine: Some(machine.id), ..network_event(self.service().now(), text, data) }
    }
}

fn network_event(at: Timestamp, text: String, data: Value) -> NewEvent {
    let (kind, actor) = (EventKind::Dhcp, "dhcp".to_owned());
    NewEvent { at, machine: None, run: None, kind, actor, text, data }
}

fn data(sighting: &Sighting) -> Value {
    let (server, address) = sighting.what.server_and_address();
    let client = sighting.client.as_ref();
    json!({
        "heard": sighting.what.as_str(), "interface": sighting.interface,
        "mac": client.map(|client| client.mac), "arch": client.and_then(|client| client.client_arch),
        "relay": client.and_then(|client| client.relay),
        "server": server.map(|server| server.id), "server_mac": server.and_then(|server| server.mac),
        "ipv4": address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_named_together_once_a_minute() {
        let mut unclaimed = Unclaimed::default();
        assert_eq!(unclaimed.strangers(Timestamp(0)), None);
        (0..1000).for_each(|number| unclaimed.stranger(format!("c{number}")));
        let told = unclaimed.strangers(Timestamp(1000));
        let expected = "clients ask for an address that no machine has: c0; c1; c2; c3; c4 and 995 more";
        assert_eq!(told.as_deref(), Some(expected));
        unclaimed.stranger("late".into());
        assert_eq!(unclaimed.strangers(Timestamp(60_999)), None);
        let told = unclaimed.strangers(Timestamp(61_000));
        assert_eq!(told.as_deref(), Some("a client asks for an address that no machine has: late"));
        unclaimed.stranger("clock".into());
        assert!(unclaimed.strangers(Timestamp(500)).is_some(), "a clock that was set back silences nothing");
    }

    #[test]
    fn a_flood_of_problems_ends_at_the_budget() {
        let mut unclaimed = Unclaimed::default();
        let told = (0..1000).filter(|_| unclaimed.may_tell(Timestamp(0)).is_some()).count();
        assert_eq!(told, 20);
        assert_eq!(unclaimed.may_tell(Timestamp(60_000)), Some(980));
        assert_eq!(unclaimed.may_tell(Timestamp(60_001)), None);
    }
}
