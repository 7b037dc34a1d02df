//! The login: Get Channel Authentication Capabilities, Get Channel Cipher Suites, Open Session, RAKP 1 to 4.

use std::time::{Duration, Instant};

use super::{Contact, Event, Failure, Login, Retry, Session, State, answer_to};
use crate::ipmi::channel::{Channel, Rejected};
use crate::ipmi::crypto::{CipherSuite, Key, Rakp};
use crate::ipmi::wire::get_channel_auth_capabilities::{
    AuthCapabilities, GetChannelAuthCapabilities, PRESENT_CHANNEL,
};
use crate::ipmi::wire::get_channel_cipher_suites::{
    CHUNK, CipherSuitesChunk, GetChannelCipherSuites, MAX_LIST_INDEX, suite_ids,
};
use crate::ipmi::wire::lan_message::Request;
use crate::ipmi::wire::open_session::{OpenSessionRequest, OpenSessionResponse, OpenedSession};
use crate::ipmi::wire::rakp::{NAME_ONLY_LOOKUP, Rakp1, Rakp2, Rakp2Proof, Rakp3, Rakp4, status};
use crate::ipmi::wire::rmcp::RmcpHeader;
use crate::ipmi::wire::rmcp_plus::{PayloadType, RmcpPlus};
use crate::ipmi::wire::session_v15::SessionV15;
use crate::ipmi::wire::{Command, Message};

/// A BMC that does not know Get Channel Cipher Suites often stays silent: one short wait, once.
const CIPHER_SUITES_RETRY: Retry = Retry { first_wait: Duration::from_millis(500), tries: 1 };

/// What the login waits for.
pub(super) enum Step {
    AuthCapabilities,
    CipherSuites {
        list_index: u8,
        records: Vec<u8>,
    },
    /// The suite that was asked for and those to try if it is refused.
    OpenSession {
        suite: CipherSuite,
        others: Vec<CipherSuite>,
    },
    Rakp2 {
        suite: CipherSuite,
        opened: OpenedSession,
        role: u8,
    },
    Rakp4 {
        rakp: Box<Rakp>,
        session_integrity_key: Key,
    },
}

impl Step {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Step::AuthCapabilities => "Get Channel Authentication Capabilities",
            Step::CipherSuites { .. } => "Get Channel Cipher Suites",
            Step::OpenSession { .. } => "Open Session",
            Step::Rakp2 { .. } => "RAKP 1",
            Step::Rakp4 { .. } => "RAKP 3",
        }
    }

    pub(super) fn may_stay_unanswered(&self) -> bool {
        matches!(self, Step::CipherSuites { .. })
    }
}

impl Session {
    pub(super) fn begin(&mut self, now: Instant) {
        if self.contact.speaks_rmcp_plus {
            return self.after_auth_capabilities(now);
        }
        self.state = State::LoggingIn(Step::AuthCapabilities);
        let command = GetChannelAuthCapabilities {
            v20_data: true,
            channel: PRESENT_CHANNEL,
            maximum_privilege: self.login.privilege,
        };
        let message = self.message(&command);
        let retry = self.retry;
        self.send(&SessionV15::outside_session(message), retry, now);
    }

    pub(super) fn accept_login(&mut self, body: &[u8], now: Instant) -> Result<(), Rejected> {
        let State::LoggingIn(step) = &self.state else { return Err(Rejected::Stray) };
        if let Step::AuthCapabilities = step {
            let packet = SessionV15::decode(body)?;
            let answer = answer_to::<GetChannelAuthCapabilities>(&packet.payload, self.rq_seq)?;
            self.on_auth_capabilities(answer, now);
            return Ok(());
        }
        let packet = RmcpPlus::decode(body)?;
        if packet.session_id != 0 || packet.encrypted || packet.authenticated {
            return Err(Rejected::OtherSession);
        }
        match (step, packet.payload_type) {
            (Step::CipherSuites { .. }, PayloadType::Ipmi) => {
                let answer = answer_to::<GetChannelCipherSuites>(&packet.payload, self.rq_seq)?;
                self.on_cipher_suites(answer, now);
            }
            (Step::OpenSession { .. }, PayloadType::OpenSessionResponse) => {
                let response = OpenSessionResponse::decode(&packet.payload)?;
                self.expect(
                    response.message_tag,
                    response.remote_console_session_id,
                    response.outcome.is_ok(),
                )?;
                self.on_open_session(response, now);
            }
            (Step::Rakp2 { .. }, PayloadType::Rakp2) => {
                let rakp2 = Rakp2::decode(&packet.payload)?;
                self.expect(rakp2.message_tag, rakp2.remote_console_session_id, rakp2.outcome.is_ok())?;
                self.on_rakp2(rakp2.outcome, now);
            }
            (Step::Rakp4 { .. }, PayloadType::Rakp4) => {
                let rakp4 = Rakp4::decode(&packet.payload)?;
                self.expect(rakp4.message_tag, rakp4.remote_console_session_id, rakp4.outcome.is_ok())?;
                self.on_rakp4(rakp4.outcome);
            }
            _ => return Err(Rejected::Stray),
        }
        Ok(())
    }

