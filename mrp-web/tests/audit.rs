//! The audit log over HTTP: what stands in it, filters, and the stream.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::lab::{ADMIN, ALICE, BOB, Lab};

async fn names(lab: &Lab, query: &str) -> Vec<String> {
    let list = lab.expect(200, ADMIN, "GET", &format!("/api/v1/audit{query}"), "").await;
    list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

/// Makes architectures of these names.
async fn make(lab: &Lab, names: &[&str]) {
    for name in names {
        lab.expect(201, ADMIN, "POST", "/api/v1/arch", &format!(r#"{{"name": "{name}"}}"#)).await;
        lab.clock.advance(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn the_log_is_filtered_and_names_the_token() {
    let lab = Lab::start().await;
    let body = r#"{"description": "for CI", "scope": "admin"}"#;
    let token = lab.expect(201, ADMIN, "POST", "/api/v1/token", body).await;
    lab.expect(201, token["token"].as_str().unwrap(), "POST", "/api/v1/arch", r#"{"name": "a"}"#).await;
    lab.clock.advance(Duration::from_secs(60));
    make(&lab, &["b", "c"]).await;
    lab.expect(200, BOB, "PUT", "/api/v1/user/3", r#"{"email": "b@example.org"}"#).await;
    assert_eq!(names(&lab, "").await, ["for CI", "a", "b", "c", "bob"]);
    assert_eq!(names(&lab, "?actor=bob").await, ["bob"]);
    assert_eq!(names(&lab, "?object=arch&last=1").await, ["c"]);
    assert_eq!(names(&lab, "?object=arch&limit=1").await, ["a"]);
    assert_eq!(names(&lab, "?name=b").await, ["b"]);
    assert_eq!(names(&lab, "?after=3").await, ["c", "bob"]);
    let first = lab.expect(200, ADMIN, "GET", "/api/v1/audit?name=b", "").await;
    let since = first[0]["at"].as_str().unwrap();
    assert_eq!(names(&lab, &format!("?since={since}")).await, ["b", "c", "bob"]);
    let by_token = lab.expect(200, ADMIN, "GET", "/api/v1/audit?name=a", "").await;
    assert_eq!(by_token[0]["token"]["description"], "for CI");
    assert_eq!(by_token[0]["token"]["id"], token["id"]);
    for (query, words) in [
        ("?since=yesterday", "400 SchemaError: since: a time such as"),
        ("?after=x", "400 SchemaError: after: an id is needed"),
        ("?last=-1", "400 SchemaError: last: a number is needed"),
        ("?name=%00", "400 SchemaError: name: the control character"),
    ] {
        for path in ["/api/v1/audit", "/api/v1/audit/stream"] {
            let answer = lab.get(ADMIN, &format!("{path}{query}")).await;
            assert!(answer.refusal().starts_with(words), "{path}{query}: {answer:?}");
        }
    }
    for path in ["/api/v1/audit", "/api/v1/audit/stream"] {
        lab.refused("403 InvalidUsage: only an admin may do this", ALICE, "GET", path, "").await;
        for method in ["DELETE", "PUT", "PATCH", "POST"] {
            assert_eq!(lab.ask(ADMIN, method, path, "{}").await.status, 405, "nobody changes it");
        }
    }
    lab.stop().await;
}

/// Reads so many entries of a stream.
async fn follow(lab: &Lab, query: &str, last: Option<&str>, count: usize) -> Vec<(String, Value)> {
    let mut request =
        lab.request("GET", &format!("/api/v1/audit/stream{query}")).header("authorization", ADMIN);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut bytes, mut text, mut found) = (response.bytes_stream(), String::new(), Vec::new());
    while found.len() < count {
        let piece =
            tokio::time::timeout(Duration::from_secs(20), bytes.next()).await.expect("an entry comes");
        text.push_str(std::str::from_utf8(&piece.unwrap().unwrap()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                assert_eq!(field("event:"), Some("audit"));
                found.push((id.to_owned(), serde_json::from_str(data).unwrap()));
            }
            text = rest.to_owned();
        }
    }
    found
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_lost() {
    let lab = Lab::start().await;
    make(&lab, &["a", "b", "c"]).await;
    let ids = |list: &[(String, Value)]| list.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&follow(&lab, "?after=0", None, 3).await), ["1", "2", "3"]);
    assert_eq!(ids(&follow(&lab, "?after=0", Some("2"), 1).await), ["3"]);
    let named = follow(&lab, "?after=0&name=b", None, 1).await;
    assert_eq!((named[0].1["name"].as_str(), named[0].1["actor"].as_str()), (Some("b"), Some("admin")));
    let (live, ()) = tokio::join!(follow(&lab, "?actor=admin", None, 1), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        make(&lab, &["d"]).await;
    });
    assert_eq!(live[0].1["name"], "d");
    let wrong = lab.request("GET", "/api/v1/audit/stream").header("authorization", ADMIN);
    let wrong = wrong.header("last-event-id", "x").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    lab.stop().await;
}

/// What was written of the last change of a noun.
async fn last(lab: &Lab, object: &str) -> Value {
    lab.expect(200, ADMIN, "GET", &format!("/api/v1/audit?object={object}&last=1"), "").await[0].take()
}

#[tokio::test]
async fn an_entry_says_what_is_different_in_names_and_no_more() {
    let lab = Lab::start().await;
    let network = r#"{"name": "n", "subnet": "10.9.0.0/24", "static_net": "10.9.0.0/28"}"#;
    let made = lab.expect(201, ADMIN, "POST", "/api/v1/network", network).await;
    let said =
        json!({"name": "n", "subnet": "10.9.0.0/24", "static_net": "10.9.0.0/28", "trust_path_mac": true});
    assert_eq!(last(&lab, "network").await["changes"], said);
    let plug = r#"{"mac": "52:54:00:00:04:01", "identifier": "eth4", "network": "n"}"#;
    let plug = lab.expect(201, ADMIN, "POST", "/api/v1/machine/1/interface", plug).await;
    let path = format!("/api/v1/machine/1/interface/{}", plug["id"]);
    let body = r#"{"identifier": "eth4", "network": "lab", "mac": "52:54:00:00:04:01"}"#;
    lab.expect(200, ADMIN, "PUT", &path, body).await;
    let changes = json!({"machine": "lab.node-1", "network": ["n", "lab"]});
    assert_eq!(last(&lab, "interface").await["changes"], changes);
    let before = last(&lab, "interface").await["id"].clone();
    lab.expect(200, ADMIN, "PUT", &path, body).await;
    assert_eq!(last(&lab, "interface").await["id"], before, "nothing was changed");
    lab.expect(204, ADMIN, "DELETE", &path, "").await;
    let gone = json!({
        "machine": "lab.node-1", "mac": "52:54:00:00:04:01", "identifier": "eth4", "network": "lab", "kind": "dynamic",
    });
    assert_eq!(last(&lab, "interface").await["changes"], gone);
    lab.expect(204, ADMIN, "DELETE", &format!("/api/v1/network/{}", made["id"]), "").await;
    assert_eq!(last(&lab, "network").await["changes"], said);
    lab.expect(200, ADMIN, "PATCH", "/api/v1/machine/1", r#"{"bmc_info": "7"}"#).await;
    let machine = last(&lab, "machine").await;
    assert_eq!(machine["changes"], json!({"bmc_info": ["", "7"]}), "{machine}");
    let answer = lab.get(ADMIN, "/api/v1/audit?object=nonsense").await;
    assert!(
        answer
            .refusal()
            .starts_with("400 SchemaError: object: \"nonsense\" is none; the nouns are arch, bmc")
    );
    lab.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_tells_nothing_after() {
    let lab = Lab::start().await;
    let body = r#"{"description": "for a wall", "scope": "admin"}"#;
    let token = lab.expect(201, ADMIN, "POST", "/api/v1/token", body).await;
    let request = lab.request("GET", "/api/v1/audit/stream");
    let response = request.header("authorization", token["token"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    lab.expect(204, ADMIN, "DELETE", &format!("/api/v1/token/{}", token["id"]), "").await;
    make(&lab, &["secret-project"]).await;
    let rest =
        tokio::time::timeout(Duration::from_secs(20), response.text()).await.expect("it ends").unwrap();
    assert!(!rest.contains("secret-project") && !rest.contains("for a wall"), "{rest}");
    lab.stop().await;
}
