//! What measurements share: programs under measurement ([`program`]) and the clients that load a TFTP server ([`load`]).
//!
//! Each question is a file in `benches/`; `make bench` answers them all. Nothing here is part of the product.

pub mod load;
pub mod program;
