//! Set and Get System Boot Options (sections 28.12 and 28.13) with the parameters of table 28-14.

use super::{Command, DecodeError, Empty, Message, NET_FN_CHASSIS, Reader};

/// Parameter selectors (table 28-14).
pub(crate) mod parameter {
    pub(crate) const SET_IN_PROGRESS: u8 = 0;
    pub(crate) const BOOT_FLAG_VALID_BIT_CLEARING: u8 = 3;
    pub(crate) const BOOT_INFO_ACKNOWLEDGE: u8 = 4;
    pub(crate) const BOOT_FLAGS: u8 = 5;
}

/// Parameter 0: a client is changing the options.
pub(crate) const SET_IN_PROGRESS: [u8; 1] = [0x01];
/// Parameter 0: the change is complete.
pub(crate) const SET_COMPLETE: [u8; 1] = [0x00];
/// Parameter 3: do not clear the valid bit when the machine does not start within 60 seconds.
pub(crate) const NO_EXPIRY: [u8; 1] = [0x08];
/// Parameter 4: the firmware has not yet taken the boot options (write mask and value of its bit).
pub(crate) const BOOT_INFO_FOR_BIOS: [u8; 2] = [0x01, 0x01];

/// Sets one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetSystemBootOptions {
    /// Bit 7 of the selector: lock the parameter as invalid.
    pub(crate) parameter_invalid: bool,
    pub(crate) parameter: u8,
    pub(crate) data: Vec<u8>,
}

impl SetSystemBootOptions {
    /// Sets a parameter to a value.
    pub(crate) fn new(parameter: u8, data: impl Into<Vec<u8>>) -> Self {
        Self { parameter_invalid: false, parameter, data: data.into() }
    }
}

impl Message for SetSystemBootOptions {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Set System Boot Options request", bytes);
        let selector = reader.byte()?;
        Ok(Self {
            parameter_invalid: selector & 0x80 != 0,
            parameter: selector & 0x7f,
            data: reader.rest().to_vec(),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.parameter | if self.parameter_invalid { 0x80 } else { 0 });
        out.extend(&self.data);
    }
}

impl Command for SetSystemBootOptions {
    const NET_FN: u8 = NET_FN_CHASSIS;
    const CMD: u8 = 0x08;
    type Response = Empty;
}

/// Reads one parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GetSystemBootOptions {
    pub(crate) parameter: u8,
    pub(crate) set_selector: u8,
    pub(crate) block_selector: u8,
}

impl GetSystemBootOptions {
    /// Reads a parameter that has no sets or blocks.
    pub(crate) fn new(parameter: u8) -> Self {
        Self { parameter, set_selector: 0, block_selector: 0 }
    }
}

impl Message for GetSystemBootOptions {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [selector, set_selector, block_selector] =
            Reader::new("Get System Boot Options request", bytes).array()?;
        Ok(Self { parameter: selector & 0x7f, set_selector, block_selector })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.parameter, self.set_selector, self.block_selector]);
    }
}

impl Command for GetSystemBootOptions {
    const NET_FN: u8 = NET_FN_CHASSIS;
    const CMD: u8 = 0x09;
    type Response = BootOption;
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootOption {
    pub(crate) parameter_version: u8,
    pub(crate) parameter_invalid: bool,
    pub(crate) parameter: u8,
    pub(crate) data: Vec<u8>,
}

impl Message for BootOption {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Get System Boot Options response", bytes);
        let [version, selector] = reader.array()?;
        Ok(Self {
            parameter_version: version & 0x0f,
            parameter_invalid: selector & 0x80 != 0,
            parameter: selector & 0x7f,
            data: reader.rest().to_vec(),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let invalid = if self.parameter_invalid { 0x80 } else { 0 };
        out.extend([self.parameter_version, self.parameter | invalid]);
        out.extend(&self.data);
    }
}

/// Parameter 5.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BootFlags {
    /// Bit 7: valid; bit 6: persistent; bit 5: EFI.
    pub(crate) data1: u8,
    /// Bits 5..2: boot device selector; the rest: lock-outs and CMOS clear.
    pub(crate) data2: u8,
    /// Console redirection, verbosity, password and event bypasses.
    pub(crate) data3: u8,
    pub(crate) data4: u8,
    pub(crate) data5: u8,
}

impl BootFlags {
    pub(crate) const VALID: u8 = 0x80;
    pub(crate) const PERSISTENT: u8 = 0x40;
    pub(crate) const EFI: u8 = 0x20;

    /// Boot device selectors, as bits 5..2 of `data2`.
    pub(crate) const PXE: u8 = 0x04;
    pub(crate) const DISK: u8 = 0x08;
    pub(crate) const BIOS: u8 = 0x18;

    /// The flags take effect at the next start.
    pub(crate) fn is_valid(self) -> bool {
        self.data1 & Self::VALID != 0
    }

    /// Bits 5..2 of `data2`; 0 means no override.
    pub(crate) fn device(self) -> u8 {
        self.data2 & 0x3c
    }
}

impl Message for BootFlags {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [data1, data2, data3, data4, data5] = Reader::new("boot flags", bytes).array()?;
        Ok(Self { data1, data2, data3, data4, data5 })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.data1, self.data2, self.data3, self.data4, self.data5]);
    }
}
