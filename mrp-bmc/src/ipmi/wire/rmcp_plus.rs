//! RMCP+ packet (section 13.6): session header, payload and session trailer. Integrity and confidentiality are added and
//! taken away by [`crate::ipmi::channel`].

use super::{DecodeError, Message, Reader};

/// Authentication type "RMCP+" in the first byte after the RMCP header.
pub(crate) const AUTH_TYPE_RMCP_PLUS: u8 = 0x06;
/// Next header field of the session trailer.
pub(crate) const NEXT_HEADER: u8 = 0x07;

const ENCRYPTED: u8 = 0x80;
const AUTHENTICATED: u8 = 0x40;

/// Payload types (table 13-16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadType {
    /// An IPMI message.
    Ipmi,
    /// Serial over LAN.
    Sol,
    OpenSessionRequest,
    OpenSessionResponse,
    Rakp1,
    Rakp2,
    Rakp3,
    Rakp4,
}

const PAYLOAD_TYPES: [(PayloadType, u8); 8] = [
    (PayloadType::Ipmi, 0x00),
    (PayloadType::Sol, 0x01),
    (PayloadType::OpenSessionRequest, 0x10),
    (PayloadType::OpenSessionResponse, 0x11),
    (PayloadType::Rakp1, 0x12),
    (PayloadType::Rakp2, 0x13),
    (PayloadType::Rakp3, 0x14),
    (PayloadType::Rakp4, 0x15),
];

impl PayloadType {
    /// It travels within a session.
    pub(crate) fn is_in_session(self) -> bool {
        matches!(self, Self::Ipmi | Self::Sol)
    }

    fn from_code(code: u8) -> Option<Self> {
        PAYLOAD_TYPES.iter().find(|(_, known)| *known == code).map(|(kind, _)| *kind)
    }

    fn code(self) -> u8 {
        let found = PAYLOAD_TYPES.iter().find(|(kind, _)| *kind == self);
        found.expect("each payload type is in the table").1
    }
}

/// The packet after the RMCP header; `payload` as it travels, so encrypted where `encrypted` says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RmcpPlus {
    /// The payload is encrypted.
    pub(crate) encrypted: bool,
    /// A session trailer with an authentication code follows.
    pub(crate) authenticated: bool,
    pub(crate) payload_type: PayloadType,
    /// The receiver's session id; 0 outside a session.
    pub(crate) session_id: u32,
    /// Session sequence number; 0 outside a session.
    pub(crate) session_sequence_number: u32,
    pub(crate) payload: Vec<u8>,
    /// Integrity pad, pad length, next header and authentication code, where `authenticated` says so.
    pub(crate) trailer: Vec<u8>,
}

impl RmcpPlus {
    /// Wraps a payload that belongs to no session.
    pub(crate) fn outside_session(payload_type: PayloadType, payload: Vec<u8>) -> Self {
        Self {
            encrypted: false,
            authenticated: false,
            payload_type,
            session_id: 0,
            session_sequence_number: 0,
            payload,
            trailer: Vec::new(),
        }
    }
}

impl Message for RmcpPlus {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("RMCP+ packet", bytes);
        let auth_type = reader.byte()?;
        if auth_type != AUTH_TYPE_RMCP_PLUS {
            return Err(DecodeError::Unknown { what: "authentication type", value: auth_type });
        }
        let flags = reader.byte()?;
        let code = flags & 0x3f;
        let payload_type =
            PayloadType::from_code(code).ok_or(DecodeError::Unknown { what: "payload type", value: code })?;
        let session_id = reader.u32()?;
        let session_sequence_number = reader.u32()?;
        let length = usize::from(reader.u16()?);
        let payload = reader.slice(length)?.to_vec();
        let authenticated = flags & AUTHENTICATED != 0;
        let trailer = if authenticated { reader.rest().to_vec() } else { Vec::new() };
        let encrypted = flags & ENCRYPTED != 0;
        Ok(Self {
            encrypted,
            authenticated,
            payload_type,
            session_id,
            session_sequence_number,
            payload,
            trailer,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let encrypted = if self.encrypted { ENCRYPTED } else { 0 };
        let authenticated = if self.authenticated { AUTHENTICATED } else { 0 };
        out.extend([AUTH_TYPE_RMCP_PLUS, self.payload_type.code() | encrypted | authenticated]);
        out.extend(self.session_id.to_le_bytes());
        out.extend(self.session_sequence_number.to_le_bytes());
        let length = u16::try_from(self.payload.len()).expect("payloads are below a datagram's length");
        out.extend(length.to_le_bytes());
        out.extend(&self.payload);
        if self.authenticated {
            out.extend(&self.trailer);
        }
    }
}
