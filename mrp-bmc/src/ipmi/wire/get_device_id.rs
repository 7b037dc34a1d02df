//! Get Device ID (section 20.1).

use super::{Command, DecodeError, Message, NET_FN_APP, Reader};

/// The request; it has no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GetDeviceId;

impl Message for GetDeviceId {
    fn decode(_: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self)
    }

    fn encode(&self, _: &mut Vec<u8>) {}
}

impl Command for GetDeviceId {
    const NET_FN: u8 = NET_FN_APP;
    const CMD: u8 = 0x01;
    type Response = DeviceId;
}

/// The answer without the optional auxiliary firmware revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceId {
    pub(crate) device_id: u8,
    pub(crate) device_revision: u8,
    /// Bit 7: the device is busy with its own update; bits 6..0: major firmware revision.
    pub(crate) firmware_major: u8,
    /// BCD.
    pub(crate) firmware_minor: u8,
    /// BCD with the digits swapped: 0x02 is IPMI 2.0.
    pub(crate) ipmi_version: u8,
    pub(crate) additional_device_support: u8,
    pub(crate) manufacturer_id: [u8; 3],
    pub(crate) product_id: u16,
}

impl Message for DeviceId {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Get Device ID response", bytes);
        Ok(Self {
            device_id: reader.byte()?,
            device_revision: reader.byte()?,
            firmware_major: reader.byte()?,
            firmware_minor: reader.byte()?,
            ipmi_version: reader.byte()?,
            additional_device_support: reader.byte()?,
            manufacturer_id: reader.array()?,
            product_id: reader.u16()?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.device_id, self.device_revision, self.firmware_major, self.firmware_minor]);
        out.extend([self.ipmi_version, self.additional_device_support]);
        out.extend(self.manufacturer_id);
        out.extend(self.product_id.to_le_bytes());
    }
}
