//! The drivers of a program by name: those that are linked in and those that come as plugins at run time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jsonschema::Validator;
use serde_json::{Map, Value};

use super::{Bmc, BmcConfig, BmcError, Node, OpenBmc};

/// Opens a BMC from its configuration, whose options are valid.
pub type Opener = Arc<dyn Fn(BmcConfig) -> BoxFuture<'static, Result<Arc<dyn Bmc>, BmcError>> + Send + Sync>;

/// A driver as it is registered.
#[derive(Clone)]
struct Driver {
    options: Value,
    validator: Arc<Validator>,
    node: Value,
    node_validator: Arc<Validator>,
    open: Opener,
}

/// Why a driver could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum NotRegistered {
    /// There is a driver of that name.
    #[error("there is a driver {0:?} already")]
    Taken(String),
    /// The name is not one to write in a configuration.
    #[error(
        "a driver's name has lower-case letters, digits, - and _ and at most 64 characters; {0:?} does not"
    )]
    Name(String),
    /// The schema of the options is none.
    #[error("the schema of its options is no JSON Schema: {0}")]
    Schema(String),
    /// The schema of its nodes' addresses is none.
    #[error("the schema of its nodes is no JSON Schema: {0}")]
    NodeSchema(String),
}

/// The drivers that this program has, by name.
#[derive(Clone, Default)]
pub struct Drivers(BTreeMap<String, Driver>);

impl fmt::Debug for Drivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Drivers {
    /// No drivers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a driver that is linked in.
    ///
    /// # Panics
    /// If a driver of that name is there already, or its name or schema is wrong: two parts of the program disagree.
    #[must_use]
    pub fn with<B: OpenBmc>(mut self) -> Self {
        let open: Opener =
            Arc::new(|config| Box::pin(async move { Ok(Arc::new(B::open(config).await?) as Arc<dyn Bmc>) }));
        if let Err(error) = self.add(B::DRIVER, B::options(), B::node(), open) {
            panic!("BMC driver {:?}: {error}", B::DRIVER);
        }
        self
    }

    /// Adds a driver that was found at run time: its name, the JSON Schemas of its options and of its nodes' addresses, and
    /// how a BMC is opened.
    pub fn add(
        &mut self,
        name: &str,
        options: Value,
        node: Value,
        open: Opener,
    ) -> Result<(), NotRegistered> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            return Err(NotRegistered::Name(name.chars().take(64).collect()));
        }
        if self.0.contains_key(name) {
            return Err(NotRegistered::Taken(name.to_owned()));
        }
        let validator = jsonschema::validator_for(&options);
        let validator = Arc::new(validator.map_err(|error| NotRegistered::Schema(error.to_string()))?);
        let node_validator = jsonschema::validator_for(&node);
        let node_validator =
            Arc::new(node_validator.map_err(|error| NotRegistered::NodeSchema(error.to_string()))?);
        self.0.insert(name.to_owned(), Driver { options, validator, node, node_validator, open });
        Ok(())
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// JSON Schema of a driver's options.
    pub fn options(&self, driver: &str) -> Option<&Value> {
        self.0.get(driver).map(|driver| &driver.options)
    }

    /// JSON Schema of the addresses of a driver's nodes.
    pub fn node(&self, driver: &str) -> Option<&Value> {
        self.0.get(driver).map(|driver| &driver.node)
    }

    /// Checks a BMC's options against the schema of its driver. What is wrong names the option.
    pub fn check_options(&self, driver: &str, options: &Map<String, Value>) -> Result<(), BmcError> {
        let found = self.get(driver)?;
        check_names(&found.options, options)?;
        let options = Value::Object(options.clone());
        let Some(error) = found.validator.iter_errors(&options).next() else { return Ok(()) };
        let at = error.instance_path().to_string();
        let option = at.trim_start_matches('/').replace('/', ".");
        Err(BmcError::Config(match option.as_str() {
            "" => format!("options: {error}"),
            option => format!("option {option}: {error}"),
        }))
    }

    /// Checks a node's address against the schema of its driver. Of a driver that is not there nothing is known.
    pub fn check_node(&self, driver: &str, node: &Node) -> Result<(), BmcError> {
        let Ok(found) = self.get(driver) else { return Ok(()) };
        let address = Value::String(node.0.clone());
        let Some(error) = found.node_validator.iter_errors(&address).next() else { return Ok(()) };
        let expected = found.node["description"].as_str().map(|words| format!("; it is: {words}"));
        Err(BmcError::Config(format!("{error}{}", expected.unwrap_or_default())))
    }

    /// Opens a BMC by its driver's name. An unknown name is [`BmcError::Config`] and lists the known ones.
    pub async fn open(&self, driver: &str, config: BmcConfig) -> Result<Arc<dyn Bmc>, BmcError> {
        self.check_options(driver, &config.options)?;
        (self.get(driver)?.open)(config).await
    }

    fn get(&self, driver: &str) -> Result<&Driver, BmcError> {
        self.0.get(driver).ok_or_else(|| {
            let known = self.names().join(", ");
            BmcError::Config(format!("there is no driver {driver:?}; the drivers are: {known}"))
        })
    }
}

