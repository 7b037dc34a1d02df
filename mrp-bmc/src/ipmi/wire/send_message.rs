//! Send Message (section 22.7): a message for a controller behind the BMC.

use super::{Command, DecodeError, Message, NET_FN_APP, Reader};

/// The request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SendMessage {
    /// Channel that it goes out by.
    pub(crate) channel: u8,
    /// The BMC keeps track of it and passes on its answer.
    pub(crate) tracked: bool,
    /// The message as it goes out.
    pub(crate) message: Vec<u8>,
}

/// Completion code: nobody at that address takes it.
pub(crate) const NOT_TAKEN: u8 = 0x83;

const TRACKED: u8 = 0x40;

impl Message for SendMessage {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Send Message request", bytes);
        let first = reader.byte()?;
        Ok(Self { channel: first & 0x0f, tracked: first & 0xc0 == TRACKED, message: reader.rest().to_vec() })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.channel | if self.tracked { TRACKED } else { 0 });
        out.extend(&self.message);
    }
}

impl Command for SendMessage {
    const NET_FN: u8 = NET_FN_APP;
    const CMD: u8 = 0x34;
    type Response = SentMessage;
}

/// The answer: the answer of the controller behind, or nothing where that follows in a packet of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentMessage(pub(crate) Vec<u8>);

impl Message for SentMessage {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(bytes.to_vec()))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(&self.0);
    }
}
