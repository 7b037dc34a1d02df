//! The kernel's neighbour table: which MAC address is behind an address of a directly connected network.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use mrp_core::dhcp::Neighbours;
use mrp_core::mac::MacAddr;

/// Reads Linux' table of IPv4 neighbours. For IPv6, which boot loaders here do not use, it knows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelNeighbours;

impl Neighbours for KernelNeighbours {
    fn mac(&self, address: IpAddr) -> Option<MacAddr> {
        let IpAddr::V4(address) = address.to_canonical() else { return None };
        find(&fs::read_to_string("/proc/net/arp").ok()?, address)
    }
}

/// Finds an address in the text of `/proc/net/arp`: address, hardware type, flags, MAC address, mask, device.
fn find(table: &str, address: Ipv4Addr) -> Option<MacAddr> {
    const ETHERNET: &str = "0x1";
    const COMPLETE: u32 = 2;
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find_map(|fields| {
        let [ip, hardware, flags, mac, ..] = fields[..] else { return None };
        let flags = u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()?;
        let wanted = ip.parse() == Ok(address) && hardware == ETHERNET && flags & COMPLETE != 0;
        wanted.then(|| mac.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
IP address       HW type     Flags       HW address            Mask     Device
10.0.0.64        0x1         0x2         52:54:00:12:34:56     *        br0
10.0.0.65        0x1         0x0         00:00:00:00:00:00     *        br0
10.0.0.66        0x20        0x2         80:00:02:08:fe:80     *        ib0
10.0.0.67        0x1         0x6         52:54:00:12:34:57     *        br0
";

    #[test]
    fn only_complete_entries_count() {
        let mac = |last: u8| find(TABLE, Ipv4Addr::new(10, 0, 0, last)).map(|mac| mac.to_string());
        assert_eq!(mac(64).as_deref(), Some("52:54:00:12:34:56"));
        assert_eq!((mac(65), mac(66), mac(6)), (None, None, None));
        assert_eq!(mac(67).as_deref(), Some("52:54:00:12:34:57"));
    }

    #[test]
    fn the_kernels_own_table_is_read() {
        assert_eq!(KernelNeighbours.mac("0.0.0.0".parse().unwrap()), None);
        assert_eq!(KernelNeighbours.mac("2001:db8::1".parse().unwrap()), None);
    }
}
