//! IPMI v1.5 session wrapper (section 13.6), as far as Get Channel Authentication Capabilities needs it: without a session.

use super::{DecodeError, Message, Reader};

/// Authentication type "none".
pub(crate) const AUTH_TYPE_NONE: u8 = 0x00;

/// A v1.5 packet outside a session, after the RMCP header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionV15 {
    /// Session sequence number; 0 outside a session.
    pub(crate) session_sequence_number: u32,
    /// Session id; 0 outside a session.
    pub(crate) session_id: u32,
    /// The IPMI message.
    pub(crate) payload: Vec<u8>,
}

impl SessionV15 {
    /// Wraps a message that belongs to no session.
    pub(crate) fn outside_session(payload: Vec<u8>) -> Self {
        Self { session_sequence_number: 0, session_id: 0, payload }
    }
}

impl Message for SessionV15 {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("IPMI v1.5 packet", bytes);
        let auth_type = reader.byte()?;
        if auth_type != AUTH_TYPE_NONE {
            return Err(DecodeError::Unknown { what: "authentication type", value: auth_type });
        }
        let session_sequence_number = reader.u32()?;
        let session_id = reader.u32()?;
        let length = usize::from(reader.byte()?);
        Ok(Self { session_sequence_number, session_id, payload: reader.slice(length)?.to_vec() })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(AUTH_TYPE_NONE);
        out.extend(self.session_sequence_number.to_le_bytes());
        out.extend(self.session_id.to_le_bytes());
        let length = u8::try_from(self.payload.len()).expect("messages outside a session are short");
        out.push(length);
        out.extend(&self.payload);
    }
}
