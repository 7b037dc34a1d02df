//! mr-provisioner's recorded requests, asked again: status and body are the same, but for the differences that are
//! listed here and, in the same words, in `docs/api-differences.md`.

use std::collections::BTreeMap;

use base64::Engine;
use serde::Deserialize;
use serde_json::Value;

use crate::lab::{Answer, BOB, Lab};

mod differences;

use differences::DIFFERENCES;

/// One recorded request with its answer.
#[derive(Debug, Clone, Deserialize)]
struct Case {
    n: u32,
    group: String,
    method: String,
    path: String,
    request_headers: BTreeMap<String, String>,
    #[serde(default)]
    request_body: String,
    #[serde(default)]
    multipart: Option<Multipart>,
    status: u16,
    body: String,
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Multipart {
    fields: BTreeMap<String, String>,
    files: Vec<FilePart>,
}

#[derive(Debug, Clone, Deserialize)]
struct FilePart {
    part: String,
    filename: Option<String>,
    base64: String,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("data/cases.json")).unwrap()
}

#[tokio::test]
async fn old_clients_get_what_they_got_but_for_the_listed_differences() {
    let mut groups: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in cases() {
        groups.entry(case.group.clone()).or_default().push(case);
    }
    let mut wrong = Vec::new();
    for cases in groups.into_values() {
        let lab = Lab::start().await;
        for case in cases {
            if case.n == 224 {
                // The recording had given this machine back in between.
                lab.expect(204, BOB, "DELETE", "/api/v1/machine/2/assignee/self", "").await;
            }
            let answer = replay(&lab, &case).await;
            let difference = difference(&case, &answer);
            let listed = DIFFERENCES.iter().find(|listed| listed.cases.contains(&case.n));
            let problem = match (&difference, listed) {
                (None, None) => continue,
                (Some(_), Some(listed)) if listed.statuses.contains(&answer.status) => continue,
                (Some(words), Some(listed)) => format!("listed as {}, but {words}", listed.name),
                (Some(words), None) => words.clone(),
                (None, Some(listed)) => format!("no difference, but listed as {}", listed.name),
            };
            wrong.push(format!(
                "{} {} {} {}: {problem}\n     old: {} {:.200}\n     new: {} {:.200}",
                case.n,
                case.method,
                case.path,
                case.request_body,
                case.status,
                case.body,
                answer.status,
                answer.text
            ));
        }
        lab.stop().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn replay(lab: &Lab, case: &Case) -> Answer {
    let mut request = lab.request(&case.method, &case.path);
    for (name, value) in &case.request_headers {
        request = request.header(name, value);
    }
    request = match &case.multipart {
        Some(multipart) => {
            let (boundary, body) = encode(multipart);
            request.header("content-type", format!("multipart/form-data; boundary={boundary}")).body(body)
        }
        None if case.request_body.is_empty() => request,
        None => request.body(case.request_body.clone()),
    };
    Answer::of(request.send().await.unwrap()).await
}

/// The body as python-requests writes it: fields, then files.
fn encode(multipart: &Multipart) -> (&'static str, Vec<u8>) {
    let boundary = "2f1b8a7c9d";
    let mut body = Vec::new();
    for (name, value) in &multipart.fields {
        let part =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.into_bytes());
    }
    for file in &multipart.files {
        let name = file.filename.as_ref().map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
        let head =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"{name}\r\n\r\n", file.part);
        body.extend(head.into_bytes());
        body.extend(base64::engine::general_purpose::STANDARD.decode(&file.base64).unwrap());
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").into_bytes());
    (boundary, body)
}

/// How an answer differs from the recorded one, if it does.
fn difference(case: &Case, answer: &Answer) -> Option<String> {
    if case.status != answer.status {
        return Some(format!("status {} instead of {}", answer.status, case.status));
    }
    for name in ["Allow", "Location", "Vary"] {
        let (old, new) = (case.headers.get(name).map_or("", String::as_str), answer.header(name));
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split(", ").map(str::to_owned).collect();
            words.sort();
            words
        };
        if sorted(old.trim_start_matches("http://127.0.0.1:5000")) != sorted(new) {
            return Some(format!("{name}: {new:?} instead of {old:?}"));
        }
    }
    if RENDERED.contains(&case.n) {
        return None;
    }
    let masked =
        |text: &str| serde_json::from_str(text).map(mask).unwrap_or(Value::String(text.trim().to_owned()));
    let (old, new) = (masked(&case.body), masked(&answer.text));
    (old != new).then(|| "another body".to_owned())
}

/// Answer files that templates make: mrp-netboot's tests hold their words, and this crate has no templates.
const RENDERED: [u32; 4] = [348, 351, 352, 354];

/// What differs from call to call: times of now, the random part of a name, tokens and ports, and the order of lists, which the original
/// left to chance.
fn mask(mut value: Value) -> Value {
    match &mut value {
        Value::Array(list) => {
            list.iter_mut().for_each(|item| *item = mask(item.take()));
            list.sort_by_key(|item| item["id"].as_i64());
        }
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                let text = item.as_str().unwrap_or_default();
                match key.as_str() {
                    "upload_date" | "last_seen_date" if !text.contains("2018") => *item = Value::Null,
                    "token" if text.len() == 48 && is_hex(text) => *item = Value::Null,
                    "port" => *item = Value::Null,
                    "name" if is_random(text) => *item = Value::String(text[..text.len() - 8].to_owned()),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    value
}

fn is_random(name: &str) -> bool {
    let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    suffix.len() == 8 && is_hex(suffix)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[test]
fn the_document_lists_the_same_differences() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api-differences.md");
    let document = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let listed: Vec<(String, &str, String)> =
        rows.iter().map(|row| (row[0].trim_matches('`').to_owned(), row[1], row[2].to_owned())).collect();
    let expected: Vec<(String, &str, String)> = DIFFERENCES
        .iter()
        .map(|d| {
            let cases: Vec<String> = d.cases.iter().map(ToString::to_string).collect();
            (d.name.to_owned(), d.reason, cases.join(", "))
        })
        .collect();
    assert_eq!(listed, expected);
}

#[test]
fn every_case_is_listed_once_and_every_listed_case_is_recorded() {
    let mut listed: Vec<u32> = DIFFERENCES.iter().flat_map(|listed| listed.cases.to_vec()).collect();
    let count = listed.len();
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(listed.len(), count);
    let recorded: Vec<u32> = cases().iter().map(|case| case.n).collect();
    assert!(listed.iter().all(|case| recorded.contains(case)));
}
