//! The messages of IPMI over LAN, one a file, as the specification names them.
//!
//! Sections are those of "Intelligent Platform Management Interface Specification, Second Generation, v2.0, revision 1.1".
//! Each message decodes from untrusted bytes without panicking and encodes to what it was decoded from.

pub(crate) mod chassis_control;
pub(crate) mod close_session;
pub(crate) mod completion_code;
pub(crate) mod get_channel_auth_capabilities;
pub(crate) mod get_channel_cipher_suites;
pub(crate) mod get_chassis_status;
pub(crate) mod get_device_id;
pub(crate) mod lan_message;
pub(crate) mod open_session;
pub(crate) mod payload_activation;
pub(crate) mod rakp;
pub(crate) mod rmcp;
pub(crate) mod rmcp_plus;
pub(crate) mod send_message;
pub(crate) mod session_v15;
pub(crate) mod set_session_privilege;
pub(crate) mod sol_packet;
pub(crate) mod system_boot_options;

#[cfg(test)]
mod tests;

/// Why bytes are no message of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("{what} ends after {length} bytes")]
    Short { what: &'static str, length: usize },
    #[error("{what} has the value {value:#04x}, which is not known")]
    Unknown { what: &'static str, value: u8 },
    #[error("the checksum of {0} is wrong")]
    Checksum(&'static str),
}

/// A message that travels as bytes.
pub(crate) trait Message: Sized {
    /// Reads the message; bytes after it are ignored, since newer revisions may append fields.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;

    /// Appends the message.
    fn encode(&self, out: &mut Vec<u8>);

    /// The message alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.encode(&mut out);
        out
    }
}

/// A request with a network function and command code of its own, and what a BMC answers to it.
pub(crate) trait Command: Message {
    /// Network function of the request.
    const NET_FN: u8;
    /// Command code.
    const CMD: u8;
    /// The data of the answer after its completion code.
    type Response: Message;
}

/// Network function Chassis (table 5-1).
pub(crate) const NET_FN_CHASSIS: u8 = 0x00;
/// Network function App (table 5-1).
pub(crate) const NET_FN_APP: u8 = 0x06;

/// Network function Transport (table 5-1).
pub(crate) const NET_FN_TRANSPORT: u8 = 0x0c;

/// An answer without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Empty;

impl Message for Empty {
    fn decode(_: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self)
    }

    fn encode(&self, _: &mut Vec<u8>) {}
}

/// Takes fields from the front of a message.
pub(crate) struct Reader<'a> {
    what: &'static str,
    whole: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, which errors call `what`.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, whole: bytes.len(), rest: bytes }
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let short = DecodeError::Short { what: self.what, length: self.whole };
        let (head, rest) = self.rest.split_first_chunk().ok_or(short)?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// The next two bytes, least significant first.
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// The next four bytes, least significant first.
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next `length` bytes.
    pub(crate) fn slice(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let short = DecodeError::Short { what: self.what, length: self.whole };
        let (head, rest) = self.rest.split_at_checked(length).ok_or(short)?;
        self.rest = rest;
        Ok(head)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }
}
