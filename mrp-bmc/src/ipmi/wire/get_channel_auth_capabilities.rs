//! Get Channel Authentication Capabilities (section 22.13).

use super::{Command, DecodeError, Message, NET_FN_APP, Reader};

/// Channel number "the channel that this request came on".
pub(crate) const PRESENT_CHANNEL: u8 = 0x0e;
const WANT_V20_DATA: u8 = 0x80;

/// The request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GetChannelAuthCapabilities {
    /// Asks for the IPMI 2.0 extended data.
    pub(crate) v20_data: bool,
    pub(crate) channel: u8,
    pub(crate) maximum_privilege: u8,
}

impl Message for GetChannelAuthCapabilities {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [channel, privilege] =
            Reader::new("Get Channel Authentication Capabilities request", bytes).array()?;
        Ok(Self {
            v20_data: channel & WANT_V20_DATA != 0,
            channel: channel & 0x0f,
            maximum_privilege: privilege & 0x0f,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let wanted = if self.v20_data { WANT_V20_DATA } else { 0 };
        out.extend([wanted | self.channel, self.maximum_privilege]);
    }
}

impl Command for GetChannelAuthCapabilities {
    const NET_FN: u8 = NET_FN_APP;
    const CMD: u8 = 0x38;
    type Response = AuthCapabilities;
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AuthCapabilities {
    pub(crate) channel: u8,
    /// Bit 7: the extended capabilities below are valid; bits 5..0: v1.5 authentication types.
    pub(crate) authentication_type_support: u8,
    /// Bit 5: a K_G is set; bits 4, 3: per-message and user level authentication off; bits 2..0: kinds of user names.
    pub(crate) authentication_status: u8,
    /// Bit 1: IPMI 2.0; bit 0: IPMI 1.5.
    pub(crate) extended_capabilities: u8,
    pub(crate) oem_id: [u8; 3],
    pub(crate) oem_auxiliary: u8,
}

impl AuthCapabilities {
    /// True if the channel speaks IPMI 2.0 (RMCP+).
    pub(crate) fn speaks_rmcp_plus(&self) -> bool {
        self.authentication_type_support & 0x80 != 0 && self.extended_capabilities & 0x02 != 0
    }
}

impl Message for AuthCapabilities {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Get Channel Authentication Capabilities response", bytes);
        let [channel, authentication_type_support, authentication_status, extended_capabilities] =
            reader.array()?;
        Ok(Self {
            channel,
            authentication_type_support,
            authentication_status,
            extended_capabilities,
            oem_id: reader.array()?,
            oem_auxiliary: reader.byte()?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.channel, self.authentication_type_support]);
        out.extend([self.authentication_status, self.extended_capabilities]);
        out.extend(self.oem_id);
        out.push(self.oem_auxiliary);
    }
}
