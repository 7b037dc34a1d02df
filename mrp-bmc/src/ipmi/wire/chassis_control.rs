//! Chassis Control (section 28.3).

use super::{Command, DecodeError, Empty, Message, NET_FN_CHASSIS, Reader};

/// The request: what to do with the power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChassisControl {
    PowerDown,
    PowerUp,
    PowerCycle,
    HardReset,
    /// Asks the operating system to shut down (ACPI overtemperature event).
    SoftShutdown,
}

const CODES: [(ChassisControl, u8); 5] = [
    (ChassisControl::PowerDown, 0x00),
    (ChassisControl::PowerUp, 0x01),
    (ChassisControl::PowerCycle, 0x02),
    (ChassisControl::HardReset, 0x03),
    (ChassisControl::SoftShutdown, 0x05),
];

impl Message for ChassisControl {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let value = Reader::new("Chassis Control request", bytes).byte()? & 0x0f;
        let found = CODES.iter().find(|(_, code)| *code == value).map(|(control, _)| *control);
        found.ok_or(DecodeError::Unknown { what: "chassis control", value })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(CODES.iter().filter(|(control, _)| control == self).map(|(_, code)| *code));
    }
}

impl Command for ChassisControl {
    const NET_FN: u8 = NET_FN_CHASSIS;
    const CMD: u8 = 0x02;
    type Response = Empty;
}
