//! The options of a Redfish BMC in mrp's configuration.

use std::path::PathBuf;

use mrp_bmc::IpmiBmc;
use mrp_core::bmc::{BmcConfig, BmcError, OpenBmc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Seconds that a whole call may take.
const DEFAULT_TIMEOUT_S: u64 = 30;

/// How a BMC is spoken to.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    pub(crate) auth: Auth,
    /// The system where the service has several and the machine does not name one: its id or its path.
    pub(crate) system: Option<String>,
    /// SHA-256 of the one certificate that is trusted.
    pub(crate) fingerprint: Option<String>,
    /// Who is trusted to make certificates, in place of the machine's own authorities.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) console: ConsoleKind,
    /// Options of the driver `plain`, which carries the console.
    pub(crate) ipmi: Map<String, Value>,
    /// Bounds a whole call.
    pub(crate) timeout_s: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            auth: Auth::Session,
            system: None,
            fingerprint: None,
            ca_file: None,
            console: ConsoleKind::None,
            ipmi: Map::new(),
            timeout_s: DEFAULT_TIMEOUT_S,
        }
    }
}

/// How mrp logs in (DSP0266, 13.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Auth {
    /// One session, which is kept.
    Session,
    /// Name and password with each request.
    Basic,
}

/// What carries the serial console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ConsoleKind {
    /// There is none.
    None,
    /// Serial over LAN.
    Ipmi,
}

/// JSON Schema of the options.
pub(crate) fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "auth": {
                "enum": ["session", "basic"], "default": "session",
                "description": "How mrp logs in: by a session that it keeps and ends, or with name and password in each \
                                request, for a service without sessions."
            },
            "system": {
                "type": "string", "minLength": 1, "maxLength": 1024,
                "description": "Which system, by its id or its path, where the service has several. A machine's bmc_info \
                                goes before it."
            },
            "fingerprint": {
                "type": "string", "pattern": "^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$",
                "description": "SHA-256 of the BMC's certificate, as openssl x509 -fingerprint -sha256 prints it: this \
                                certificate alone is trusted, whoever made it."
            },
            "ca_file": {
                "type": "string", "minLength": 1,
                "description": "PEM file on the server with the authorities that certificates may come from. Without it \
                                and without fingerprint those of the server's operating system count."
            },
            "console": {
                "enum": ["none", "ipmi"], "default": "none",
                "description": "What carries the serial console: ipmi is Serial over LAN with the same account, where the \
                                service says that it is offered."
            },
            "ipmi": {
                "type": "object", "default": {},
                "description": "Options of the driver plain, for the console."
            },
            "timeout_s": {
                "type": "integer", "minimum": 1, "maximum": 120, "default": DEFAULT_TIMEOUT_S,
                "description": "How long a whole call may take, tasks of the BMC with it."
            }
        }
    })
}

/// Reads the options of a BMC's configuration.
pub(crate) fn read(config: &BmcConfig) -> Result<Options, BmcError> {
    let options: Options = serde_json::from_value(Value::Object(config.options.clone()))
        .map_err(|error| BmcError::Config(format!("options: {error}")))?;
    if options.fingerprint.is_some() && options.ca_file.is_some() {
        let words =
            "the options fingerprint and ca_file exclude each other: a pinned certificate needs no authority";
        return Err(BmcError::Config(words.into()));
    }
    if options.console == ConsoleKind::None && !options.ipmi.is_empty() {
        return Err(BmcError::Config(
            "option ipmi is for the console, which option console switches on".into(),
        ));
    }
    if !(1..=120).contains(&options.timeout_s) {
        return Err(BmcError::Config("option timeout_s has to be from 1 to 120".into()));
    }
    Ok(options)
}

/// What opens the BMC that carries the console, at a port.
pub(crate) async fn open_ipmi(
    config: &BmcConfig,
    options: &Options,
    host: &str,
    port: u16,
) -> Result<IpmiBmc, BmcError> {
    let address = format!("{host}:{port}");
    IpmiBmc::open(BmcConfig { address, options: options.ipmi.clone(), ..config.clone() }).await
}
