//! Consoles: the ticket, what crosses the WebSocket beside the console's bytes, and lines of the record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Timestamp;

/// Answer of `POST /machine/{id}/console`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleTicket {
    /// Host of the console's WebSocket; `null` for the host that was asked.
    pub host: Option<String>,
    /// Its port.
    pub port: u16,
    /// Good once, within five minutes.
    pub token: String,
}

/// What the server says on a console's WebSocket, as a text frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ConsoleNotice {
    /// What came before is from the record; what follows is live.
    ReplayEnd,
    /// Whether the server has the console.
    Link {
        /// The server has it.
        connected: bool,
        /// Another session has it: the request `take` takes it away.
        taken: bool,
        /// In words, where it is not connected.
        text: String,
    },
    /// Who may type.
    Keyboard {
        /// The user; nobody where it is `null`, and whoever types first has it.
        holder: Option<String>,
        /// It is the one who reads this.
        yours: bool,
    },
    /// Something happened to the console or the machine; it is in the record at this place.
    Mark {
        /// When.
        at: Timestamp,
        /// In words.
        text: String,
    },
    /// This client read too slowly: the oldest of what waited for it is gone. The record has it.
    Lost {
        /// Bytes of output.
        bytes: u64,
    },
    /// A request was not done.
    Refused {
        /// Why.
        reason: String,
    },
    /// The end: nothing comes after it.
    Cut {
        /// Why.
        reason: String,
        /// Whoever asks again may have it again: the server ends, or another one has the console.
        #[serde(default)]
        again: bool,
    },
}

/// What a client asks on a console's WebSocket, as a text frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ConsoleRequest {
    /// Send a break.
    Break,
    /// Take the keyboard, whoever has it.
    Keyboard,
    /// Take the console away from a session outside of mrp.
    Take,
}

/// A line of `GET /machine/{id}/console/log?format=ndjson`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleLine {
    /// When it came.
    pub at: Timestamp,
    /// What it is.
    pub kind: ConsoleLineKind,
    /// The machine's run at that time, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<i64>,
    /// The characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// In place of `text` where the bytes are no UTF-8: in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// What a line of a console's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleLineKind {
    /// The machine printed it.
    Output,
    /// It was typed.
    Typed,
    /// What happened, in words.
    Mark,
}
