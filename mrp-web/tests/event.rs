//! Events, their stream, audit, and discovered clients.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;

use crate::lab::{ADMIN, ALICE, BOB, Lab};

/// Switches a machine's power, which is one event.
async fn happen(lab: &Lab, times: usize) {
    for _ in 0..times {
        lab.expect(202, ALICE, "POST", "/api/v1/machine/1/power", r#"{"state": "on"}"#).await;
    }
}

/// A stream of events that is read one by one.
struct Stream {
    bytes: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    buffer: String,
}

impl Stream {
    async fn open(lab: &Lab, query: &str, last: Option<&str>) -> Self {
        let mut request = lab.request("GET", &format!("/api/v1/event/stream{query}"));
        request = request.header("authorization", BOB);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { bytes: Box::pin(response.bytes_stream()), buffer: String::new() }
    }

    /// Id, name and data of the next event; `None` at the stream's end.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim().to_owned())
                };
                let found = (field("id:"), field("event:"), field("data:"));
                self.buffer = rest.to_owned();
                if let (Some(id), Some(name), Some(data)) = found {
                    return Some((id, name, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let piece = tokio::time::timeout(Duration::from_secs(20), self.bytes.next())
                .await
                .expect("an event comes");
            self.buffer.push_str(std::str::from_utf8(&piece?.ok()?).unwrap());
        }
    }
}

#[tokio::test]
async fn lists_are_filtered() {
    let lab = Lab::start().await;
    happen(&lab, 3).await;
    let list = async |query: &str| {
        let list = lab.expect(200, BOB, "GET", &format!("/api/v1/event{query}"), "").await;
        list.as_array().unwrap().iter().map(|event| event["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, [1, 2, 3]);
    assert_eq!(list("?machine=1&after=1").await, [2, 3]);
    assert_eq!(list("?last=1").await, [3]);
    assert_eq!(list("?limit=2").await, [1, 2]);
    assert_eq!(list("?machine=2").await, [0i64; 0]);
    assert_eq!(list("?run=1").await, [0i64; 0]);
    lab.refused("400 SchemaError: after: an id is needed", BOB, "GET", "/api/v1/event?after=x", "").await;
    lab.refused(
        "400 SchemaError: machine: an id is needed",
        BOB,
        "GET",
        "/api/v1/event/stream?machine=x",
        "",
    )
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_lost() {
    let lab = Lab::start().await;
    happen(&lab, 2).await;
    let mut live = Stream::open(&lab, "", None).await;
    happen(&lab, 1).await;
    let (id, name, data) = live.next().await.unwrap();
    assert_eq!((id.as_str(), name.as_str(), data["machine"].as_i64()), ("3", "power", Some(1)));
    drop(live);
    happen(&lab, 2).await;
    let mut resumed = Stream::open(&lab, "?after=1", Some("3")).await;
    assert_eq!(resumed.next().await.unwrap().0, "4");
    assert_eq!(resumed.next().await.unwrap().0, "5");
    let mut from_start = Stream::open(&lab, "?after=0&machine=1", None).await;
    for id in 1..=5 {
        assert_eq!(from_start.next().await.unwrap().0, id.to_string());
    }
    lab.stop().await;
}

#[tokio::test]
async fn two_streams_see_every_event_in_order() {
    let lab = Lab::start().await;
    let (mut one, mut two) = (Stream::open(&lab, "", None).await, Stream::open(&lab, "", None).await);
    futures_util::future::join_all((0..20).map(|number| {
        let body = format!(r#"{{"name": "n{number}", "arch": "arm64"}}"#);
        let lab = &lab;
        async move {
            let made = lab.expect(201, ADMIN, "POST", "/api/v1/machine", &body).await;
            let path = format!("/api/v1/machine/{}/assignee", made["id"]);
            lab.expect(201, ADMIN, "POST", &path, r#"{"user": "bob"}"#).await;
        }
    }))
    .await;
    for id in 1..=20 {
        assert_eq!(one.next().await.unwrap().0, id.to_string());
        assert_eq!(two.next().await.unwrap().0, id.to_string());
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let lab = Lab::start().await;
    let mut stream = Stream::open(&lab, "", None).await;
    lab.begin_stop();
    assert!(stream.next().await.is_none());
    lab.stop().await;
}

#[tokio::test]
async fn admins_read_who_changed_what() {
    let lab = Lab::start().await;
    lab.expect(201, ADMIN, "POST", "/api/v1/arch", r#"{"name": "riscv64"}"#).await;
    lab.expect(204, ADMIN, "DELETE", "/api/v1/arch/3", "").await;
    let list = lab.expect(200, ADMIN, "GET", "/api/v1/audit", "").await;
    assert_eq!((list[0]["action"].as_str(), list[1]["action"].as_str()), (Some("create"), Some("delete")));
    assert_eq!((list[0]["actor"].as_str(), list[0]["object"].as_str()), (Some("admin"), Some("arch")));
    let after = format!("/api/v1/audit?after={}&limit=5", list[0]["id"]);
    assert_eq!(lab.expect(200, ADMIN, "GET", &after, "").await.as_array().map(Vec::len), Some(1));
    lab.refused("403 InvalidUsage: only an admin may do this", ALICE, "GET", "/api/v1/audit", "").await;
    lab.stop().await;
}

#[tokio::test]
async fn clients_that_belong_to_no_machine_are_listed() {
    let lab = Lab::start().await;
    let seen = r#"{"discover": true, "mac": "52:54:00:AA:00:01", "options": [{"option": 12, "value": "new"}, {"option": 93, "value": 7}]}"#;
    lab.expect(202, "", "POST", "/dhcp/ipv4/seen", seen).await;
    let list = lab.expect(200, BOB, "GET", "/api/v1/discovered", "").await;
    assert_eq!(
        (list[0]["mac"].as_str(), list[0]["hostname"].as_str()),
        (Some("52:54:00:aa:00:01"), Some("new"))
    );
    assert_eq!(list[0]["client_arch"], 7);
    lab.stop().await;
}
