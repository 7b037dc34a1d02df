//! The serial console: SOL in a session of its own, carried by a task of its own.
//!
//! Its own session, not the kept one, is what `ipmitool`, `ipmiconsole` and so most firmware is tried with; a command that a
//! BMC does not answer does not cut the console, nor the other way round; and a chassis with many nodes has a console for
//! each of them only so, since SOL packets name no node. It costs the BMC one more session while the console is open.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mrp_core::bmc::{BmcError, Console, ConsoleInput};
use tokio::sync::{mpsc, watch};

use super::failure::{CallError, error, is_lost};
use super::link::{Link, Open, Repeat, Target, is_refusal};
use crate::ipmi::bridge::Route;
use crate::ipmi::session::{Event, Retry};
use crate::ipmi::sol::{Sending, Sol};
use crate::ipmi::wire::payload_activation::{
    ALREADY_DEACTIVATED, ActivatePayload, ActivatedPayload, DeactivatePayload, FIRST_INSTANCE,
    GetPayloadActivationStatus, GetPayloadInstanceInfo, PayloadInstanceInfo, SOL, activation,
};
use crate::ipmi::wire::sol_packet::{SolPacket, flag};
use crate::ipmi::wire::{Message, completion_code};

/// Pieces of output and of input that wait for their taker.
const CHANNEL: usize = 32;
/// Characters that are sent in one packet. Nobody types faster, and no BMC has been seen with a smaller buffer than the
/// least.
const PACKET: std::ops::RangeInclusive<usize> = 16..=64;

/// Opens the console over a link of its own. The returned task carries it until its reader is dropped, `closing` changes,
/// or the BMC ends it.
pub(super) async fn open(
    mut link: Link,
    target: Arc<Target>,
    closing: watch::Receiver<()>,
) -> Result<(Console, impl Future<Output = ()> + use<>), CallError> {
    let packet = match activate(&mut link, &target).await {
        Ok(packet) => packet,
        Err(error) => {
            link.close().await;
            return Err(error);
        }
    };
    let owner = match holder(&mut link, &target).await {
        Ok(owner) => owner,
        Err(error) => {
            link.close().await;
            return Err(error);
        }
    };
    let (output, output_receiver) = mpsc::channel(CHANNEL);
    let (input_sender, input) = mpsc::channel(CHANNEL);
    let sol = Sol::new(Sending { packet, retry: link.retry() });
    let open = link.take().expect("the session has just answered");
    let (route, retry) = (link.route().clone(), link.retry());
    let carrier = Carrier {
        target,
        route,
        retry,
        open,
        sol,
        owner,
        refusals: 0,
        keep_alive: Instant::now(),
        asked: false,
    };
    let console = Console { output: output_receiver, input: input_sender, session: owner.map(name) };
    Ok((console, carrier.run(output, input, closing)))
}

/// Ends the console in whatever session it is active.
pub(super) async fn reset(link: &mut Link, privilege: u8) -> Result<(), CallError> {
    let status = GetPayloadActivationStatus { payload_type: SOL };
    let active = match link.execute(&status, privilege, Repeat::Harmless).await {
        Ok(status) => status.instances().collect(),
        // A BMC that cannot tell can still deactivate.
        Err(CallError::Completion(code)) if code != completion_code::INSUFFICIENT_PRIVILEGE => {
            vec![FIRST_INSTANCE]
        }
        Err(error) => return Err(error),
    };
    for instance in active {
        deactivate(link, instance, privilege).await?;
    }
    Ok(())
}

