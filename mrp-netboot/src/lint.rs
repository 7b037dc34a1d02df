//! Looks at a rendered answer file as its installer would: what is no preseed line, no closed kickstart section, no YAML,
//! no XML, no JSON. What only the installer can know (packages, disks) is not guessed.

use mrp_core::answer_file::AnswerFileKind;
use mrp_core::lint::{Finding, Severity};

mod kickstart;
mod preseed;
mod structured;

/// Findings that are told of one text.
const MOST: usize = 50;

/// What is wrong with a text of a kind.
pub(crate) fn check(kind: AnswerFileKind, text: &str) -> Vec<Finding> {
    let mut findings = if text.trim().is_empty() {
        vec![Finding::in_text(Severity::Warning, None, "the answer file is empty")]
    } else {
        match kind {
            AnswerFileKind::Preseed => preseed::check(text),
            AnswerFileKind::Kickstart => kickstart::check(text),
            AnswerFileKind::Autoinstall => structured::autoinstall(text),
            AnswerFileKind::Autoyast => structured::autoyast(text),
            AnswerFileKind::Agama => structured::agama(text),
        }
    };
    let count = findings.len();
    if count > MOST {
        findings.truncate(MOST);
        findings.push(Finding::in_text(Severity::Note, None, format!("{} more findings", count - MOST)));
    }
    findings
}

fn error(line: usize, message: impl Into<String>) -> Finding {
    Finding::in_text(Severity::Error, Some(line), message)
}

fn warning(line: usize, message: impl Into<String>) -> Finding {
    Finding::in_text(Severity::Warning, Some(line), message)
}

/// A word of the text, short enough to be repeated.
fn quoted(word: &str) -> String {
    format!("{:?}", word.chars().take(60).collect::<String>())
}

#[cfg(test)]
mod tests;
