//! BMCs, networks, machines and their interfaces.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::bmc::Privilege;
use crate::bmc_entry::BmcEntry;
use crate::id::Id;
use crate::import::{LegacyBmc, LegacyInterface, LegacyMachine, LegacyNetwork, Noun};
use crate::mac::MacAddr;
use crate::machine::{Addressing, Interface, Machine, MachineState, Netboot};
use crate::network::Network;
use crate::service::import::plan::{At, Plan};

impl Plan<'_> {
    pub(super) fn bmcs(&mut self) {
        for legacy in &self.legacy.bmcs {
            let at = At(Noun::Bmc, legacy.id);
            if legacy.address.trim().is_empty() || legacy.address.len() > 256 {
                self.leave_out(at, "ip", "is no address");
                continue;
            }
            let username = legacy.username.as_deref().unwrap_or_default();
            let entry = BmcEntry {
                id: Id::NEW,
                revision: 0,
                name: self.name(at, "name", &legacy.name, 1, 256),
                address: self.text(at, "ip", legacy.address.trim(), 256),
                driver: self.driver(at, legacy),
                username: self.text(at, "username", username, 256),
                sealed_password: self.sealed(legacy),
                privilege: self.privilege(at, legacy),
                options: serde_json::Map::new(),
            };
            self.settle(legacy.id, entry);
        }
    }

    fn driver(&mut self, at: At, legacy: &LegacyBmc) -> String {
        let drivers = self.service.drivers();
        match legacy.driver.as_deref() {
            Some(driver) if drivers.options(driver).is_some() => driver.to_owned(),
            None | Some("") => {
                self.note(at, "bmc_type", "there is none", "made plain");
                "plain".to_owned()
            }
            Some(driver) => {
                let reason = format!("this mrp has no driver {driver:?}, but {}", drivers.names().join(", "));
                self.note(at, "bmc_type", reason, "kept; its power fails until it gets a driver");
                self.text(at, "bmc_type", driver, 64)
            }
        }
    }

    /// The password under the server's key. Sealing makes another ciphertext each time: an equal password keeps mrp's.
    fn sealed(&self, legacy: &LegacyBmc) -> Vec<u8> {
        let (key, password) = (&self.service.0.key, legacy.password.clone().unwrap_or_default());
        let mark = self.state.mark(Noun::Bmc, legacy.id);
        let ours = mark.and_then(|mark| self.state.find::<BmcEntry>(mark.id));
        match ours {
            Some(ours) if key.open(&ours.sealed_password).is_ok_and(|old| old == password) => {
                ours.sealed_password.clone()
            }
            _ => key.seal(&password),
        }
    }

    fn privilege(&mut self, at: At, legacy: &LegacyBmc) -> Privilege {
        match legacy.privilege.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("user") => Privilege::User,
            Some("operator") => Privilege::Operator,
            None | Some("" | "admin" | "administrator") => Privilege::Admin,
            Some(other) => {
                self.note(at, "privilege_level", format!("{other:?} is none"), "made admin");
                Privilege::Admin
            }
        }
    }

    pub(super) fn networks(&mut self) {
        let mut planned: Vec<Network> = Vec::new();
        for legacy in &self.legacy.networks {
            let Some(network) = self.network(legacy) else { continue };
            let at = At(Noun::Network, legacy.id);
            let own = self.state.mark(Noun::Network, legacy.id).map(|mark| mark.id);
            let twin = |other: &Network| other.name == network.name || other.subnet == network.subnet;
            let mut others = self.state.networks.iter().filter(|other| Some(other.id.get()) != own);
            let other = others.find(|other| other.overlaps(&network) && !twin(other));
            let other = other.or_else(|| planned.iter().find(|other| other.overlaps(&network)));
            if let Some(other) = other {
                let reason = format!("overlaps {} of network {}", other.subnet, other.name);
                self.leave_out(at, "subnet", reason);
                continue;
            }
            if let Some(id) = self.settle(legacy.id, network.clone())
                && self.state.find::<Network>(id).is_none()
            {
                planned.push(network);
            }
        }
    }

    fn network(&mut self, legacy: &LegacyNetwork) -> Option<Network> {
        let at = At(Noun::Network, legacy.id);
        let Ok(subnet) = legacy.subnet.parse::<Ipv4Net>() else {
            self.leave_out(at, "subnet", format!("{} is no IPv4 network", legacy.subnet));
            return None;
        };
        let subnet = subnet.trunc();
        let static_net = self.range(at, "static_net", subnet, legacy.static_net.as_deref());
        let mut network = Network {
            id: Id::NEW,
            revision: 0,
            name: self.name(at, "name", &legacy.name, 1, 256),
            subnet,
            static_net,
            reserved_net: self.range(at, "reserved_net", subnet, legacy.reserved_net.as_deref()),
            server_url: None,
            trust_path_mac: true,
        };
        if let Err(error) = network.validate() {
            network.reserved_net = None;
            self.note(at, "reserved_net", error.to_string(), "cleared");
        }
        Some(network)
    }

    fn range(&mut self, at: At, field: &str, subnet: Ipv4Net, range: Option<&str>) -> Option<Ipv4Net> {
        let text = range?;
        let range = text.parse::<Ipv4Net>().ok().map(|range| range.trunc());
        let inside = range.filter(|range| subnet.contains(range));
        if inside.is_none() {
            self.note(at, field, format!("{text} is not inside the subnet {subnet}"), "cleared");
        }
        inside
    }

    pub(super) fn machines(&mut self) {
        for legacy in &self.legacy.machines {
            let at = At(Noun::Machine, legacy.id);
            let Some(arch) = self.needed(at, "arch_id", Noun::Arch, Some(legacy.arch)) else { continue };
            for (field, value) in &legacy.others {
                self.note(at, field, format!("mrp has nothing for {value:?}"), "not brought");
            }
            let options = legacy.kernel_options.as_deref();
            let name = self.name(at, "name", &legacy.name, 1, 256);
            let mut machine = Machine::new(name, Id::new(arch));
            machine.subarch = self.subarch(at, legacy).map(Id::new);
            machine.bmc = self.reference(at, "bmc_id", Noun::Bmc, legacy.bmc).map(Id::new);
            let info = legacy.bmc_info.as_deref().unwrap_or_default();
            machine.bmc_info = self.text(at, "bmc_info", info, 256);
            machine.kernel = self.reference(at, "kernel_id", Noun::Image, legacy.kernel).map(Id::new);
            machine.initrd = self.reference(at, "initrd_id", Noun::Image, legacy.initrd).map(Id::new);
            machine.kernel_options = options.map(|options| self.text(at, "kernel_opts", options, 1024));
            let answer_file = self.reference(at, "preseed_id", Noun::AnswerFile, legacy.answer_file);
            machine.answer_file = answer_file.map(Id::new);
            machine.netboot = if legacy.netboot == Some(true) { Netboot::ByHand } else { Netboot::Off };
            machine.state = self.machine_state(at, legacy);
            self.settle(legacy.id, machine);
        }
    }

    /// The subarchitecture, if it is one of the machine's architecture.
    fn subarch(&mut self, at: At, legacy: &LegacyMachine) -> Option<i64> {
        let source = legacy.subarch?;
        let of = self.legacy.subarchs.iter().find(|subarch| subarch.id == source);
        if of.is_some_and(|subarch| subarch.arch != legacy.arch) {
            self.note(at, "subarch_id", format!("subarch {source} is of another arch"), "cleared");
            return None;
        }
        self.reference(at, "subarch_id", Noun::Subarch, Some(source))
    }

    fn machine_state(&mut self, at: At, legacy: &LegacyMachine) -> MachineState {
        match legacy.state.as_deref() {
            None | Some("unknown") => MachineState::Unknown,
            Some("ready") => MachineState::Ready,
            Some("error") => MachineState::Error,
            Some("provisioning") => {
                let reason = "an installation is under way, which mrp does not watch";
                self.note(at, "state", reason, "kept; set the state when it has ended");
                MachineState::Provisioning
            }
            Some(other) => {
                self.note(at, "state", format!("{other:?} is no state"), "made unknown");
                MachineState::Unknown
            }
        }
    }

    pub(super) fn interfaces(&mut self) {
        let mut used = HashSet::new();
        for legacy in &self.legacy.interfaces {
            let at = At(Noun::Interface, legacy.id);
            let Some(machine) = self.needed(at, "machine_id", Noun::Machine, legacy.machine) else {
                continue;
            };
            let Ok(mac) = legacy.mac.parse::<MacAddr>() else {
                self.leave_out(at, "mac", format!("{:?} is no MAC address", legacy.mac));
                continue;
            };
            let identifier = legacy.identifier.as_deref();
            let interface = Interface {
                id: Id::NEW,
                revision: 0,
                machine: Id::new(machine),
                mac,
                identifier: identifier.map(|text| self.text(at, "identifier", text, 64)),
                network: self.reference(at, "network_id", Noun::Network, legacy.network).map(Id::new),
                addressing: self.addressing(at, legacy, &mut used),
            };
            self.settle(legacy.id, interface);
        }
    }

    /// The configured address: mr-provisioner's static one wins over the reserved one, and neither counts without a
    /// network. An address is used once in its network.
    fn addressing(
        &mut self,
        at: At,
        legacy: &LegacyInterface,
        used: &mut HashSet<(i64, Ipv4Addr)>,
    ) -> Addressing {
        let (field, text, make): (_, _, fn(Ipv4Addr) -> Addressing) =
            match (&legacy.static_ipv4, &legacy.reserved_ipv4) {
                (Some(fixed), reserved) => {
                    if let Some(reserved) = reserved {
                        let reason = format!("{reserved} beside the static {fixed}, which wins");
                        self.note(at, "reserved_ipv4", reason, "not brought");
                    }
                    ("static_ipv4", fixed, Addressing::Static)
                }
                (None, Some(reserved)) => ("reserved_ipv4", reserved, Addressing::Reserved),
                (None, None) => return Addressing::Dynamic,
            };
        match self.usable(legacy, text, used) {
            Ok(address) => make(address),
            Err(reason) => {
                self.note(at, field, reason, "made dynamic");
                Addressing::Dynamic
            }
        }
    }

    fn usable(
        &self,
        legacy: &LegacyInterface,
        text: &str,
        used: &mut HashSet<(i64, Ipv4Addr)>,
    ) -> Result<Ipv4Addr, String> {
        let address: Ipv4Addr = text.parse().map_err(|_| format!("{text} is no IPv4 address"))?;
        let source = legacy.network.filter(|source| self.id(Noun::Network, *source).is_some());
        let Some(source) = source else { return Err(format!("{text} without a network")) };
        let network = self.legacy.networks.iter().find(|network| network.id == source);
        let subnet = network.and_then(|network| network.subnet.parse::<Ipv4Net>().ok());
        if !subnet.is_some_and(|subnet| subnet.contains(&address)) {
            return Err(format!("{text} is not inside the subnet of its network"));
        }
        if !used.insert((source, address)) {
            return Err(format!("{text} is another interface's already"));
        }
        Ok(address)
    }
}
