//! debconf's format, as `debconf-set-selections(1)` reads it: `owner question type value`, `#` for comments, a backslash at
//! the end joins lines.

use mrp_core::lint::Finding;

use super::{error, quoted, warning};

const TYPES: [&str; 10] =
    ["string", "boolean", "select", "multiselect", "password", "note", "text", "title", "error", "seen"];

pub(super) fn check(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut joined: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (start, mut whole) = joined.take().unwrap_or((index + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(part) if !whole.is_empty() || !is_comment(line) => {
                whole.push_str(part);
                joined = Some((start, whole));
            }
            _ => {
                whole.push_str(line);
                findings.extend(statement(start, &whole));
            }
        }
    }
    if let Some((start, whole)) = joined {
        findings.push(error(start, "the last line ends in a backslash, and nothing follows"));
        findings.extend(statement(start, &whole));
    }
    findings
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn statement(line: usize, text: &str) -> Option<Finding> {
    if text.trim().is_empty() || is_comment(text) {
        return None;
    }
    let mut words = text.split_whitespace();
    let (Some(owner), Some(question), Some(kind)) = (words.next(), words.next(), words.next()) else {
        return Some(error(
            line,
            "a line is: owner, question, type, value (d-i passwd/make-user boolean false)",
        ));
    };
    if !question.contains('/') {
        let what =
            format!("{} is no question: a question has a slash, as in passwd/make-user", quoted(question));
        return Some(error(line, what));
    }
    if !TYPES.contains(&kind) {
        let what = format!("{} is no type; the types are {}", quoted(kind), TYPES.join(", "));
        return Some(error(line, what));
    }
    let value = value_of(text, [owner, question, kind]);
    let is_truth = matches!(value, "true" | "false");
    match kind {
        "boolean" | "seen" if !is_truth && value.is_empty() => {
            Some(warning(line, format!("{question} has no value")))
        }
        "boolean" | "seen" if !is_truth => {
            Some(error(line, format!("{question} is {}; it has to be true or false", quoted(value))))
        }
        _ => None,
    }
}

/// What stands behind the type, after the one space or tab that belongs to the format.
fn value_of<'a>(text: &'a str, words: [&str; 3]) -> &'a str {
    let mut rest = text;
    for word in words {
        rest = rest.trim_start().strip_prefix(word).unwrap_or("");
    }
    rest.strip_prefix([' ', '\t']).unwrap_or(rest).trim_end()
}
