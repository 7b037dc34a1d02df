//! Tables: columns that are aligned, and no cell that is cut. On a terminal that is too narrow, cells with several words
//! go on in the next line below themselves; a word, such as a name or an address, stays whole so that it can be copied.

use unicode_width::UnicodeWidthStr;

/// Between two columns.
const GAP: usize = 2;

/// Lays out rows, the headings first. `terminal` is how many columns there are, if somebody looks.
pub(crate) fn lay_out(rows: &[Vec<String>], terminal: Option<usize>) -> Vec<String> {
    let mut widths = natural_widths(rows);
    if let Some(terminal) = terminal {
        fit(&mut widths, rows, terminal);
        if needed(&widths) > terminal {
            let filled = without_empty_columns(rows);
            let mut widths = natural_widths(&filled);
            fit(&mut widths, &filled, terminal);
            return filled.iter().flat_map(|row| lines_of(row, &widths)).collect();
        }
    }
    rows.iter().flat_map(|row| lines_of(row, &widths)).collect()
}

fn needed(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Without the columns that have nothing but a heading.
fn without_empty_columns(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let is_filled =
        |column: usize| rows.iter().skip(1).any(|row| row.get(column).is_some_and(|c| !c.is_empty()));
    let filled = |row: &Vec<String>| {
        row.iter()
            .enumerate()
            .filter(|(column, _)| is_filled(*column))
            .map(|(_, cell)| cell.clone())
            .collect()
    };
    rows.iter().map(filled).collect()
}

fn natural_widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
        })
        .collect()
}

/// Takes from the widest column that has words to wrap, until the table fits or nothing is left to take.
fn fit(widths: &mut [usize], rows: &[Vec<String>], terminal: usize) {
    let least: Vec<usize> = (0..widths.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.flat_map(|cell| cell.split(' ')).map(UnicodeWidthStr::width).max().unwrap_or(0)
        })
        .collect();
    while needed(widths) > terminal {
        let candidates = (0..widths.len()).filter(|&column| widths[column] > least[column]);
        let Some(widest) = candidates.max_by_key(|&column| widths[column]) else { return };
        widths[widest] -= 1;
    }
}

fn lines_of(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    (0..height)
        .map(|line| {
            let mut text = String::new();
            for (cell, width) in cells.iter().zip(widths) {
                let part = cell.get(line).map_or("", String::as_str);
                text.push_str(part);
                text.push_str(&" ".repeat(width.saturating_sub(part.width()) + GAP));
            }
            text.trim_end().to_owned()
        })
        .collect()
}

fn wrap(cell: &str, width: usize) -> Vec<String> {
    if cell.width() <= width {
        return vec![cell.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in cell.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
    }

    #[test]
    fn columns_are_aligned_and_no_line_has_trailing_spaces() {
        let lines = lay_out(&rows(&[&["NAME", "ARCH"], &["node-01", "arm64"], &["n", ""]]), None);
        assert_eq!(lines, ["NAME     ARCH", "node-01  arm64", "n"]);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let lines = lay_out(&rows(&[&["A", "B"], &["機械", "x"], &["é", "y"]]), None);
        assert_eq!(lines, ["A     B", "機械  x", "é     y"]);
    }

    #[test]
    fn a_narrow_terminal_wraps_between_words_and_loses_nothing() {
        let table =
            rows(&[&["NAME", "VERDICT"], &["alice/vmlinuz.1a2b3c4d", "kernel fetched, but no answer file"]]);
        let lines = lay_out(&table, Some(40));
        assert_eq!(
            lines,
            [
                "NAME                    VERDICT",
                "alice/vmlinuz.1a2b3c4d  kernel fetched,",
                "                        but no answer",
                "                        file",
            ]
        );
        let narrower = lay_out(&table, Some(10)).join("\n");
        assert!(narrower.contains("alice/vmlinuz.1a2b3c4d"), "a name stays whole: {narrower}");
        assert_eq!(lay_out(&table, Some(80)).len(), 2);
    }

    #[test]
    fn a_terminal_that_is_too_narrow_is_spared_empty_columns() {
        let table = rows(&[&["NAME", "DESCRIPTION", "ARCH"], &["alice/vmlinuz", "", "arm64"]]);
        assert_eq!(lay_out(&table, Some(22)), ["NAME           ARCH", "alice/vmlinuz  arm64"]);
        assert_eq!(lay_out(&table, Some(33))[0], "NAME           DESCRIPTION  ARCH");
    }
}
