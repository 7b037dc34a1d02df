//! Kickstart's sections: each `%section` ends with `%end`. Commands differ between releases and are not looked at.

use mrp_core::lint::Finding;

use super::{error, quoted, warning};

const SECTIONS: [&str; 8] =
    ["%packages", "%pre", "%pre-install", "%post", "%onerror", "%traceback", "%addon", "%certificate"];
/// What begins with a percent sign and is no section.
const DIRECTIVES: [&str; 2] = ["%include", "%ksappend"];

pub(super) fn check(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut open: Option<(usize, &str)> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let Some(word) = line.split_whitespace().next().filter(|word| word.starts_with('%')) else {
            continue;
        };
        match (word, open) {
            ("%end", Some(_)) => open = None,
            ("%end", None) => findings.push(error(number, "%end, but no section is open")),
            (word, _) if DIRECTIVES.contains(&word) => {}
            (word, Some((start, section))) if SECTIONS.contains(&word) => {
                findings
                    .push(error(number, format!("{word} begins, but {section} of line {start} has no %end")));
                open = Some((number, word));
            }
            (word, None) if SECTIONS.contains(&word) || word == "%anaconda" => open = Some((number, word)),
            // Within a section it is a script's own, or a package group's.
            (_, Some(_)) => {}
            (word, None) => {
                let known = SECTIONS.join(", ");
                findings.push(warning(
                    number,
                    format!("{} is no section; the sections are {known}", quoted(word)),
                ));
                open = Some((number, word));
            }
        }
    }
    if let Some((start, section)) = open {
        findings.push(error(start, format!("{section} has no %end")));
    }
    findings
}
