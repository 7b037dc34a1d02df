//! The protocol as JSON, one message a line: what an executable reads and writes. The frames of an isolated library carry
//! the same texts, and console bytes apart from them.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::PluginError;

/// What a plugin reads.
#[derive(Debug, Clone)]
pub enum ToPlugin {
    /// A call. The number is the host's and never comes twice; replies may come in any order.
    Call {
        /// The call's number.
        id: u64,
        /// The BMC's number, chosen by the host; `open` makes it known.
        instance: u64,
        /// The operation's name.
        operation: String,
        /// The request in JSON.
        request: String,
    },
    /// The call's answer is wanted no more (it is answered all the same), or the console of that call is to be closed.
    Cancel(u64),
    /// Bytes that were typed at the console which the call opened.
    Console(u64, Vec<u8>),
    /// A break condition for that console.
    Break(u64),
}

/// What a plugin writes.
#[derive(Debug, Clone, PartialEq)]
pub enum FromPlugin {
    /// A call's reply.
    Reply(u64, Result<Value, PluginError>),
    /// Bytes that a machine printed at the console which the call opened.
    Console(u64, Vec<u8>),
    /// The console is closed; with an error where nobody here wanted that.
    ConsoleEnd(u64, Option<PluginError>),
}

/// A line that is not the protocol's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LineError(String);

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct In {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(rename = "break", skip_serializing_if = "std::ops::Not::not")]
    line_break: bool,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Out {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<PluginError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    end: bool,
}

impl ToPlugin {
    /// The line, without its end.
    pub fn to_line(&self) -> String {
        let line = match self {
            ToPlugin::Call { id, instance, operation, request } => In {
                id: Some(*id),
                instance: Some(*instance),
                call: Some(operation.clone()),
                request: RawValue::from_string(request.clone()).ok(),
                ..In::default()
            },
            ToPlugin::Cancel(id) => In { cancel: Some(*id), ..In::default() },
            ToPlugin::Console(id, data) => {
                In { console: Some(*id), data: Some(Base64::encode_string(data)), ..In::default() }
            }
            ToPlugin::Break(id) => In { console: Some(*id), line_break: true, ..In::default() },
        };
        super::message::json(&line)
    }

    /// Reads a line.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let line: In = serde_json::from_slice(line).map_err(|error| LineError(error.to_string()))?;
        if let (Some(id), Some(operation)) = (line.id, line.call) {
            let request = line.request.map_or_else(|| "{}".to_owned(), |request| request.get().to_owned());
            return Ok(ToPlugin::Call {
                id,
                instance: line.instance.unwrap_or_default(),
                operation,
                request,
            });
        }
        match (line.cancel, line.console, line.data) {
            (Some(id), ..) => Ok(ToPlugin::Cancel(id)),
            (None, Some(id), Some(data)) => Ok(ToPlugin::Console(id, decode(&data)?)),
            (None, Some(id), None) if line.line_break => Ok(ToPlugin::Break(id)),
            _ => Err(LineError("it is neither a call, a cancel nor for a console".into())),
        }
    }
}

impl FromPlugin {
    /// The line, without its end.
    pub fn to_line(&self) -> String {
        let line = match self {
            FromPlugin::Reply(id, Ok(reply)) => {
                Out { id: Some(*id), reply: Some(reply.clone()), ..Out::default() }
            }
            FromPlugin::Reply(id, Err(error)) => {
                Out { id: Some(*id), error: Some(error.clone()), ..Out::default() }
            }
            FromPlugin::Console(id, data) => {
                Out { console: Some(*id), data: Some(Base64::encode_string(data)), ..Out::default() }
            }
            FromPlugin::ConsoleEnd(id, error) => {
                Out { console: Some(*id), end: true, error: error.clone(), ..Out::default() }
            }
        };
        super::message::json(&line)
    }

    /// Reads a line.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let line: Out = serde_json::from_slice(line).map_err(|error| LineError(error.to_string()))?;
        match line {
            Out { id: Some(id), error: Some(error), .. } => Ok(FromPlugin::Reply(id, Err(error))),
            Out { id: Some(id), reply, .. } => {
                Ok(FromPlugin::Reply(id, Ok(reply.unwrap_or_else(|| Value::Object(Default::default())))))
            }
            Out { console: Some(id), end: true, error, .. } => Ok(FromPlugin::ConsoleEnd(id, error)),
            Out { console: Some(id), data: Some(data), .. } => Ok(FromPlugin::Console(id, decode(&data)?)),
            _ => Err(LineError("it is neither a reply nor console bytes".into())),
        }
    }
}

fn decode(data: &str) -> Result<Vec<u8>, LineError> {
    Base64::decode_vec(data).map_err(|_| LineError("the console's bytes are no base64".into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::ErrorKind;

    #[test]
    fn lines_come_back_as_they_were() {
        for message in [
            FromPlugin::Reply(1, Ok(json!({"power": "on"}))),
            FromPlugin::Reply(2, Err(PluginError { kind: ErrorKind::Busy, message: "full".into() })),
            FromPlugin::Console(3, b"\x00\xffboot\n".to_vec()),
            FromPlugin::ConsoleEnd(3, None),
            FromPlugin::ConsoleEnd(4, Some(PluginError { kind: ErrorKind::Timeout, message: "gone".into() })),
        ] {
            let line = message.to_line();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(FromPlugin::parse(line.as_bytes()).unwrap(), message);
        }
        for (message, line) in [
            (
                ToPlugin::Call {
                    id: 1,
                    instance: 2,
                    operation: "power".into(),
                    request: r#"{"node":""}"#.into(),
                },
                r#"{"id":1,"instance":2,"call":"power","request":{"node":""}}"#,
            ),
            (ToPlugin::Cancel(4), r#"{"cancel":4}"#),
            (ToPlugin::Break(6), r#"{"console":6,"break":true}"#),
            (ToPlugin::Console(5, b"ls\r".to_vec()), r#"{"console":5,"data":"bHMN"}"#),
        ] {
            assert_eq!(message.to_line(), line);
            assert_eq!(ToPlugin::parse(line.as_bytes()).unwrap().to_line(), line);
        }
    }

    #[test]
    fn what_is_no_message_is_refused_with_words() {
        assert_eq!(FromPlugin::parse(br#"{"id":7}"#).unwrap(), FromPlugin::Reply(7, Ok(json!({}))));
        for (line, says) in [
            ("", "EOF"),
            ("power on", "expected value"),
            ("[]", "neither a reply"),
            (r#"{"reply":{}}"#, "neither a reply"),
            (r#"{"console":1}"#, "neither a reply"),
            (r#"{"console":1,"data":"?"}"#, "base64"),
            (r#"{"id":1,"error":{"kind":"strange"}}"#, "unknown variant"),
        ] {
            let error = FromPlugin::parse(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
        assert!(ToPlugin::parse(b"{}").is_err());
    }
}
