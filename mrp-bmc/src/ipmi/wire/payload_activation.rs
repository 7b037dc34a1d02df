//! Activate Payload, Deactivate Payload, Get Payload Activation Status and Get Payload Instance Info (sections 24.1, 24.2,
//! 24.4 and 24.5), as far as Serial over LAN uses them.

use super::{Command, DecodeError, Empty, Message, NET_FN_APP, Reader};

/// Payload type of Serial over LAN (table 13-16).
pub(crate) const SOL: u8 = 0x01;
/// BMCs have one SOL console, which is the first instance.
pub(crate) const FIRST_INSTANCE: u8 = 1;

/// Completion codes of Activate Payload (table 24-2).
pub(crate) mod activation {
    pub(crate) const ACTIVE_ELSEWHERE: u8 = 0x80;
    pub(crate) const DISABLED: u8 = 0x81;
    pub(crate) const LIMIT_REACHED: u8 = 0x82;
    pub(crate) const NOT_WITH_ENCRYPTION: u8 = 0x83;
    pub(crate) const NOT_WITHOUT_ENCRYPTION: u8 = 0x84;
}

/// Completion code of Deactivate Payload (table 24-3): it was not active.
pub(crate) const ALREADY_DEACTIVATED: u8 = 0x80;

/// Asks for the payload in the session that the request comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActivatePayload {
    pub(crate) payload_type: u8,
    pub(crate) instance: u8,
    /// Of SOL the first byte only: encryption, authentication, test mode, alerts, handshake.
    pub(crate) auxiliary: [u8; 4],
}

impl ActivatePayload {
    /// SOL packets are encrypted.
    pub(crate) const ENCRYPTED: u8 = 0x80;
    /// SOL packets have an authentication code.
    pub(crate) const AUTHENTICATED: u8 = 0x40;

    /// The serial console, protected as the session is.
    pub(crate) fn console(encrypted: bool, authenticated: bool) -> Self {
        let encrypted = if encrypted { Self::ENCRYPTED } else { 0 };
        let authenticated = if authenticated { Self::AUTHENTICATED } else { 0 };
        let auxiliary = [encrypted | authenticated, 0, 0, 0];
        Self { payload_type: SOL, instance: FIRST_INSTANCE, auxiliary }
    }
}

impl Message for ActivatePayload {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Activate Payload request", bytes);
        let [payload_type, instance] = reader.array()?;
        Ok(Self { payload_type: payload_type & 0x3f, instance: instance & 0x0f, auxiliary: reader.array()? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.payload_type, self.instance]);
        out.extend(self.auxiliary);
    }
}

impl Command for ActivatePayload {
    const NET_FN: u8 = NET_FN_APP;
    const CMD: u8 = 0x48;
    type Response = ActivatedPayload;
}

/// The payload is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActivatedPayload {
    pub(crate) auxiliary: [u8; 4],
    /// The longest payload that the BMC takes, in bytes.
    pub(crate) inbound_size: u16,
    /// The longest payload that the BMC sends, in bytes.
    pub(crate) outbound_size: u16,
    pub(crate) udp_port: u16,
    /// 0xffff: none.
    pub(crate) vlan: u16,
}

impl Message for ActivatedPayload {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Activate Payload response", bytes);
        let auxiliary = reader.array()?;
        let [inbound_size, outbound_size, udp_port] = [reader.u16()?, reader.u16()?, reader.u16()?];
        // The last field is left out by some BMCs.
        let vlan = reader.u16().unwrap_or(0xffff);
        Ok(Self { auxiliary, inbound_size, outbound_size, udp_port, vlan })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.auxiliary);
        for field in [self.inbound_size, self.outbound_size, self.udp_port, self.vlan] {
            out.extend(field.to_le_bytes());
        }
    }
}

/// Ends the payload, in whatever session it is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeactivatePayload {
    pub(crate) payload_type: u8,
    pub(crate) instance: u8,
}

impl DeactivatePayload {
    /// An instance of the serial console.
    pub(crate) fn console(instance: u8) -> Self {
        Self { payload_type: SOL, instance }
    }
}

impl Message for DeactivatePayload {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [payload_type, instance] = Reader::new("Deactivate Payload request", bytes).array()?;
        Ok(Self { payload_type: payload_type & 0x3f, instance: instance & 0x0f })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        // The auxiliary data of SOL are zeros.
        out.extend([self.payload_type, self.instance, 0, 0, 0, 0]);
    }
}

impl Command for DeactivatePayload {
    const NET_FN: u8 = NET_FN_APP;
    const CMD: u8 = 0x49;
    type Response = Empty;
}

/// Asks which instances of a payload type are active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GetPayloadActivationStatus {
    pub(crate) payload_type: u8,
}

impl Message for GetPayloadActivationStatus {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let payload_type = Reader::new("Get Payload Activation Status request", bytes).byte()?;
        Ok(Self { payload_type: payload_type & 0x3f })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.payload_type);
    }
}

impl Command for GetPayloadActivationStatus {
    const NET_FN: u8 = NET_FN_APP;
    const CMD: u8 = 0x4a;
    type Response = PayloadActivationStatus;
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PayloadActivationStatus {
    /// How many instances there can be.
    pub(crate) capacity: u8,
    /// Bit 0 is instance 1.
    pub(crate) active: u16,
}

impl PayloadActivationStatus {
    /// The instances that are active.
    pub(crate) fn instances(self) -> impl Iterator<Item = u8> {
        (1..=16).filter(move |instance| self.active & (1 << (instance - 1)) != 0)
    }
}

impl Message for PayloadActivationStatus {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Get Payload Activation Status response", bytes);
        Ok(Self { capacity: reader.byte()? & 0x0f, active: reader.u16()? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.capacity);
        out.extend(self.active.to_le_bytes());
    }
}

/// Asks in which session an instance is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GetPayloadInstanceInfo {
    pub(crate) payload_type: u8,
    pub(crate) instance: u8,
}

impl GetPayloadInstanceInfo {
    /// The serial console's only instance.
    pub(crate) const CONSOLE: Self = Self { payload_type: SOL, instance: FIRST_INSTANCE };
}

impl Message for GetPayloadInstanceInfo {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [payload_type, instance] = Reader::new("Get Payload Instance Info request", bytes).array()?;
        Ok(Self { payload_type: payload_type & 0x3f, instance: instance & 0x0f })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.payload_type, self.instance]);
    }
}

impl Command for GetPayloadInstanceInfo {
    const NET_FN: u8 = NET_FN_APP;
    const CMD: u8 = 0x4b;
    type Response = PayloadInstanceInfo;
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PayloadInstanceInfo {
    /// The session that has it; 0 if none.
    pub(crate) session_id: u32,
    /// Of SOL the first byte only: the number of the serial port.
    pub(crate) information: [u8; 8],
}

impl Message for PayloadInstanceInfo {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Get Payload Instance Info response", bytes);
        Ok(Self { session_id: reader.u32()?, information: reader.array()? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.session_id.to_le_bytes());
        out.extend(self.information);
    }
}
