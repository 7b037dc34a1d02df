//! The options of an IPMI BMC in mrp's configuration, and the address notation.

use std::time::Duration;

use mrp_core::bmc::{BmcConfig, BmcError};
use serde_json::{Map, Value, json};

use super::bridge::{Hop, Route};
use super::crypto::{CipherSuite, MAX_PASSWORD};
use super::session::{Login, Retry};
use super::wire::rakp::MAX_USER_NAME;
use super::wire::set_session_privilege::level;
use super::wire::system_boot_options::BootFlags;
use mrp_core::bmc::Privilege;

/// The specification's, and Supermicro's.
const EFI_DISK_SELECTORS: [u8; 2] = [BootFlags::DISK, 0x24];
/// Steps of bridging that IPMI knows.
const MAX_STEPS: usize = 2;
/// The last cartridge that has an address of its own.
const LAST_CARTRIDGE: u8 = 63;
/// UDP port of RMCP.
const RMCP_PORT: u16 = 623;
/// The suites that a BMC may use unless its options say otherwise, the best first.
const DEFAULT_SUITES: [u8; 2] = [17, 3];

/// What is different about a kind of BMC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// Nodes are cartridges, whose number is the machine's `bmc_info`.
    pub cartridges: bool,
    /// There is no reset line: a reset is a power cycle.
    pub reset_is_cycle: bool,
}

/// A BMC with one machine.
pub(crate) const PLAIN: Quirks = Quirks { cartridges: false, reset_is_cycle: false };
/// HP Moonshot: a chassis manager with cartridges behind two steps of bridging.
pub(crate) const MOONSHOT: Quirks = Quirks { cartridges: true, reset_is_cycle: true };

/// How a BMC is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) quirks: Quirks,
    /// The way to the machine where that is not the BMC's own and is the same for every node.
    pub(crate) bridge: Route,
    /// Switch off the 60 second expiry of boot flags (parameter 3).
    pub(crate) boot_expiry_off: bool,
    /// Tell of a change of the boot options and that the firmware has not taken them (parameters 0 and 4).
    pub(crate) boot_handshake: bool,
    /// Boot device selector of the first disk in EFI mode, as bits 5..2 of the boot flags' second byte.
    pub(crate) efi_disk_selector: u8,
    pub(crate) retry: Retry,
    /// Bounds a whole call.
    pub(crate) limit: Duration,
    /// How often an open console asks the BMC whether it still has it, which keeps its session.
    pub(crate) keep_alive: Duration,
}

impl Options {
    /// The way to a node.
    pub(crate) fn route(&self, node: &str) -> Result<Route, BmcError> {
        if !self.quirks.cartridges {
            return Ok(self.bridge.clone());
        }
        let number = node.trim().parse::<u8>().ok().filter(|number| (1..=LAST_CARTRIDGE).contains(number));
        let Some(number) = number else {
            return Err(BmcError::Config(format!(
                "the node of a Moonshot chassis is a cartridge's number from 1 to {LAST_CARTRIDGE}, not {node:?}"
            )));
        };
        let controller = Hop { channel: 0, address: 0x80 + 2 * number };
        Ok(Route(vec![controller, Hop { channel: 7, address: 0x72 }]))
    }
}

/// JSON Schema of the options.
pub(crate) fn schema(quirks: Quirks) -> Value {
    let mut schema = common_schema();
    if !quirks.cartridges {
        schema["properties"]["bridge"] = json!({
            "type": "array", "maxItems": MAX_STEPS, "default": [],
            "items": {
                "type": "object", "additionalProperties": false, "required": ["channel", "address"],
                "properties": {
                    "channel": { "type": "integer", "minimum": 0, "maximum": 15 },
                    "address": { "type": "integer", "minimum": 2, "maximum": 254, "multipleOf": 2 }
                }
            },
            "description": "The way to a machine behind the BMC: one step or two, each a channel and the address on it, the \
                            nearest first. What ipmitool's -B and -T name is the first of two, -b and -t the last."
        });
    }
    schema
}

fn common_schema() -> Value {
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
            "boot_handshake": {
                "type": "boolean",
                "default": true,
                "description": "Tells the BMC when a change of the boot device begins and ends (boot option parameters 0 and \
                                4). A refusal does no harm; switch it off for a BMC that stays silent."
            },
            "efi_disk_selector": {
                "enum": EFI_DISK_SELECTORS,
                "default": BootFlags::DISK,
                "description": "What the BMC calls the first disk in EFI mode: 8 by the specification, 36 on Supermicro."
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
                "description": "How often an open console asks the BMC whether it still has it. BMCs end sessions that were idle for a minute; make it shorter for one that is less patient."
            }
        }
    })
}

