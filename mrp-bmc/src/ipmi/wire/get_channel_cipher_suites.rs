//! Get Channel Cipher Suites (section 22.15) and the cipher suite records in its answer (section 22.15.1).

use super::{Command, DecodeError, Message, NET_FN_APP, Reader};

const LIST_BY_SUITE: u8 = 0x80;
const STANDARD_RECORD: u8 = 0xc0;
const OEM_RECORD: u8 = 0xc1;
/// An answer carries so many bytes of records; fewer end the list.
pub(crate) const CHUNK: usize = 16;
/// List indexes have six bits.
pub(crate) const MAX_LIST_INDEX: u8 = 0x3f;

/// The request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GetChannelCipherSuites {
    pub(crate) channel: u8,
    pub(crate) payload_type: u8,
    /// Which 16 bytes of the list.
    pub(crate) list_index: u8,
}

impl Message for GetChannelCipherSuites {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [channel, payload_type, list_index] =
            Reader::new("Get Channel Cipher Suites request", bytes).array()?;
        Ok(Self {
            channel: channel & 0x0f,
            payload_type: payload_type & 0x3f,
            list_index: list_index & MAX_LIST_INDEX,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.channel, self.payload_type, LIST_BY_SUITE | self.list_index]);
    }
}

impl Command for GetChannelCipherSuites {
    const NET_FN: u8 = NET_FN_APP;
    const CMD: u8 = 0x54;
    type Response = CipherSuitesChunk;
}

/// The answer: up to [`CHUNK`] bytes of the list of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CipherSuitesChunk {
    pub(crate) channel: u8,
    pub(crate) records: Vec<u8>,
}

impl Message for CipherSuitesChunk {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Get Channel Cipher Suites response", bytes);
        let channel = reader.byte()?;
        Ok(Self { channel, records: reader.rest().to_vec() })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.channel);
        out.extend(&self.records);
    }
}

/// The ids of the standard suites in a whole list of records. What cannot be read ends the list.
pub(crate) fn suite_ids(records: &[u8]) -> Vec<u8> {
    let mut ids = Vec::new();
    let mut rest = records;
    loop {
        rest = match rest {
            [STANDARD_RECORD, id, rest @ ..] => {
                ids.push(*id);
                rest
            }
            [OEM_RECORD, _, _, _, _, rest @ ..] => rest,
            _ => return ids,
        };
        let algorithms = rest.iter().take_while(|byte| **byte & 0xc0 != 0xc0).count();
        rest = &rest[algorithms..];
    }
}

/// A standard record.
pub(crate) fn record(id: u8, authentication: u8, integrity: u8, confidentiality: u8) -> [u8; 5] {
    [STANDARD_RECORD, id, authentication, 0x40 | integrity, 0x80 | confidentiality]
}
