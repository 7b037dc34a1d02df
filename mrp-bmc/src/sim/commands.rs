//! The commands that a simulated BMC knows, with the privilege that each needs (appendix G of the specification).

use std::time::Instant;

use mrp_core::bmc::Power;

use super::bmc::Bmc;
use super::payload;
use crate::ipmi::crypto::CipherSuite;
use crate::ipmi::wire::chassis_control::ChassisControl;
use crate::ipmi::wire::close_session::CloseSession;
use crate::ipmi::wire::completion_code as code;
use crate::ipmi::wire::get_channel_auth_capabilities::{AuthCapabilities, GetChannelAuthCapabilities};
use crate::ipmi::wire::get_channel_cipher_suites::{
    CHUNK, CipherSuitesChunk, GetChannelCipherSuites, record,
};
use crate::ipmi::wire::get_chassis_status::{ChassisStatus, GetChassisStatus};
use crate::ipmi::wire::get_device_id::{DeviceId, GetDeviceId};
use crate::ipmi::wire::lan_message::{Request, Response};
use crate::ipmi::wire::payload_activation::{
    ActivatePayload, DeactivatePayload, GetPayloadActivationStatus, GetPayloadInstanceInfo,
};
use crate::ipmi::wire::set_session_privilege::{SessionPrivilege, SetSessionPrivilege, level};
use crate::ipmi::wire::system_boot_options::{
    BootFlags, BootOption, GetSystemBootOptions, SetSystemBootOptions, parameter,
};
use crate::ipmi::wire::{Command, Message, NET_FN_APP, NET_FN_CHASSIS, NET_FN_TRANSPORT};

/// The channel that the LAN is.
const CHANNEL: u8 = 1;
const GET_DEVICE_GUID: u8 = 0x08;
const GET_SYSTEM_GUID: u8 = 0x37;
const GET_SESSION_INFO: u8 = 0x3d;
const GET_CHANNEL_ACCESS: u8 = 0x41;
const GET_CHANNEL_INFO: u8 = 0x42;
const GET_CHASSIS_CAPABILITIES: u8 = 0x00;
const GET_SOL_PARAMETERS: u8 = 0x22;

/// Who sends a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    /// The node that it is for; 0 without bridging.
    pub(super) node: usize,
    pub(super) session: Option<u32>,
    /// The session's cipher suite.
    pub(super) suite: Option<CipherSuite>,
    /// Privilege level in force.
    pub(super) privilege: u8,
    /// The level that the session may reach.
    pub(super) limit: u8,
}

impl Caller {
    /// Somebody without a session.
    pub(super) const OUTSIDE: Self = Self { node: 0, session: None, suite: None, privilege: 0, limit: 0 };
}

pub(super) type Answer = Result<Vec<u8>, u8>;

/// Answers a command. `None`: the BMC stays silent.
pub(super) fn answer(bmc: &mut Bmc, request: &Request, caller: &Caller, now: Instant) -> Option<Response> {
    let key = (request.net_fn, request.cmd);
    if key == (NET_FN_APP, GetChannelCipherSuites::CMD) && !bmc.config.lists_cipher_suites {
        return None;
    }
    let answer = match privilege_of(key) {
        None => Err(code::INVALID_COMMAND),
        // What a session is asked for does not go to a node.
        Some(_) if caller.node != 0 && is_of_session(key) => Err(code::INVALID_COMMAND),
        Some(needed) if needed > caller.privilege => Err(code::INSUFFICIENT_PRIVILEGE),
        Some(_) if bmc.faults.busy && request.net_fn == NET_FN_CHASSIS => Err(code::NODE_BUSY),
        Some(_) if request.net_fn == NET_FN_CHASSIS => chassis(bmc, request, caller.node, now),
        Some(_) if request.net_fn == NET_FN_TRANSPORT => sol_parameter(bmc, request),
        Some(_) => app(bmc, request, caller, now),
    };
    Some(match answer {
        Ok(data) => request.answer(code::OK, data),
        Err(completion_code) => request.answer(completion_code, Vec::new()),
    })
}

/// The privilege level that a command needs; 0 for those that need no session.
fn privilege_of(key: (u8, u8)) -> Option<u8> {
    Some(match key {
        (NET_FN_APP, GetChannelAuthCapabilities::CMD | GetChannelCipherSuites::CMD | GET_SYSTEM_GUID) => 0,
        (NET_FN_APP, GetDeviceId::CMD | GET_DEVICE_GUID | GET_SESSION_INFO | GET_CHANNEL_ACCESS) => {
            level::USER
        }
        (NET_FN_APP, GET_CHANNEL_INFO | SetSessionPrivilege::CMD | CloseSession::CMD) => level::USER,
        (NET_FN_APP, GetPayloadActivationStatus::CMD | GetPayloadInstanceInfo::CMD) => level::USER,
        (NET_FN_APP, ActivatePayload::CMD | DeactivatePayload::CMD) => level::OPERATOR,
        (NET_FN_TRANSPORT, GET_SOL_PARAMETERS) => level::USER,
        (NET_FN_CHASSIS, GET_CHASSIS_CAPABILITIES | GetChassisStatus::CMD) => level::USER,
        (NET_FN_CHASSIS, ChassisControl::CMD | SetSystemBootOptions::CMD | GetSystemBootOptions::CMD) => {
            level::OPERATOR
        }
        _ => return None,
    })
}

