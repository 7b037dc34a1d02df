//! The BMC without its socket: a datagram comes in, the datagrams that answer it go out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::broadcast;

use mrp_core::secret::random_bytes;

use super::bridge;
use super::commands::{self, Caller};
use super::node::Node;
use super::sessions::Sessions;
use super::{Faults, SimConfig};
use crate::ipmi::channel::Rejected;
use crate::ipmi::wire::lan_message::{Request, Response};
use crate::ipmi::wire::open_session::OpenSessionRequest;
use crate::ipmi::wire::rakp::{Rakp1, Rakp3};
use crate::ipmi::wire::rmcp::RmcpHeader;
use crate::ipmi::wire::rmcp_plus::{AUTH_TYPE_RMCP_PLUS, PayloadType, RmcpPlus};
use crate::ipmi::wire::session_v15::SessionV15;
use crate::ipmi::wire::{DecodeError, Message};

/// Messages that a slow receiver may lag behind.
const MESSAGES: usize = 256;

/// A BMC with its nodes and its sessions.
#[derive(Debug)]
pub(crate) struct Bmc {
    pub(crate) config: SimConfig,
    pub(crate) faults: Faults,
    /// The first is the one of a BMC that is asked without bridging.
    pub(super) nodes: Vec<Node>,
    pub(crate) sessions: Sessions,
    pub(crate) guid: [u8; 16],
    /// UDP port that it names as its own.
    pub(super) port: u16,
    /// What goes out though nobody has just asked.
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Decrypted requests of sessions.
    pub(super) messages: broadcast::Sender<Bytes>,
}

impl Bmc {
    pub(crate) fn new(config: SimConfig, guid: [u8; 16]) -> Self {
        let nodes = (0..=config.cartridges).map(|_| Node::new(&config)).collect();
        let (messages, _) = broadcast::channel(MESSAGES);
        let (faults, sessions, outbox) = (Faults::default(), Sessions::default(), VecDeque::new());
        Self { config, faults, nodes, sessions, guid, port: 623, outbox, messages }
    }

    /// When [`Bmc::advance`] is due.
    pub(crate) fn next_change(&self) -> Option<Instant> {
        self.nodes.iter().filter_map(Node::next_change).min()
    }

    /// Lets happen what is due.
    pub(crate) fn advance(&mut self, now: Instant) {
        for node in &mut self.nodes {
            node.advance(now);
        }
        self.collect(now);
    }

