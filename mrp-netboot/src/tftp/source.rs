//! Where the server's files come from: the contract of whoever decides what a client gets.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use bytes::Bytes;

use super::outcome::{Outcome, Progress};

/// A read request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Who asks. IPv4 addresses are never in IPv6 form.
    pub client: SocketAddr,
    /// The address that was asked.
    pub local: IpAddr,
    /// The file's name as the client wrote it; what was not UTF-8 in it is replaced.
    pub path: String,
}

/// The bytes of a file. They must not change during the transfer.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// A file, read by offset.
    File {
        /// The file.
        file: File,
        /// Its length.
        len: u64,
    },
}

impl Body {
    /// Bytes in all.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// There are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a client gets.
#[derive(Debug)]
pub struct Opened<T> {
    /// The bytes.
    pub body: Body,
    /// Comes back with progress and outcome.
    pub tag: T,
}

/// Why a client gets nothing. The texts are sent to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No such file.
    #[error("file not found")]
    NotFound,
    /// The client must not have it, for this reason.
    #[error("{0}")]
    AccessDenied(String),
    /// Anything else.
    #[error("{0}")]
    Internal(String),
}

/// Decides what a client gets, and hears what became of it.
///
/// [`Source::open`] may take its time; no other transfer waits for it. The other two are called by the threads that move
/// the data and must return at once.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// What a transfer is, for the source.
    type Tag: Send + 'static;

    /// Answers a read request.
    async fn open(&self, request: &Request) -> Result<Opened<Self::Tag>, OpenError>;

    /// Hears how far a transfer came, at most twice a second.
    fn progress(&self, tag: &Self::Tag, progress: &Progress);

    /// Hears what became of a transfer, once for each that was opened.
    fn finished(&self, tag: &Self::Tag, outcome: &Outcome);
}
