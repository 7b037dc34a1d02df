//! The session table of a simulated BMC: Open Session, RAKP, limits and time-outs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mrp_core::secret::random_bytes;

use super::{Faults, SimConfig};
use crate::ipmi::channel::Channel;
use crate::ipmi::crypto::{CipherSuite, Rakp};
use crate::ipmi::privilege_level;
use crate::ipmi::wire::open_session::{OpenSessionRequest, OpenSessionResponse, OpenedSession};
use crate::ipmi::wire::rakp::{Rakp1, Rakp2, Rakp2Proof, Rakp3, Rakp4, status};
use crate::ipmi::wire::rmcp_plus::PayloadType;
use crate::ipmi::wire::set_session_privilege::level;

/// A login that is not finished within this time is forgotten.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A session, from Open Session on.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where its last packet came from.
    pub(super) peer: SocketAddr,
    console_session_id: u32,
    pub(super) suite: CipherSuite,
    used: Instant,
    /// Since RAKP 1.
    rakp: Option<Rakp>,
    /// Since RAKP 3.
    pub(super) channel: Option<Channel>,
    /// Privilege level in force.
    pub(super) privilege: u8,
    /// The level that it may reach.
    pub(super) limit: u8,
}

/// All sessions, by the BMC's id.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_id: HashMap<u32, Session>,
    logins: u64,
}

impl Sessions {
    pub(super) fn logins(&self) -> u64 {
        self.logins
    }

    pub(super) fn forget(&mut self) {
        self.by_id.clear();
    }

    pub(super) fn remove(&mut self, id: u32) -> bool {
        self.by_id.remove(&id).is_some()
    }

    /// Gives a session its keys back; nothing if it was closed meanwhile.
    pub(super) fn put_back(&mut self, id: u32, channel: Channel) {
        if let Some(session) = self.by_id.get_mut(&id) {
            session.channel = Some(channel);
        }
    }

    pub(super) fn lower_privileges(&mut self) {
        for session in self.by_id.values_mut() {
            session.privilege = level::USER;
        }
    }

    pub(super) fn set_privilege(&mut self, id: u32, privilege: u8) {
        if let Some(session) = self.by_id.get_mut(&id) {
            session.privilege = privilege;
        }
    }

    pub(crate) fn count(&mut self, timeout: Duration, now: Instant) -> usize {
        self.expire(timeout, now);
        self.by_id.len()
    }

    /// A session that is through with its login, for a packet that arrived.
    pub(super) fn active(&mut self, id: u32, timeout: Duration, now: Instant) -> Option<&mut Session> {
        let session = self.by_id.get_mut(&id)?;
        if now.duration_since(session.used) > timeout {
            self.by_id.remove(&id);
            return None;
        }
        let session = self.by_id.get_mut(&id).filter(|session| session.channel.is_some())?;
        Some(session)
    }

    /// True if there is such a session.
    pub(super) fn contains(&mut self, id: u32, timeout: Duration, now: Instant) -> bool {
        self.expire(timeout, now);
        self.by_id.contains_key(&id)
    }

    pub(super) fn open(
        &mut self,
        peer: SocketAddr,
        request: &OpenSessionRequest,
        config: &SimConfig,
        faults: &Faults,
        now: Instant,
    ) -> OpenSessionResponse {
        self.expire(config.session_timeout, now);
        let suite = CipherSuite::from_algorithms(request.algorithms)
            .filter(|suite| config.cipher_suites.contains(&suite.id()));
        let limit = privilege_level(config.privilege);
        let wanted = request.requested_maximum_privilege;
        let console_session_id = request.remote_console_session_id;
        let outcome = match suite {
            _ if faults.sessions_full => Err(status::INSUFFICIENT_RESOURCES),
            None => Err(status::NO_CIPHER_SUITE_MATCH),
            Some(suite) => match self.reserve(peer, console_session_id, config.max_sessions) {
                None => Err(status::INSUFFICIENT_RESOURCES),
                Some(id) => {
                    let session = Session {
                        peer,
                        console_session_id,
                        suite,
                        used: now,
                        rakp: None,
                        channel: None,
                        privilege: level::USER,
                        limit,
                    };
                    self.by_id.insert(id, session);
                    Ok(OpenedSession { managed_system_session_id: id, algorithms: request.algorithms })
                }
            },
        };
        OpenSessionResponse {
            message_tag: request.message_tag,
            maximum_privilege: if wanted == 0 { limit } else { wanted.min(limit) },
            remote_console_session_id: console_session_id,
            outcome,
        }
    }

