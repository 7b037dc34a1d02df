//! The options of an IPMI BMC in mrp's configuration, and the address notation.

use std::time::Duration;

use mrp_core::bmc::{BmcConfig, BmcError};
use serde_json::{Map, Value, json};

use super::crypto::{CipherSuite, MAX_PASSWORD};
use super::session::{Login, Retry};
use super::wire::rakp::MAX_USER_NAME;
use super::wire::set_session_privilege::level;
use mrp_core::bmc::Privilege;

/// UDP port of RMCP.
const RMCP_PORT: u16 = 623;
/// The suites that a BMC may use unless its options say otherwise, the best first.
const DEFAULT_SUITES: [u8; 2] = [17, 3];

/// How a BMC is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// Switch off the 60 second expiry of boot flags (parameter 3).
    pub(crate) boot_expiry_off: bool,
    pub(crate) retry: Retry,
    /// Bounds a whole call.
    pub(crate) limit: Duration,
    /// How often an open console asks the BMC whether it still has it, which keeps its session.
    pub(crate) keep_alive: Duration,
}

/// JSON Schema of the options.
pub(crate) fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "cipher_suites": {
                "type": "array",
                "items": { "enum": CipherSuite::known_ids().collect::<Vec<_>>() },
                "minItems": 1,
                "default": DEFAULT_SUITES,
                "description": "The cipher suites that may be used, the best first. Suites other than 17 and 3 do not \
                                encrypt: name one only for a BMC that has nothing better. [17] forbids SHA-1 altogether."
            },
            "boot_expiry_off": {
                "type": "boolean",
                "default": true,
                "description": "Tells the BMC to keep boot flags longer than 60 seconds. Switch it off for a BMC that \
                                mishandles boot option parameter 3."
            },
            "retry_ms": {
                "type": "integer", "minimum": 10, "maximum": 10_000, "default": 500,
                "description": "How long the first try waits for an answer; each further one waits half as long again, \
                                up to 2 seconds."
            },
            "tries": {
                "type": "integer", "minimum": 1, "maximum": 50, "default": 5,
                "description": "How often a datagram is sent before the BMC counts as unreachable."
            },
            "timeout_ms": {
                "type": "integer", "minimum": 100, "maximum": 120_000, "default": 20_000,
                "description": "How long a whole call may take."
            },
            "keep_alive_ms": {
                "type": "integer", "minimum": 100, "maximum": 50_000, "default": 20_000,
                "description": "How often an open console asks the BMC whether it still has it. BMCs end sessions that                                 were idle for a minute; make it shorter for one that is less patient."
            }
        }
    })
}

/// Reads the options and the login of a BMC's configuration.
pub(crate) fn read(config: &BmcConfig) -> Result<(Options, Login), BmcError> {
    let options = &config.options;
    let known = ["cipher_suites", "boot_expiry_off", "retry_ms", "tries", "timeout_ms", "keep_alive_ms"];
    if let Some(unknown) = options.keys().find(|key| !known.contains(&key.as_str())) {
        let known = known.join(", ");
        return Err(BmcError::Config(format!("there is no option {unknown:?}; the options are: {known}")));
    }
    let tries = integer(options, "tries", 5, 1, 50)?;
    let read = Options {
        boot_expiry_off: match options.get("boot_expiry_off") {
            None => true,
            Some(Value::Bool(off)) => *off,
            Some(other) => return Err(wrong("boot_expiry_off", other, "true or false")),
        },
        retry: Retry {
            first_wait: Duration::from_millis(integer(options, "retry_ms", 500, 10, 10_000)?),
            tries: u32::try_from(tries).expect("at most 50"),
        },
        limit: Duration::from_millis(integer(options, "timeout_ms", 20_000, 100, 120_000)?),
        keep_alive: Duration::from_millis(integer(options, "keep_alive_ms", 20_000, 100, 50_000)?),
    };
    Ok((read, login(config)?))
}

fn login(config: &BmcConfig) -> Result<Login, BmcError> {
    if config.username.len() > MAX_USER_NAME {
        return Err(BmcError::Config(format!("the user name has more than {MAX_USER_NAME} bytes")));
    }
    if config.password.expose().len() > MAX_PASSWORD {
        return Err(BmcError::Config(format!(
            "the password has more than {MAX_PASSWORD} bytes, IPMI's limit"
        )));
    }
    Ok(Login {
        user_name: config.username.clone().into_bytes(),
        password: config.password.clone(),
        privilege: privilege_level(config.privilege),
        suites: suites(&config.options)?,
    })
}

