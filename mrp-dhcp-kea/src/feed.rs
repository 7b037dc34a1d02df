//! Understands the lines that mrp sends. What is no table is an error, and changes nothing.

use mrp_core::api::kea::{TableClient, TableHead, TableLine};

/// Most clients of one table: an endless one must not fill Kea's memory.
pub const MOST_CLIENTS: usize = 1_000_000;

/// Follows a stream of lines.
#[derive(Debug, Default)]
pub struct Feed {
    /// A whole table on its way.
    whole: Option<(TableHead, Vec<TableClient>)>,
    /// A whole table has come.
    current: bool,
}

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet, or nothing at all.
    Nothing,
    /// The whole table.
    Whole(TableHead, Vec<TableClient>),
    /// A change of it.
    Change(TableLine),
}

/// Why a stream is no table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// It is something else.
    #[error("it is no line of a table: {0}")]
    Nonsense(String),
    /// Lines are missing.
    #[error("the table ends after {found} of {told} clients")]
    Short {
        /// Clients that came.
        found: u64,
        /// Clients that were announced.
        told: u64,
    },
    /// Lines come in a wrong order.
    #[error("{0} comes where it has no meaning")]
    Misplaced(&'static str),
    /// It does not end.
    #[error("the table has more than {MOST_CLIENTS} clients")]
    Endless,
}

impl Feed {
    /// Takes a line of server-sent events (without its end): data, or a comment, or nothing.
    pub fn event(&mut self, line: &str) -> Result<Step, FeedError> {
        match line.trim_end_matches('\r') {
            "" => Ok(Step::Nothing),
            line if line.starts_with(':') => Ok(Step::Nothing),
            line => match line.strip_prefix("data:") {
                Some(data) => self.line(data.trim_start()),
                None => Err(FeedError::Nonsense(excerpt(line))),
            },
        }
    }

    /// Takes a line of a table.
    pub fn line(&mut self, text: &str) -> Result<Step, FeedError> {
        let line = serde_json::from_str(text).map_err(|_| FeedError::Nonsense(excerpt(text)))?;
        match (line, &mut self.whole) {
            (TableLine::Begin(_), Some(_)) => Err(FeedError::Misplaced("a beginning")),
            (TableLine::Begin(head), whole) => {
                *whole = Some((head, Vec::new()));
                Ok(Step::Nothing)
            }
            (TableLine::Client(_), Some((_, clients))) if clients.len() >= MOST_CLIENTS => {
                Err(FeedError::Endless)
            }
            (TableLine::Client(client), Some((_, clients))) => {
                clients.push(client);
                Ok(Step::Nothing)
            }
            (TableLine::Complete(told), whole) => {
                let (head, clients) = whole.take().ok_or(FeedError::Misplaced("an end"))?;
                let found = clients.len() as u64;
                if found != told {
                    return Err(FeedError::Short { found, told });
                }
                self.current = true;
                Ok(Step::Whole(head, clients))
            }
            (TableLine::Gone(_), Some(_)) => Err(FeedError::Misplaced("a change")),
            (TableLine::Client(_) | TableLine::Gone(_), None) if !self.current => {
                Err(FeedError::Misplaced("a change"))
            }
            (change, None) => Ok(Step::Change(change)),
        }
    }
}

/// The beginning of what came, fit for a log.
fn excerpt(text: &str) -> String {
    let text: String = text.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect();
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use mrp_core::mac::MacAddr;
    use proptest::prelude::*;

    use super::*;

    const BEGIN: &str = r#"data:{"begin":{"http_port":8081}}"#;
    const ONE: &str = r#"data: {"client":{"mac":"02:00:00:00:00:01","hostname":"a","netboot":true}}"#;

    fn fed(lines: &[&str]) -> Result<Vec<Step>, FeedError> {
        let mut feed = Feed::default();
        let steps = lines.iter().map(|line| feed.event(line)).collect::<Result<Vec<_>, _>>()?;
        Ok(steps.into_iter().filter(|step| *step != Step::Nothing).collect())
    }

    #[test]
    fn a_table_and_its_changes_are_understood() {
        let gone = r#"data:{"gone":"02:00:00:00:00:01"}"#;
        let complete = r#"data:{"complete":1}"#;
        let steps =
            fed(&[":", BEGIN, "", ONE, "", complete, "", ":keep-alive", ONE, gone, BEGIN, ONE, complete])
                .unwrap();
        let Step::Whole(head, clients) = &steps[0] else { panic!("{steps:?}") };
        assert_eq!((head.http_port, clients.len()), (8081, 1));
        assert_eq!(clients[0].mac, MacAddr([2, 0, 0, 0, 0, 1]));
        assert_eq!(steps[1], Step::Change(TableLine::Client(clients[0].clone())));
        assert_eq!(steps[2], Step::Change(TableLine::Gone(clients[0].mac)));
        assert_eq!(steps[3], steps[0]);
        assert_eq!(steps.len(), 4);
    }

    #[test]
    fn what_is_no_table_is_an_error() {
        for (lines, says) in [
            (&["<html><body>Bad gateway"][..], "no line of a table: \"<html>"),
            (&["data:{\"begin\""], "no line"),
            (&["data:{\"danced\":1}"], "no line"),
            (&[r#"data:{"client":{"mac":"02:00:00:00:00:0g","hostname":"a","netboot":true}}"#], "no line"),
            (&[ONE], "a change comes where"),
            (&[BEGIN, BEGIN], "a beginning comes where"),
            (&[r#"data:{"complete":0}"#], "an end comes where"),
            (&[BEGIN, ONE, r#"data:{"complete":2}"#], "after 1 of 2"),
            (&[BEGIN, r#"data:{"gone":"02:00:00:00:00:01"}"#], "a change comes where"),
        ] {
            let error = fed(lines).unwrap_err().to_string();
            assert!(error.contains(says), "{lines:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(lines in proptest::collection::vec(".*", 0..8)) {
            let mut feed = Feed::default();
            for line in &lines {
                let _ = feed.event(line);
                let _ = feed.line(line);
            }
        }
    }
}
