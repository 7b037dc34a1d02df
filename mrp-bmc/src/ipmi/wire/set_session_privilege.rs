//! Set Session Privilege Level (section 22.18).

use super::{Command, DecodeError, Message, NET_FN_APP, Reader};

/// Privilege levels (section 6.8).
pub(crate) mod level {
    pub(crate) const USER: u8 = 2;
    pub(crate) const OPERATOR: u8 = 3;
    pub(crate) const ADMINISTRATOR: u8 = 4;
}

/// The request; level 0 asks for the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetSessionPrivilege {
    pub(crate) level: u8,
}

impl Message for SetSessionPrivilege {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { level: Reader::new("Set Session Privilege Level request", bytes).byte()? & 0x0f })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.level);
    }
}

impl Command for SetSessionPrivilege {
    const NET_FN: u8 = NET_FN_APP;
    const CMD: u8 = 0x3b;
    type Response = SessionPrivilege;
}

/// The answer: the level in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionPrivilege {
    pub(crate) level: u8,
}

impl Message for SessionPrivilege {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { level: Reader::new("Set Session Privilege Level response", bytes).byte()? & 0x0f })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.level);
    }
}
