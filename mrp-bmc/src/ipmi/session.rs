//! A console's RMCP+ session as a state machine (sections 13.14 to 13.33): datagrams and the time come in, datagrams and
//! events go out. It has no clock and no socket; nonces and ids are arguments.
//!
//! The way in is [`login`]: authentication capabilities, cipher suites, Open Session, RAKP. Then one request at a time:
//! a repeated request keeps its rqSeq and gets a new session sequence number.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mrp_core::secret::Secret;

use super::bridge::{Bridged, Progress, Route};
use super::channel::{Channel, Rejected};
use super::crypto::CipherSuite;
use super::wire::close_session::CloseSession;
use super::wire::lan_message::{Request, Response};
use super::wire::rmcp::RmcpHeader;
use super::wire::rmcp_plus::PayloadType;
use super::wire::{Command, DecodeError, Message};

mod login;
#[cfg(test)]
mod tests;

use login::Step;

/// Who logs in, and how.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) user_name: Vec<u8>,
    pub(crate) password: Secret,
    /// The privilege that the session may reach, as a privilege level.
    pub(crate) privilege: u8,
    /// The acceptable cipher suites, the best first.
    pub(crate) suites: Vec<CipherSuite>,
}

/// What is remembered of a BMC from one session to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contact {
    /// It said that it speaks RMCP+.
    pub(crate) speaks_rmcp_plus: bool,
    /// The cipher suites that it lists; an empty list if it does not tell.
    pub(crate) offered: Option<Vec<u8>>,
    /// The suite of the last session. No session is opened with a weaker one.
    pub(crate) worked: Option<CipherSuite>,
}

/// The unpredictable numbers of one session.
#[derive(Clone)]
pub(crate) struct Nonces {
    /// Not 0.
    pub(crate) session_id: u32,
    pub(crate) console_nonce: [u8; 16],
    /// Initialization vectors follow from it.
    pub(crate) iv_key: [u8; 32],
}

/// How often a datagram is sent, and how long an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    /// The first wait; each further one is half as long again, up to [`Retry::LONGEST`].
    pub(crate) first_wait: Duration,
    /// How often it is sent in all.
    pub(crate) tries: u32,
}

impl Retry {
    /// The longest wait that a first wait below it grows to.
    pub(crate) const LONGEST: Duration = Duration::from_secs(2);

    /// The wait that follows a wait.
    pub(crate) fn after(wait: Duration) -> Duration {
        (wait * 3 / 2).min(Self::LONGEST).max(wait)
    }
}

/// Packets of the serial console that wait to be taken; what comes beyond them is dropped, and repeated by the BMC.
const MAX_SOL_PACKETS: usize = 64;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The login is through; requests may be submitted.
    Established,
    /// The answer to the request that was submitted last.
    Answered { completion_code: u8, data: Vec<u8> },
    /// The login or the request failed. A session that was established stays usable.
    Failed(Failure),
}

/// Why a login or request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No answer at all.
    Silent { step: &'static str },
    /// Only answers that had to be dropped; `reason` is the last one's.
    Garbage { step: &'static str, reason: Rejected },
    /// A status code of Open Session or RAKP.
    Refused { step: &'static str, status: u8 },
    /// A completion code where the login needs an answer.
    Rejected { step: &'static str, completion_code: u8 },
    /// A controller does not pass a request on to the one at this address.
    NotPassedOn { address: u8, completion_code: u8 },
    /// It does not speak IPMI 2.0.
    NoRmcpPlus,
    /// RAKP 2 was not made with our password.
    WrongPassword,
    /// RAKP 4 does not fit: the BMC has a K_G.
    WrongKey,
    /// It answers Open Session with other algorithms than we asked for.
    OtherAlgorithms,
    /// It lists no suite that is acceptable.
    NoCommonSuite { offered: Vec<u8> },
    /// It refuses all acceptable suites; one of them has worked before if `worked` is set.
    SuiteRefused { worked: Option<CipherSuite> },
}

/// The state machine.
pub(crate) struct Session {
    login: Arc<Login>,
    retry: Retry,
    nonces: Nonces,
    contact: Contact,
    state: State,
    timer: Option<Timer>,
    /// Next rqSeq, message tag and number of initialization vectors so far.
    rq_seq: u8,
    message_tag: u8,
    ivs: u64,
    transmit: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    sol_packets: VecDeque<Vec<u8>>,
    dropped: u64,
    /// Why the last datagram of this step was dropped.
    last_drop: Option<Rejected>,
}

// Keys and packets stay out of it.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::LoggingIn(step) => step.name(),
            State::Active { .. } => "active",
            State::Ended => "ended",
        };
        f.debug_struct("Session")
            .field("state", &state)
            .field("contact", &self.contact)
            .finish_non_exhaustive()
    }
}