fn is_of_session(key: (u8, u8)) -> bool {
    matches!(key, (NET_FN_APP, SetSessionPrivilege::CMD | CloseSession::CMD | GET_SESSION_INFO))
}

fn app(bmc: &mut Bmc, request: &Request, caller: &Caller, now: Instant) -> Answer {
    match request.cmd {
        GetChannelAuthCapabilities::CMD => auth_capabilities(bmc, &read(request)?),
        GetChannelCipherSuites::CMD => cipher_suites(bmc, &read(request)?),
        GET_SYSTEM_GUID | GET_DEVICE_GUID => Ok(bmc.guid.to_vec()),
        GetDeviceId::CMD => Ok(device_id()),
        SetSessionPrivilege::CMD => set_privilege(bmc, &read(request)?, caller),
        CloseSession::CMD => {
            let CloseSession { session_id } = read(request)?;
            // Invalid session id in request (section 22.19).
            if bmc.sessions.remove(session_id) { Ok(Vec::new()) } else { Err(0x87) }
        }
        ActivatePayload::CMD => payload::activate(bmc, &read(request)?, caller, now),
        DeactivatePayload::CMD => payload::deactivate(bmc, &read(request)?, caller, now),
        GetPayloadActivationStatus::CMD => payload::status(bmc, &read(request)?, caller, now),
        GetPayloadInstanceInfo::CMD => payload::instance(bmc, &read(request)?, caller, now),
        // Handle, possible and active sessions, user, privilege, channel with "IPMI 2.0" (section 22.20).
        GET_SESSION_INFO => {
            let limit = u8::try_from(bmc.config.max_sessions).unwrap_or(u8::MAX);
            Ok(vec![1, limit & 0x3f, 1, 2, caller.privilege, 0x10 | CHANNEL])
        }
        // Always available; privilege limit (section 22.23).
        GET_CHANNEL_ACCESS => Ok(vec![0x02, level::ADMINISTRATOR]),
        // 802.3 LAN, IPMB protocol, multi-session, IPMI's vendor id (section 22.24).
        GET_CHANNEL_INFO => Ok(vec![CHANNEL, 0x04, 0x01, 0x80, 0xf2, 0x1b, 0x00, 0x00, 0x00]),
        _ => Err(code::INVALID_COMMAND),
    }
}

fn chassis(bmc: &mut Bmc, request: &Request, node: usize, now: Instant) -> Answer {
    match request.cmd {
        // No intrusion sensor or front panel lock; all devices are the BMC (section 28.1).
        GET_CHASSIS_CAPABILITIES => Ok(vec![0x00, 0x20, 0x20, 0x20, 0x20]),
        GetChassisStatus::CMD => {
            let current_power_state = u8::from(bmc.nodes[node].machine.power(now) == Power::On);
            let last_power_event = bmc.nodes[node].machine.last_power_event;
            Ok(ChassisStatus { current_power_state, last_power_event, misc_state: 0 }.to_bytes())
        }
        ChassisControl::CMD => {
            bmc.nodes[node].machine.control(read(request)?, now);
            Ok(Vec::new())
        }
        SetSystemBootOptions::CMD => set_boot_option(bmc, &read(request)?, node, now),
        GetSystemBootOptions::CMD => get_boot_option(bmc, &read(request)?, node, now),
        _ => Err(code::INVALID_COMMAND),
    }
}

fn set_boot_option(bmc: &mut Bmc, set: &SetSystemBootOptions, node: usize, now: Instant) -> Answer {
    match (set.parameter, set.data.as_slice()) {
        (parameter::SET_IN_PROGRESS, [state]) if *state <= 2 => {}
        (parameter::BOOT_FLAG_VALID_BIT_CLEARING, [bits]) => {
            bmc.nodes[node].machine.valid_bit_clearing = *bits & 0x1f
        }
        (parameter::BOOT_INFO_ACKNOWLEDGE, [_, _]) => {}
        (parameter::BOOT_FLAGS, data) => {
            let flags = BootFlags::decode(data).map_err(|_| code::REQUEST_DATA_TRUNCATED)?;
            bmc.nodes[node].machine.set_flags(flags, now);
        }
        (1 | 2 | 6 | 7, _) | (8.., _) => return Err(code::PARAMETER_NOT_SUPPORTED),
        _ => return Err(code::INVALID_DATA_FIELD),
    }
    Ok(Vec::new())
}

