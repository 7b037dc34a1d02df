//! Networks and the rules of their address ranges.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::error::Error;
use crate::id::Id;

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

    /// True if this network's subnet shares an address with the other's.
    pub fn overlaps(&self, other: &Network) -> bool {
        overlap(self.subnet, other.subnet)
    }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// The addresses of a range that `auto` may give: all but those ending in 0 or 255, as the original chose.
pub fn assignable(net: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    (u32::from(net.network())..=u32::from(net.broadcast()))
        .map(Ipv4Addr::from)
        .filter(|address| !matches!(address.octets()[3], 0 | 255))
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
}
