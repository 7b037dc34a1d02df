//! What commands print: a table for people, JSON for programs. Text of others is shown without characters that steer a
//! terminal, so that no name or event can. A reader that has gone away ends the program quietly.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use mrp_core::id::Timestamp;
use rustix::termios::tcgetwinsize;
use serde::Serialize;

use crate::exit::Exit;
use crate::table;

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// A column of a table: its heading and what stands in it.
pub type Column<'a, T> = (&'a str, &'a dyn Fn(&T) -> String);

impl Format {
    /// Prints a list.
    pub fn list<T: Serialize>(self, items: &[T], columns: &[Column<'_, T>]) -> anyhow::Result<()> {
        self.list_of(&items, items, columns)
    }

    /// Prints a list for people, and for programs the whole that it is a part of.
    pub fn list_of<T>(
        self,
        whole: &impl Serialize,
        items: &[T],
        columns: &[Column<'_, T>],
    ) -> anyhow::Result<()> {
        if self == Format::Json {
            return self.json(whole);
        }
        let mut rows = vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect::<Vec<_>>()];
        rows.extend(
            items.iter().map(|item| columns.iter().map(|(_, cell)| clean(&cell(item), ' ')).collect()),
        );
        let mut lines = table::lay_out(&rows, terminal_width());
        if is_styled(&io::stdout()) && !lines.is_empty() {
            lines[0] = bold(&lines[0]);
        }
        line(lines.join("\n"))?;
        if items.is_empty() && io::stderr().is_terminal() {
            eprintln!("(there is none)");
        }
        Ok(())
    }

    /// Prints one thing, a line for each of its facts that there are.
    pub fn object<T: Serialize>(self, item: &T, facts: &[(&str, String)]) -> anyhow::Result<()> {
        if self == Format::Json {
            return self.json(item);
        }
        let facts = facts.iter().filter(|(_, value)| !value.is_empty());
        let rows: Vec<_> = facts.map(|(name, value)| vec![format!("{name}:"), clean(value, ' ')]).collect();
        line(table::lay_out(&rows, terminal_width()).join("\n"))
    }

    /// Says what was done.
    pub fn done<T: Serialize>(self, item: &T, words: impl Display) -> anyhow::Result<()> {
        if self == Format::Json { self.json(item) } else { line(clean(&words.to_string(), ' ')) }
    }

    /// Prints a text of several lines as it is: to a file or a program every byte, on a terminal what does not steer it.
    pub fn text<T: Serialize>(self, item: &T, text: &str) -> anyhow::Result<()> {
        if self == Format::Json {
            return self.json(item);
        }
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            return write_line(&mut out, clean(text, '\n'));
        }
        written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    fn json<T: Serialize>(self, item: &T) -> anyhow::Result<()> {
        line(json(&serde_json::to_string_pretty(item)?))
    }
}

/// JSON on one line, for what comes one by one.
pub fn json_line<T: Serialize>(item: &T) -> anyhow::Result<()> {
    line(json(&serde_json::to_string(item)?))
}

/// JSON whose strings have escapes for what serde leaves raw: DEL, the C1 controls and what turns text around.
pub(crate) fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c > '~' && steers(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Prints a line, or lines, on standard output.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    write_line(&mut io::stdout().lock(), text)
}

/// Prints a line; a reader that has gone away is [`Exit::READER_GONE`].
pub fn write_line(out: &mut impl Write, text: impl Display) -> anyhow::Result<()> {
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

fn written(outcome: io::Result<()>) -> anyhow::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Exit::READER_GONE.into()),
        other => Ok(other?),
    }
}

/// Says something on standard error, beside the result.
pub fn note(text: impl Display) {
    eprintln!("{}", clean(&text.to_string(), '\n'));
}

/// Text of others without what steers a terminal; `for_newline` stands for line ends.
pub fn clean(text: &str, for_newline: char) -> String {
    let shown = |c: char| match c {
        '\n' => for_newline,
        '\t' if for_newline == '\n' => c,
        c if steers(c) => '\u{fffd}',
        c => c,
    };
    text.trim_end().chars().map(shown).collect()
}

/// Control characters, and those that reverse the order of what follows or break lines (Unicode, UAX 9).
fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control()
}

/// Whether bold and colours are welcome: on a terminal, unless `NO_COLOR` (<https://no-color.org>) or `TERM` say no.
pub(crate) fn is_styled(stream: &impl IsTerminal) -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    stream.is_terminal() && !forbidden && !dumb
}

pub(crate) fn bold(text: &str) -> String {
    format!("\u{1b}[1m{text}\u{1b}[0m")
}

fn terminal_width() -> Option<usize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

/// Yes or no, in a table.
pub fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.into()
}

/// A time to the second, as people read it (UTC); JSON has the milliseconds.
pub fn when(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{}Z", seconds.replace('T', " ")))
}

/// A time of mr-provisioner's routes (`Wed, 25 Nov 2026 08:43:44 GMT`, RFC 9110, 5.6.7) as people read the others.
pub fn when_http(text: &str) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else { return text.to_owned() };
    match MONTHS.find(month) {
        Some(at) if month.len() == 3 => format!("{year}-{:02}-{day} {time}Z", at / 3 + 1),
        _ => text.to_owned(),
    }
}

/// What there is, or nothing.
pub fn or_none<T: Display>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_steers_no_terminal() {
        assert_eq!(clean("a\u{1b}[31mred\nb\n", ' '), "a\u{fffd}[31mred b");
        assert_eq!(clean("a\u{9b}31m\u{202e}b\tc", ' '), "a\u{fffd}31m\u{fffd}b\u{fffd}c");
        assert_eq!(clean("a\n\tb\r\n", '\n'), "a\n\tb");
        assert_eq!(clean("näyttö 機械", ' '), "näyttö 機械");
    }

    #[test]
    fn times_of_both_kinds_look_alike() {
        assert_eq!(when(Timestamp(1_764_000_000_123)), "2025-11-24 16:00:00Z");
        assert_eq!(when_http("Wed, 25 Nov 2026 08:43:44 GMT"), "2026-11-25 08:43:44Z");
        assert_eq!(when_http("yesterday"), "yesterday");
    }

    #[test]
    fn json_says_the_same_without_raw_control_characters() {
        let text = "a\u{7f}\u{9b}\u{202e}\u{1b}é";
        let shown = json(&serde_json::to_string(text).unwrap());
        assert!(!shown.chars().any(steers), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
