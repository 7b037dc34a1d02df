//! RAKP messages 1 to 4 (sections 13.20 to 13.23) and their status codes (table 13-15).

use super::{DecodeError, Message, Reader};

/// Status codes of Open Session and RAKP messages (table 13-15).
pub(crate) mod status {
    pub(crate) const INSUFFICIENT_RESOURCES: u8 = 0x01;
    pub(crate) const INVALID_SESSION_ID: u8 = 0x02;
    pub(crate) const INVALID_AUTHENTICATION_ALGORITHM: u8 = 0x04;
    pub(crate) const INVALID_INTEGRITY_ALGORITHM: u8 = 0x05;
    pub(crate) const INACTIVE_SESSION_ID: u8 = 0x08;
    pub(crate) const INVALID_ROLE: u8 = 0x09;
    pub(crate) const UNAUTHORIZED_ROLE: u8 = 0x0a;
    pub(crate) const INSUFFICIENT_RESOURCES_AT_ROLE: u8 = 0x0b;
    pub(crate) const INVALID_NAME_LENGTH: u8 = 0x0c;
    pub(crate) const UNAUTHORIZED_NAME: u8 = 0x0d;
    pub(crate) const UNAUTHORIZED_GUID: u8 = 0x0e;
    pub(crate) const INVALID_INTEGRITY_CHECK_VALUE: u8 = 0x0f;
    pub(crate) const INVALID_CONFIDENTIALITY_ALGORITHM: u8 = 0x10;
    pub(crate) const NO_CIPHER_SUITE_MATCH: u8 = 0x11;

    /// The status in words.
    pub(crate) fn words(status: u8) -> &'static str {
        match status {
            INSUFFICIENT_RESOURCES => "it has no free session",
            INVALID_SESSION_ID => "it does not know the session id",
            0x03 => "invalid payload type",
            INVALID_AUTHENTICATION_ALGORITHM => "invalid authentication algorithm",
            INVALID_INTEGRITY_ALGORITHM => "invalid integrity algorithm",
            0x06 => "no matching authentication payload",
            0x07 => "no matching integrity payload",
            INACTIVE_SESSION_ID => "the session id is inactive",
            INVALID_ROLE => "invalid role",
            UNAUTHORIZED_ROLE => {
                "the account may not have the requested privilege; ask for a lower one in the BMC's entry"
            }
            INSUFFICIENT_RESOURCES_AT_ROLE => "it has no free session at the requested privilege",
            INVALID_NAME_LENGTH => "the user name is too long",
            UNAUTHORIZED_NAME => "there is no such user",
            UNAUTHORIZED_GUID => "unauthorized GUID",
            INVALID_INTEGRITY_CHECK_VALUE => "the password is wrong",
            INVALID_CONFIDENTIALITY_ALGORITHM => "invalid confidentiality algorithm",
            NO_CIPHER_SUITE_MATCH => "no cipher suite matches the proposed algorithms",
            _ => "illegal or unknown parameter",
        }
    }
}

/// In the role byte: look the user up by name alone, not by name and privilege.
pub(crate) const NAME_ONLY_LOOKUP: u8 = 0x10;
/// Length of a user name.
pub(crate) const MAX_USER_NAME: usize = 16;

/// RAKP message 1: who wants a session, and the console's nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rakp1 {
    pub(crate) message_tag: u8,
    pub(crate) managed_system_session_id: u32,
    pub(crate) console_nonce: [u8; 16],
    /// Requested maximum privilege with [`NAME_ONLY_LOOKUP`].
    pub(crate) role: u8,
    pub(crate) user_name: Vec<u8>,
}

