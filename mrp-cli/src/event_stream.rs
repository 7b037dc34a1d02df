//! Server-sent events (WHATWG HTML, 9.2) as a stream that outlives its connection: it connects again and resumes after the
//! last event it gave out.

use std::time::Duration;

use anyhow::Result;
use mrp_core::event::{AuditEntry, Event};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::client::{Client, ClientError};

/// The server says something at least this often.
const SILENCE: Duration = Duration::from_secs(60);
/// Until the next attempt to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// What a stream may carry: its id says where to go on.
pub trait Numbered: DeserializeOwned + Send + 'static {
    /// Where the stream is, below `/api/v1`.
    const STREAM: &'static str;
    /// Its id, which grows.
    fn number(&self) -> i64;
}

impl Numbered for Event {
    const STREAM: &'static str = "/event/stream";
    fn number(&self) -> i64 {
        self.id.get()
    }
}

impl Numbered for AuditEntry {
    const STREAM: &'static str = "/audit/stream";
    fn number(&self) -> i64 {
        self.id.get()
    }
}

/// Events, or entries of the audit log, as they happen.
#[derive(Debug)]
pub struct EventStream<T = Event> {
    events: mpsc::Receiver<Result<T, ClientError>>,
    reader: JoinHandle<()>,
}

impl<T> Drop for EventStream<T> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl<T: Numbered> EventStream<T> {
    /// Follows the events that the parameters choose and that come after those that are known, of which this is the last;
    /// where there was none yet, from the first on: what comes before the stream opens is not missed.
    pub fn open(client: &Client, parameters: Vec<(&'static str, String)>, last: Option<&T>) -> Self {
        let after = last.map_or(0, T::number);
        let (sender, events) = mpsc::channel(64);
        let reader = tokio::spawn(read(client.clone(), parameters, after, sender));
        Self { events, reader }
    }

    /// The next event. An error is a refusal: nothing comes after it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<T, ClientError> {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

async fn read<T: Numbered>(
    client: Client,
    parameters: Vec<(&'static str, String)>,
    mut after: i64,
    sender: mpsc::Sender<Result<T, ClientError>>,
) {
    loop {
        match client.stream(T::STREAM, &parameters, after).await {
            Ok(mut response) => {
                let mut parser = Parser::default();
                while let Ok(Ok(Some(chunk))) = timeout(SILENCE, response.chunk()).await {
                    for event in parser.push::<T>(&chunk) {
                        after = event.number();
                        if sender.send(Ok(event)).await.is_err() {
                            return;
                        }
                    }
                }
            }
            Err(ClientError::Unreachable { .. }) => {}
            Err(error) => {
                let _ = sender.send(Err(error)).await;
                return;
            }
        }
        sleep(PAUSE).await;
    }
}

/// Cuts bytes into events; what is no event of mrp's, a comment among them, is passed over.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    data: String,
}

impl Parser {
    fn push<T: DeserializeOwned>(&mut self, bytes: &[u8]) -> Vec<T> {
        let mut events = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
            self.line.clear();
            if line.is_empty() {
                events.extend(serde_json::from_str(&std::mem::take(&mut self.data)).ok());
            } else if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
                self.data.push('\n');
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_out_wherever_the_chunks_end() {
        let json = r#"{"id":7,"at":"2026-01-01T00:00:00Z","machine":1,"run":null,"kind":"power","actor":"mrp","text":"on","data":{}}"#;
        let text = format!(
            ":hello\r\n\r\nevent: power\nid: 7\ndata: {json}\n\ndata:{json}\n\n: ping\n\nevent: x\ndata: no\n\n"
        );
        for size in [1, 2, 7, 1000] {
            let mut parser = Parser::default();
            let events: Vec<Event> =
                text.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk)).collect();
            assert_eq!(
                events.iter().map(|event| event.id.get()).collect::<Vec<_>>(),
                [7, 7],
                "chunks of {size}"
            );
        }
    }
}
