//! When an answer is the recorded one.

use serde_json::Value;

use super::differences::{DIFFERENCES, Difference, Shape};
use super::{Case, Same, boot};
use crate::lab::Answer;

/// How far an answer is the recorded one, or what is wrong with it.
pub(super) fn compare(case: &Case, answer: &Answer) -> Result<Same, String> {
    let same = same(case, answer);
    let Some(listed) = DIFFERENCES.iter().find(|listed| listed.cases.contains(&case.n)) else {
        return same;
    };
    if same.is_ok() {
        return Err(format!("no difference, but listed as {}", listed.name));
    }
    if !listed.statuses.contains(&answer.status) {
        return Err(format!("listed as {}, but with another status", listed.name));
    }
    shaped(listed, case, answer).map_err(|words| format!("listed as {}, but {words}", listed.name))
}

/// The same without any difference that is listed.
fn same(case: &Case, answer: &Answer) -> Result<Same, String> {
    if case.status != answer.status {
        return Err(format!("status {} instead of {}", answer.status, case.status));
    }
    headers(case, answer)?;
    if case.body == "*HTML*" {
        return Ok(Same::Shape("a page in HTML, whose words were not recorded".into()));
    }
    if case.body == answer.text {
        return Ok(Same::Bytes);
    }
    if let Some(old) = boot::parse(&case.body) {
        let new = boot::parse(&answer.text).ok_or("no boot configuration")?;
        return if boot::normal(old, &case.request_headers) == boot::normal(new, &case.request_headers) {
            let why = "a boot configuration of mrp's own, with the same kernel, initrd and arguments but for the URL of the answer file";
            Ok(Same::Shape(why.into()))
        } else {
            Err("another kernel, initrd or arguments".into())
        };
    }
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    let (Some(old), Some(new)) = (parsed(&case.body), parsed(&answer.text)) else {
        return Err("another body".into());
    };
    if sorted(old.clone()) == sorted(new.clone()) {
        return Ok(Same::Shape("the order of a list, which the original left to chance (Q10)".into()));
    }
    if masked(sorted(old), case) == masked(sorted(new), case) {
        return Ok(Same::Shape(
            "what is new at each call or site: a time of now, an id, a random part, a token, a port".into(),
        ));
    }
    Err("another body".into())
}

/// `Allow` may have more; the rest is the same.
fn headers(case: &Case, answer: &Answer) -> Result<(), String> {
    for name in ["Location", "Vary"] {
        let old = case.headers.get(name).map_or("", |old| old.trim_start_matches("http://127.0.0.1:5000"));
        let new = answer.header(name);
        if old != new {
            return Err(format!("{name}: {new:?} instead of {old:?}"));
        }
    }
    let words = |text: &str| text.split(", ").map(str::to_owned).collect::<Vec<String>>();
    let (old, new) = (case.headers.get("Allow").map_or("", String::as_str), answer.header("Allow"));
    let has = words(new);
    if !old.is_empty() && !words(old).iter().all(|method| has.contains(method)) {
        return Err(format!("Allow: {new:?} instead of {old:?}"));
    }
    Ok(())
}

/// Whether an answer that differs has the shape that the difference says.
fn shaped(listed: &Difference, case: &Case, answer: &Answer) -> Result<Same, String> {
    let json = || serde_json::from_str::<Value>(&answer.text).map_err(|_| "no JSON".to_owned());
    let right = match listed.shape {
        Shape::Refusal if ["/dhcp", "/tftp", "/preseed"].iter().any(|door| case.path.starts_with(door)) => {
            // Machines' routes refuse in a line of words. HEAD has none.
            case.method == "HEAD" || (answer.text.trim().len() > 3 && answer.text.trim().lines().count() == 1)
        }
        Shape::Refusal => {
            let body = json()?;
            let errors = body["errors"].as_array().ok_or("errors is no list")?;
            let words = |error: &Value| error.as_str().is_some_and(|text| !text.is_empty());
            body["error_type"].is_string() && !errors.is_empty() && errors.iter().all(words)
        }
        Shape::Is(check) => check(&json().unwrap_or(Value::String(answer.text.clone()))),
        Shape::LocalBoot => boot::is_local(&answer.text),
        Shape::Boot => boot::parse(&answer.text).is_some(),
        Shape::Uncompared(why) => return Ok(Same::Uncompared(why)),
    };
    if right {
        Ok(Same::Shape(format!("{}: {}", listed.allowed_by, listed.name)))
    } else {
        Err(format!("of another shape: {:.300}", answer.text))
    }
}

fn sorted(mut value: Value) -> Value {
    if let Value::Array(list) = &mut value {
        list.sort_by_key(|item| item["id"].as_i64());
    }
    value
}

/// Without what is new at each call. An id is new in the answer to a request that makes something.
fn masked(mut value: Value, case: &Case) -> Value {
    match &mut value {
        Value::Array(list) => list.iter_mut().for_each(|item| *item = masked(item.take(), case)),
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                let text = item.as_str().unwrap_or_default();
                match key.as_str() {
                    "upload_date" | "last_seen_date" if is_date(text) && !text.contains("2018") => {
                        *item = "a date".into();
                    }
                    "name" if is_hex(text.rsplit_once('.').map_or("", |(_, suffix)| suffix), 8) => {
                        *item = Value::String(text[..text.len() - 8].to_owned());
                    }
                    "port" if item.is_u64() => *item = "a port".into(),
                    "token" if is_hex(text, 48) => *item = "a token".into(),
                    "id" if case.status == 201 && item.is_u64() => *item = "an id".into(),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    value
}

/// RFC 1123.
fn is_date(text: &str) -> bool {
    httpdate::parse_http_date(text).is_ok() && text.len() == 29 && text.ends_with(" GMT")
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
