//! What measurements share: programs under measurement ([`program`]), the clients that load a TFTP server ([`load`]),
//! and where simulated BMCs listen.
//!
//! Each question is a file in `benches/`; `make bench` answers them all. Nothing here is part of the product.

use std::net::{Ipv4Addr, SocketAddr};

pub mod load;
pub mod program;

/// Simulated BMCs in one third byte of their addresses.
pub const BMCS_IN_A_ROW: u32 = 250;

/// Where a simulated BMC listens: on IPMI's port, an address each, since a peer cannot be given a port.
pub fn bmc_address(index: u32) -> SocketAddr {
    let [.., row] = (index / BMCS_IN_A_ROW).to_be_bytes();
    let [.., last] = (index % BMCS_IN_A_ROW + 1).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 10, row, last), 623))
}
