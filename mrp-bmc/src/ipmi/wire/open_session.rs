//! RMCP+ Open Session Request and Response (sections 13.17 and 13.18).

use super::{DecodeError, Message, Reader};

/// The three algorithms of a cipher suite as Open Session carries them (section 13.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Algorithms {
    pub(crate) authentication: u8,
    pub(crate) integrity: u8,
    pub(crate) confidentiality: u8,
}

impl Algorithms {
    fn encode(self, out: &mut Vec<u8>) {
        let algorithms = [self.authentication, self.integrity, self.confidentiality];
        for (payload_type, algorithm) in (0u8..).zip(algorithms) {
            out.extend([payload_type, 0, 0, 8, algorithm, 0, 0, 0]);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut algorithm = |wanted: u8| {
            let [payload_type, _, _, length, algorithm, ..] = reader.array::<8>()?;
            if payload_type != wanted {
                return Err(DecodeError::Unknown { what: "algorithm payload type", value: payload_type });
            }
            // Length 0 is the wildcard "whatever the BMC likes", which no client of ours sends or accepts.
            if length != 8 {
                return Err(DecodeError::Unknown { what: "algorithm payload length", value: length });
            }
            Ok(algorithm & 0x3f)
        };
        Ok(Self { authentication: algorithm(0)?, integrity: algorithm(1)?, confidentiality: algorithm(2)? })
    }
}

/// Asks for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenSessionRequest {
    pub(crate) message_tag: u8,
    /// 0 asks for the highest privilege that the suite allows.
    pub(crate) requested_maximum_privilege: u8,
    pub(crate) remote_console_session_id: u32,
    pub(crate) algorithms: Algorithms,
}

impl Message for OpenSessionRequest {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Open Session Request", bytes);
        let [message_tag, privilege, _, _] = reader.array()?;
        Ok(Self {
            message_tag,
            requested_maximum_privilege: privilege & 0x0f,
            remote_console_session_id: reader.u32()?,
            algorithms: Algorithms::decode(&mut reader)?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.message_tag, self.requested_maximum_privilege, 0, 0]);
        out.extend(self.remote_console_session_id.to_le_bytes());
        self.algorithms.encode(out);
    }
}

/// What the BMC grants, or its refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenSessionResponse {
    pub(crate) message_tag: u8,
    pub(crate) maximum_privilege: u8,
    pub(crate) remote_console_session_id: u32,
    pub(crate) outcome: Result<OpenedSession, u8>,
}

/// A session that the BMC has set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenedSession {
    pub(crate) managed_system_session_id: u32,
    pub(crate) algorithms: Algorithms,
}

impl Message for OpenSessionResponse {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Open Session Response", bytes);
        let [message_tag, status] = reader.array()?;
        if status != 0 {
            // Refusals are cut short by some BMCs, down to the status.
            let mut optional = Reader::new("Open Session Response", reader.rest());
            let maximum_privilege = optional.byte().unwrap_or(0) & 0x0f;
            let remote_console_session_id = optional.byte().and_then(|_| optional.u32()).unwrap_or(0);
            return Ok(Self {
                message_tag,
                maximum_privilege,
                remote_console_session_id,
                outcome: Err(status),
            });
        }
        let [privilege, _] = reader.array()?;
        let remote_console_session_id = reader.u32()?;
        let managed_system_session_id = reader.u32()?;
        let algorithms = Algorithms::decode(&mut reader)?;
        Ok(Self {
            message_tag,
            maximum_privilege: privilege & 0x0f,
            remote_console_session_id,
            outcome: Ok(OpenedSession { managed_system_session_id, algorithms }),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let status = self.outcome.err().unwrap_or(0);
        out.extend([self.message_tag, status, self.maximum_privilege, 0]);
        out.extend(self.remote_console_session_id.to_le_bytes());
        if let Ok(opened) = self.outcome {
            out.extend(opened.managed_system_session_id.to_le_bytes());
            opened.algorithms.encode(out);
        }
    }
}