impl Message for Rakp1 {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("RAKP message 1", bytes);
        let [message_tag, _, _, _] = reader.array()?;
        let managed_system_session_id = reader.u32()?;
        let console_nonce = reader.array()?;
        let [role, _, _, length] = reader.array()?;
        if usize::from(length) > MAX_USER_NAME {
            return Err(DecodeError::Unknown { what: "user name length", value: length });
        }
        let user_name = reader.slice(usize::from(length))?.to_vec();
        Ok(Self { message_tag, managed_system_session_id, console_nonce, role, user_name })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.message_tag, 0, 0, 0]);
        out.extend(self.managed_system_session_id.to_le_bytes());
        out.extend(self.console_nonce);
        let length = u8::try_from(self.user_name.len()).expect("user names have at most 16 bytes");
        out.extend([self.role, 0, 0, length]);
        out.extend(&self.user_name);
    }
}

/// RAKP message 2: the BMC's nonce and its proof that it knows the password, or its refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rakp2 {
    pub(crate) message_tag: u8,
    pub(crate) remote_console_session_id: u32,
    pub(crate) outcome: Result<Rakp2Proof, u8>,
}

/// What a BMC that accepts the user sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rakp2Proof {
    pub(crate) managed_system_nonce: [u8; 16],
    pub(crate) managed_system_guid: [u8; 16],
    pub(crate) key_exchange_authentication_code: Vec<u8>,
}

impl Message for Rakp2 {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("RAKP message 2", bytes);
        let (message_tag, status, remote_console_session_id) = answer_head(&mut reader)?;
        if status != 0 {
            return Ok(Self { message_tag, remote_console_session_id, outcome: Err(status) });
        }
        let proof = Rakp2Proof {
            managed_system_nonce: reader.array()?,
            managed_system_guid: reader.array()?,
            key_exchange_authentication_code: reader.rest().to_vec(),
        };
        Ok(Self { message_tag, remote_console_session_id, outcome: Ok(proof) })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let status = self.outcome.as_ref().err().copied().unwrap_or(0);
        out.extend([self.message_tag, status, 0, 0]);
        out.extend(self.remote_console_session_id.to_le_bytes());
        if let Ok(proof) = &self.outcome {
            out.extend(proof.managed_system_nonce);
            out.extend(proof.managed_system_guid);
            out.extend(&proof.key_exchange_authentication_code);
        }
    }
}

/// RAKP message 3: the console's proof, or that it gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rakp3 {
    pub(crate) message_tag: u8,
    pub(crate) managed_system_session_id: u32,
    /// Key exchange authentication code, or the status with which the console ends the login.
    pub(crate) outcome: Result<Vec<u8>, u8>,
}

impl Message for Rakp3 {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("RAKP message 3", bytes);
        let (message_tag, status, managed_system_session_id) = answer_head(&mut reader)?;
        let outcome = if status == 0 { Ok(reader.rest().to_vec()) } else { Err(status) };
        Ok(Self { message_tag, managed_system_session_id, outcome })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        encode_answer(out, self.message_tag, self.managed_system_session_id, &self.outcome);
    }
}

/// RAKP message 4: the BMC's proof over the session's key, or its refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rakp4 {
    pub(crate) message_tag: u8,
    pub(crate) remote_console_session_id: u32,
    /// Integrity check value or status.
    pub(crate) outcome: Result<Vec<u8>, u8>,
}

impl Message for Rakp4 {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("RAKP message 4", bytes);
        let (message_tag, status, remote_console_session_id) = answer_head(&mut reader)?;
        let outcome = if status == 0 { Ok(reader.rest().to_vec()) } else { Err(status) };
        Ok(Self { message_tag, remote_console_session_id, outcome })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        encode_answer(out, self.message_tag, self.remote_console_session_id, &self.outcome);
    }
}

fn answer_head(reader: &mut Reader<'_>) -> Result<(u8, u8, u32), DecodeError> {
    let [message_tag, status, _, _] = reader.array()?;
    Ok((message_tag, status, reader.u32()?))
}

fn encode_answer(out: &mut Vec<u8>, message_tag: u8, session_id: u32, outcome: &Result<Vec<u8>, u8>) {
    out.extend([message_tag, outcome.as_ref().err().copied().unwrap_or(0), 0, 0]);
    out.extend(session_id.to_le_bytes());
    if let Ok(code) = outcome {
        out.extend(code);
    }
}