    /// The next datagram that goes out though nobody has just asked.
    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        if self.faults.silent { None } else { self.outbox.pop_front() }
    }

    /// A node prints on its serial port.
    pub(super) fn print(&mut self, node: usize, characters: Bytes, now: Instant) {
        self.nodes[node].serial.print(characters, now);
        self.collect(now);
    }

    /// The node whose console is active in a session that still lives.
    pub(super) fn console_of(&mut self, node: usize, now: Instant) -> Option<u32> {
        let session = self.nodes[node].serial.session()?;
        let timeout = self.config.session_timeout;
        if !self.sessions.contains(session, timeout, now) {
            self.nodes[node].serial.deactivate();
        }
        self.nodes[node].serial.session()
    }

    /// Seals what the consoles have to send.
    fn collect(&mut self, now: Instant) {
        let timeout = self.config.session_timeout;
        for node in &mut self.nodes {
            while let Some((id, packet)) = node.serial.poll_transmit() {
                let session = self.sessions.active(id, timeout, now);
                let sealed = session.and_then(|session| session.seal_sol(&packet));
                self.outbox.extend(sealed);
            }
        }
    }

    /// Answers a datagram. What it cannot read it ignores.
    pub(crate) fn handle(&mut self, peer: SocketAddr, datagram: &[u8], now: Instant) -> Vec<Vec<u8>> {
        if self.faults.silent {
            return Vec::new();
        }
        if self.faults.garbage {
            return vec![random_bytes::<24>().to_vec()];
        }
        let body = RmcpHeader::strip(datagram).map_err(Rejected::from);
        let answers = body.and_then(|body| self.answer(peer, body, now)).unwrap_or_default();
        self.advance(now);
        answers
    }

    fn answer(&mut self, peer: SocketAddr, body: &[u8], now: Instant) -> Result<Vec<Vec<u8>>, Rejected> {
        if body.first() != Some(&AUTH_TYPE_RMCP_PLUS) {
            let packet = SessionV15::decode(body)?;
            let response = self.outside_session(&Request::decode(&packet.payload)?, now);
            let answer = response.map(|response| SessionV15::outside_session(response.to_bytes()));
            return Ok(answer.iter().map(datagram_of).collect());
        }
        let packet = RmcpPlus::decode(body)?;
        if packet.session_id != 0 {
            return self.in_session(packet.session_id, peer, body, now);
        }
        let answer = self.handshake(peer, &packet, now)?;
        let answer = answer.map(|(kind, payload)| RmcpPlus::outside_session(kind, payload));
        Ok(answer.iter().map(datagram_of).collect())
    }

    /// Answers what belongs to no session yet.
    fn handshake(
        &mut self,
        peer: SocketAddr,
        packet: &RmcpPlus,
        now: Instant,
    ) -> Result<Option<(PayloadType, Vec<u8>)>, DecodeError> {
        let key = self.user_key();
        let payload = packet.payload.as_slice();
        Ok(match packet.payload_type {
            PayloadType::Ipmi => {
                let response = self.outside_session(&Request::decode(payload)?, now);
                response.map(|response| (PayloadType::Ipmi, response.to_bytes()))
            }
            PayloadType::OpenSessionRequest => {
                let request = OpenSessionRequest::decode(payload)?;
                let response = self.sessions.open(peer, &request, &self.config, &self.faults, now);
                Some((PayloadType::OpenSessionResponse, response.to_bytes()))
            }
            PayloadType::Rakp1 => {
                let rakp2 = self.sessions.rakp1(&Rakp1::decode(payload)?, &self.config, &key, self.guid);
                Some((PayloadType::Rakp2, rakp2.to_bytes()))
            }
            PayloadType::Rakp3 => {
                let rakp4 = self.sessions.rakp3(&Rakp3::decode(payload)?, &key, now);
                rakp4.map(|rakp4| (PayloadType::Rakp4, rakp4.to_bytes()))
            }
            PayloadType::OpenSessionResponse | PayloadType::Rakp2 | PayloadType::Rakp4 | PayloadType::Sol => {
                None
            }
        })
    }

    fn outside_session(&mut self, request: &Request, now: Instant) -> Option<Response> {
        commands::answer(self, request, &Caller::OUTSIDE, now)
    }

    fn in_session(
        &mut self,
        id: u32,
        peer: SocketAddr,
        body: &[u8],
        now: Instant,
    ) -> Result<Vec<Vec<u8>>, Rejected> {
        let timeout = self.config.session_timeout;
        let session = self.sessions.active(id, timeout, now).ok_or(Rejected::OtherSession)?;
        let channel = session.channel.as_mut().ok_or(Rejected::OtherSession)?;
        let (payload_type, payload) = channel.open(body)?;
        session.peer = peer;
        if payload_type == PayloadType::Sol {
            // Characters do not keep a session, as with some BMCs.
            let holder = self.nodes.iter_mut().find(|node| node.serial.session() == Some(id));
            holder.ok_or(Rejected::Stray)?.typed(&payload, now);
            return Ok(Vec::new());
        }
        let request = Request::decode(&payload)?;
        // Nobody has to listen.
        let _ = self.messages.send(Bytes::from(payload));
        session.touch(now);
        let suite = Some(session.suite);
        let caller =
            Caller { node: 0, session: Some(id), suite, privilege: session.privilege, limit: session.limit };
        // The session may be gone after its own Close Session, whose answer still belongs to it.
        let mut channel = session.channel.take().ok_or(Rejected::OtherSession)?;
        let mut datagrams = Vec::new();
        for answer in bridge::answers(self, &request, &caller, now) {
            let sealed = channel.seal(PayloadType::Ipmi, &answer.to_bytes(), random_bytes());
            if self.faults.forged {
                let mut forged = sealed.clone();
                *forged.last_mut().expect("a sealed packet is not empty") ^= 1;
                datagrams.push(forged);
            }
            datagrams.push(sealed);
        }
        self.sessions.put_back(id, channel);
        Ok(datagrams)
    }

    fn user_key(&self) -> Vec<u8> {
        if self.faults.wrong_password {
            return random_bytes::<20>().to_vec();
        }
        self.config.password.expose().as_bytes().to_vec()
    }
}

fn datagram_of<M: Message>(packet: &M) -> Vec<u8> {
    let mut datagram = RmcpHeader.to_bytes();
    packet.encode(&mut datagram);
    datagram
}
