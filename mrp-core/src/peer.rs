//! What servers on one database ask of each other: acts on a BMC that another one drives.
//!
//! A request is one JSON text with a proof: the time, a number used once, and the HMAC of all three under the key that
//! the servers share; the answer has the HMAC of itself and of that number. What is secret in an answer is sealed under that
//! key, and so is all that crosses the line of a console.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::bmc::{BmcError, Power};
use crate::bmc_entry::BmcId;
use crate::error::Error;
use crate::id::Timestamp;
use crate::machine::MachineId;
use crate::run::RunId;
use crate::secret::{ServerKey, random_bytes};
use crate::token::TokenId;
use crate::user::UserId;

mod line;
pub(crate) mod record;

pub use line::{PeerConsole, SealedKind, SealedWay, ViewerRequest};

/// How far the clocks of two servers may be apart, with the time that a request takes.
pub const WINDOW_MS: i64 = 30_000;

/// Who asks: the owner of the BMC looks the user and the token up itself, and checks its rules itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerActor {
    /// The user; `None` for mrp itself.
    pub user: Option<UserId>,
    /// The token that was shown.
    pub token: Option<TokenId>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum PeerAct {
    /// Change a machine's power.
    SetPower {
        /// Who asks.
        actor: PeerActor,
        /// The machine.
        machine: MachineId,
        /// The request's name in the API.
        request: String,
    },
    /// Read a machine's power.
    ReadPower {
        /// The machine.
        machine: MachineId,
    },
    /// Log in to a BMC and read the power of one of its nodes.
    TestBmc {
        /// Who asks.
        actor: PeerActor,
        /// The BMC.
        bmc: BmcId,
        /// The node's address behind it.
        node: String,
    },
    /// Power the machine of a run.
    PowerRun {
        /// The run.
        run: RunId,
    },
    /// Remove the boot override of a machine.
    ResetBoot {
        /// The machine.
        machine: MachineId,
    },
    /// Watch a machine's console, and type at it: asked by [`Peers::console`] alone.
    WatchConsole {
        /// Who asks.
        actor: PeerActor,
        /// The machine.
        machine: MachineId,
        /// Never type.
        watch: bool,
        /// Who has watched before has seen what is older.
        since: Option<Timestamp>,
    },
    /// End whatever session has a machine's console, and open it anew.
    TakeConsole {
        /// Who asks.
        actor: PeerActor,
        /// The machine.
        machine: MachineId,
    },
    /// Read a page of the record of a machine's console.
    ReadConsole {
        /// The machine.
        machine: MachineId,
        /// The segment of the place to begin at.
        segment: i64,
        /// The bytes into it.
        offset: u64,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum PeerAnswer {
    /// The power state.
    Power {
        /// The state.
        power: Power,
    },
    /// Done; there is nothing to tell.
    Done,
    /// A page of a record, sealed.
    Record {
        /// In base64.
        sealed: String,
    },
    /// The BMC is driven by yet another server: look again.
    NotMine,
    /// Refused, or the BMC did not do it.
    Refused {
        /// The kind of refusal.
        kind: Refusal,
        /// The BMC's address, where it is the BMC's doing.
        address: String,
        /// The words.
        text: String,
    },
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// [`Error::NotFound`].
    NotFound,
    /// [`Error::Conflict`].
    Conflict,
    /// [`Error::Refused`].
    Refused,
    /// [`Error::Unauthenticated`].
    Unauthenticated,
    /// [`Error::Forbidden`].
    Forbidden,
    /// [`Error::TooMany`].
    TooMany,
    /// [`BmcError::Unreachable`].
    BmcUnreachable,
    /// [`BmcError::Timeout`].
    BmcTimeout,
    /// [`BmcError::Unauthorized`].
    BmcUnauthorized,
    /// [`BmcError::Busy`].
    BmcBusy,
    /// [`BmcError::ConsoleTaken`].
    BmcConsoleTaken,
    /// [`BmcError::Unsupported`].
    BmcUnsupported,
    /// [`BmcError::Protocol`].
    BmcProtocol,
    /// [`BmcError::Config`].
    BmcConfig,
    /// [`BmcError::Driver`].
    BmcDriver,
    /// Anything else; the owner's log has the cause.
    Failed,
}

/// Why a peer was not asked, or has not answered.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The request has not reached it: nothing was done.
    #[error("the server at {url} is not reachable")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request was sent and no answer came: it may have been done.
    #[error("the server at {url} has not answered")]
    Lost {
        /// Where it is.
        url: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The way to other servers.
#[async_trait]
pub trait Peers: std::fmt::Debug + Send + Sync {
    /// Asks the server at a URL.
    async fn ask(&self, url: &str, act: &PeerAct) -> Result<PeerAnswer, PeerError>;
    /// Asks the server at a URL for a console ([`PeerAct::WatchConsole`]), which there is with the answer
    /// [`PeerAnswer::Done`] alone.
    async fn console(&self, url: &str, act: &PeerAct)
    -> Result<(PeerAnswer, Option<PeerConsole>), PeerError>;
}

/// What proves a request: sent as `<time> <number> <HMAC>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// When it was made.
    pub at: Timestamp,
    /// The number used once.
    pub number: String,
    mac: String,
}

impl Proof {
    /// Proves a request.
    pub fn make(key: &ServerKey, at: Timestamp, body: &str) -> Self {
        let number = hex::encode(random_bytes::<16>());
        let mac = Self::mac(key, at, &number, body);
        Self { at, number, mac }
    }

    /// Reads what a request was sent with.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split(' ');
        let (at, number, mac) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none() && number.len() == 32 && mac.len() == 32;
        let at = Timestamp(at.parse().ok()?);
        whole.then(|| Self { at, number: number.to_owned(), mac: mac.to_owned() })
    }

    /// True if a holder of the key made it for this request, about now.
    pub fn holds(&self, key: &ServerKey, now: Timestamp, body: &str) -> bool {
        let near = self.at.0.abs_diff(now.0) <= WINDOW_MS.unsigned_abs();
        near && same(&self.mac, &Self::mac(key, self.at, &self.number, body))
    }

    /// Proves the answer to the request with this proof.
    pub fn of_answer(&self, key: &ServerKey, answer: &str) -> String {
        key.sign("peer answer", &format!("{}\n{answer}", self.number))
    }

    /// True if a holder of the key made the answer.
    pub fn answer_holds(&self, key: &ServerKey, proof: &str, answer: &str) -> bool {
        same(proof, &self.of_answer(key, answer))
    }

    fn mac(key: &ServerKey, at: Timestamp, number: &str, body: &str) -> String {
        key.sign("peer request", &format!("{}\n{number}\n{body}", at.0))
    }
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.at.0, self.number, self.mac)
    }
}

