//! What became of a transfer.

use std::fmt;
use std::time::Duration;

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The client acknowledged the last block.
    Completed,
    /// The client sent an error.
    Refused {
        /// The error's code (RFC 1350, 5).
        code: u16,
        /// The error's text.
        text: String,
        /// It was the answer to the options: the client wanted the size only, or did not want the options.
        offered: bool,
    },
    /// The client was not heard any more.
    TimedOut {
        /// Since it was last heard.
        silence: Duration,
    },
    /// The client's port is closed.
    Vanished,
    /// The client sent another request from the same port.
    Superseded,
    /// The server could not read the file or send.
    Failed(String),
    /// The server was stopped.
    Stopped,
}

/// What became of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// Bytes that the client acknowledged.
    pub bytes_acked: u64,
    /// Bytes of the file.
    pub total: u64,
    /// Bytes in a block.
    pub blksize: u16,
    /// Blocks in a window.
    pub windowsize: u16,
    /// The client asked for the file's size.
    pub tsize: bool,
    /// Blocks that were sent again.
    pub retransmissions: u64,
    /// From the first packet to the end.
    pub duration: Duration,
}

/// How far a transfer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that the client acknowledged.
    pub bytes: u64,
    /// Bytes of the file.
    pub total: u64,
    /// Bytes in a block.
    pub blksize: u16,
    /// Blocks in a window.
    pub windowsize: u16,
    /// The client asked for the file's size.
    pub tsize: bool,
    /// Blocks that were sent again.
    pub retransmissions: u64,
    /// Since the first packet.
    pub elapsed: Duration,
}

impl Progress {
    /// Bytes a second since the first packet.
    pub fn rate(&self) -> f64 {
        rate(self.bytes, self.elapsed)
    }
}

impl Outcome {
    /// The client has the whole file.
    pub fn is_complete(&self) -> bool {
        self.ending == Ending::Completed
    }

    /// Bytes a second.
    pub fn rate(&self) -> f64 {
        rate(self.bytes_acked, self.duration)
    }
}

fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64().max(1e-6)
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("complete"),
            Self::Refused { code, text, offered: true } => {
                write!(f, "the client stopped after it was told the size and options (error {code}: {text})")
            }
            Self::Refused { code, text, offered: false } => {
                write!(f, "the client stopped it (error {code}: {text})")
            }
            Self::TimedOut { silence } => {
                write!(f, "the client was silent for {:.0} s", silence.as_secs_f64())
            }
            Self::Vanished => f.write_str("the client closed its port"),
            Self::Superseded => f.write_str("the client sent another request from the same port"),
            Self::Failed(why) => write!(f, "the server failed: {why}"),
            Self::Stopped => f.write_str("the server was stopped"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_complete() {
            write!(f, "cut off after {} of {} B: {}; ", self.bytes_acked, self.total, self.ending)?;
        }
        write!(
            f,
            "{:.1} MB/s, blksize {}, windowsize {}, ",
            self.rate() / 1e6,
            self.blksize,
            self.windowsize
        )?;
        match self.retransmissions {
            0 => f.write_str("no block sent again"),
            1 => f.write_str("1 block sent again"),
            blocks => write!(f, "{blocks} blocks sent again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_reads_well() {
        let outcome = Outcome {
            ending: Ending::Completed,
            bytes_acked: 5_000_000,
            total: 5_000_000,
            blksize: 1468,
            windowsize: 16,
            tsize: true,
            retransmissions: 0,
            duration: Duration::from_millis(500),
        };
        assert_eq!(outcome.to_string(), "10.0 MB/s, blksize 1468, windowsize 16, no block sent again");
        let silence = Duration::from_secs(37);
        let cut =
            Outcome { ending: Ending::TimedOut { silence }, bytes_acked: 512, retransmissions: 8, ..outcome };
        let expected = "cut off after 512 of 5000000 B: the client was silent for 37 s; 0.0 MB/s, blksize 1468, \
                        windowsize 16, 8 blocks sent again";
        assert_eq!(cut.to_string(), expected);
    }
}