/// Reads the options and the login of a BMC's configuration.
pub(crate) fn read(config: &BmcConfig, quirks: Quirks) -> Result<(Options, Login), BmcError> {
    let options = &config.options;
    let schema = schema(quirks);
    let known: Vec<&String> = schema["properties"].as_object().into_iter().flat_map(Map::keys).collect();
    if let Some(unknown) = options.keys().find(|key| !known.contains(key)) {
        let known = known.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ");
        return Err(BmcError::Config(format!("there is no option {unknown:?}; the options are: {known}")));
    }
    let tries = integer(options, "tries", 5, 1, 50)?;
    let read = Options {
        quirks,
        bridge: bridge(options)?,
        boot_expiry_off: boolean(options, "boot_expiry_off")?,
        boot_handshake: boolean(options, "boot_handshake")?,
        efi_disk_selector: efi_disk_selector(options)?,
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

fn bridge(options: &Map<String, Value>) -> Result<Route, BmcError> {
    let Some(value) = options.get("bridge") else { return Ok(Route::default()) };
    let expected =
        "a list of at most two steps, each with a channel from 0 to 15 and an even address from 2 to 254";
    let steps = value.as_array().filter(|steps| steps.len() <= MAX_STEPS);
    let step = |step: &Value| {
        let field =
            |name| step.get(name).and_then(Value::as_u64).and_then(|number| u8::try_from(number).ok());
        let (channel, address) = field("channel").zip(field("address"))?;
        (channel < 16 && address > 0 && address % 2 == 0).then_some(Hop { channel, address })
    };
    let hops: Option<Vec<Hop>> = steps.and_then(|steps| steps.iter().map(step).collect());
    hops.map(Route).ok_or_else(|| wrong("bridge", value, expected))
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

fn boolean(options: &Map<String, Value>, key: &str) -> Result<bool, BmcError> {
    match options.get(key) {
        None => Ok(true),
        Some(Value::Bool(on)) => Ok(*on),
        Some(other) => Err(wrong(key, other, "true or false")),
    }
}

fn efi_disk_selector(options: &Map<String, Value>) -> Result<u8, BmcError> {
    let key = "efi_disk_selector";
    let Some(value) = options.get(key) else { return Ok(BootFlags::DISK) };
    let known = EFI_DISK_SELECTORS.iter().find(|known| value.as_u64() == Some(u64::from(**known)));
    known.copied().ok_or_else(|| wrong(key, value, "8 or 36"))
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
        let (options, login) = read(&config(json!({})), PLAIN).unwrap();
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
            (json!({"boot_handshake": 1}), "boot_handshake is 1"),
            (json!({"efi_disk_selector": 12}), "efi_disk_selector is 12"),
            (json!({"retry_ms": 1}), "retry_ms is 1"),
            (json!({"tries": 0}), "tries is 0"),
            (json!({"timeout_ms": -1}), "timeout_ms is -1"),
            (json!({"bridge": [{"channel": 16, "address": 130}]}), "bridge is "),
            (json!({"bridge": [{"channel": 0, "address": 131}]}), "bridge is "),
            (json!({"bridge": [{"channel": 0}]}), "bridge is "),
            (json!({"bridge": 3}), "bridge is 3"),
        ] {
            let error = read(&config(options), PLAIN).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let mut long = config(json!({}));
        long.password = Secret::new("123456789012345678901");
        let error = read(&long, PLAIN).unwrap_err().to_string();
        assert!(error.contains("20 bytes") && !error.contains("12345"), "{error}");
    }

    #[test]
    fn the_schema_names_every_option() {
        for quirks in [PLAIN, MOONSHOT] {
            let schema = schema(quirks);
            let mut options = serde_json::Map::new();
            for (name, property) in schema["properties"].as_object().unwrap() {
                options.insert(name.clone(), property["default"].clone());
            }
            assert!(
                read(&config(Value::Object(options)), quirks).is_ok(),
                "the schema's defaults are accepted"
            );
        }
        let bridged = config(json!({"bridge": []}));
        assert!(read(&bridged, MOONSHOT).is_err(), "a cartridge has its way already");
    }

    #[test]
    fn a_cartridge_lies_behind_two_steps() {
        let two = |address| Route(vec![Hop { channel: 0, address }, Hop { channel: 7, address: 0x72 }]);
        let (moonshot, _) = read(&config(json!({})), MOONSHOT).unwrap();
        assert_eq!(moonshot.route("1").unwrap(), two(0x82));
        assert_eq!(moonshot.route(" 45 ").unwrap(), two(0xda));
        for wrong in ["", "0", "-1", "c1n1", "1.5", "64", "300"] {
            let error = moonshot.route(wrong).unwrap_err().to_string();
            assert!(error.contains("cartridge") && error.contains("from 1 to 63"), "{error}");
        }
        let steps = json!({"bridge": [{"channel": 0, "address": 130}]});
        let (plain, _) = read(&config(steps), PLAIN).unwrap();
        assert_eq!(plain.route("anything").unwrap(), Route(vec![Hop { channel: 0, address: 0x82 }]));
    }
}
