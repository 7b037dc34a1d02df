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

/// A list of words.
pub(super) fn words(object: &Value, name: &str) -> String {
    let words = object[name].as_array().map(Vec::as_slice).unwrap_or_default();
    words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_shown_without_quotes() {
        let object = serde_json::json!({"a": "x", "b": 2, "c": null, "d": ["y", "z"]});
        assert_eq!((field(&object, "a"), field(&object, "b")), ("x".into(), "2".into()));
        assert_eq!((field(&object, "c"), field(&object, "e")), (String::new(), String::new()));
        assert_eq!((words(&object, "d"), words(&object, "a")), ("y z".into(), String::new()));
    }
}
