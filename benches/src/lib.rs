//! What measurements share: programs under measurement ([`program`]), the clients that load a TFTP server ([`load`]) or an
//! HTTP server ([`http`]), simulated BMCs ([`farm`]), and a server with a whole lab in its database ([`lab`]) beside its peer ([`nginx`]) and, where its rows are
//! there, [`postgres`].
//!
//! Each question is a file in `benches/`; `make bench` answers them all. Nothing here is part of the product.

pub mod farm;
pub mod http;
pub mod lab;
pub mod load;
pub mod nginx;
pub mod postgres;
pub mod program;
