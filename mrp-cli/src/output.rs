//! What commands print: a table for people, JSON for programs. Text of others is shown without control characters, so
//! that no name or event can steer a terminal. A reader that has gone away ends the program quietly.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::exit::Exit;

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
        if self == Format::Json {
            return self.json(&items);
        }
        let mut rows = vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect::<Vec<_>>()];
        rows.extend(
            items.iter().map(|item| columns.iter().map(|(_, cell)| clean(&cell(item), ' ')).collect()),
        );
        line(table(&rows))
    }

    /// Prints one thing, a line for each of its facts that there are.
    pub fn object<T: Serialize>(self, item: &T, facts: &[(&str, String)]) -> anyhow::Result<()> {
        if self == Format::Json {
            return self.json(item);
        }
        let facts = facts.iter().filter(|(_, value)| !value.is_empty());
        let rows: Vec<_> = facts.map(|(name, value)| vec![format!("{name}:"), clean(value, ' ')]).collect();
        line(table(&rows))
    }

    /// Says what was done.
    pub fn done<T: Serialize>(self, item: &T, words: impl Display) -> anyhow::Result<()> {
        if self == Format::Json { self.json(item) } else { line(clean(&words.to_string(), ' ')) }
    }

    fn json<T: Serialize>(self, item: &T) -> anyhow::Result<()> {
        line(serde_json::to_string_pretty(item)?)
    }
}

/// Prints a line, or lines, on standard output.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    write_line(&mut io::stdout().lock(), text)
}

/// Prints a line; a reader that has gone away is [`Exit::READER_GONE`].
pub fn write_line(out: &mut impl Write, text: impl Display) -> anyhow::Result<()> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Exit::READER_GONE.into()),
        other => Ok(other?),
    }
}

/// Text of others without control characters; `for_newline` stands for line ends.
pub fn clean(text: &str, for_newline: char) -> String {
    let shown = |c: char| match c {
        '\n' => for_newline,
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.trim_end().chars().map(shown).collect()
}

/// Yes or no, in a table.
pub fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.into()
}

/// What there is, or nothing.
pub fn or_none<T: Display>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell: &String| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_and_no_trailing_spaces() {
        let rows = [vec!["NAME", "ARCH"], vec!["node-01", "arm64"], vec!["n", ""]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(table(&rows), "NAME     ARCH\nnode-01  arm64\nn");
    }

    #[test]
    fn text_of_others_steers_no_terminal() {
        assert_eq!(clean("a\u{1b}[31mred\nb\n", ' '), "a\u{fffd}[31mred b");
    }
}