/// Names an option that the schema does not have, where it allows no other: what a schema's own error says of it is not for
/// people.
fn check_names(schema: &Value, options: &Map<String, Value>) -> Result<(), BmcError> {
    if schema["additionalProperties"] != Value::Bool(false) || schema.get("patternProperties").is_some() {
        return Ok(());
    }
    let known: Vec<&str> =
        schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    match options.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) if known.is_empty() => {
            Err(BmcError::Config(format!("there is no option {unknown:?}; the driver has none")))
        }
        Some(unknown) => {
            let known = known.join(", ");
            Err(BmcError::Config(format!("there is no option {unknown:?}; the options are: {known}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bmc::any_node;

    fn never() -> Opener {
        Arc::new(|_| Box::pin(async { Err(BmcError::Config("never opened".into())) }))
    }

    fn options(options: Value) -> Map<String, Value> {
        options.as_object().unwrap().clone()
    }

    #[test]
    fn a_wrong_option_is_named() {
        let mut drivers = Drivers::new();
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["script"],
            "properties": {
                "script": {"type": "string"},
                "seconds": {"type": "integer", "minimum": 1},
                "outlet": {"type": "object", "properties": {"number": {"enum": [1, 2]}}},
            }
        });
        drivers.add("acme", schema, any_node(), never()).unwrap();
        let check = |given: Value| drivers.check_options("acme", &options(given)).map_err(|e| e.to_string());
        assert_eq!(check(json!({"script": "x", "seconds": 3, "outlet": {"number": 2}})), Ok(()));
        for (given, says) in [
            (json!({}), "\"script\""),
            (
                json!({"script": "x", "sceonds": 3}),
                "no option \"sceonds\"; the options are: outlet, script, seconds",
            ),
            (json!({"script": "x", "seconds": 0}), "option seconds: 0 is less than the minimum of 1"),
            (json!({"script": 3}), "option script: 3 is not of type \"string\""),
            (json!({"script": "x", "outlet": {"number": 3}}), "option outlet.number: 3 is not one of"),
        ] {
            let error = check(given).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let none = json!({"type": "object", "additionalProperties": false});
        drivers.add("none", none, any_node(), never()).unwrap();
        let error = drivers.check_options("none", &options(json!({"colour": 3}))).unwrap_err().to_string();
        assert!(error.ends_with("there is no option \"colour\"; the driver has none"), "{error}");
        let unknown = drivers.check_options("acne", &Map::new()).unwrap_err().to_string();
        assert!(unknown.contains("no driver \"acne\"; the drivers are: acme, none"), "{unknown}");
    }

    #[test]
    fn what_cannot_be_registered_says_why() {
        let mut drivers = Drivers::new();
        drivers.add("acme", json!({}), any_node(), never()).unwrap();
        for (name, schema, says) in [
            ("acme", json!({}), "already"),
            ("Acme BMC", json!({}), "lower-case"),
            ("", json!({}), "lower-case"),
            ("other", json!({"type": "objekt"}), "no JSON Schema"),
            ("other", json!(3), "no JSON Schema"),
        ] {
            let error = drivers.add(name, schema, any_node(), never()).unwrap_err().to_string();
            assert!(error.contains(says), "{name}: {error}");
        }
        let error = drivers.add("other", json!({}), json!({"type": "strnig"}), never()).unwrap_err();
        assert!(error.to_string().starts_with("the schema of its nodes is no JSON Schema"), "{error}");
        assert_eq!(drivers.names(), ["acme"]);
    }

    #[test]
    fn a_wrong_node_is_told_what_one_is() {
        let mut drivers = Drivers::new();
        let slots = json!({"type": "string", "pattern": "^slot-[1-8]$", "description": "slot-1 to slot-8"});
        drivers.add("blades", json!({}), slots, never()).unwrap();
        drivers.add("any", json!({}), any_node(), never()).unwrap();
        let check = |driver: &str, node: &str| {
            drivers.check_node(driver, &Node(node.to_owned())).map_err(|error| error.to_string())
        };
        for (driver, node) in [("blades", "slot-8"), ("any", ""), ("any", "what\never"), ("gone", "x")] {
            assert_eq!(check(driver, node), Ok(()), "{driver} {node}");
        }
        for wrong in ["", "slot-9", "slot-1 ", "1"] {
            let error = check("blades", wrong).unwrap_err();
            assert!(
                error.contains(&format!("{wrong:?}")) && error.ends_with("; it is: slot-1 to slot-8"),
                "{error}"
            );
        }
    }
}