enum State {
    LoggingIn(Step),
    Active { channel: Box<Channel>, pending: Option<Bridged> },
    Ended,
}

struct Timer {
    deadline: Instant,
    wait: Duration,
    tries_left: u32,
    /// What is sent again; a request within a session is sealed anew.
    datagram: Option<Vec<u8>>,
}

impl Session {
    /// Begins a login. What `contact` knows of the BMC is not asked again.
    pub(crate) fn new(
        login: Arc<Login>,
        retry: Retry,
        contact: Contact,
        nonces: Nonces,
        now: Instant,
    ) -> Self {
        let mut session = Self {
            login,
            retry,
            nonces,
            contact,
            state: State::Ended,
            timer: None,
            rq_seq: 0,
            message_tag: 0,
            ivs: 0,
            transmit: VecDeque::new(),
            events: VecDeque::new(),
            sol_packets: VecDeque::new(),
            dropped: 0,
            last_drop: None,
        };
        session.begin(now);
        session
    }

    /// What is known of the BMC.
    pub(crate) fn contact(&self) -> &Contact {
        &self.contact
    }

    /// The BMC's id of the session; 0 unless it is established.
    pub(crate) fn peer_session_id(&self) -> u32 {
        match &self.state {
            State::Active { channel, .. } => channel.peer_session_id(),
            State::LoggingIn(_) | State::Ended => 0,
        }
    }

    /// How many datagrams were dropped: forged, repeated, broken or answering something else.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Sends a request to the BMC or a node behind it; its predecessor, if still unanswered, is given up.
    pub(crate) fn submit<C: Command>(&mut self, command: &C, route: &Route, retry: Retry, now: Instant) {
        let rq_seq = self.next_rq_seq();
        let request = route.request(command, rq_seq);
        self.events.clear();
        self.last_drop = None;
        let iv = self.next_iv();
        let State::Active { channel, pending } = &mut self.state else {
            return self.fail(Failure::Silent { step: "a request after the session's end" });
        };
        self.transmit.push_back(channel.seal(PayloadType::Ipmi, &request.to_bytes(), iv));
        *pending = Some(request);
        self.start_timer(retry, None, now);
    }

    /// Sends a packet of the serial console. Nothing happens outside a session.
    pub(crate) fn send_sol(&mut self, packet: &[u8]) {
        let iv = self.next_iv();
        if let State::Active { channel, .. } = &mut self.state {
            self.transmit.push_back(channel.seal(PayloadType::Sol, packet, iv));
        }
    }

    /// The next packet of the serial console.
    pub(crate) fn poll_sol(&mut self) -> Option<Vec<u8>> {
        self.sol_packets.pop_front()
    }

    /// The suite of the session; `None` unless it is established.
    pub(crate) fn suite(&self) -> Option<CipherSuite> {
        match &self.state {
            State::Active { channel, .. } => Some(channel.suite()),
            State::LoggingIn(_) | State::Ended => None,
        }
    }

    /// Ends the session: tells the BMC once and does not wait for its answer.
    pub(crate) fn close(&mut self) {
        let (rq_seq, iv) = (self.next_rq_seq(), self.next_iv());
        if let State::Active { channel, .. } = &mut self.state {
            let close = CloseSession { session_id: channel.peer_session_id() };
            let request = Request::to_bmc(CloseSession::NET_FN, CloseSession::CMD, rq_seq, close.to_bytes());
            self.transmit.push_back(channel.seal(PayloadType::Ipmi, &request.to_bytes(), iv));
        }
        self.state = State::Ended;
        self.timer = None;
    }

    /// Takes a datagram of the BMC.
    pub(crate) fn handle_input(&mut self, datagram: &[u8], now: Instant) {
        let body = RmcpHeader::strip(datagram).map_err(Rejected::from);
        if let Err(rejected) = body.and_then(|body| self.accept(body, now)) {
            self.dropped += 1;
            if rejected != Rejected::Stray {
                self.last_drop = Some(rejected);
            }
        }
    }

