//! What was observed: leases, discovered clients, and what happened to machines. They have no id that anybody knows;
//! the newest counts.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::event::{EventKind, NewEvent};
use crate::id::{Id, Timestamp};
use crate::import::{ImportRow, Imported, LegacyEvent, Noun};
use crate::lease::{Discovered, Lease};
use crate::mac::MacAddr;
use crate::service::import::plan::{At, Plan};

impl Plan<'_> {
    pub(super) fn leases(&mut self) {
        for legacy in &self.legacy.leases {
            let at = At(Noun::Lease, legacy.id);
            let Some(mac) = self.mac(at, &legacy.mac) else { continue };
            let Some(ipv4) = legacy.ipv4.as_deref().and_then(|text| text.parse().ok()) else {
                self.leave_out(at, "ipv4", "is no IPv4 address");
                continue;
            };
            let here = self.state.leases.get(&mac).map(|lease| lease.last_seen);
            let row = ImportRow::Lease(Lease { mac, ipv4, last_seen: legacy.last_seen });
            self.observe(at, legacy.last_seen, here, row);
        }
    }

    pub(super) fn discovered(&mut self) {
        let own: HashSet<MacAddr> =
            self.legacy.interfaces.iter().filter_map(|interface| interface.mac.parse().ok()).collect();
        for legacy in &self.legacy.discovered {
            let at = At(Noun::Discovered, legacy.id);
            let Some(mac) = self.mac(at, &legacy.mac) else { continue };
            if own.contains(&mac) || self.state.holder(Noun::Interface, &[mac.to_string()]).is_some() {
                self.leave_out(at, "mac", "is the interface of a machine");
                continue;
            }
            let hostname = legacy.info["hostname"].as_str();
            let client = Discovered {
                mac,
                hostname: hostname.map(|text| self.text(at, "info", text, 255)),
                vendor_class: None,
                client_arch: legacy.info["arch_code"].as_u64().and_then(|code| u16::try_from(code).ok()),
                last_seen: legacy.last_seen,
            };
            let here = self.state.discovered.get(&mac).map(|client| client.last_seen);
            self.observe(at, legacy.last_seen, here, ImportRow::Discovered(client));
        }
    }

    fn mac(&mut self, at: At, text: &str) -> Option<MacAddr> {
        let mac = text.parse().ok();
        if mac.is_none() {
            self.leave_out(at, "mac", format!("{text:?} is no MAC address"));
        }
        mac
    }

    /// Brings what was seen later than mrp saw it, and later than the last import brought it.
    fn observe(&mut self, at: At, seen: Timestamp, here: Option<Timestamp>, row: ImportRow) {
        let mark = self.state.mark(at.0, at.1);
        let table = self.count(at.0);
        if mark.is_some_and(|mark| mark.revision >= seen.0) {
            table.unchanged += 1;
            return;
        }
        if here.is_some_and(|here| here >= seen) {
            table.kept += 1;
            return;
        }
        if mark.is_some() {
            table.updated += 1
        } else {
            table.brought += 1
        }
        self.batch.rows.push(row);
        self.batch.marks.push(Imported { noun: at.0, source: at.1, id: 0, revision: seen.0 });
    }

    /// Events only grow: those after the last that an import has brought are new.
    pub(super) fn machine_events(&mut self) {
        let last = self.state.mark(Noun::Event, 0).map_or(0, |mark| mark.revision);
        let mut left_out: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut newest = last;
        for legacy in &self.legacy.events {
            if legacy.id <= last {
                self.count(Noun::Event).unchanged += 1;
                continue;
            }
            newest = newest.max(legacy.id);
            let machine = legacy.machine.and_then(|machine| self.id(Noun::Machine, machine));
            match (machine, event(legacy)) {
                (None, _) => *left_out.entry("of a machine that is not in mrp").or_default() += 1,
                (_, None) => *left_out.entry("of a kind that mrp does not have").or_default() += 1,
                (Some(machine), Some(event)) => {
                    self.count(Noun::Event).brought += 1;
                    self.events.push(NewEvent { machine: Some(Id::new(machine)), ..event });
                }
            }
        }
        for (reason, rows) in left_out {
            self.count(Noun::Event).left_out += rows;
            self.note_many(Noun::Event, "", format!("{rows} events {reason}"), "not brought");
        }
        if newest > last {
            self.batch.marks.push(Imported { noun: Noun::Event, source: 0, id: 0, revision: newest });
        }
    }
}

/// An event in mrp's words.
fn event(legacy: &LegacyEvent) -> Option<NewEvent> {
    let word = |key: &str| legacy.info[key].as_str().unwrap_or_default();
    let (kind, actor, text) = match legacy.kind {
        2 => (EventKind::Power, "mrp", format!("power {}", word("power"))),
        3 => (EventKind::AnswerFile, "machine", format!("answer file fetched by {}", word("client_ip"))),
        4 => (EventKind::AnswerFile, "machine", "answer file could not be rendered".to_owned()),
        5 => (EventKind::PhoneHome, "machine", "phoned home".to_owned()),
        6 => (EventKind::State, "mrp", format!("state {} {}", word("state"), word("reason"))),
        7 if legacy.info["discover"].as_bool() == Some(false) => {
            (EventKind::Dhcp, "dhcp", "asked for its address".to_owned())
        }
        7 => (EventKind::Dhcp, "dhcp", "looked for a DHCP server".to_owned()),
        8 => (EventKind::Boot, "machine", format!("asked for {}", word("filename"))),
        _ => return None,
    };
    let clean: String = text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Some(NewEvent {
        at: legacy.at,
        machine: None,
        run: None,
        kind,
        actor: legacy.user.clone().unwrap_or_else(|| actor.to_owned()),
        text: clean.chars().take(1024).collect(),
        data: if legacy.info.is_object() { legacy.info.clone() } else { Value::Object(Default::default()) },
    })
}
