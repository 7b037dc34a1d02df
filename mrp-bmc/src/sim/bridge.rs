//! Bridging in a simulated chassis: the BMC passes requests on to a cartridge's controller, and that to its node.

use std::time::Instant;

use super::bmc::Bmc;
use super::commands::{self, Caller};
use crate::ipmi::wire::completion_code as code;
use crate::ipmi::wire::lan_message::{Request, Response};
use crate::ipmi::wire::send_message::{NOT_TAKEN, SendMessage};
use crate::ipmi::wire::set_session_privilege::level;
use crate::ipmi::wire::{Command, Message};

/// Channel of the chassis on which the cartridges' controllers are.
const CARTRIDGES: u8 = 0;
/// Channel of a controller on which its node is, and the node's address there.
const NODES: u8 = 7;
const NODE: u8 = 0x72;

/// Answers a request of a session. A bridged one gets two answers: that it was passed on, then the controller's.
pub(super) fn answers(bmc: &mut Bmc, request: &Request, caller: &Caller, now: Instant) -> Vec<Response> {
    if !is_bridged(request) || bmc.config.cartridges == 0 {
        return commands::answer(bmc, request, caller, now).into_iter().collect();
    }
    if caller.privilege < level::USER {
        return vec![request.answer(code::INSUFFICIENT_PRIVILEGE, Vec::new())];
    }
    match passed_on(bmc, request, CARTRIDGES) {
        Err(completion_code) => vec![request.answer(completion_code, Vec::new())],
        Ok((message, node)) => {
            let caller = Caller { node, ..*caller };
            let accepted = request.answer(code::OK, Vec::new());
            [Some(accepted), from_controller(bmc, &message, &caller, now)].into_iter().flatten().collect()
        }
    }
}

/// The answer of a cartridge's controller, which has that of its node within.
fn from_controller(bmc: &mut Bmc, request: &Request, caller: &Caller, now: Instant) -> Option<Response> {
    if !is_bridged(request) {
        return commands::answer(bmc, request, caller, now);
    }
    let message = match passed_on(bmc, request, NODES) {
        Ok((message, _)) => message,
        Err(completion_code) => return Some(request.answer(completion_code, Vec::new())),
    };
    let answer = commands::answer(bmc, &message, caller, now)?;
    Some(request.answer(code::OK, answer.to_bytes()))
}

fn is_bridged(request: &Request) -> bool {
    (request.net_fn, request.cmd) == (SendMessage::NET_FN, SendMessage::CMD)
}

/// The message that is to be passed on by a channel, and the node that it is for or goes through.
fn passed_on(bmc: &Bmc, request: &Request, channel: u8) -> Result<(Request, usize), u8> {
    let send = SendMessage::decode(&request.data).map_err(|_| code::REQUEST_DATA_TRUNCATED)?;
    if send.channel != channel || !send.tracked {
        return Err(code::INVALID_DATA_FIELD);
    }
    let message = Request::decode(&send.message).map_err(|_| code::INVALID_DATA_FIELD)?;
    if channel == NODES {
        return if message.rs_addr == NODE { Ok((message, 0)) } else { Err(NOT_TAKEN) };
    }
    let number = usize::from(message.rs_addr.wrapping_sub(0x80) / 2);
    let is_there = message.rs_addr > 0x80 && message.rs_addr % 2 == 0 && number < bmc.nodes.len();
    if is_there { Ok((message, number)) } else { Err(NOT_TAKEN) }
}