    /// Repeats or gives up what was not answered in time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Some(timer) = self.timer.as_mut().filter(|timer| timer.deadline <= now) else { return };
        if timer.tries_left == 0 {
            self.timer = None;
            return self.give_up(now);
        }
        timer.tries_left -= 1;
        timer.wait = Retry::after(timer.wait);
        timer.deadline = now + timer.wait;
        if let Some(datagram) = timer.datagram.clone() {
            return self.transmit.push_back(datagram);
        }
        let iv = self.next_iv();
        if let State::Active { channel, pending: Some(request) } = &mut self.state {
            self.transmit.push_back(channel.seal(PayloadType::Ipmi, &request.to_bytes(), iv));
        }
    }

    /// The next datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.pop_front()
    }

    /// When [`Session::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timer.as_ref().map(|timer| timer.deadline)
    }

    /// The next event.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn accept(&mut self, body: &[u8], now: Instant) -> Result<(), Rejected> {
        match &mut self.state {
            State::LoggingIn(_) => self.accept_login(body, now),
            State::Active { channel, pending } => {
                let (payload_type, payload) = channel.open(body)?;
                if payload_type == PayloadType::Sol {
                    if self.sol_packets.len() < MAX_SOL_PACKETS {
                        self.sol_packets.push_back(payload);
                    }
                    return Ok(());
                }
                let event = match pending.as_ref().ok_or(Rejected::Stray)?.read(&payload)? {
                    Progress::PassedOn => return Ok(()),
                    Progress::Answered { completion_code, data } => Event::Answered { completion_code, data },
                    Progress::Stopped { address, completion_code } => {
                        Event::Failed(Failure::NotPassedOn { address, completion_code })
                    }
                };
                *pending = None;
                self.timer = None;
                self.events.push_back(event);
                Ok(())
            }
            State::Ended => Err(Rejected::Stray),
        }
    }

    fn give_up(&mut self, now: Instant) {
        let step = match &mut self.state {
            State::LoggingIn(step) => {
                let name = step.name();
                if step.may_stay_unanswered() {
                    return self.no_cipher_suites(now);
                }
                name
            }
            State::Active { pending, .. } => {
                *pending = None;
                "a command"
            }
            State::Ended => return,
        };
        let failure = match self.last_drop.take() {
            Some(reason) => Failure::Garbage { step, reason },
            None => Failure::Silent { step },
        };
        self.fail(failure);
    }

    fn fail(&mut self, failure: Failure) {
        self.timer = None;
        if matches!(self.state, State::LoggingIn(_)) {
            self.state = State::Ended;
        }
        self.events.push_back(Event::Failed(failure));
    }

    fn start_timer(&mut self, retry: Retry, datagram: Option<Vec<u8>>, now: Instant) {
        self.timer = Some(Timer {
            deadline: now + retry.first_wait,
            wait: retry.first_wait,
            tries_left: retry.tries.saturating_sub(1),
            datagram,
        });
    }

    fn next_rq_seq(&mut self) -> u8 {
        self.rq_seq = (self.rq_seq + 1) & 0x3f;
        self.rq_seq
    }

    fn next_iv(&mut self) -> [u8; 16] {
        self.ivs += 1;
        let suite = CipherSuite::from_id(17).expect("suite 17 is known");
        let bytes = suite.hmac(&self.nonces.iv_key, &[&self.ivs.to_le_bytes()]);
        *bytes.first_chunk().expect("SHA-256 has 32 bytes")
    }
}

/// The answer to a request that was sent outside a session.
fn answer_to<C: Command>(message: &[u8], rq_seq: u8) -> Result<Result<C::Response, u8>, Rejected> {
    let response = Response::decode(message)?;
    let request = Request::to_bmc(C::NET_FN, C::CMD, rq_seq, Vec::new());
    if !response.answers(&request) {
        return Err(Rejected::Stray);
    }
    if response.completion_code != 0 {
        return Ok(Err(response.completion_code));
    }
    Ok(Ok(C::Response::decode(&response.data).map_err(|error: DecodeError| Rejected::Malformed(error))?))
}
