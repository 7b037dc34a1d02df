//! Close Session (section 22.19).

use super::{Command, DecodeError, Empty, Message, NET_FN_APP, Reader};

/// The request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CloseSession {
    /// The BMC's id of the session.
    pub(crate) session_id: u32,
}

impl Message for CloseSession {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { session_id: Reader::new("Close Session request", bytes).u32()? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.session_id.to_le_bytes());
    }
}

impl Command for CloseSession {
    const NET_FN: u8 = NET_FN_APP;
    const CMD: u8 = 0x3c;
    type Response = Empty;
}
