//! The payload commands of a simulated BMC: who has the serial console.

use std::time::Instant;

use super::bmc::Bmc;
use super::commands::{Answer, Caller};
use crate::ipmi::wire::Message;
use crate::ipmi::wire::completion_code as code;
use crate::ipmi::wire::payload_activation::{
    ALREADY_DEACTIVATED, ActivatePayload, ActivatedPayload, DeactivatePayload, FIRST_INSTANCE,
    GetPayloadActivationStatus, GetPayloadInstanceInfo, PayloadActivationStatus, PayloadInstanceInfo, SOL,
    activation,
};

/// Longest payload, either way.
const PAYLOAD_SIZE: u16 = 104;

/// Gives the console to the session that asks, unless one has it.
pub(super) fn activate(bmc: &mut Bmc, request: &ActivatePayload, caller: &Caller, now: Instant) -> Answer {
    is_console(request.payload_type, request.instance)?;
    if !bmc.config.console {
        return Err(activation::DISABLED);
    }
    if bmc.console_of(caller.node, now).is_some() {
        return Err(activation::ACTIVE_ELSEWHERE);
    }
    let (session, suite) = caller.session.zip(caller.suite).ok_or(code::INSUFFICIENT_PRIVILEGE)?;
    let encrypted = request.auxiliary[0] & ActivatePayload::ENCRYPTED != 0;
    if encrypted && !suite.has_confidentiality() {
        return Err(activation::NOT_WITH_ENCRYPTION);
    }
    if !encrypted && suite.has_confidentiality() {
        return Err(activation::NOT_WITHOUT_ENCRYPTION);
    }
    bmc.nodes[caller.node].serial.activate(session);
    let activated = ActivatedPayload {
        auxiliary: [0; 4],
        inbound_size: PAYLOAD_SIZE,
        outbound_size: PAYLOAD_SIZE,
        udp_port: bmc.port,
        vlan: 0xffff,
    };
    Ok(activated.to_bytes())
}

/// Takes the console from whoever has it.
pub(super) fn deactivate(
    bmc: &mut Bmc,
    request: &DeactivatePayload,
    caller: &Caller,
    now: Instant,
) -> Answer {
    is_console(request.payload_type, request.instance)?;
    let holder = bmc.console_of(caller.node, now).ok_or(ALREADY_DEACTIVATED)?;
    let serial = &mut bmc.nodes[caller.node].serial;
    if caller.session == Some(holder) {
        serial.release()
    } else {
        serial.deactivate()
    }
    Ok(Vec::new())
}

pub(super) fn status(
    bmc: &mut Bmc,
    request: &GetPayloadActivationStatus,
    caller: &Caller,
    now: Instant,
) -> Answer {
    is_console(request.payload_type, FIRST_INSTANCE)?;
    let active = u16::from(bmc.console_of(caller.node, now).is_some());
    Ok(PayloadActivationStatus { capacity: 1, active }.to_bytes())
}

pub(super) fn instance(
    bmc: &mut Bmc,
    request: &GetPayloadInstanceInfo,
    caller: &Caller,
    now: Instant,
) -> Answer {
    is_console(request.payload_type, request.instance)?;
    let session_id = bmc.console_of(caller.node, now).unwrap_or(0);
    let information = [1, 0, 0, 0, 0, 0, 0, 0];
    Ok(PayloadInstanceInfo { session_id, information }.to_bytes())
}

fn is_console(payload_type: u8, instance: u8) -> Result<(), u8> {
    if (payload_type, instance) == (SOL, FIRST_INSTANCE) { Ok(()) } else { Err(code::PARAMETER_OUT_OF_RANGE) }
}
