//! Bridging (section 6.13): a request that reaches a node through the BMC and perhaps one controller more, and its answer.

use super::channel::Rejected;
use super::wire::lan_message::{BMC, REMOTE_CONSOLE, Request, Response};
use super::wire::send_message::SendMessage;
use super::wire::{Command, Message};

/// A step from one controller to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Channel of the controller that passes the message on.
    pub(crate) channel: u8,
    /// Address of the next controller on that channel.
    pub(crate) address: u8,
}

/// The way from the BMC to a node, the nearest step first; none for the BMC itself, two at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Route(pub(crate) Vec<Hop>);

/// A request on its way: what each controller on it is asked, the BMC first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bridged(Vec<Request>);

/// What an answer says of a bridged request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// A controller took it; the answer follows.
    PassedOn,
    /// A controller could not pass it on to the one at `address`.
    Stopped { address: u8, completion_code: u8 },
    /// The node's answer.
    Answered { completion_code: u8, data: Vec<u8> },
}

impl Route {
    /// A command to the node at the end of the route. All requests on it have one sequence number.
    pub(crate) fn request<C: Command>(&self, command: &C, rq_seq: u8) -> Bridged {
        let last = self.0.len();
        let mut requests = vec![self.ask(last, C::NET_FN, C::CMD, rq_seq, command.to_bytes())];
        for step in (0..last).rev() {
            let message = requests[0].to_bytes();
            let send = SendMessage { channel: self.0[step].channel, tracked: true, message };
            requests
                .insert(0, self.ask(step, SendMessage::NET_FN, SendMessage::CMD, rq_seq, send.to_bytes()));
        }
        Bridged(requests)
    }

    /// A request to the controller after `step` steps. Only the BMC and a controller between are asked in the console's name.
    fn ask(&self, step: usize, net_fn: u8, cmd: u8, rq_seq: u8, data: Vec<u8>) -> Request {
        let mut request = Request::to_bmc(net_fn, cmd, rq_seq, data);
        if step > 0 {
            request.rs_addr = self.0[step - 1].address;
            request.rq_addr = if step == self.0.len() { BMC } else { REMOTE_CONSOLE };
        }
        request
    }
}

impl Bridged {
    /// The message to the BMC.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0[0].to_bytes()
    }

    /// Reads a message of the BMC. An answer of a controller may be within that of the one before, or come by itself.
    pub(crate) fn read(&self, message: &[u8]) -> Result<Progress, Rejected> {
        let response = Response::decode(message)?;
        let step = self.0.iter().position(|request| response.answers(request)).ok_or(Rejected::Stray)?;
        let Response { completion_code, data, .. } = response;
        match self.0.get(step + 1) {
            None => Ok(Progress::Answered { completion_code, data }),
            Some(next) if completion_code != 0 => {
                Ok(Progress::Stopped { address: next.rs_addr, completion_code })
            }
            Some(_) if data.is_empty() => Ok(Progress::PassedOn),
            Some(_) => self.read(&data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipmi::wire::get_device_id::GetDeviceId;

    fn cartridge() -> Route {
        Route(vec![Hop { channel: 0, address: 0x82 }, Hop { channel: 7, address: 0x72 }])
    }

    /// As `ipmitool -B 0 -T 0x82 -b 7 -t 0x72 mc info` (1.8.19) sends it, with sequence number 5.
    #[test]
    fn a_doubly_bridged_request_is_ipmitools() {
        let bytes = cartridge().request(&GetDeviceId, 5).to_bytes();
        let node = "721876 201401 cb";
        let controller = format!("821866 811434 47 {node} f0");
        let bmc = format!("2018c8 811434 40 {controller} f7");
        assert_eq!(hex::encode(bytes), bmc.replace(' ', ""));
    }

    #[test]
    fn without_a_route_the_bmc_is_asked() {
        let bytes = Route::default().request(&GetDeviceId, 5).to_bytes();
        assert_eq!(hex::encode(bytes), "2018c88114016a");
    }

    #[test]
    fn answers_come_within_each_other_or_by_themselves() {
        let request = cartridge().request(&GetDeviceId, 5);
        let [bmc, controller, node] = request.0.as_slice() else { panic!("three are asked") };
        let answered = Ok(Progress::Answered { completion_code: 0, data: vec![1, 2] });
        let from_node = node.answer(0, vec![1, 2]).to_bytes();
        let from_controller = controller.answer(0, from_node.clone()).to_bytes();
        assert_eq!(request.read(&bmc.answer(0, Vec::new()).to_bytes()), Ok(Progress::PassedOn));
        assert_eq!(request.read(&from_node), answered);
        assert_eq!(request.read(&from_controller), answered);
        assert_eq!(request.read(&bmc.answer(0, from_controller.clone()).to_bytes()), answered);
        let stopped = |address| Ok(Progress::Stopped { address, completion_code: 0x83 });
        assert_eq!(request.read(&bmc.answer(0x83, Vec::new()).to_bytes()), stopped(0x82));
        let controller_stops = controller.answer(0x83, Vec::new()).to_bytes();
        assert_eq!(request.read(&bmc.answer(0, controller_stops).to_bytes()), stopped(0x72));
        let other = cartridge().request(&GetDeviceId, 6);
        assert_eq!(other.read(&from_controller), Err(Rejected::Stray), "an answer to another request");
    }
}
