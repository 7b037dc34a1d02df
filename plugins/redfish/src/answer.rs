//! What a service answers, and what its refusals mean (DSP0266, 8.6: error responses; DSP0268's message registries).

use mrp_core::bmc::BmcError;
use mrp_core::secret::Secret;
use reqwest::StatusCode;
use serde_json::Value;

/// Characters of a service's words that are shown.
const MAX_WORDS: usize = 400;
/// Its messages that are shown.
const MAX_MESSAGES: usize = 3;

/// Messages that mean "not now", whatever the status code: the end of their id.
const BUSY: &[&str] = &[
    "SessionLimitExceeded",
    "CreateLimitReachedForResource",
    "ServiceTemporarilyUnavailable",
    "ServiceShuttingDown",
    "ServiceInUnknownState",
    "ResourceInUse",
    "ResourceInStandby",
];

/// Messages that mean that the account may not, whatever the status code: HPE's iLO refuses a login with 400.
const REFUSED_LOGIN: &[&str] = &[
    "UnauthorizedLoginAttempt",
    "NoValidSession",
    "InsufficientPrivilege",
    "AccessDenied",
    "ResourceAtUriUnauthorized",
    "PasswordChangeRequired",
];

/// An answer that is no refusal.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<String>,
    pub(crate) location: Option<String>,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
    /// The new session's.
    pub(crate) token: Option<Secret>,
    /// `Null` where there is none.
    pub(crate) body: Value,
}

/// A refusal: a status code of 400 or more.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) messages: Vec<Message>,
}

/// A message of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// `Base.1.8.PropertyNotWritable`, for example; may be empty.
    pub(crate) id: String,
    /// Its text; may be empty.
    pub(crate) text: String,
    /// Its arguments and the properties that it is about.
    pub(crate) about: Vec<String>,
}

/// Why a call did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The service refused.
    Refused(Refusal),
    /// Anything else.
    Bmc(BmcError),
}

impl From<BmcError> for Failure {
    fn from(error: BmcError) -> Self {
        Failure::Bmc(error)
    }
}

impl Failure {
    /// The error that the caller gets.
    pub(crate) fn into_error(self, address: &str, operation: &'static str) -> BmcError {
        match self {
            Failure::Bmc(error) => error,
            Failure::Refused(refusal) => refusal.into_error(address, operation),
        }
    }

    /// The refusal's status code.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Failure::Refused(refusal) => Some(refusal.status),
            Failure::Bmc(_) => None,
        }
    }
}

impl Refusal {
    /// True if a message names this property.
    pub(crate) fn is_about(&self, property: &str) -> bool {
        let names = |message: &Message| {
            message.text.contains(property) || message.about.iter().any(|about| about.contains(property))
        };
        self.messages.iter().any(names)
    }

    /// The error that the caller gets.
    pub(crate) fn into_error(self, address: &str, operation: &'static str) -> BmcError {
        let (address, reason) = (address.to_owned(), words_of(&self.messages));
        let is = |names: &[&str]| {
            let named =
                |message: &Message| names.contains(&message.id.rsplit('.').next().unwrap_or_default());
            self.messages.iter().any(named)
        };
        match self.status {
            _ if is(REFUSED_LOGIN) => {
                BmcError::Unauthorized { address, reason: or_code(reason, self.status) }
            }
            _ if is(BUSY) => BmcError::Busy { address, reason: or_code(reason, self.status) },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                BmcError::Unauthorized { address, reason: or_code(reason, self.status) }
            }
            StatusCode::CONFLICT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => BmcError::Busy { address, reason: or_code(reason, self.status) },
            StatusCode::NOT_IMPLEMENTED => BmcError::Unsupported(operation),
            status => {
                let code = status.as_u16();
                let words = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                BmcError::Protocol {
                    address,
                    reason: format!("{operation} is refused with HTTP {code}{words}"),
                }
            }
        }
    }
}

fn or_code(reason: String, status: StatusCode) -> String {
    if reason.is_empty() { format!("HTTP {}", status.as_u16()) } else { reason }
}

/// The messages of a body, where the specification puts them and where vendors do: `error`'s or the body's own
/// `@Message.ExtendedInfo`, a list or a single one; a task's `Messages`.
pub(crate) fn messages(body: &Value) -> Vec<Message> {
    let error = &body["error"];
    let lists = [&error["@Message.ExtendedInfo"], &body["@Message.ExtendedInfo"], &body["Messages"]];
    let each = |list: &Value| match list {
        Value::Array(messages) => messages.iter().map(message).collect::<Vec<_>>(),
        Value::Object(_) => vec![message(list)],
        _ => Vec::new(),
    };
    let mut found: Vec<Message> = lists.into_iter().flat_map(each).collect();
    // A list of ids only is explained by the error's own text, if that says anything.
    let text = error["message"].as_str().unwrap_or_default();
    if found.iter().all(|message| message.text.is_empty()) && !text.is_empty() {
        let id = error["code"].as_str().unwrap_or_default().to_owned();
        found.insert(0, Message { id, text: text.to_owned(), about: Vec::new() });
    }
    found
}

fn message(value: &Value) -> Message {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let lists = ["MessageArgs", "RelatedProperties"].map(|key| value[key].as_array());
    let about = lists.into_iter().flatten().flatten().map(plain).collect();
    Message { id: text("MessageId"), text: text("Message"), about }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Messages for people, on one line of bounded length.
pub(crate) fn words_of(messages: &[Message]) -> String {
    let words = |message: &Message| match (message.text.trim(), message.about.as_slice()) {
        ("", []) => message.id.clone(),
        ("", about) => format!("{} ({})", message.id, about.join(", ")),
        (text, _) => text.to_owned(),
    };
    let mut said: Vec<String> = Vec::new();
    for words in messages.iter().map(words).filter(|words| !words.is_empty()) {
        if !said.contains(&words) && said.len() < MAX_MESSAGES {
            said.push(words);
        }
    }
    let line: String =
        said.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect();
    line.trim().trim_end_matches('.').to_owned()
}
