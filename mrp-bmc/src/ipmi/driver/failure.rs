//! What a failed login, command or completion code means to the caller.

use mrp_core::bmc::BmcError;

use crate::ipmi::session::Failure;
use crate::ipmi::wire::completion_code;
use crate::ipmi::wire::rakp::status;
use crate::ipmi::wire::send_message::NOT_TAKEN;

/// A command's answer that is not "done", or no answer.
#[derive(Debug)]
pub(super) enum CallError {
    /// A completion code, which some commands can do something about.
    Completion(u8),
    Bmc(BmcError),
}

impl From<BmcError> for CallError {
    fn from(error: BmcError) -> Self {
        CallError::Bmc(error)
    }
}

impl CallError {
    /// The error of an operation, for example "setting the boot device".
    pub(super) fn into_error(self, address: &str, operation: &'static str) -> BmcError {
        let code = match self {
            CallError::Bmc(error) => return error,
            CallError::Completion(code) => code,
        };
        let (address, words) = (address.to_owned(), completion_code::words(code));
        match code {
            completion_code::INSUFFICIENT_PRIVILEGE => BmcError::Unauthorized {
                address,
                reason: format!("the account's privilege is too low for {operation}"),
            },
            completion_code::INVALID_COMMAND | completion_code::PARAMETER_NOT_SUPPORTED | 0xc2 | 0xd6 => {
                BmcError::Unsupported(operation)
            }
            code if completion_code::is_busy(code) || code == completion_code::NOT_IN_PRESENT_STATE => {
                BmcError::Busy { address, reason: format!("{operation}: {words}") }
            }
            _ => {
                let reason = format!("{operation} ends with completion code {code:#04x} ({words})");
                BmcError::Protocol { address, reason }
            }
        }
    }
}

/// True where a session that the BMC has forgotten looks the same.
pub(super) fn is_lost(failure: &Failure) -> bool {
    matches!(failure, Failure::Silent { .. } | Failure::Garbage { .. })
}

/// True where the BMC lost the login half-way, so that a new one may work.
pub(super) fn is_half_way(failure: &Failure) -> bool {
    match failure {
        Failure::Silent { step } => step.starts_with("RAKP"),
        Failure::Refused { status, .. } => {
            matches!(*status, status::INVALID_SESSION_ID | status::INACTIVE_SESSION_ID)
        }
        _ => false,
    }
}

/// The error of a failed login or command.
pub(super) fn error(address: &str, failure: Failure) -> BmcError {
    let address = address.to_owned();
    let protocol = |address, reason| BmcError::Protocol { address, reason };
    match failure {
        Failure::Silent { step: "a command" } => BmcError::Timeout { address, operation: "a command" },
        Failure::Silent { step } if step.starts_with("RAKP") => {
            BmcError::Timeout { address, operation: "the login" }
        }
        Failure::Silent { .. } => BmcError::Unreachable { address },
        Failure::Garbage { step, reason } => protocol(
            address,
            format!("it answers {step}, but no answer can be used; of the last one: {reason}"),
        ),
        Failure::Refused { step, status } => refused(address, step, status),
        Failure::Rejected { step, completion_code } => {
            let words = completion_code::words(completion_code);
            protocol(address, format!("{step} ends with completion code {completion_code:#04x} ({words})"))
        }
        Failure::NotPassedOn { address: node, completion_code: NOT_TAKEN } => BmcError::Config(format!(
            "BMC at {address} finds no node at {node:#04x}: is the machine's bmc_info right, and is it plugged in?"
        )),
        Failure::NotPassedOn { address: node, completion_code } => {
            let words = completion_code::words(completion_code);
            let reason =
                format!("it does not reach the node at {node:#04x}: {words} ({completion_code:#04x})");
            BmcError::Busy { address, reason }
        }
        Failure::NoRmcpPlus => protocol(address, "it does not speak IPMI 2.0 (RMCP+)".into()),
        Failure::WrongPassword => BmcError::Unauthorized { address, reason: "the password is wrong".into() },
        Failure::WrongKey => {
            let reason = "its last proof does not fit the password; if a K_G key is set in it, clear that";
            BmcError::Unauthorized { address, reason: reason.into() }
        }
        Failure::OtherAlgorithms => {
            protocol(address, "it opens the session with other algorithms than asked".into())
        }
        Failure::NoCommonSuite { offered } => {
            let offered = offered.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            BmcError::Config(format!(
                "BMC at {address} offers the cipher suites {offered}, none of which is allowed; \
                 option cipher_suites names the allowed ones"
            ))
        }
        Failure::SuiteRefused { worked: Some(suite) } => protocol(
            address,
            format!("it refuses cipher suite {suite}, which has worked before; a weaker one is not used"),
        ),
        Failure::SuiteRefused { worked: None } => BmcError::Config(format!(
            "BMC at {address} refuses every allowed cipher suite; option cipher_suites names the allowed ones"
        )),
    }
}

fn refused(address: String, step: &str, code: u8) -> BmcError {
    let words = status::words(code);
    match code {
        status::INSUFFICIENT_RESOURCES | status::INSUFFICIENT_RESOURCES_AT_ROLE => {
            BmcError::Busy { address, reason: words.into() }
        }
        status::INVALID_ROLE
        | status::UNAUTHORIZED_ROLE
        | status::INVALID_NAME_LENGTH
        | status::UNAUTHORIZED_NAME
        | status::UNAUTHORIZED_GUID
        | status::INVALID_INTEGRITY_CHECK_VALUE => BmcError::Unauthorized { address, reason: words.into() },
        status::INVALID_SESSION_ID | status::INACTIVE_SESSION_ID => {
            BmcError::Busy { address, reason: format!("it lost the login at {step}") }
        }
        _ => BmcError::Protocol { address, reason: format!("{step} ends with status {code:#04x} ({words})") },
    }
}
