//! What the DHCP server said.

use std::net::Ipv4Addr;

use crate::id::Timestamp;
use crate::mac::MacAddr;

/// The last lease of a MAC address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The client.
    pub mac: MacAddr,
    /// Its address.
    pub ipv4: Ipv4Addr,
    /// When the lease was last given or renewed.
    pub last_seen: Timestamp,
}

/// A MAC address that asked for an address and belongs to no machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// The client.
    pub mac: MacAddr,
    /// The host name it sent (option 12).
    pub hostname: Option<String>,
    /// Its architecture (option 93, RFC 4578, 2.1).
    pub client_arch: Option<u16>,
    /// Its vendor class (option 60).
    pub vendor_class: Option<String>,
    /// When it last asked.
    pub last_seen: Timestamp,
}

/// What a client architecture is called (option 93; RFC 4578, 2.1, and IANA's registry of processor architectures).
pub fn client_arch_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0 => "x86 BIOS",
        6 => "x86 UEFI",
        7 | 9 => "x86-64 UEFI",
        10 => "arm UEFI",
        11 => "arm64 UEFI",
        15 => "x86 UEFI HTTP",
        16 => "x86-64 UEFI HTTP",
        18 => "arm UEFI HTTP",
        19 => "arm64 UEFI HTTP",
        20 => "x86 BIOS HTTP",
        25 => "riscv32 UEFI",
        26 => "riscv32 UEFI HTTP",
        27 => "riscv64 UEFI",
        28 => "riscv64 UEFI HTTP",
        37 => "loongarch32 UEFI",
        38 => "loongarch32 UEFI HTTP",
        39 => "loongarch64 UEFI",
        40 => "loongarch64 UEFI HTTP",
        _ => return None,
    })
}
