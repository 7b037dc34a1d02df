//! The bodies of mr-provisioner's routes, checked key by key as it did: ids may be strings, unknown keys are ignored
//! where it ignored them, and the class of the refusal is its own.

use std::str::FromStr;

use mrp_core::id::{Id, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// The keys of a JSON object.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

/// Understands a body of a route that mr-provisioner did not have: exactly the keys of `T`. The refusal names the key.
pub(crate) fn exact<T: DeserializeOwned>(mut value: Value) -> Result<T, ApiError> {
    if !value.is_object() {
        return Err(unexpected("the body has to be a JSON object"));
    }
    integers(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        if message.starts_with("unknown field") {
            return ApiError::Schema { class: "SchemaWrongKeyError", message };
        }
        if message.starts_with("missing field") {
            return ApiError::Schema { class: "SchemaMissingKeyError", message };
        }
        unexpected(&if path == "." { message } else { format!("{path}: {message}") })
    })
}

/// Writes `5.0` as `5`: to JSON Schema (2020-12, core 4.2.2) both are the same integer.
fn integers(value: &mut Value) {
    /// Up to here each integer has a floating-point number of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Array(values) => values.iter_mut().for_each(integers),
        Value::Object(map) => map.values_mut().for_each(integers),
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) =
                number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < EXACT)
            {
                #[allow(clippy::cast_possible_truncation, reason = "whole and in bounds")]
                let whole = whole as i64;
                *value = whole.into();
            }
        }
        _ => {}
    }
}

impl Fields {
    /// The keys of a body; it has to be an object.
    pub(crate) fn of(value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(unexpected("the body has to be a JSON object")),
        }
    }

    /// Refuses other keys than these.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(ApiError::Schema {
                class: "SchemaWrongKeyError",
                message: format!("Wrong key {}; the keys are {}", quoted(key), list(known)),
            }),
        }
    }

    /// Refuses a body that lacks one of these.
    pub(crate) fn require(&self, keys: &[&str]) -> Result<(), ApiError> {
        let missing: Vec<&str> = keys.iter().copied().filter(|key| !self.0.contains_key(*key)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!("Missing keys: {}", list(&missing));
        Err(ApiError::Schema { class: "SchemaMissingKeyError", message })
    }

    /// The raw value of a key.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Text of at most `max` characters.
    pub(crate) fn text(&self, key: &str, max: usize) -> Result<Option<String>, ApiError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= max => Ok(Some(text.clone())),
            Some(Value::String(text)) => {
                let length = text.chars().count();
                Err(ApiError::schema(format!("{key}: {length} characters; at most {max} are allowed")))
            }
            Some(other) => Err(ApiError::schema(format!("{key}: text is needed, not {}", kind(other)))),
        }
    }

    /// Text or `null`.
    pub(crate) fn nullable_text(&self, key: &str, max: usize) -> Result<Option<Option<String>>, ApiError> {
        match self.0.get(key) {
            Some(Value::Null) => Ok(Some(None)),
            _ => Ok(self.text(key, max)?.map(Some)),
        }
    }

    /// A time as RFC 3339 writes it, or `null`.
    pub(crate) fn time(&self, key: &str) -> Result<Option<Option<Timestamp>>, ApiError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        match value {
            Value::Null => Ok(Some(None)),
            value => serde_json::from_value(value.clone()).map(|time| Some(Some(time))).map_err(|_| {
                ApiError::schema(format!("{key}: a time such as 2030-01-31T18:00:00Z is needed"))
            }),
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, ApiError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(unexpected(&format!("{key}: true or false is needed, not {}", kind(other)))),
        }
    }

    /// An id as a number, a string, a fraction or a truth value, or `null`.
    pub(crate) fn id<T>(&self, key: &str) -> Result<Option<Option<Id<T>>>, ApiError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let number = match value {
            Value::Null => return Ok(Some(None)),
            Value::Bool(flag) => Some(i64::from(*flag)),
            Value::String(text) => text.trim().parse().ok(),
            #[allow(clippy::cast_possible_truncation, reason = "2.7 is 2, as in mr-provisioner")]
            Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|number| number as i64)),
            Value::Array(_) | Value::Object(_) => None,
        };
        match number {
            Some(number) => Ok(Some(Some(Id::new(number)))),
            None => Err(ApiError::schema(format!("{key}: an id or null is needed, not {}", kind(value)))),
        }
    }

    /// A word that a noun understands.
    pub(crate) fn word<T: FromStr<Err = String>>(&self, key: &str) -> Result<Option<T>, ApiError> {
        let Some(word) = self.text(key, 64)? else { return Ok(None) };
        word.parse().map(Some).map_err(|message| ApiError::schema(format!("{key}: {message}")))
    }
}

fn unexpected(message: &str) -> ApiError {
    ApiError::Schema { class: "SchemaUnexpectedTypeError", message: message.to_owned() }
}

fn list(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("'{key}'")).collect::<Vec<_>>().join(", ")
}

/// A key as a client sent it, short enough to be repeated.
fn quoted(key: &str) -> String {
    format!("'{}'", key.chars().take(64).collect::<String>().escape_debug())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "this text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use mrp_core::machine::Machine;
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_read_in_every_form_that_old_clients_send() {
        let fields =
            Fields::of(json!({"a": "2", "b": 2.7, "c": true, "d": null, "e": "x", "f": []})).unwrap();
        let id = |key: &str| fields.id::<Machine>(key).ok().flatten().map(|id| id.map(Id::get));
        assert_eq!(
            ["a", "b", "c", "d", "g"].map(id),
            [Some(Some(2)), Some(Some(2)), Some(Some(1)), Some(None), None]
        );
        assert!(fields.id::<Machine>("e").is_err() && fields.id::<Machine>("f").is_err());
    }

    #[test]
    fn refusals_name_the_key() {
        let said = |error: ApiError| match error {
            ApiError::Schema { class, message } => format!("{class} {message}"),
            other => format!("{other:?}"),
        };
        let arch = |body| exact::<mrp_core::api::NewArch>(body).map(|_| ()).map_err(said).unwrap_err();
        assert_eq!(
            arch(json!({"name": "a", "x": 1})),
            "SchemaWrongKeyError unknown field `x`, expected `name` or `description`"
        );
        assert_eq!(arch(json!({})), "SchemaMissingKeyError missing field `name`");
        assert_eq!(
            arch(json!({"name": 5})),
            "SchemaUnexpectedTypeError name: invalid type: integer `5`, expected a string"
        );
        assert_eq!(arch(json!([])), "SchemaUnexpectedTypeError the body has to be a JSON object");
    }
}