/// Compares without telling by its time where two texts differ.
fn same(one: &str, other: &str) -> bool {
    let different = one.bytes().zip(other.bytes()).fold(0, |different, (a, b)| different | (a ^ b));
    one.len() == other.len() && different == 0
}

impl PeerAnswer {
    /// A refusal of the service, for the way to the server that asked.
    pub(crate) fn refusal(error: &Error) -> Self {
        let mut address = String::new();
        let mut of_bmc = |kind, at: &str| {
            at.clone_into(&mut address);
            kind
        };
        let (kind, text) = match error {
            Error::Bmc(error) => match error {
                BmcError::Unreachable { address } => {
                    (of_bmc(Refusal::BmcUnreachable, address), String::new())
                }
                BmcError::Timeout { address, .. } => (of_bmc(Refusal::BmcTimeout, address), String::new()),
                BmcError::Unauthorized { address, reason } => {
                    (of_bmc(Refusal::BmcUnauthorized, address), reason.clone())
                }
                BmcError::Busy { address, reason } => (of_bmc(Refusal::BmcBusy, address), reason.clone()),
                BmcError::Protocol { address, reason } => {
                    (of_bmc(Refusal::BmcProtocol, address), reason.clone())
                }
                BmcError::ConsoleTaken { address, .. } => {
                    (of_bmc(Refusal::BmcConsoleTaken, address), String::new())
                }
                BmcError::Unsupported(what) => (Refusal::BmcUnsupported, (*what).to_owned()),
                BmcError::Config(text) => (Refusal::BmcConfig, text.clone()),
                BmcError::Driver { driver, reason } => (of_bmc(Refusal::BmcDriver, driver), reason.clone()),
            },
            Error::NotFound { .. } => (Refusal::NotFound, error.to_string()),
            Error::Conflict(text) => (Refusal::Conflict, text.clone()),
            Error::Refused(text) => (Refusal::Refused, text.clone()),
            Error::Unauthenticated(text) => (Refusal::Unauthenticated, text.clone()),
            Error::Forbidden(text) => (Refusal::Forbidden, text.clone()),
            Error::TooMany(text) => (Refusal::TooMany, text.clone()),
            other => (Refusal::Failed, other.to_string()),
        };
        Self::Refused { kind, address, text }
    }

