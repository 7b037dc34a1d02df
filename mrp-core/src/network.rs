//! Networks and the rules of their address ranges.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::error::Error;
use crate::id::Id;
use crate::mac::MacAddr;
use crate::machine::{Addressing, InterfaceId, MachineId};

/// How many addresses a refusal names.
const NAMED: usize = 10;

/// Identifies a [`Network`].
pub type NetworkId = Id<Network>;

/// A subnet in which machines live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Row id.
    pub id: NetworkId,
    /// Grows by one with each change.
    pub revision: i64,
    /// Unique name.
    pub name: String,
    /// The subnet; subnets of two networks do not overlap.
    pub subnet: Ipv4Net,
    /// Range of static addresses, inside the subnet.
    pub static_net: Option<Ipv4Net>,
    /// Range of addresses reserved by DHCP, inside the subnet and apart from `static_net`.
    pub reserved_net: Option<Ipv4Net>,
    /// Base URL under which the network's machines reach mrp (`http://10.0.0.1:8081`); by default the
    /// address that the machine asked.
    pub server_url: Option<String>,
    /// Believe the MAC in a path when nothing else is known of the client's address.
    pub trust_path_mac: bool,
}

impl Network {
    /// Checks the rules of one network by itself.
    pub fn validate(&self) -> Result<(), Error> {
        if self.subnet.trunc() != self.subnet {
            let network = self.subnet.trunc();
            return Err(Error::invalid(
                "subnet",
                format!("{} has host bits set; write {network}", self.subnet),
            ));
        }
        for (field, net) in [("static_net", self.static_net), ("reserved_net", self.reserved_net)] {
            if let Some(net) = net
                && !self.subnet.contains(&net)
            {
                return Err(Error::invalid(field, format!("{net} is not inside the subnet {}", self.subnet)));
            }
        }
        if let (Some(fixed), Some(reserved)) = (self.static_net, self.reserved_net)
            && overlap(fixed, reserved)
        {
            return Err(Error::invalid("reserved_net", format!("{reserved} overlaps static_net {fixed}")));
        }
        Ok(())
    }

    /// True if the network has an address in the range for its kind.
    pub fn has_room_for(&self, addressing: Addressing) -> bool {
        let (range, address) = match addressing {
            Addressing::Dynamic => return true,
            Addressing::Reserved(address) => (self.reserved_net, address),
            Addressing::Static(address) => (self.static_net, address),
        };
        self.subnet.contains(&address) && range.is_some_and(|range| range.contains(&address))
    }

    /// True if both have the same subnet and ranges.
    pub fn has_ranges_of(&self, other: &Network) -> bool {
        (self.subnet, self.static_net, self.reserved_net)
            == (other.subnet, other.static_net, other.reserved_net)
    }

    /// Refuses, in words, a change that takes the room from addresses that interfaces have.
    pub fn refuse_loss(&self, new: &Network, addresses: &[NetworkAddress]) -> Result<(), String> {
        let is_lost = |taken: &&NetworkAddress| {
            self.has_room_for(taken.addressing) && !new.has_room_for(taken.addressing)
        };
        let lost: Vec<String> = addresses
            .iter()
            .filter(is_lost)
            .map(|taken| {
                format!("{} {} of machine {}", taken.addressing.kind(), taken.address, taken.machine_name)
            })
            .collect();
        let others = if lost.len() > NAMED { " and others" } else { "" };
        match &lost[..lost.len().min(NAMED)] {
            [] => Ok(()),
            named => Err(format!("these addresses would be outside: {}{others}", named.join(", "))),
        }
    }

    /// True if this network's subnet shares an address with the other's.
    pub fn overlaps(&self, other: &Network) -> bool {
        overlap(self.subnet, other.subnet)
    }
}

/// An address that an interface has configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// How it is given.
    pub addressing: Addressing,
    /// The interface.
    pub interface: InterfaceId,
    /// The interface's MAC address.
    pub mac: MacAddr,
    /// The interface's name.
    pub identifier: Option<String>,
    /// The machine.
    pub machine: MachineId,
    /// The machine's name.
    pub machine_name: String,
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// The addresses of a range that may be given, all but those ending in 0 or 255 as the original chose, without those
/// that are taken.
#[derive(Debug)]
pub struct Free {
    range: Ipv4Net,
    /// Sorted, inside the range, and such as may be given.
    taken: Vec<u32>,
}

impl Free {
    /// The range without these.
    pub fn new(range: Ipv4Net, taken: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        let inside = taken.into_iter().filter(|address| range.contains(address) && may_be_given(*address));
        let mut taken: Vec<u32> = inside.map(u32::from).collect();
        taken.sort_unstable();
        taken.dedup();
        Self { range, taken }
    }