    pub(super) fn rakp1(&mut self, message: &Rakp1, config: &SimConfig, key: &[u8], guid: [u8; 16]) -> Rakp2 {
        self.logins += 1;
        let Some(session) = self.by_id.get_mut(&message.managed_system_session_id) else {
            let outcome = Err(status::INVALID_SESSION_ID);
            return Rakp2 { message_tag: message.message_tag, remote_console_session_id: 0, outcome };
        };
        let wanted = message.role & 0x0f;
        let outcome = if message.user_name != config.username.as_bytes() {
            Err(status::UNAUTHORIZED_NAME)
        } else if wanted > session.limit {
            Err(status::UNAUTHORIZED_ROLE)
        } else {
            // A repeated RAKP 1 gets the same answer.
            let nonce = session.rakp.as_ref().map_or_else(random_bytes, |rakp| rakp.managed_system_nonce);
            let rakp = Rakp {
                suite: session.suite,
                console_session_id: session.console_session_id,
                managed_system_session_id: message.managed_system_session_id,
                console_nonce: message.console_nonce,
                managed_system_nonce: nonce,
                managed_system_guid: guid,
                role: message.role,
                user_name: message.user_name.clone(),
            };
            let code = rakp.code_of_rakp2(key).to_vec();
            session.rakp = Some(rakp);
            if wanted != 0 {
                session.limit = wanted;
            }
            Ok(Rakp2Proof {
                managed_system_nonce: nonce,
                managed_system_guid: guid,
                key_exchange_authentication_code: code,
            })
        };
        let remote_console_session_id = session.console_session_id;
        if outcome.is_err() {
            self.by_id.remove(&message.managed_system_session_id);
        }
        Rakp2 { message_tag: message.message_tag, remote_console_session_id, outcome }
    }

    /// `None` where the console gave up.
    pub(super) fn rakp3(&mut self, message: &Rakp3, key: &[u8], now: Instant) -> Option<Rakp4> {
        let id = message.managed_system_session_id;
        let Ok(code) = &message.outcome else {
            self.by_id.remove(&id);
            return None;
        };
        let found = self.by_id.get_mut(&id).and_then(|session| Some((session.rakp.clone()?, session)));
        let Some((rakp, session)) = found else {
            let outcome = Err(status::INVALID_SESSION_ID);
            return Some(Rakp4 { message_tag: message.message_tag, remote_console_session_id: 0, outcome });
        };
        let remote_console_session_id = session.console_session_id;
        let outcome = if rakp.verify_rakp3(key, code) {
            let sik = rakp.session_integrity_key(key);
            // A repeated RAKP 3 must not set the sequence numbers back.
            if session.channel.is_none() {
                session.channel = Some(Channel::new(rakp.suite, &sik, id, session.console_session_id));
            }
            session.used = now;
            session.privilege = level::USER.min(session.limit);
            Ok(rakp.code_of_rakp4(&sik))
        } else {
            self.by_id.remove(&id);
            Err(status::INVALID_INTEGRITY_CHECK_VALUE)
        };
        Some(Rakp4 { message_tag: message.message_tag, remote_console_session_id, outcome })
    }

    fn expire(&mut self, timeout: Duration, now: Instant) {
        self.by_id.retain(|_, session| {
            let limit = if session.channel.is_some() { timeout } else { LOGIN_TIMEOUT.min(timeout) };
            now.duration_since(session.used) <= limit
        });
    }

    /// An id for a new session; a repeated Open Session takes the place of its predecessor.
    fn reserve(&mut self, peer: SocketAddr, console_session_id: u32, max_sessions: usize) -> Option<u32> {
        let repeated = self.by_id.iter().find(|(_, session)| {
            session.peer == peer && session.console_session_id == console_session_id && session.rakp.is_none()
        });
        if let Some((id, _)) = repeated {
            return Some(*id);
        }
        if self.by_id.len() >= max_sessions {
            return None;
        }
        std::iter::repeat_with(|| u32::from_le_bytes(random_bytes()))
            .find(|id| *id != 0 && !self.by_id.contains_key(id))
    }
}

impl Session {
    /// The datagram that carries a packet of the serial console, and where it goes.
    pub(super) fn seal_sol(&mut self, packet: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
        let channel = self.channel.as_mut()?;
        Some((self.peer, channel.seal(PayloadType::Sol, packet, random_bytes())))
    }

    /// Notes that it was used.
    pub(super) fn touch(&mut self, now: Instant) {
        self.used = now;
    }
}
