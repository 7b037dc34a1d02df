//! SOL payload data (section 15.9, table 15-2): both directions have one layout and different flags.

use super::{DecodeError, Message, Reader};

/// A packet of characters, an acknowledgement, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SolPacket {
    /// 1 to 15; 0 where nothing has to be acknowledged.
    pub(crate) sequence: u8,
    /// The sequence number that is acknowledged; 0 for none.
    pub(crate) acknowledged: u8,
    /// How many characters of the acknowledged packet were taken.
    pub(crate) accepted: u8,
    /// Of the console: operations; of the BMC: its status.
    pub(crate) flags: u8,
    pub(crate) characters: Vec<u8>,
}

/// Flags of [`SolPacket`].
pub(crate) mod flag {
    /// The acknowledged packet was not taken, or in part only.
    pub(crate) const NACK: u8 = 0x40;
    /// Console to BMC: a break on the line.
    pub(crate) const BREAK: u8 = 0x10;
    /// BMC to console: the machine is off or asleep.
    pub(crate) const UNAVAILABLE: u8 = 0x20;
    /// BMC to console: SOL is being deactivated.
    pub(crate) const DEACTIVATED: u8 = 0x10;
    /// BMC to console: characters of the machine were lost before this packet.
    pub(crate) const OVERRUN: u8 = 0x08;
}

impl SolPacket {
    /// Bytes in front of the characters.
    pub(crate) const HEADER: usize = 4;
}

impl Message for SolPacket {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("SOL packet", bytes);
        let [sequence, acknowledged, accepted, flags] = reader.array()?;
        let characters = reader.rest().to_vec();
        Ok(Self { sequence: sequence & 0x0f, acknowledged: acknowledged & 0x0f, accepted, flags, characters })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.sequence, self.acknowledged, self.accepted, self.flags]);
        out.extend(&self.characters);
    }
}
