//! Bad input on every route: what is walked is the table of routes, and what is sent follows from its document.

use std::time::Duration;

use mrp_web::{RouteInfo, Who, people_document, people_routes};
use serde_json::{Map, Value, json};

use crate::lab::{ADMIN, Answer, BOB, Lab};
use crate::tour::TOUR;

/// Bodies of what the tour does not do.
const OTHERS: &[(&str, &str)] = &[
    ("test_bmc", r#"{"node": ""}"#),
    ("lint_unsaved_preseed", r#"{"content": "x", "type": "preseed"}"#),
    ("render_unsaved_preseed", r#"{"content": "x", "type": "preseed", "machine": 1}"#),
];
/// Texts of their own form, which may be long.
const LONG: &[&str] = &["content"];
/// Texts that may have any character.
const RAW: &[&str] = &["content", "password", "current_password"];

/// A route with its entry in the document.
struct Entry {
    route: RouteInfo,
    operation: Value,
}

impl Entry {
    fn all() -> Vec<Self> {
        let document = people_document();
        let entry = |route: RouteInfo| {
            let operation = document["paths"][route.path][route.method.to_lowercase()].clone();
            Entry { route, operation }
        };
        let streams = |entry: &Entry| entry.route.operation.starts_with("follow_");
        people_routes().into_iter().map(entry).filter(|entry| !streams(entry)).collect()
    }

    /// Those that take JSON.
    fn with_json() -> Vec<Self> {
        let all = Self::all().into_iter();
        let found: Vec<Self> = all.filter(|entry| !entry.schema().is_null()).collect();
        assert!(found.len() > 20, "the document has lost its bodies");
        found
    }

    fn schema(&self) -> &Value {
        &self.operation["requestBody"]["content"]["application/json"]["schema"]
    }

    /// The path to an object that is there, or where every id is this one.
    fn path(&self, id: &str) -> String {
        let segment = |segment: &str| match (segment, id) {
            ("{mac}", "1") => "52:54:00:aa:00:01".to_owned(),
            ("{mac}", "999999") => "52:54:00:ff:ff:ff".to_owned(),
            ("{upload}", "999999") => "0".repeat(32),
            (segment, id) if segment.starts_with('{') => id.to_owned(),
            (segment, _) => segment.to_owned(),
        };
        let path = self.route.path.split('/').map(segment).collect::<Vec<_>>().join("/");
        let parameters = self.operation["parameters"].as_array().into_iter().flatten();
        let needed =
            parameters.filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
        let query: Vec<String> =
            needed.map(|parameter| format!("{}=1", parameter["name"].as_str().unwrap())).collect();
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    fn has_id(&self) -> bool {
        self.route.path.contains('{')
    }

    /// A body that is right.
    fn body(&self) -> Map<String, Value> {
        if self.schema().is_null() {
            return Map::new();
        }
        let operation = self.route.operation;
        let on_tour = TOUR.iter().map(|(name, _, _, body)| (*name, *body)).chain(OTHERS.iter().copied());
        let found = on_tour.clone().find(|(name, _)| *name == operation);
        let (_, body) = found.unwrap_or_else(|| panic!("{operation} has a body, and none stands here"));
        serde_json::from_str(body).unwrap()
    }

    /// What its body may have, with all that a value may be.
    fn properties(&self) -> Vec<(String, Vec<Value>)> {
        let document = people_document();
        let mut properties = Vec::new();
        for schema in variants(&document, self.schema()) {
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                properties.push((name.clone(), variants(&document, schema)));
            }
        }
        assert!(!properties.is_empty(), "{:?}: {}", self.route, self.schema());
        properties
    }

    async fn ask(&self, lab: &Lab, token: &str, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = lab.request(self.route.method, path).header("authorization", token);
        let content = self.operation["requestBody"]["content"].as_object();
        let content_type = content.and_then(|content| content.keys().next()).map_or("", String::as_str);
        let request = request.header("tus-resumable", "1.0.0").header("upload-offset", "0");
        let request = request.header("content-type", content_type);
        Answer::of(request.body(body).send().await.unwrap()).await
    }

    async fn ask_with(&self, lab: &Lab, name: &str, value: Value) -> Answer {
        let mut body = self.body();
        body.insert(name.to_owned(), value);
        self.ask(lab, ADMIN, &self.path("1"), Value::Object(body).to_string()).await
    }
}

/// A schema with what it refers to, taken apart.
fn variants(document: &Value, schema: &Value) -> Vec<Value> {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return variants(document, &document["components"]["schemas"][name]);
    }
    let inner = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
    let mut found = vec![schema.clone()];
    inner.for_each(|inner| found.extend(variants(document, inner)));
    found
}

fn is_of(variants: &[Value], kind: &str) -> bool {
    let has = |schema: &Value| match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|of| of == kind),
        of => of == kind,
    };
    variants.iter().any(has)
}

