//! What is wrong with an answer file, as far as it can be said without its installer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The installer will not take it.
    Error,
    /// It is taken, and may not do what was meant.
    Warning,
    /// Something that was not looked at, and why.
    Note,
}

impl Severity {
    /// The severity's name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The line, from 1: of the template, or of the text that was made of it.
    pub line: Option<usize>,
    /// The line is one of the rendered text, not of the template.
    pub rendered: bool,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Finding {
    /// A finding in the rendered text.
    pub fn in_text(severity: Severity, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { severity, line, rendered: true, message: message.into() }
    }

    /// A finding in the template.
    pub fn in_template(severity: Severity, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { severity, line, rendered: false, message: message.into() }
    }
}
