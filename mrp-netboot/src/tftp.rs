//! A read-only TFTP server (RFC 1350, 2347, 2348, 2349, 7440) that knows no files: it asks a [`Source`].
//!
//! ```text
//! listener   reads requests until its socket is empty, refuses what is malformed or too much (table)
//! Source     opens, on the tokio runtime: it may be slow, and its panic is one client's error
//! worker     threads with epoll; each transfer has a socket of its own, connected to the client
//! transfer   the state machine of one transfer: no socket, no clock
//! ```
//!
//! Choices:
//! - A window leaves in one system call where the kernel cuts it into datagrams (UDP segmentation offload).
//! - Answers come from the address that was asked. Requests to broadcast addresses are ignored.
//! - A request that comes again from the same port is the same transfer; another one from that port takes its place.
//! - Block numbers wrap to 0, so files may have any size.
//! - Mode netascii is served as octet: boot files are bytes, and clients that ask for netascii by default want them.
//! - A packet from a port that is not the client's does not reach the transfer; the kernel answers it, by ICMP.

mod listener;
mod metrics;
mod negotiation;
mod outcome;
mod packet;
mod server;
mod socket;
mod source;
mod stop;
mod table;
mod transfer;
mod worker;

pub use metrics::TftpMetrics;
pub use outcome::{Ending, Outcome, Progress};
pub use server::{TftpConfig, TftpHandle, TftpServer};
pub use source::{Body, OpenError, Opened, Request, Source};