async fn deactivate(link: &mut Link, instance: u8, privilege: u8) -> Result<(), CallError> {
    match link.execute(&DeactivatePayload::console(instance), privilege, Repeat::Harmless).await {
        Ok(_) | Err(CallError::Completion(ALREADY_DEACTIVATED)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns how many characters a packet may have.
async fn activate(link: &mut Link, target: &Target) -> Result<usize, CallError> {
    let privilege = target.login.privilege;
    let suite = link.suite(privilege).await?;
    let activate = ActivatePayload::console(suite.has_confidentiality(), suite.has_integrity());
    match link.execute(&activate, privilege, Repeat::Harmless).await {
        Ok(activated) => return Ok(packet_size(&activated)),
        Err(CallError::Completion(activation::ACTIVE_ELSEWHERE)) => {}
        Err(error) => return Err(refusal(error, target)),
    }
    // It is active in this session if the answer to a first try got lost.
    match holder(link, target).await? {
        Some(session) if link.is_session(session) => Ok(*PACKET.start()),
        session => {
            let (address, session) = (target.address.clone(), session.map(name));
            Err(BmcError::ConsoleTaken { address, session }.into())
        }
    }
}

/// The session that has the console, as the BMC names it; what the number means differs between BMCs.
async fn holder(link: &mut Link, target: &Target) -> Result<Option<u32>, CallError> {
    let asked = link.execute(&GetPayloadInstanceInfo::CONSOLE, target.login.privilege, Repeat::Harmless);
    match asked.await {
        Ok(info) => Ok(Some(info.session_id).filter(|session| *session != 0)),
        Err(CallError::Completion(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A session's number as others are told it.
fn name(session: u32) -> String {
    format!("{session:08x}")
}

/// What a completion code of Activate Payload means.
fn refusal(error: CallError, target: &Target) -> CallError {
    let CallError::Completion(code) = error else { return error };
    let address = target.address.clone();
    let reason = match code {
        activation::DISABLED => {
            let text =
                format!("BMC at {address} has its serial console switched off: enable Serial over LAN in it");
            return BmcError::Config(text).into();
        }
        activation::LIMIT_REACHED => {
            let reason = "it has no room for another serial console".to_owned();
            return BmcError::Busy { address, reason }.into();
        }
        activation::NOT_WITH_ENCRYPTION => "encrypted",
        activation::NOT_WITHOUT_ENCRYPTION => "unencrypted",
        code => return CallError::Completion(code),
    };
    BmcError::Config(format!(
        "BMC at {address} gives no {reason} serial console; option cipher_suites names the suites that may be used"
    ))
    .into()
}

/// Some BMCs report sizes that cannot be.
fn packet_size(activated: &ActivatedPayload) -> usize {
    let size = usize::from(activated.inbound_size).saturating_sub(SolPacket::HEADER);
    if size > 1024 { *PACKET.start() } else { size.clamp(*PACKET.start(), *PACKET.end()) }
}

/// What carries an open console.
struct Carrier {
    target: Arc<Target>,
    /// Where the console's commands go; its characters go to the BMC.
    route: Route,
    retry: Retry,
    open: Open,
    sol: Sol,
    /// The session that the BMC names as the console's.
    owner: Option<u32>,
    /// Datagrams in a row that the BMC's host refused.
    refusals: u32,
    /// When the BMC is asked again whether the console is still ours.
    keep_alive: Instant,
    /// It was asked and has not answered.
    asked: bool,
}

type Output = mpsc::Sender<Result<Bytes, BmcError>>;

impl Carrier {
    async fn run(
        mut self,
        output: Output,
        mut input: mpsc::Receiver<ConsoleInput>,
        mut closing: watch::Receiver<()>,
    ) {
        let outcome = self.carry(&output, &mut input, &mut closing).await;
        let retry = self.retry;
        match &outcome {
            Err(BmcError::Unreachable { .. } | BmcError::Timeout { .. }) => self.open.abandon(),
            // Somebody else's console must not be ended here.
            Err(_) => self.open.close(retry).await,
            Ok(()) => {
                let deactivate = DeactivatePayload::console(FIRST_INSTANCE);
                // A BMC that does not answer ends the console with the session, when that has been idle.
                let retry = Retry { tries: retry.tries.min(3), ..retry };
                let _ = self.open.request(&deactivate, &self.route, retry).await;
                self.open.close(retry).await;
            }
        }
        let Err(error) = outcome else { return };
        while let Some(characters) = self.sol.poll_output() {
            if output.send(Ok(characters)).await.is_err() {
                return;
            }
        }
        // A reader that is gone need not know.
        let _ = output.send(Err(error)).await;
    }

    /// The driver loop: carries datagrams, characters and time until the console ends. `Ok` where it is ended here.
    async fn carry(
        &mut self,
        output: &Output,
        input: &mut mpsc::Receiver<ConsoleInput>,
        closing: &mut watch::Receiver<()>,
    ) -> Result<(), BmcError> {
        let mut buffer = [0; 1024];
        let mut typing = true;
        loop {
            self.settle().await?;
            let due = self.due();
            tokio::select! {
                received = self.open.socket.recv(&mut buffer) => match received {
                    Ok(length) => {
                        self.refusals = 0;
                        self.open.session.handle_input(&buffer[..length], Instant::now());
                    }
                    Err(error) => self.refusals += u32::from(is_refusal(error)),
                },
                () = tokio::time::sleep_until(due.into()) => {
                    self.open.session.handle_timeout(Instant::now());
                    self.sol.handle_timeout(Instant::now());
                }
                room = output.reserve(), if self.sol.has_output() => {
                    let (Ok(room), Some(characters)) = (room, self.sol.poll_output()) else { return Ok(()) };
                    room.send(Ok(characters));
                }
                typed = input.recv(), if typing && self.sol.has_room() => match typed {
                    Some(ConsoleInput::Bytes(characters)) => self.sol.write(characters, Instant::now()),
                    Some(ConsoleInput::Break) => self.sol.send_flags(flag::BREAK, Instant::now()),
                    None => typing = false,
                },
                () = output.closed() => return Ok(()),
                _ = closing.changed() => return Ok(()),
            }
        }
    }

    /// When something has to be done though nothing comes.
    fn due(&self) -> Instant {
        let keep_alive = if self.asked { None } else { Some(self.keep_alive) };
        let due = [keep_alive, self.open.session.poll_timeout(), self.sol.poll_timeout()];
        due.into_iter().flatten().min().unwrap_or(self.keep_alive)
    }

    /// Passes on what the state machines have for each other, for the network and for the console.
    async fn settle(&mut self) -> Result<(), BmcError> {
        let now = Instant::now();
        while let Some(packet) = self.open.session.poll_sol() {
            self.sol.handle_input(&packet, now);
        }
        let mut ended = false;
        while let Some(flags) = self.sol.poll_flags() {
            ended |= flags & flag::DEACTIVATED != 0;
            if flags & flag::OVERRUN != 0 {
                tracing::debug!(address = self.target.address, "characters of a serial console were lost");
            }
        }
        if !self.asked && self.keep_alive <= now {
            self.asked = true;
            self.open.session.submit(&GetPayloadInstanceInfo::CONSOLE, &self.route, self.retry, now);
        }
        while let Some(event) = self.open.session.poll_event() {
            self.alive(event, now)?;
        }
        while let Some(packet) = self.sol.poll_transmit() {
            self.open.session.send_sol(&packet);
        }
        while let Some(datagram) = self.open.session.poll_transmit() {
            self.refusals += u32::from(self.open.socket.send(&datagram).await.is_err_and(is_refusal));
        }
        let address = || self.target.address.clone();
        if ended {
            return Err(BmcError::Busy {
                address: address(),
                reason: "it has ended the serial console".into(),
            });
        }
        if self.sol.is_gone() {
            return Err(BmcError::Timeout { address: address(), operation: "what was typed" });
        }
        // One refusal may be a BMC that restarts just now.
        if self.refusals >= 2 {
            return Err(BmcError::Unreachable { address: address() });
        }
        Ok(())
    }

    /// Any answer keeps the session, which characters alone do not with some BMCs. One that names another session than at
    /// first says that the console was taken; what the number means differs between BMCs.
    fn alive(&mut self, event: Event, now: Instant) -> Result<(), BmcError> {
        let (code, data) = match event {
            Event::Answered { completion_code, data } => (completion_code, data),
            Event::Established => return Ok(()),
            Event::Failed(failure) if is_lost(&failure) => {
                let address = self.target.address.clone();
                return Err(BmcError::Timeout { address, operation: "keeping the serial console open" });
            }
            Event::Failed(failure) => return Err(error(&self.target.address, failure)),
        };
        (self.asked, self.keep_alive) = (false, now + self.target.options.keep_alive);
        let Ok(info) = PayloadInstanceInfo::decode(&data) else { return Ok(()) };
        if code != completion_code::OK || *self.owner.get_or_insert(info.session_id) == info.session_id {
            return Ok(());
        }
        let address = self.target.address.clone();
        Err(match info.session_id {
            0 => BmcError::Busy { address, reason: "it has ended the serial console".into() },
            other => BmcError::ConsoleTaken { address, session: Some(name(other)) },
        })
    }
}
