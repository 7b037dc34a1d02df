//! Get Chassis Status (section 28.2).

use super::{Command, DecodeError, Message, NET_FN_CHASSIS, Reader};

/// The request; it has no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GetChassisStatus;

impl Message for GetChassisStatus {
    fn decode(_: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self)
    }

    fn encode(&self, _: &mut Vec<u8>) {}
}

impl Command for GetChassisStatus {
    const NET_FN: u8 = NET_FN_CHASSIS;
    const CMD: u8 = 0x01;
    type Response = ChassisStatus;
}

/// The answer without the optional front panel byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChassisStatus {
    /// Bit 0: power is on; bit 1: overload; bit 2: interlock; bit 3, 4: faults; bits 6..5: restore policy.
    pub(crate) current_power_state: u8,
    /// Why power went on or off last.
    pub(crate) last_power_event: u8,
    /// Intrusion, lockout, drive and fan faults.
    pub(crate) misc_state: u8,
}

impl ChassisStatus {
    /// True if the system's power is on.
    pub(crate) fn is_on(&self) -> bool {
        self.current_power_state & 1 != 0
    }
}

impl Message for ChassisStatus {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [current_power_state, last_power_event, misc_state] =
            Reader::new("Get Chassis Status response", bytes).array()?;
        Ok(Self { current_power_state, last_power_event, misc_state })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.current_power_state, self.last_power_event, self.misc_state]);
    }
}
