//! Exit codes: 0 done, 1 refused or the run failed, 2 wrong usage, 3 server unreachable; 130 after Ctrl-C, as shells do.
//!
//! An error goes to standard error: a line for people, or, with `-o json`, one object on one line.

use std::io::stderr;
use std::process::ExitCode;

use serde_json::json;

use crate::client::ClientError;
use crate::output::{self, Format, bold, clean, is_styled};

/// An end that has been explained already: nothing more is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("exit code {0}")]
pub struct Exit(u8);

impl Exit {
    /// Refused, or the run failed.
    pub const FAILED: Exit = Exit(1);
    /// The user pressed Ctrl-C.
    pub const INTERRUPTED: Exit = Exit(130);
    /// Whoever read the output has had enough: `mrp machine list | head`.
    pub const READER_GONE: Exit = Exit(0);
}

/// The arguments contradict each other, or a value among them is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Prints why a command failed, once, as a chain, and finds the exit code.
pub fn report(outcome: anyhow::Result<()>, output: Format) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if let Some(Exit(code)) = error.downcast_ref::<Exit>() {
        return ExitCode::from(*code);
    }
    let code = code_of(&error);
    let refusal = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>());
    tell(output, &format!("{error:#}"), code, refusal);
    ExitCode::from(code)
}

/// Prints an error of the arguments themselves.
pub(crate) fn usage(words: &str, output: Format) -> ExitCode {
    tell(output, words, 2, None);
    ExitCode::from(2)
}

fn code_of(error: &anyhow::Error) -> u8 {
    let found = |wanted: fn(&ClientError) -> bool| {
        error.chain().any(|cause| cause.downcast_ref::<ClientError>().is_some_and(wanted))
    };
    if found(|error| matches!(error, ClientError::Unreachable { .. })) {
        return 3;
    }
    let usage = error.chain().any(|cause| cause.is::<Usage>());
    if usage || found(|error| matches!(error, ClientError::Invalid(_))) { 2 } else { 1 }
}

fn tell(output: Format, words: &str, code: u8, refusal: Option<&ClientError>) {
    if output == Format::Json {
        let error = json!({
            "error": words,
            "exit_code": code,
            "status": refusal.and_then(ClientError::status),
            "error_type": refusal.and_then(ClientError::error_type),
        });
        eprintln!("{}", output::json(&error.to_string()));
    } else {
        let name = if is_styled(&stderr()) { bold("mrp:") } else { "mrp:".into() };
        eprintln!("{name} {}", clean(words, '\n'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn each_end_has_its_code() {
        let code = |error: anyhow::Error| format!("{:?}", report(Err(error), Format::Table));
        let is = |code: u8| format!("{:?}", ExitCode::from(code));
        let unreachable = ClientError::Unreachable { url: "http://x".into(), reason: "refused".into() };
        let refused =
            ClientError::Refused { status: 409, error_type: "Conflict".into(), message: "busy".into() };
        assert_eq!(code(anyhow::Error::from(unreachable).context("listing machines")), is(3));
        assert_eq!(code(refused.into()), is(1));
        assert_eq!(code(Usage("what?".into()).into()), is(2));
        assert_eq!(code(Exit::INTERRUPTED.into()), is(130));
        assert_eq!(code(Err::<(), _>(Exit::FAILED).context("the run").unwrap_err()), is(1));
        assert_eq!(format!("{:?}", report(Ok(()), Format::Json)), is(0));
    }
}
