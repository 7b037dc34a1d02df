//! Facts of a JSON object, for tables.

use serde_json::Value;

/// A fact as people read it: text without quotes, nothing for `null` and for what is not there.
pub(super) fn field(object: &Value, name: &str) -> String {
    match &object[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_shown_without_quotes() {
        let object = serde_json::json!({"a": "x", "b": 2, "c": null});
        assert_eq!((field(&object, "a"), field(&object, "b")), ("x".into(), "2".into()));
        assert_eq!((field(&object, "c"), field(&object, "e")), (String::new(), String::new()));
    }
}
