//! Exit codes: 0 done, 1 refused or the run failed, 2 wrong usage, 3 server unreachable; 130 after Ctrl-C, as shells do.

use std::process::ExitCode;

use crate::client::ClientError;

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
pub fn report(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if let Some(Exit(code)) = error.downcast_ref::<Exit>() {
        return ExitCode::from(*code);
    }
    eprintln!("mrp: {error:#}");
    let found = |wanted: fn(&ClientError) -> bool| {
        error.chain().any(|cause| cause.downcast_ref::<ClientError>().is_some_and(wanted))
    };
    if found(|error| matches!(error, ClientError::Unreachable { .. })) {
        return ExitCode::from(3);
    }
    let usage = error.chain().any(|cause| cause.is::<Usage>());
    if usage || found(|error| matches!(error, ClientError::Invalid(_))) {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn each_end_has_its_code() {
        let code = |error: anyhow::Error| format!("{:?}", report(Err(error)));
        let is = |code: u8| format!("{:?}", ExitCode::from(code));
        let unreachable = ClientError::Unreachable { url: "http://x".into(), reason: "refused".into() };
        assert_eq!(code(anyhow::Error::from(unreachable).context("listing machines")), is(3));
        assert_eq!(code(ClientError::Refused { status: 409, message: "busy".into() }.into()), is(1));
        assert_eq!(code(Usage("what?".into()).into()), is(2));
        assert_eq!(code(Exit::INTERRUPTED.into()), is(130));
        assert_eq!(code(Err::<(), _>(Exit::FAILED).context("the run").unwrap_err()), is(1));
        assert_eq!(format!("{:?}", report(Ok(()))), is(0));
    }
}
