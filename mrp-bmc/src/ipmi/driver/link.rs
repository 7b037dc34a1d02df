//! The one session that is kept with a BMC: opens it when a command needs it, repeats what the BMC was too busy for, and
//! opens another one when the BMC has lost it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mrp_core::bmc::BmcError;
use mrp_core::secret::random_bytes;
use tokio::net::UdpSocket;

use super::failure::{CallError, error, is_half_way, is_lost};
use crate::ipmi::bridge::Route;
use crate::ipmi::crypto::CipherSuite;
use crate::ipmi::options::Options;
use crate::ipmi::session::{Contact, Event, Failure, Login, Nonces, Retry, Session};
use crate::ipmi::wire::close_session::CloseSession;
use crate::ipmi::wire::set_session_privilege::{SetSessionPrivilege, level};
use crate::ipmi::wire::{Command, completion_code};

/// BMCs end a session that was idle for 60 seconds, give or take 3 (section 6.12.15).
const IDLE_LIMIT: Duration = Duration::from_secs(55);
/// A session that was used before has probably been lost when so many tries stay unanswered.
const TRIES_ON_KEPT_SESSION: u32 = 3;
/// With 30% of the datagrams lost, each way, one packet in a thousand is lost so often.
const CONSOLE_TRIES: u32 = 10;
/// How often, and how far apart, a command is repeated that the BMC has no time for.
const BUSY_TRIES: u32 = 4;
const BUSY_PAUSE: Duration = Duration::from_millis(150);

/// May a command be sent again although the BMC may have carried it out?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Twice is as good as once.
    Harmless,
    /// Once only; the caller looks at the state before it decides.
    Never,
}

/// What is needed to open sessions with one BMC.
#[derive(Debug)]
pub(super) struct Target {
    /// `host:port`.
    pub(super) address: String,
    pub(super) login: Arc<Login>,
    pub(super) options: Options,
}

/// The BMC as it is known, with the session that is open.
#[derive(Debug)]
pub(super) struct Link {
    target: Arc<Target>,
    contact: Contact,
    retry: Retry,
    /// Where commands go.
    route: Route,
    /// How often a command is tried on a session that was used before.
    tries_on_kept_session: u32,
    open: Option<Open>,
}

/// A session with its socket.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) socket: UdpSocket,
    pub(super) session: Session,
    /// Privilege level in force.
    granted: u8,
    used: Instant,
    /// It has answered a command.
    kept: bool,
}

impl Link {
    pub(super) fn new(target: Arc<Target>) -> Self {
        let retry = target.options.retry;
        let tries_on_kept_session = retry.tries.min(TRIES_ON_KEPT_SESSION);
        let (contact, route) = (Contact::default(), Route::default());
        Self { target, contact, retry, route, tries_on_kept_session, open: None }
    }

    /// A link for a console's session, which knows of the BMC what this one knows. It does not give up its session early,
    /// since the console that was activated in it would go with it.
    pub(super) fn for_console(&self) -> Self {
        let retry = Retry { tries: self.retry.tries.max(CONSOLE_TRIES), ..self.retry };
        let (target, contact, route) = (self.target.clone(), self.contact.clone(), self.route.clone());
        Self { target, contact, retry, route, tries_on_kept_session: retry.tries, open: None }
    }

    /// Sends the commands that follow to a node behind the BMC, or to the BMC itself. Each controller between may take its
    /// time.
    pub(super) fn set_route(&mut self, route: Route) {
        let steps = u32::try_from(route.0.len()).unwrap_or(u32::MAX);
        let first_wait = self.target.options.retry.first_wait;
        self.retry.first_wait = first_wait.saturating_mul(steps.saturating_add(1));
        self.route = route;
    }

    /// Where commands go.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// How commands are repeated.
    pub(super) fn retry(&self) -> Retry {
        self.retry
    }

    /// The cipher suite of the session, which is opened if there is none.
    pub(super) async fn suite(&mut self, needs: u8) -> Result<CipherSuite, BmcError> {
        self.ready(needs).await?;
        let suite = self.open.as_ref().and_then(|open| open.session.suite());
        Ok(suite.expect("a session was made ready"))
    }

    /// True if the BMC gave the session this id.
    pub(super) fn is_session(&self, id: u32) -> bool {
        self.open.as_ref().is_some_and(|open| open.session.peer_session_id() == id)
    }

    /// The session that is open, for somebody else to keep and to close.
    pub(super) fn take(&mut self) -> Option<Open> {
        self.open.take()
    }