fn suites(options: &Map<String, Value>) -> Result<Vec<CipherSuite>, BmcError> {
    let known = || CipherSuite::known_ids().map(|id| id.to_string()).collect::<Vec<_>>().join(", ");
    let expected = || format!("a list of cipher suites out of {}", known());
    let ids = match options.get("cipher_suites") {
        None => DEFAULT_SUITES.map(Value::from).to_vec(),
        Some(Value::Array(ids)) if !ids.is_empty() => ids.clone(),
        Some(other) => return Err(wrong("cipher_suites", other, &expected())),
    };
    let suite = |id: &Value| {
        let found = id.as_u64().and_then(|id| u8::try_from(id).ok()).and_then(CipherSuite::from_id);
        found.ok_or_else(|| wrong("cipher_suites", id, &expected()))
    };
    ids.iter().map(suite).collect()
}

fn integer(
    options: &Map<String, Value>,
    key: &str,
    default: u64,
    min: u64,
    max: u64,
) -> Result<u64, BmcError> {
    let Some(value) = options.get(key) else { return Ok(default) };
    let inside = value.as_u64().filter(|value| (min..=max).contains(value));
    inside.ok_or_else(|| wrong(key, value, &format!("a whole number from {min} to {max}")))
}

fn wrong(key: &str, value: &Value, expected: &str) -> BmcError {
    BmcError::Config(format!("option {key} is {value}, but has to be {expected}"))
}

/// The privilege level of section 6.8.
pub(crate) fn privilege_level(privilege: Privilege) -> u8 {
    match privilege {
        Privilege::User => level::USER,
        Privilege::Operator => level::OPERATOR,
        Privilege::Admin => level::ADMINISTRATOR,
    }
}

/// Reads `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address, and completes it to `host:port`.
pub(crate) fn address(text: &str) -> Result<String, BmcError> {
    let wrong = || BmcError::Config(format!("address {text:?} is neither host, host:port nor [IPv6]:port"));
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(wrong)?) };
        (format!("[{host}]"), port)
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        (format!("[{text}]"), None)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        }
    };
    let is_host = |host: &str| !host.is_empty() && !host.contains([' ', '/', '@']);
    let port = port.map_or(Ok(RMCP_PORT), |port| port.parse().map_err(|_| wrong()))?;
    if is_host(&host) && port != 0 { Ok(format!("{host}:{port}")) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use mrp_core::secret::Secret;

    use super::*;

    fn config(options: Value) -> BmcConfig {
        let Value::Object(options) = options else { panic!("options are an object") };
        BmcConfig {
            address: "bmc".into(),
            username: "admin".into(),
            password: Secret::new("secret"),
            privilege: Privilege::Admin,
            options,
        }
    }

    #[test]
    fn addresses_are_completed() {
        for (text, expected) in [
            ("bmc-1.example.org", "bmc-1.example.org:623"),
            ("10.0.0.1", "10.0.0.1:623"),
            ("10.0.0.1:6230", "10.0.0.1:6230"),
            ("fe80::1", "[fe80::1]:623"),
            ("[::1]", "[::1]:623"),
            ("[::1]:700", "[::1]:700"),
        ] {
            assert_eq!(address(text).unwrap(), expected);
        }
        for wrong in ["", ":623", "host:", "host:0", "host:99999", "[::1", "[::1]700", "[host]:1", "a b"] {
            assert!(matches!(address(wrong), Err(BmcError::Config(_))), "{wrong:?}");
        }
    }

    #[test]
    fn defaults_are_the_safe_suites() {
        let (options, login) = read(&config(json!({}))).unwrap();
        assert_eq!(login.suites.iter().map(|suite| suite.id()).collect::<Vec<_>>(), [17, 3]);
        assert!(options.boot_expiry_off);
        assert_eq!(login.privilege, 4);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (options, named) in [
            (json!({"ciphersuites": [3]}), "\"ciphersuites\""),
            (json!({"cipher_suites": [0]}), "cipher_suites is 0"),
            (json!({"cipher_suites": []}), "cipher_suites is []"),
            (json!({"boot_expiry_off": "yes"}), "boot_expiry_off is \"yes\""),
            (json!({"retry_ms": 1}), "retry_ms is 1"),
            (json!({"tries": 0}), "tries is 0"),
            (json!({"timeout_ms": -1}), "timeout_ms is -1"),
        ] {
            let error = read(&config(options)).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let mut long = config(json!({}));
        long.password = Secret::new("123456789012345678901");
        let error = read(&long).unwrap_err().to_string();
        assert!(error.contains("20 bytes") && !error.contains("12345"), "{error}");
    }

    #[test]
    fn the_schema_names_every_option() {
        let schema = schema();
        let mut options = serde_json::Map::new();
        for (name, property) in schema["properties"].as_object().unwrap() {
            options.insert(name.clone(), property["default"].clone());
        }
        assert!(read(&config(Value::Object(options))).is_ok(), "the defaults of the schema are accepted");
    }
}
