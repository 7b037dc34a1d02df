//! Why a plugin did not do what it was asked, as it crosses to the host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::message::Operation;
use crate::bmc::BmcError;

/// What the caller can do about an error; each kind but `failed` is a variant of [`BmcError`].
///
/// The number is the status in the C ABI, where 0 is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum ErrorKind {
    /// Nobody answers at the address: try again later.
    Unreachable = 1,
    /// An answer came too late or stopped half-way, or the call was cancelled: try again later.
    Timeout = 2,
    /// User name or password is wrong, or the account may not do this: never tried again by itself.
    Unauthorized = 3,
    /// The BMC has no time or no free session: try again in a moment.
    Busy = 4,
    /// The driver or this BMC cannot do it, or the operation is unknown.
    Unsupported = 5,
    /// The BMC answers what its protocol does not allow.
    Protocol = 6,
    /// The BMC's configuration in mrp is wrong: the message names the option.
    Config = 7,
    /// The plugin itself failed: a defect, to be reported to its author.
    Failed = 8,
    /// The serial console is open in another session: `reset_console` takes it away.
    ConsoleTaken = 9,
}

impl ErrorKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::Unreachable,
        ErrorKind::Timeout,
        ErrorKind::Unauthorized,
        ErrorKind::Busy,
        ErrorKind::Unsupported,
        ErrorKind::Protocol,
        ErrorKind::Config,
        ErrorKind::Failed,
        ErrorKind::ConsoleTaken,
    ];

    /// The kind with this number in the C ABI; `None` for 0 and unknown ones.
    pub fn from_status(status: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i32 == status)
    }
}

/// An error as a plugin answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginError {
    /// What can be done about it.
    pub kind: ErrorKind,
    /// The reason in words; never a secret.
    #[serde(default)]
    pub message: String,
}

impl PluginError {
    /// An error of the plugin itself.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Failed, message: message.into() }
    }

    /// The error as the host's callers know it: of the BMC at `address`, driven by the plugin `driver`.
    pub fn into_bmc_error(self, driver: &str, address: &str, operation: Operation) -> BmcError {
        let (address, reason) = (address.to_owned(), self.message);
        match self.kind {
            ErrorKind::Unreachable => BmcError::Unreachable { address },
            ErrorKind::Timeout => BmcError::Timeout { address, operation: operation.words() },
            ErrorKind::Unauthorized => BmcError::Unauthorized { address, reason },
            ErrorKind::Busy => BmcError::Busy { address, reason },
            ErrorKind::Unsupported => BmcError::Unsupported(operation.words()),
            ErrorKind::Protocol => BmcError::Protocol { address, reason },
            ErrorKind::Config => BmcError::Config(reason),
            ErrorKind::ConsoleTaken => BmcError::ConsoleTaken { address, session: None },
            ErrorKind::Failed => BmcError::Driver { driver: driver.to_owned(), reason },
        }
    }
}

impl From<BmcError> for PluginError {
    fn from(error: BmcError) -> Self {
        let words = error.to_string();
        let (kind, message) = match error {
            BmcError::Unreachable { .. } => (ErrorKind::Unreachable, words),
            BmcError::Timeout { .. } => (ErrorKind::Timeout, words),
            BmcError::Unauthorized { reason, .. } => (ErrorKind::Unauthorized, reason),
            BmcError::Busy { reason, .. } => (ErrorKind::Busy, reason),
            BmcError::ConsoleTaken { .. } => (ErrorKind::ConsoleTaken, words),
            BmcError::Unsupported(_) => (ErrorKind::Unsupported, words),
            BmcError::Protocol { reason, .. } => (ErrorKind::Protocol, reason),
            BmcError::Config(reason) => (ErrorKind::Config, reason),
            BmcError::Driver { reason, .. } => (ErrorKind::Failed, reason),
        };
        Self { kind, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_comes_back_as_the_error_that_it_was() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_status(kind as i32), Some(kind));
            let error = PluginError { kind, message: "why".into() };
            let known = error.clone().into_bmc_error("acme", "bmc:1", Operation::Power);
            let again = PluginError::from(known);
            assert_eq!(again.kind, kind);
            assert_eq!(
                PluginError::from(again.clone().into_bmc_error("acme", "bmc:1", Operation::Power)),
                again
            );
        }
        assert_eq!(ErrorKind::from_status(0), None);
        assert_eq!(ErrorKind::from_status(99), None);
    }
}
