//! mr-provisioner's recorded requests, asked again: each answer is compared byte for byte, or, where it cannot be the
//! same, by status and shape. What differs on purpose is in [`differences`], and in the same words in
//! `docs/api-differences.md`.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;

use base64::Engine;
use serde::Deserialize;
use serde_json::Value;

use crate::lab::{Answer, BOB, Lab};

mod boot;
mod compare;
pub(crate) mod differences;

/// Answers that may go without any comparison.
const MOST_UNCOMPARED: usize = 40;

/// One recorded request with its answer.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Case {
    pub(crate) n: u32,
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

pub(crate) fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../data/cases.json")).unwrap()
}

/// How far an answer is the recorded one.
enum Same {
    /// Status and body, to the last byte.
    Bytes,
    /// Status, and the body but for what the words say.
    Shape(String),
    /// Nothing was compared but the status, for this reason.
    Uncompared(&'static str),
}

/// What became of all cases.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    bytes: usize,
    shape: BTreeMap<String, Vec<u32>>,
    uncompared: Vec<(u32, &'static str)>,
    wrong: Vec<String>,
}

impl Tally {
    fn note(&mut self, case: &Case, answer: &Answer, outcome: Result<Same, String>) {
        match outcome {
            Ok(Same::Bytes) => self.bytes += 1,
            Ok(Same::Shape(why)) => self.shape.entry(why).or_default().push(case.n),
            Ok(Same::Uncompared(why)) => self.uncompared.push((case.n, why)),
            Err(problem) => self.wrong.push(format!(
                "{} {} {} {}: {problem}\n     old: {} {:.200}\n     new: {} {:.200}",
                case.n,
                case.method,
                case.path,
                case.request_body,
                case.status,
                case.body,
                answer.status,
                answer.text
            )),
        }
    }

    /// Prints the figures; fails if an answer differs that may not, or if too few were compared.
    pub(crate) fn check(&self, database: &str) {
        let shape: usize = self.shape.values().map(Vec::len).sum();
        println!(
            "{database}: {} of {} byte for byte, {shape} by status and shape, {} not at all",
            self.bytes,
            cases().len(),
            self.uncompared.len()
        );
        for (why, cases) in &self.shape {
            println!("  by status and shape, {why}: {cases:?}");
        }
        for (case, why) in &self.uncompared {
            println!("  not at all, {why}: {case}");
        }
        assert!(self.wrong.is_empty(), "{database}:\n{}", self.wrong.join("\n"));
        assert_eq!(self.bytes + shape + self.uncompared.len(), cases().len());
        assert!(self.uncompared.len() <= MOST_UNCOMPARED);
    }
}

/// Asks all requests; each group of them starts on a lab of its own.
pub(crate) async fn replay<F: Future<Output = Lab>>(start: impl Fn() -> F) -> Tally {
    let mut groups: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in cases() {
        groups.entry(case.group.clone()).or_default().push(case);
    }
    let mut tally = Tally::default();
    for cases in groups.into_values() {
        let lab = start().await;
        // Tokens of the recording, and those that came in their place.
        let mut tokens: BTreeMap<String, String> = BTreeMap::new();
        for case in cases {
            if case.n == 224 {
                // The recording had given this machine back in between.
                lab.expect(204, BOB, "DELETE", "/api/v1/machine/2/assignee/self", "").await;
            }
            let answer = ask(&lab, &case, &tokens).await;
            let token = |text: &str| {
                let value: Option<Value> = serde_json::from_str(text).ok();
                value.and_then(|value| value["token"].as_str().map(str::to_owned))
            };
            if let (Some(old), Some(new)) = (token(&case.body), token(&answer.text)) {
                tokens.insert(old, new);
            }
            tally.note(&case, &answer, compare::compare(&case, &answer));
        }
        lab.stop().await;
    }
    tally
}

async fn ask(lab: &Lab, case: &Case, tokens: &BTreeMap<String, String>) -> Answer {
    let path = tokens.iter().fold(case.path.clone(), |path, (old, new)| path.replace(old, new));
    let mut request = lab.request(&case.method, &path);
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