    /// Goes on without a list of cipher suites, and does not ask for it again.
    pub(super) fn no_cipher_suites(&mut self, now: Instant) {
        self.last_drop = None;
        self.contact.offered = Some(Vec::new());
        self.open(now);
    }

    fn on_auth_capabilities(&mut self, answer: Result<AuthCapabilities, u8>, now: Instant) {
        match answer {
            Ok(capabilities) if capabilities.speaks_rmcp_plus() => {
                self.contact.speaks_rmcp_plus = true;
                self.after_auth_capabilities(now);
            }
            Ok(_) => self.fail(Failure::NoRmcpPlus),
            Err(completion_code) => {
                let step = "Get Channel Authentication Capabilities";
                self.fail(Failure::Rejected { step, completion_code });
            }
        }
    }

    fn after_auth_capabilities(&mut self, now: Instant) {
        match self.contact.offered {
            Some(_) => self.open(now),
            None => self.ask_cipher_suites(0, Vec::new(), now),
        }
    }

    fn ask_cipher_suites(&mut self, list_index: u8, records: Vec<u8>, now: Instant) {
        self.state = State::LoggingIn(Step::CipherSuites { list_index, records });
        let command = GetChannelCipherSuites { channel: PRESENT_CHANNEL, payload_type: 0, list_index };
        let message = self.message(&command);
        self.send(&RmcpPlus::outside_session(PayloadType::Ipmi, message), CIPHER_SUITES_RETRY, now);
    }

    fn on_cipher_suites(&mut self, answer: Result<CipherSuitesChunk, u8>, now: Instant) {
        let State::LoggingIn(Step::CipherSuites { list_index, records }) = &mut self.state else { return };
        let Ok(chunk) = answer else { return self.no_cipher_suites(now) };
        let mut records = std::mem::take(records);
        records.extend(&chunk.records);
        let next = *list_index + 1;
        if chunk.records.len() >= CHUNK && next <= MAX_LIST_INDEX {
            return self.ask_cipher_suites(next, records, now);
        }
        self.contact.offered = Some(suite_ids(&records));
        self.open(now);
    }

    fn open(&mut self, now: Instant) {
        let suites = candidates(&self.login, &self.contact);
        if suites.is_empty() {
            let offered = self.contact.offered.take().unwrap_or_default();
            return self.fail(Failure::NoCommonSuite { offered });
        }
        self.open_with(suites, now);
    }

    /// Asks for a session with the first suite.
    fn open_with(&mut self, mut suites: Vec<CipherSuite>, now: Instant) {
        let suite = suites.remove(0);
        self.state = State::LoggingIn(Step::OpenSession { suite, others: suites });
        let request = OpenSessionRequest {
            message_tag: self.next_message_tag(),
            requested_maximum_privilege: self.login.privilege,
            remote_console_session_id: self.nonces.session_id,
            algorithms: suite.algorithms(),
        };
        self.send_payload(PayloadType::OpenSessionRequest, &request, now);
    }

    fn on_open_session(&mut self, response: OpenSessionResponse, now: Instant) {
        let State::LoggingIn(Step::OpenSession { suite, others }) = &mut self.state else { return };
        let (suite, others) = (*suite, std::mem::take(others));
        let opened = match response.outcome {
            Ok(opened) if opened.algorithms == suite.algorithms() => opened,
            Ok(_) => return self.fail(Failure::OtherAlgorithms),
            Err(status) if is_suite_refusal(status) => {
                if !others.is_empty() {
                    return self.open_with(others, now);
                }
                self.contact.offered = None;
                return self.fail(Failure::SuiteRefused { worked: self.contact.worked });
            }
            Err(status) => return self.fail(Failure::Refused { step: "Open Session", status }),
        };
        let role = self.login.privilege | NAME_ONLY_LOOKUP;
        self.state = State::LoggingIn(Step::Rakp2 { suite, opened, role });
        let rakp1 = Rakp1 {
            message_tag: self.next_message_tag(),
            managed_system_session_id: opened.managed_system_session_id,
            console_nonce: self.nonces.console_nonce,
            role,
            user_name: self.login.user_name.clone(),
        };
        self.send_payload(PayloadType::Rakp1, &rakp1, now);
    }