    /// Sends a command that needs a privilege level, and returns its answer.
    pub(super) async fn execute<C: Command>(
        &mut self,
        command: &C,
        needs: u8,
        repeat: Repeat,
    ) -> Result<C::Response, CallError> {
        let mut raised = false;
        for attempt in 1.. {
            let (code, data) = self.answered(command, needs, repeat).await?;
            match code {
                completion_code::OK => {
                    return C::Response::decode_answer(&data, &self.target.address);
                }
                completion_code::INSUFFICIENT_PRIVILEGE if !raised => {
                    raised = true;
                    self.raise().await?;
                }
                // The BMC says that it did nothing, so any command may be sent again.
                completion_code::NODE_BUSY if attempt < BUSY_TRIES => tokio::time::sleep(BUSY_PAUSE).await,
                code => return Err(CallError::Completion(code)),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Ends the session and waits a moment for the BMC to say so.
    pub(super) async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.close(self.target.options.retry).await;
        }
    }

    /// Ends the session without waiting.
    fn close_now(&mut self) {
        if let Some(open) = self.open.take() {
            open.abandon();
        }
    }

    async fn answered<C: Command>(
        &mut self,
        command: &C,
        needs: u8,
        repeat: Repeat,
    ) -> Result<(u8, Vec<u8>), BmcError> {
        let target = self.target.clone();
        loop {
            let kept = self.ready(needs).await?;
            let open = self.open.as_mut().expect("a session was made ready");
            let mut retry = self.retry;
            if repeat == Repeat::Never {
                retry = Retry { first_wait: retry.first_wait.max(Retry::LONGEST), tries: 1 };
            } else if kept {
                retry.tries = self.tries_on_kept_session;
            }
            match open.request(command, &self.route, retry).await {
                Ok(answer) => return Ok(answer),
                Err(failure @ Failure::NotPassedOn { .. }) => return Err(error(&target.address, failure)),
                Err(failure) => {
                    self.close_now();
                    if !(kept && repeat == Repeat::Harmless && is_lost(&failure)) {
                        return Err(error(&target.address, failure));
                    }
                    tracing::debug!(
                        address = target.address,
                        "the BMC lost the session; opening another one"
                    );
                }
            }
        }
    }

    /// Makes sure of a session with the wanted privilege. True if it has answered before.
    async fn ready(&mut self, needs: u8) -> Result<bool, BmcError> {
        if self.open.as_ref().is_some_and(|open| open.used.elapsed() > IDLE_LIMIT) {
            self.close_now();
        }
        if self.open.as_ref().is_some_and(|open| open.kept && open.granted < needs) {
            let retry = Retry { tries: self.tries_on_kept_session, ..self.retry };
            match self.try_raise(retry).await? {
                Ok(()) => {}
                Err(failure) if is_lost(&failure) => self.close_now(),
                Err(failure) => return Err(error(&self.target.address, failure)),
            }
        }
        if self.open.is_none() {
            self.open = Some(self.connect().await?);
        }
        if self.open.as_ref().is_some_and(|open| open.granted < needs) {
            self.raise().await?;
        }
        Ok(self.open.as_ref().is_some_and(|open| open.kept))
    }

    async fn raise(&mut self) -> Result<(), BmcError> {
        let outcome = self.try_raise(self.retry).await?;
        outcome.map_err(|failure| error(&self.target.address, failure))
    }

    /// Asks for the privilege that the BMC's entry names.
    async fn try_raise(&mut self, retry: Retry) -> Result<Result<(), Failure>, BmcError> {
        let Some(open) = self.open.as_mut() else { return Ok(Ok(())) };
        let wanted = self.target.login.privilege;
        let (code, _) =
            match open.request(&SetSessionPrivilege { level: wanted }, &Route::default(), retry).await {
                Ok(answer) => answer,
                Err(failure) => return Ok(Err(failure)),
            };
        if code != completion_code::OK {
            let address = self.target.address.clone();
            let reason = match code {
                completion_code::LEVEL_NOT_FOR_USER | completion_code::LEVEL_EXCEEDS_LIMIT => {
                    "the account may not have the privilege that the BMC's entry asks for".to_owned()
                }
                code => format!("raising the privilege ends with completion code {code:#04x}"),
            };
            return Err(BmcError::Unauthorized { address, reason });
        }
        open.granted = wanted;
        Ok(Ok(()))
    }

    /// Opens a session at the first of the name's addresses that answers. The name is resolved each time, so a BMC that has
    /// moved is found again.
    async fn connect(&mut self) -> Result<Open, BmcError> {
        let address = self.target.address.clone();
        let mut silent = Err(BmcError::Unreachable { address: address.clone() });
        for found in resolved(&address).await? {
            match self.connect_to(found).await {
                Err(error @ BmcError::Unreachable { .. }) => silent = Err(error),
                outcome => return outcome,
            }
        }
        silent
    }

    async fn connect_to(&mut self, address: SocketAddr) -> Result<Open, BmcError> {
        let target = self.target.clone();
        let mut tries = 2;
        loop {
            tries -= 1;
            let unreachable = |_| BmcError::Unreachable { address: target.address.clone() };
            let socket = connected_socket(address).await.map_err(unreachable)?;
            let nonces = Nonces {
                session_id: u32::from_le_bytes(random_bytes()) | 1,
                console_nonce: random_bytes(),
                iv_key: random_bytes(),
            };
            let retry = target.options.retry;
            let session =
                Session::new(target.login.clone(), retry, self.contact.clone(), nonces, Instant::now());
            let mut open = Open { socket, session, granted: level::USER, used: Instant::now(), kept: false };
            let event = open.event().await;
            self.contact = open.session.contact().clone();
            match event {
                Ok(_) => return Ok(open),
                Err(failure) if tries > 0 && is_half_way(&failure) => {}
                Err(failure) => return Err(error(&target.address, failure)),
            }
        }
    }
}

/// A driver that is dropped, or a call that is given up, leaves no session behind.
impl Drop for Link {
    fn drop(&mut self) {
        self.close_now();
    }
}

impl Open {
    /// Ends the session and waits a moment for the BMC to say so.
    pub(super) async fn close(mut self, retry: Retry) {
        let close = CloseSession { session_id: self.session.peer_session_id() };
        // A close that gets lost costs the BMC a session slot for a minute, which is no reason to fail.
        let _ = self.request(&close, &Route::default(), Retry { tries: 2, ..retry }).await;
    }

