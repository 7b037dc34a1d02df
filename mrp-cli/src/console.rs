//! A console on a terminal: keys of one's own among what is typed, and the WebSocket to the server.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use mrp_core::api::{ConsoleNotice, ConsoleRequest};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::client::{Client, ClientError};

/// The server asks each 20 seconds whether the client is there; one that does not is gone.
const SILENCE: Duration = Duration::from_secs(60);

/// What a key means here rather than to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// It is the machine's.
    Typed(Vec<u8>),
    /// The terminal's own answer to what the machine asked it: where the cursor is, what it can do.
    Answer(Vec<u8>),
    /// `~.`
    Leave,
    /// `~?`
    Help,
    /// `~B`, `~t`, `~T`
    Ask(ConsoleRequest),
}

/// What `~?` says.
pub(crate) const HELP: &str = "\
After Enter:
  ~.  leave        ~B  send a break
  ~t  take the keyboard, whoever has it
  ~T  take the console from a session outside of mrp
  ~~  a tilde      ~?  this help";

/// Finds the keys of one's own: a tilde after Enter, and what follows it, as with ssh.
#[derive(Debug)]
pub(crate) struct Keys {
    at_start: bool,
    tilde: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Self { at_start: true, tilde: false }
    }
}

impl Keys {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> VecDeque<Key> {
        // Nobody has typed these, so that a line begins after them as before.
        if is_answer(bytes) {
            return VecDeque::from([Key::Answer(bytes.to_vec())]);
        }
        let (mut keys, mut typed) = (VecDeque::new(), Vec::new());
        for &byte in bytes {
            if std::mem::take(&mut self.tilde) {
                let key = match byte {
                    b'.' => Some(Key::Leave),
                    b'?' => Some(Key::Help),
                    b'B' => Some(Key::Ask(ConsoleRequest::Break)),
                    b't' => Some(Key::Ask(ConsoleRequest::Keyboard)),
                    b'T' => Some(Key::Ask(ConsoleRequest::Take)),
                    _ => None,
                };
                if let Some(key) = key {
                    if !typed.is_empty() {
                        keys.push_back(Key::Typed(std::mem::take(&mut typed)));
                    }
                    keys.push_back(key);
                    self.at_start = true;
                    continue;
                }
                typed.push(b'~');
                self.at_start = false;
                if byte == b'~' {
                    continue;
                }
            } else if byte == b'~' && self.at_start {
                self.tilde = true;
                continue;
            }
            typed.push(byte);
            self.at_start = matches!(byte, b'\r' | b'\n');
        }
        if !typed.is_empty() {
            keys.push_back(Key::Typed(typed));
        }
        keys
    }
}

/// True for a report of the cursor's place or of device attributes (ECMA-48, 8.3.14 and 8.3.24), which terminals send by
/// themselves.
fn is_answer(bytes: &[u8]) -> bool {
    let report = bytes.strip_prefix(b"\x1b[").and_then(<[u8]>::split_last);
    report.is_some_and(|(end, parameters)| {
        let is_parameter = |byte: &u8| matches!(byte, b'0'..=b'9' | b';' | b'?' | b'>');
        matches!(end, b'R' | b'c') && !parameters.is_empty() && parameters.iter().all(is_parameter)
    })
}

/// A terminal that passes every key on; it is as before once this is dropped.
#[derive(Debug)]
pub(crate) struct RawTerminal(Termios);

impl RawTerminal {
    /// Switches the terminal of standard input.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// What is typed, read by a thread that ends with the process: a read of a terminal cannot be given up.
pub(crate) fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = io::stdin().read(&mut buffer) {
            if sender.blocking_send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What comes from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The machine printed it.
    Output(Bytes),
    /// A notice.
    Notice(ConsoleNotice),
}

/// A console's WebSocket.
#[derive(Debug)]
pub(crate) struct Connection(WebSocketStream<reqwest::Upgraded>);

impl Connection {
    pub(crate) async fn open(client: &Client, machine: i64, watch: bool) -> Result<Self, ClientError> {
        let key = generate_key();
        let path = format!("/machine/{machine}/console/ws?watch={watch}");
        let (accept, upgraded) = client.upgrade(&path, &key).await?;
        if accept != derive_accept_key(key.as_bytes()) {
            return Err(client.foreign("its WebSocket is none".into()));
        }
        Ok(Self(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await))
    }

