//! Server-sent events (WHATWG HTML, 9.2) as a stream that outlives its connection: it connects again and resumes after the
//! last event it gave out.

use std::time::Duration;

use anyhow::Result;
use mrp_core::event::Event;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::client::{Client, ClientError};

/// The server says something at least this often.
const SILENCE: Duration = Duration::from_secs(60);
/// Until the next attempt to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// Events as they happen.
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<Result<Event, ClientError>>,
    reader: JoinHandle<()>,
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl EventStream {
    /// Follows the events that the parameters choose: those after `after`, or those from here on.
    pub fn open(client: &Client, parameters: Vec<(&'static str, String)>, after: Option<i64>) -> Self {
        let (sender, events) = mpsc::channel(64);
        let reader = tokio::spawn(read(client.clone(), parameters, after, sender));
        Self { events, reader }
    }

    /// The next event. An error is a refusal: nothing comes after it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

async fn read(
    client: Client,
    parameters: Vec<(&'static str, String)>,
    mut after: Option<i64>,
    sender: mpsc::Sender<Result<Event, ClientError>>,
) {
    loop {
        match client.stream("/event/stream", &parameters, after).await {
            Ok(mut response) => {
                let mut parser = Parser::default();
                while let Ok(Ok(Some(chunk))) = timeout(SILENCE, response.chunk()).await {
                    for event in parser.push(&chunk) {
                        after = Some(event.id.get());
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
    fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
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