    /// Sends one command and waits for its answer.
    pub(super) async fn request<C: Command>(
        &mut self,
        command: &C,
        route: &Route,
        retry: Retry,
    ) -> Result<(u8, Vec<u8>), Failure> {
        self.session.submit(command, route, retry, Instant::now());
        loop {
            if let Event::Answered { completion_code, data } = self.event().await? {
                self.used = Instant::now();
                self.kept = true;
                return Ok((completion_code, data));
            }
        }
    }

    /// The driver loop: carries datagrams and time between socket and session until something happens.
    async fn event(&mut self) -> Result<Event, Failure> {
        let mut buffer = [0; 1024];
        let mut refusals = 0;
        loop {
            while let Some(datagram) = self.session.poll_transmit() {
                refusals += u32::from(self.socket.send(&datagram).await.is_err_and(is_refusal));
            }
            match self.session.poll_event() {
                Some(Event::Failed(failure)) => return Err(failure),
                Some(event) => return Ok(event),
                None => {}
            }
            // One refusal may be a BMC that restarts just now.
            let deadline = self.session.poll_timeout().filter(|_| refusals < 2);
            let Some(deadline) = deadline else { return Err(Failure::Silent { step: "a refused datagram" }) };
            tokio::select! {
                received = self.socket.recv(&mut buffer) => match received {
                    Ok(length) => self.session.handle_input(&buffer[..length], Instant::now()),
                    Err(error) => refusals += u32::from(is_refusal(error)),
                },
                () = tokio::time::sleep_until(deadline.into()) => self.session.handle_timeout(Instant::now()),
            }
        }
    }

    /// Tells the BMC that the session ends, without waiting.
    pub(super) fn abandon(mut self) {
        if self.session.dropped() > 0 {
            tracing::debug!(dropped = self.session.dropped(), "datagrams of a BMC were dropped");
        }
        self.session.close();
        while let Some(datagram) = self.session.poll_transmit() {
            // Nobody is left who could be told of a failure.
            let _ = self.socket.try_send(&datagram);
        }
    }
}

/// The host answers that nobody listens on the port.
pub(super) fn is_refusal(error: io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

async fn resolved(address: &str) -> Result<Vec<SocketAddr>, BmcError> {
    match tokio::net::lookup_host(address).await {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(BmcError::Config(format!("address {address} does not resolve: {error}"))),
    }
}

async fn connected_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Decodes the data of a command's answer.
trait DecodeAnswer: Sized {
    fn decode_answer(data: &[u8], address: &str) -> Result<Self, CallError>;
}

impl<M: crate::ipmi::wire::Message> DecodeAnswer for M {
    fn decode_answer(data: &[u8], address: &str) -> Result<Self, CallError> {
        M::decode(data).map_err(|error| {
            CallError::Bmc(BmcError::Protocol { address: address.to_owned(), reason: error.to_string() })
        })
    }
}