    /// The range.
    pub fn range(&self) -> Ipv4Net {
        self.range
    }

    /// How many may be given, taken or not.
    pub fn size(&self) -> u64 {
        let (first, last) = (u32::from(self.range.network()), u32::from(self.range.broadcast()));
        // Addresses below one that end in 0 or 255, per 256.
        let barred = |below: u64| below / 256 * 2 + u64::from(!below.is_multiple_of(256));
        let end = u64::from(last) + 1;
        end - u64::from(first) - (barred(end) - barred(u64::from(first)))
    }

    /// How many are free.
    pub fn count(&self) -> u64 {
        self.size() - self.taken.len() as u64
    }

    /// The free ones in numerical order.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        assignable(self.range).filter(|address| self.taken.binary_search(&u32::from(*address)).is_err())
    }

    /// One of the free ones, as chance has it.
    pub fn pick(&self, chance: u64) -> Option<Ipv4Addr> {
        let first = u64::from(u32::from(self.range.network()));
        let span = u64::from(u32::from(self.range.broadcast())) - first + 1;
        // A few throws find one in a range that is not full, however large it is; then they are counted.
        let mut throw = chance;
        for _ in 0..16 {
            let address = u32::try_from(first + throw % span).ok()?;
            if may_be_given(address.into()) && self.taken.binary_search(&address).is_err() {
                return Some(address.into());
            }
            throw = throw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        }
        let index = chance.checked_rem(self.count())?;
        self.addresses().nth(usize::try_from(index).ok()?)
    }
}

fn may_be_given(address: Ipv4Addr) -> bool {
    !matches!(address.octets()[3], 0 | 255)
}

fn assignable(net: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    (u32::from(net.network())..=u32::from(net.broadcast())).map(Ipv4Addr::from).filter(|a| may_be_given(*a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(subnet: &str, fixed: Option<&str>, reserved: Option<&str>) -> Network {
        Network {
            id: Id::NEW,
            revision: 0,
            name: "lab".into(),
            subnet: subnet.parse().unwrap(),
            static_net: fixed.map(|net| net.parse().unwrap()),
            reserved_net: reserved.map(|net| net.parse().unwrap()),
            server_url: None,
            trust_path_mac: true,
        }
    }

    #[test]
    fn ranges_lie_inside_the_subnet_and_apart() {
        assert!(network("10.1.0.0/16", Some("10.1.32.0/20"), Some("10.1.16.0/20")).validate().is_ok());
        for bad in [
            network("10.1.0.1/16", None, None),
            network("10.1.0.0/16", Some("10.2.0.0/20"), None),
            network("10.1.0.0/16", Some("10.1.16.0/20"), Some("10.1.16.0/24")),
            network("10.1.0.0/16", Some("10.1.16.0/24"), Some("10.1.16.0/20")),
        ] {
            assert!(matches!(bad.validate(), Err(Error::Invalid { .. })), "{bad:?}");
        }
    }

    #[test]
    fn network_and_broadcast_looking_addresses_are_not_given() {
        let all: Vec<_> = assignable("10.1.0.254/23".parse().unwrap()).collect();
        assert_eq!(all.len(), 512 - 4);
        assert!(!all.contains(&Ipv4Addr::new(10, 1, 0, 255)) && !all.contains(&Ipv4Addr::new(10, 1, 1, 0)));
    }

    #[test]
    fn free_addresses_are_counted_as_they_are_listed() {
        let taken = [[10, 1, 0, 1], [10, 1, 0, 1], [10, 1, 0, 2], [10, 1, 0, 0], [10, 2, 0, 9]];
        for range in
            ["10.1.0.0/23", "10.1.0.0/30", "10.1.0.1/32", "10.1.0.0/32", "10.1.0.254/31", "10.1.0.192/26"]
        {
            let free = Free::new(range.parse().unwrap(), taken.map(Ipv4Addr::from));
            let listed: Vec<_> = free.addresses().collect();
            assert_eq!(listed.len() as u64, free.count(), "{range}");
            assert_eq!(assignable(free.range).count() as u64, free.size(), "{range}");
            for chance in 0..1000 {
                let picked = free.pick(chance);
                assert_eq!(picked.is_some(), !listed.is_empty(), "{range}");
                assert!(picked.is_none_or(|picked| listed.contains(&picked)), "{range}");
            }
            assert!(!listed.contains(&Ipv4Addr::new(10, 1, 0, 2)), "{range}");
        }
    }
}
