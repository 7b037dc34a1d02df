//! The suites that every implementation of a trait has to pass: plain functions that return failures, so that one list
//! serves `cargo test` and a check of a foreign driver alike.
//!
//! A case that does not apply is named with the capability that was not declared.

use std::fmt;

pub mod blob;
pub mod bmc;
pub mod store;

/// Why a case failed, in words: what was done, what was expected, what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<crate::bmc::BmcError> for Failure {
    fn from(error: crate::bmc::BmcError) -> Self {
        Self(error.to_string())
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self(format!("{error}{cause}"))
    }
}

impl From<crate::blob::BlobError> for Failure {
    fn from(error: crate::blob::BlobError) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self(format!("{error}{cause}"))
    }
}

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not.
    Failed(Failure),
    /// It does not apply: this capability is not declared.
    Skipped(&'static str),
}

/// How all cases of a suite went, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report(pub Vec<(&'static str, Verdict)>);

impl Report {
    /// True if no case failed and at least one passed.
    pub fn passed(&self) -> bool {
        let failed = self.0.iter().any(|(_, verdict)| matches!(verdict, Verdict::Failed(_)));
        !failed && self.0.iter().any(|(_, verdict)| *verdict == Verdict::Passed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.0 {
            match verdict {
                Verdict::Passed => writeln!(f, "ok      {name}")?,
                Verdict::Failed(failure) => writeln!(f, "FAILED  {name}: {failure}")?,
                Verdict::Skipped(capability) => writeln!(f, "skipped {name}: {capability} is not declared")?,
            }
        }
        Ok(())
    }
}

/// Fails a case with words unless the condition holds.
pub(crate) fn ensure(holds: bool, words: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure(words())) }
}
