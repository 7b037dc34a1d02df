//! RMCP header (section 13.1.3): says that a datagram carries IPMI.

use super::{DecodeError, Message, Reader};

/// Class of message "IPMI".
const CLASS_IPMI: u8 = 0x07;
/// RMCP version 1.0.
const VERSION: u8 = 0x06;
/// No RMCP acknowledge wanted, as for all IPMI messages.
const NO_ACK: u8 = 0xff;

/// The four bytes in front of every IPMI datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RmcpHeader;

impl RmcpHeader {
    /// Length of the header.
    pub(crate) const LENGTH: usize = 4;

    /// What follows the header.
    pub(crate) fn strip(datagram: &[u8]) -> Result<&[u8], DecodeError> {
        Self::decode(datagram)?;
        Ok(&datagram[Self::LENGTH..])
    }
}

impl Message for RmcpHeader {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [version, _reserved, _sequence, class] = Reader::new("RMCP header", bytes).array()?;
        if version != VERSION {
            return Err(DecodeError::Unknown { what: "RMCP version", value: version });
        }
        if class != CLASS_IPMI {
            return Err(DecodeError::Unknown { what: "RMCP class of message", value: class });
        }
        Ok(Self)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([VERSION, 0, NO_ACK, CLASS_IPMI]);
    }
}
