//! YAML, XML and JSON, read by their parsers: no alias is expanded, no entity fetched, no deep value followed.

use mrp_core::lint::{Finding, Severity};
use roxmltree::{Document, ParsingOptions};
use saphyr_parser::{Event, Parser};

use super::{error, quoted, warning};

/// Elements and texts of a profile; the largest that people use have some thousands.
const NODES: u32 = 200_000;

/// cloud-init takes only what says on its first line that it is for it, and Subiquity reads the key `autoinstall`.
pub(super) fn autoinstall(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if text.lines().next().map(str::trim_end) != Some("#cloud-config") {
        findings.push(error(1, "the first line has to be #cloud-config, or cloud-init ignores the file"));
    }
    match top_level_keys(text) {
        Err(finding) => findings.push(finding),
        Ok(None) => findings.push(error(1, "the file has to be a mapping (keys with values)")),
        Ok(Some(keys)) if !keys.iter().any(|key| key == "autoinstall") => {
            let what = "there is no key autoinstall: the installer would ask its questions";
            findings.push(Finding::in_text(Severity::Warning, None, what));
        }
        Ok(Some(_)) => {}
    }
    findings
}

/// The keys of the mapping that a YAML document is; `None` if it is something else.
fn top_level_keys(text: &str) -> Result<Option<Vec<String>>, Finding> {
    let (mut depth, mut keys, mut mapping) = (0_usize, Vec::new(), None);
    // Within the outermost mapping scalars and whole values take turns: key, value, key, value.
    let mut key_next = true;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|problem| {
            error(problem.marker().line().max(1), format!("this is no YAML: {}", problem.info()))
        })?;
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 0 && mapping.is_none() {
                    mapping = Some(matches!(event, Event::MappingStart(..)));
                }
                depth += 1;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth -= 1;
                if depth == 1 {
                    key_next = !key_next;
                }
            }
            Event::Scalar(value, ..) if depth == 1 => {
                if key_next {
                    keys.push(value.into_owned());
                }
                key_next = !key_next;
            }
            Event::Alias(_) if depth == 1 => key_next = !key_next,
            _ => {}
        }
    }
    Ok((mapping == Some(true)).then_some(keys))
}

/// A profile is well-formed XML whose root is `profile`.
pub(super) fn autoyast(text: &str) -> Vec<Finding> {
    let options = ParsingOptions { allow_dtd: true, nodes_limit: NODES, ..ParsingOptions::default() };
    match Document::parse_with_options(text, options) {
        Err(roxmltree::Error::NodesLimitReached) => {
            vec![Finding::in_text(Severity::Note, None, format!("more than {NODES} elements; not looked at"))]
        }
        Err(problem) => vec![error(problem.pos().row as usize, format!("this is no XML: {problem}"))],
        Ok(document) => {
            let root = document.root_element();
            let line = document.text_pos_at(root.range().start).row as usize;
            let name = root.tag_name().name();
            match name {
                "profile" => Vec::new(),
                _ => vec![warning(line, format!("the outermost element is {}, not profile", quoted(name)))],
            }
        }
    }
}

/// Agama takes JSON, Jsonnet and scripts; JSON alone is looked at.
pub(super) fn agama(text: &str) -> Vec<Finding> {
    let note = |what: &str| vec![Finding::in_text(Severity::Note, None, what)];
    if text.starts_with("#!") {
        return note("a script; not looked at");
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(_)) => Vec::new(),
        Ok(_) => vec![error(1, "a profile is a JSON object: { … }")],
        Err(_) if is_jsonnet(text) => note("this is no JSON; taken for Jsonnet, and not looked at"),
        Err(problem) => vec![error(problem.line().max(1), format!("this is no JSON: {problem}"))],
    }
}

/// Something that JSON has not and Jsonnet has: comments, `local`, `import`, `function`, `self`, keys without quotes.
fn is_jsonnet(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    let words = ["//", "#", "/*", "local ", "import ", "importstr ", "function(", "assert "];
    lines.any(|line| {
        let bare_key = line.split_once(':').is_some_and(|(key, _)| {
            let key = key.trim_end_matches(['+', ':']);
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        bare_key || words.iter().any(|word| line.starts_with(word))
    })
}