    fn on_rakp2(&mut self, outcome: Result<Rakp2Proof, u8>, now: Instant) {
        let State::LoggingIn(Step::Rakp2 { suite, opened, role }) = &self.state else { return };
        let (suite, opened, role) = (*suite, *opened, *role);
        let proof = match outcome {
            Ok(proof) => proof,
            Err(status) => return self.fail(Failure::Refused { step: "RAKP 1", status }),
        };
        let rakp = Rakp {
            suite,
            console_session_id: self.nonces.session_id,
            managed_system_session_id: opened.managed_system_session_id,
            console_nonce: self.nonces.console_nonce,
            managed_system_nonce: proof.managed_system_nonce,
            managed_system_guid: proof.managed_system_guid,
            role,
            user_name: self.login.user_name.clone(),
        };
        let login = self.login.clone();
        let user_key = login.password.expose().as_bytes();
        let message_tag = self.next_message_tag();
        let managed_system_session_id = opened.managed_system_session_id;
        if !rakp.verify_rakp2(user_key, &proof.key_exchange_authentication_code) {
            // Tells the BMC to free the session; it answers nothing to it.
            let outcome = Err(status::INVALID_INTEGRITY_CHECK_VALUE);
            let rakp3 = Rakp3 { message_tag, managed_system_session_id, outcome };
            self.send_payload(PayloadType::Rakp3, &rakp3, now);
            return self.fail(Failure::WrongPassword);
        }
        let outcome = Ok(rakp.code_of_rakp3(user_key).to_vec());
        let session_integrity_key = rakp.session_integrity_key(user_key);
        self.state = State::LoggingIn(Step::Rakp4 { rakp: Box::new(rakp), session_integrity_key });
        let rakp3 = Rakp3 { message_tag, managed_system_session_id, outcome };
        self.send_payload(PayloadType::Rakp3, &rakp3, now);
    }

    fn on_rakp4(&mut self, outcome: Result<Vec<u8>, u8>) {
        let State::LoggingIn(Step::Rakp4 { rakp, session_integrity_key }) = &self.state else { return };
        let code = match outcome {
            Ok(code) => code,
            Err(status) => return self.fail(Failure::Refused { step: "RAKP 3", status }),
        };
        if !rakp.verify_rakp4(session_integrity_key, &code) {
            return self.fail(Failure::WrongKey);
        }
        let channel = Channel::new(
            rakp.suite,
            session_integrity_key,
            rakp.console_session_id,
            rakp.managed_system_session_id,
        );
        self.contact.worked = Some(rakp.suite);
        self.timer = None;
        self.state = State::Active { channel: Box::new(channel), pending: None };
        self.events.push_back(Event::Established);
    }

    /// Lets in what answers our last message. Refusals are cut short by some BMCs, so their session id may be 0.
    fn expect(&self, message_tag: u8, session_id: u32, granted: bool) -> Result<(), Rejected> {
        let ours = session_id == self.nonces.session_id || (!granted && session_id == 0);
        if message_tag == self.message_tag && ours { Ok(()) } else { Err(Rejected::Stray) }
    }

    fn message<C: Command>(&mut self, command: &C) -> Vec<u8> {
        let rq_seq = self.next_rq_seq();
        Request::to_bmc(C::NET_FN, C::CMD, rq_seq, command.to_bytes()).to_bytes()
    }

    fn next_message_tag(&mut self) -> u8 {
        self.message_tag = self.message_tag.wrapping_add(1);
        self.message_tag
    }

    fn send_payload<M: Message>(&mut self, payload_type: PayloadType, payload: &M, now: Instant) {
        let retry = self.retry;
        self.send(&RmcpPlus::outside_session(payload_type, payload.to_bytes()), retry, now);
    }

    fn send<M: Message>(&mut self, packet: &M, retry: Retry, now: Instant) {
        let mut datagram = RmcpHeader.to_bytes();
        packet.encode(&mut datagram);
        self.last_drop = None;
        self.transmit.push_back(datagram.clone());
        self.start_timer(retry, Some(datagram), now);
    }
}

/// The suites to try, in this order. Once one has worked, only it and better ones are: nobody between us and the BMC may
/// talk us into a weaker one by dropping or forging the packets in front of the keys.
pub(super) fn candidates(login: &Login, contact: &Contact) -> Vec<CipherSuite> {
    if let Some(worked) = contact.worked {
        let better = login.suites.iter().copied().take_while(|suite| *suite != worked);
        return std::iter::once(worked).chain(better).collect();
    }
    let offered = contact.offered.as_deref().unwrap_or_default();
    let is_offered = |suite: &CipherSuite| offered.is_empty() || offered.contains(&suite.id());
    login.suites.iter().copied().filter(is_offered).collect()
}

fn is_suite_refusal(status: u8) -> bool {
    matches!(
        status,
        status::INVALID_AUTHENTICATION_ALGORITHM
            | status::INVALID_INTEGRITY_ALGORITHM
            | status::INVALID_CONFIDENTIALITY_ALGORITHM
            | status::NO_CIPHER_SUITE_MATCH
    )
}