    /// What comes next; `None` once the connection is gone. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Said> {
        loop {
            match timeout(SILENCE, self.0.next()).await {
                Ok(Some(Ok(Message::Binary(bytes)))) => return Some(Said::Output(bytes)),
                Ok(Some(Ok(Message::Text(text)))) => {
                    // A notice that this version does not know is none for it.
                    if let Ok(notice) = serde_json::from_str(&text) {
                        return Some(Said::Notice(notice));
                    }
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => return None,
            }
        }
    }

    /// Types; false if the connection is gone.
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) -> bool {
        self.0.send(Message::Binary(bytes.into())).await.is_ok()
    }

    /// Asks; false if the connection is gone.
    pub(crate) async fn ask(&mut self, request: &ConsoleRequest) -> bool {
        let request = serde_json::to_string(request).expect("a request has string keys only");
        self.0.send(Message::text(request)).await.is_ok()
    }

    pub(crate) async fn close(&mut self) {
        let _ = timeout(Duration::from_secs(1), self.0.close(None)).await;
    }
}

/// What was printed last, to go on there when the connection was lost.
#[derive(Debug, Default)]
pub(crate) struct Printed(Vec<u8>);

impl Printed {
    /// Enough to be found again.
    const ENOUGH: usize = 512;

    pub(crate) fn note(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let old = self.0.len().saturating_sub(Self::ENOUGH);
        self.0.drain(..old);
    }

    /// What of a replay has not been printed.
    pub(crate) fn rest<'a>(&self, replay: &'a [u8]) -> &'a [u8] {
        if self.0.is_empty() {
            return replay;
        }
        let found = replay.windows(self.0.len()).rposition(|window| window == self.0);
        found.map_or(replay, |at| &replay[at + self.0.len()..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(chunks: &[&str]) -> Vec<Key> {
        let mut keys = Keys::default();
        chunks.iter().flat_map(|chunk| keys.push(chunk.as_bytes())).collect()
    }

    fn typed(text: &str) -> Key {
        Key::Typed(text.as_bytes().to_vec())
    }

    #[test]
    fn a_tilde_after_enter_is_ones_own() {
        let take = Key::Ask(ConsoleRequest::Keyboard);
        for (chunks, expected) in [
            (vec!["ls ~\r"], vec![typed("ls ~\r")]),
            (vec!["~."], vec![Key::Leave]),
            (vec!["ls\r~."], vec![typed("ls\r"), Key::Leave]),
            (vec!["ls\r", "~", "."], vec![typed("ls\r"), Key::Leave]),
            (vec!["\r~~."], vec![typed("\r~.")]),
            (vec!["~x"], vec![typed("~x")]),
            (vec!["~t~?a"], vec![take.clone(), Key::Help, typed("a")]),
            (vec!["~B", "x~."], vec![Key::Ask(ConsoleRequest::Break), typed("x~.")]),
            (vec!["~\r~t"], vec![typed("~\r"), take]),
            (vec!["\x1b[12;40R", "~."], vec![Key::Answer(b"\x1b[12;40R".to_vec()), Key::Leave]),
            (vec!["\x1b[A", "~."], vec![typed("\x1b[A"), typed("~.")]),
        ] {
            assert_eq!(pressed(&chunks), expected, "{chunks:?}");
        }
    }

    #[test]
    fn a_replay_goes_on_where_printing_stopped() {
        let mut printed = Printed::default();
        assert_eq!(printed.rest(b"all"), b"all");
        printed.note(b"boot: one two ");
        assert_eq!(printed.rest(b"boot: one two three"), b"three");
        assert_eq!(printed.rest(b"something else"), b"something else");
        printed.note(&[b'x'; 2000]);
        let replay = [b"y".as_slice(), &[b'x'; 600], b"end"].concat();
        assert_eq!(printed.rest(&replay), b"end");
    }
}