    /// The refusal as the service's error again.
    pub(crate) fn into_result(self) -> Result<Self, Error> {
        let Self::Refused { kind, address, text } = self else { return Ok(self) };
        Err(match kind {
            Refusal::NotFound => Error::NotFound { kind: "machine", id: String::new() },
            Refusal::Conflict => Error::Conflict(text),
            Refusal::Refused => Error::Refused(text),
            Refusal::Unauthenticated => Error::Unauthenticated(text),
            Refusal::Forbidden => Error::Forbidden(text),
            Refusal::TooMany => Error::TooMany(text),
            Refusal::BmcUnreachable => BmcError::Unreachable { address }.into(),
            Refusal::BmcTimeout => BmcError::Timeout { address, operation: "the command" }.into(),
            Refusal::BmcUnauthorized => BmcError::Unauthorized { address, reason: text }.into(),
            Refusal::BmcBusy => BmcError::Busy { address, reason: text }.into(),
            Refusal::BmcProtocol => BmcError::Protocol { address, reason: text }.into(),
            Refusal::BmcConsoleTaken => BmcError::ConsoleTaken { address, session: None }.into(),
            Refusal::BmcConfig => BmcError::Config(text).into(),
            Refusal::BmcDriver => BmcError::Driver { driver: address, reason: text }.into(),
            Refusal::BmcUnsupported => BmcError::Unsupported("what was asked").into(),
            Refusal::Failed => Error::Internal(format!("the server that drives the BMC: {text}").into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_key_time_and_text_only() {
        let (key, now) = (ServerKey::generate(), Timestamp(1_700_000_000_000));
        let proof = Proof::parse(&Proof::make(&key, now, "body").to_string()).unwrap();
        assert!(proof.holds(&key, Timestamp(now.0 + WINDOW_MS), "body"));
        assert!(!proof.holds(&key, Timestamp(now.0 + WINDOW_MS + 1), "body"));
        assert!(!proof.holds(&key, now, "other"));
        assert!(!proof.holds(&ServerKey::generate(), now, "body"));
        let answer = proof.of_answer(&key, "answer");
        assert!(proof.answer_holds(&key, &answer, "answer"));
        assert!(!proof.answer_holds(&key, &answer, "other"));
        assert_ne!(proof, Proof::make(&key, now, "body"), "each request has its own number");
        for wrong in ["", "1 2 3", "x y z", "1", &format!("{proof} more")] {
            assert_eq!(Proof::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn refusals_come_back_as_they_were() {
        let address = "10.0.0.1:623".to_owned();
        for error in [
            Error::Conflict("busy".into()),
            Error::Forbidden("Forbidden".into()),
            BmcError::Unreachable { address: address.clone() }.into(),
            BmcError::Unauthorized { address: address.clone(), reason: "no".into() }.into(),
            BmcError::Busy { address: address.clone(), reason: "full".into() }.into(),
            BmcError::ConsoleTaken { address, session: None }.into(),
            BmcError::Driver { driver: "acme".into(), reason: "it crashed".into() }.into(),
        ] {
            let back = PeerAnswer::refusal(&error).into_result().unwrap_err();
            assert_eq!(back.to_string(), error.to_string());
        }
    }
}