fn get_boot_option(bmc: &mut Bmc, get: &GetSystemBootOptions, node: usize, now: Instant) -> Answer {
    let data = match get.parameter {
        parameter::SET_IN_PROGRESS => vec![0],
        parameter::BOOT_FLAG_VALID_BIT_CLEARING => vec![bmc.nodes[node].machine.valid_bit_clearing],
        parameter::BOOT_INFO_ACKNOWLEDGE => vec![0, 0],
        parameter::BOOT_FLAGS => {
            let flags = bmc.nodes[node].machine.flags(now);
            let lossy = BootFlags { data2: flags.device(), ..BootFlags::default() };
            if bmc.faults.lossy_boot { lossy } else { flags }.to_bytes()
        }
        _ => return Err(code::PARAMETER_NOT_SUPPORTED),
    };
    let option =
        BootOption { parameter_version: 1, parameter_invalid: false, parameter: get.parameter, data };
    Ok(option.to_bytes())
}

/// Get SOL Configuration Parameters (section 26.3): SOL is on, for operators, with 115,200 bits a second on this port.
fn sol_parameter(bmc: &Bmc, request: &Request) -> Answer {
    let [channel, selector, ..] = request.data.as_slice() else { return Err(code::REQUEST_DATA_TRUNCATED) };
    if channel & 0x80 != 0 {
        return Ok(vec![0x11]);
    }
    let value: &[u8] = match selector {
        0 => &[0],
        1 => &[u8::from(bmc.config.console)],
        2 => &[0xc0 | level::OPERATOR],
        3 => &[4, 96],
        4 => &[7, 50],
        5 | 6 => &[0x0a],
        7 => &[CHANNEL],
        8 => &bmc.port.to_le_bytes(),
        _ => return Err(code::PARAMETER_NOT_SUPPORTED),
    };
    Ok([&[0x11], value].concat())
}

fn auth_capabilities(bmc: &Bmc, request: &GetChannelAuthCapabilities) -> Answer {
    if !matches!(request.channel, 0x0e | CHANNEL) {
        return Err(code::INVALID_DATA_FIELD);
    }
    let null_user = if bmc.config.username.is_empty() { 0x02 } else { 0x04 };
    let capabilities = AuthCapabilities {
        channel: CHANNEL,
        authentication_type_support: if request.v20_data { 0x80 } else { 0x00 },
        authentication_status: null_user,
        extended_capabilities: if request.v20_data { 0x02 } else { 0x00 },
        oem_id: [0; 3],
        oem_auxiliary: 0,
    };
    Ok(capabilities.to_bytes())
}

fn cipher_suites(bmc: &Bmc, request: &GetChannelCipherSuites) -> Answer {
    let suites = bmc.config.cipher_suites.iter().filter_map(|id| CipherSuite::from_id(*id));
    let records: Vec<u8> = suites
        .flat_map(|suite| {
            let algorithms = suite.algorithms();
            record(suite.id(), algorithms.authentication, algorithms.integrity, algorithms.confidentiality)
        })
        .collect();
    let chunk = records.chunks(CHUNK).nth(usize::from(request.list_index)).unwrap_or_default();
    Ok(CipherSuitesChunk { channel: CHANNEL, records: chunk.to_vec() }.to_bytes())
}

fn set_privilege(bmc: &mut Bmc, request: &SetSessionPrivilege, caller: &Caller) -> Answer {
    let wanted = if request.level == 0 { caller.privilege } else { request.level };
    if !(level::USER..=level::ADMINISTRATOR).contains(&wanted) {
        return Err(code::LEVEL_NOT_FOR_USER);
    }
    if wanted > caller.limit {
        return Err(code::LEVEL_EXCEEDS_LIMIT);
    }
    if let Some(id) = caller.session {
        bmc.sessions.set_privilege(id, wanted);
    }
    Ok(SessionPrivilege { level: wanted }.to_bytes())
}

/// A device that is nobody's product: manufacturer 0.
fn device_id() -> Vec<u8> {
    let id = DeviceId {
        device_id: 0x20,
        device_revision: 0x01,
        firmware_major: 0x01,
        firmware_minor: 0x00,
        ipmi_version: 0x02,
        // Chassis device.
        additional_device_support: 0x80,
        manufacturer_id: [0; 3],
        product_id: 0,
    };
    id.to_bytes()
}

fn read<C: Command>(request: &Request) -> Result<C, u8> {
    C::decode(&request.data).map_err(|error| match error {
        crate::ipmi::wire::DecodeError::Short { .. } => code::REQUEST_DATA_TRUNCATED,
        _ => code::INVALID_DATA_FIELD,
    })
}