/// What is wrong with an answer that has to be a refusal with its class and words.
fn refused(answer: &Answer) -> Option<String> {
    if !(400..500).contains(&answer.status) {
        return Some(format!("{} {:.200}", answer.status, answer.text));
    }
    let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    let is_shaped = body["error_type"].is_string() && body["errors"].is_array();
    (!is_shaped && answer.status != 401)
        .then(|| format!("{} without its shape: {:.200}", answer.status, answer.text))
}

#[tokio::test]
async fn malformed_json_is_refused_everywhere() {
    let lab = Lab::start().await;
    let mut wrong = Vec::new();
    let deep = "[".repeat(100_000);
    let bodies: [&[u8]; 10] = [
        b"{",
        b"[1",
        b"nul",
        br#"{"a": 1,}"#,
        b"\xff\xfe{}",
        br#"{"a": "\ud800"}"#,
        b"3",
        b"[]",
        b"\"x\"",
        deep.as_bytes(),
    ];
    for entry in Entry::with_json() {
        for body in bodies {
            let answer = entry.ask(&lab, ADMIN, &entry.path("1"), body.to_vec()).await;
            wrong.extend(
                refused(&answer)
                    .map(|what| format!("{:?} {:.20}: {what}", entry.route, String::from_utf8_lossy(body))),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    lab.stop().await;
}

#[tokio::test]
async fn values_of_wrong_types_are_refused_everywhere() {
    let lab = Lab::start().await;
    let mut wrong = Vec::new();
    for entry in Entry::with_json() {
        for (name, kinds) in entry.properties() {
            let value = if is_of(&kinds, "object") { json!([[1]]) } else { json!({"a": [1]}) };
            let answer = entry.ask_with(&lab, &name, value).await;
            wrong.extend(refused(&answer).map(|what| format!("{:?} {name}: {what}", entry.route)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    lab.stop().await;
}

#[tokio::test]
async fn over_long_and_unprintable_texts_are_refused_everywhere() {
    let lab = Lab::start().await;
    let mut wrong = Vec::new();
    for entry in Entry::with_json() {
        for (name, _) in entry.properties().into_iter().filter(|(_, kinds)| is_of(kinds, "string")) {
            let mut note = |what: Option<String>, text: &str| {
                wrong.extend(what.map(|what| format!("{:?} {name} {text}: {what}", entry.route)));
            };
            let answer = entry.ask_with(&lab, &name, json!("x".repeat(70_000))).await;
            if LONG.contains(&&*name) {
                note((answer.status >= 500).then(|| format!("{answer:?}")), "long");
            } else {
                note(refused(&answer), "long");
            }
            for text in ["pass\u{7}word", "pass\u{0}word", "\u{1b}[31mpassword"] {
                let answer = entry.ask_with(&lab, &name, json!(text)).await;
                if RAW.contains(&&*name) {
                    note((answer.status >= 500).then(|| format!("{answer:?}")), text);
                } else {
                    note(refused(&answer), text);
                }
            }
            for text in ["é🦀\u{202e}\u{301}", "\u{10ffff}", " ", "'; DROP TABLE users; --"] {
                let answer = entry.ask_with(&lab, &name, json!(text)).await;
                // 502 is what the BMC made of it.
                note((answer.status >= 500 && answer.status != 502).then(|| format!("{answer:?}")), text);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    lab.stop().await;
}

#[tokio::test]
async fn ids_beyond_any_object_are_refused_everywhere() {
    let lab = Lab::start().await;
    let mut wrong = Vec::new();
    let ids = [
        "2147483648",
        "4294967297",
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999",
        "-1",
        "0",
        "1e3",
        "%C3%A9",
        "%00",
        "1%0A",
    ];
    for entry in Entry::all().into_iter().filter(Entry::has_id) {
        for id in ids {
            let answer =
                entry.ask(&lab, ADMIN, &entry.path(id), Value::Object(entry.body()).to_string()).await;
            // A WebSocket's handshake comes before its path.
            let expected = if entry.route.who == Who::Ticket { &[404, 426][..] } else { &[400, 404, 405] };
            if !expected.contains(&answer.status) {
                wrong.push(format!("{:?} {id}: {answer:?}", entry.route));
            }
        }
    }
    for entry in Entry::with_json() {
        for (name, _) in entry.properties().into_iter().filter(|(_, kinds)| is_of(kinds, "integer")) {
            for id in ["2147483648", "9223372036854775807", "9223372036854775808", "1e300", "-1"] {
                let answer = entry.ask_with(&lab, &name, serde_json::from_str(id).unwrap()).await;
                wrong.extend(refused(&answer).map(|what| format!("{:?} {name} {id}: {what}", entry.route)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    lab.stop().await;
}

#[tokio::test]
async fn objects_that_are_not_there_are_not_found_everywhere() {
    let lab = Lab::start().await;
    let mut wrong = Vec::new();
    for entry in Entry::all().into_iter().filter(|entry| entry.has_id() && entry.route.who != Who::Anyone) {
        let path = entry.path("999999");
        let answer = entry.ask(&lab, ADMIN, &path, Value::Object(entry.body()).to_string()).await;
        let expected = if entry.route.who == Who::Ticket { 426 } else { 404 };
        if answer.status != expected {
            wrong.push(format!("{:?}: {answer:?}", entry.route));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    lab.stop().await;
}

#[tokio::test]
async fn what_is_anothers_is_refused_everywhere() {
    let lab = Lab::start().await;
    let mut wrong = Vec::new();
    let theirs = |who: Who| matches!(who, Who::Holder | Who::Owner);
    for entry in Entry::all().into_iter().filter(|entry| theirs(entry.route.who)) {
        let body = Value::Object(entry.body()).to_string();
        let answer = entry.ask(&lab, BOB, &entry.path("1"), body).await;
        if ![403, 404].contains(&answer.status) {
            wrong.push(format!("{:?}: {answer:?}", entry.route));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    lab.stop().await;
}

#[tokio::test]
async fn an_expired_token_opens_nothing() {
    let lab = Lab::start().await;
    let expires = lab.service.now() + Duration::from_secs(3600);
    let body = json!({"description": "for an hour", "scope": "admin", "expires": expires});
    let issued = lab.expect(201, ADMIN, "POST", "/api/v1/token", &body.to_string()).await;
    let token = issued["token"].as_str().unwrap();
    assert_eq!(lab.get(token, "/api/v1/machine").await.status, 200);
    lab.clock.advance(Duration::from_secs(3600));
    for entry in Entry::all().into_iter().filter(|entry| entry.route.who != Who::Anyone) {
        let answer = entry.ask(&lab, token, &entry.path("1"), "{}").await;
        assert_eq!((answer.status, &*answer.text), (401, ""), "{:?}", entry.route);
    }
    lab.stop().await;
}

#[tokio::test]
async fn what_has_moved_is_not_changed_anywhere() {
    let lab = Lab::start().await;
    let mut wrong = Vec::new();
    let conditional = |entry: &Entry| {
        let parameters = entry.operation["parameters"].as_array();
        parameters
            .is_some_and(|parameters| parameters.iter().any(|parameter| parameter["name"] == "If-Match"))
    };
    let entries: Vec<Entry> = Entry::all().into_iter().filter(conditional).collect();
    assert!(entries.len() > 15, "the document has lost its conditions");
    for entry in entries {
        let request = lab.request(entry.route.method, &entry.path("1")).header("authorization", ADMIN);
        let request = request.header("if-match", "\"99\"").body(Value::Object(entry.body()).to_string());
        let answer = Answer::of(request.send().await.unwrap()).await;
        if answer.status != 412 {
            wrong.push(format!("{:?}: {answer:?}", entry.route));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    lab.stop().await;
}
