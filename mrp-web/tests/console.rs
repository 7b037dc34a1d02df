//! Consoles: tickets, the WebSocket, the record.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::lab::{ADMIN, ALICE, BOB, Lab};

const WS: &str = "/api/v1/machine/1/console/ws";
const LOG: &str = "/api/v1/machine/1/console/log";
/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn try_open(lab: &Lab, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{}{path}", lab.people).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(lab.people).await.unwrap();
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn open(lab: &Lab, token: &str, path: &str) -> Self {
        Self::try_open(lab, path, &[("authorization", token)]).await.unwrap()
    }

    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("nothing came").unwrap().unwrap()
    }

    /// Reads until a notice of a type; what was printed before it, and the notice.
    async fn notice(&mut self, kind: &str) -> (String, Value) {
        let mut printed = String::new();
        loop {
            match self.next().await {
                Message::Binary(bytes) => printed.push_str(std::str::from_utf8(&bytes).unwrap()),
                Message::Text(text) => {
                    let notice: Value = serde_json::from_str(&text).unwrap();
                    if notice["type"] == kind {
                        return (printed, notice);
                    }
                }
                _ => {}
            }
        }
    }

    async fn connected(&mut self) -> String {
        let mut printed = String::new();
        loop {
            let (more, link) = self.notice("link").await;
            printed.push_str(&more);
            if link["connected"] == true {
                return printed;
            }
        }
    }

    async fn sees(&mut self, text: &str) {
        let mut printed = String::new();
        while !printed.contains(text) {
            if let Message::Binary(bytes) = self.next().await {
                printed.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        }
    }

    async fn types(&mut self, text: &'static str) {
        self.0.send(Message::Binary(Bytes::from_static(text.as_bytes()))).await.unwrap();
    }

    async fn asks(&mut self, request: Value) {
        self.0.send(Message::text(request.to_string())).await.unwrap();
    }

    async fn closed(&mut self) -> (CloseCode, String) {
        loop {
            if let Message::Close(frame) = self.next().await {
                let frame = frame.unwrap();
                return (frame.code, frame.reason.to_string());
            }
        }
    }
}

async fn ticket(lab: &Lab) -> String {
    let ticket = lab.expect(200, ALICE, "POST", "/api/v1/machine/1/console", "").await;
    assert_eq!(ticket["port"], lab.people.port());
    format!("{WS}?token={}", ticket["token"].as_str().unwrap())
}

#[tokio::test]
async fn a_ticket_opens_the_console_once_and_three_see_the_same() {
    let lab = Lab::start().await;
    let path = ticket(&lab).await;
    let mut one = Socket::try_open(&lab, &path, &[]).await.unwrap();
    assert_eq!(Socket::try_open(&lab, &path, &[]).await.err(), Some(401), "it is used");
    let other = ticket(&lab).await.replace("/machine/1/", "/machine/4/");
    assert_eq!(Socket::try_open(&lab, &other, &[]).await.err(), Some(401), "another machine");
    let mut two = Socket::open(&lab, &format!("Bearer {ADMIN}"), WS).await;
    let mut watcher = Socket::open(&lab, ALICE, &format!("{WS}?watch=true")).await;
    for socket in [&mut one, &mut two, &mut watcher] {
        socket.notice("replay_end").await;
        socket.connected().await;
    }
    one.types("root\r").await;
    for socket in [&mut one, &mut two, &mut watcher] {
        socket.sees("root\r").await;
    }
    two.types("x").await;
    let (_, refused) = two.notice("refused").await;
    assert_eq!(refused["reason"], "somebody else has the keyboard; take it first");
    two.asks(json!({"type": "keyboard"})).await;
    let (_, keyboard) = watcher.notice("keyboard").await;
    assert_eq!((&keyboard["holder"], &keyboard["yours"]), (&json!("admin"), &json!(false)));
    two.asks(json!({"type": "break"})).await;
    one.sees("<break>").await;
    watcher.asks(json!({"type": "sing"})).await;
    let (_, refused) = watcher.notice("refused").await;
    assert!(refused["reason"].as_str().unwrap().starts_with("no request that is known"), "{refused}");
    two.asks(json!({"type": "take"})).await;
    watcher.notice("mark").await;
    two.connected().await;
    two.types("again").await;
    watcher.sees("again").await;
    lab.stop().await;
}

#[tokio::test]
async fn giving_back_cuts_the_console() {
    let lab = Lab::start().await;
    let (mut alice, mut ticket) = (
        Socket::open(&lab, ALICE, WS).await,
        Socket::try_open(&lab, &ticket(&lab).await, &[]).await.unwrap(),
    );
    for socket in [&mut alice, &mut ticket] {
        socket.connected().await;
    }
    let unused = format!("{}&watch=true", self::ticket(&lab).await);
    let own = lab.get(ALICE, "/api/v1/machine/1/assignee/self").await.json()["id"].clone();
    lab.expect(204, ALICE, "DELETE", &format!("/api/v1/machine/1/assignee/{own}"), "").await;
    for socket in [&mut alice, &mut ticket] {
        let (_, cut) = socket.notice("cut").await;
        assert_eq!(cut["reason"], "given back by alice");
        assert_eq!(socket.closed().await, (CloseCode::Normal, "the console was cut".into()));
    }
    assert_eq!(Socket::try_open(&lab, &unused, &[]).await.err(), Some(401));
    assert_eq!(Socket::try_open(&lab, WS, &[("authorization", ALICE)]).await.err(), Some(403));
    lab.refused(
        "403 InvalidUsage: you do not hold this machine: only its holders and admins may do this",
        ALICE,
        "GET",
        LOG,
        "",
    )
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn what_is_no_right_handshake_or_message_is_refused() {
    let lab = Lab::start().await;
    let answer = lab.get(ALICE, WS).await;
    assert_eq!((answer.status, answer.header("upgrade")), (426, "websocket"));
    for (what, headers, status) in [
        ("nobody", vec![], 401),
        ("bob", vec![("authorization", BOB)], 403),
        ("another version", vec![("authorization", ALICE), ("sec-websocket-version", "8")], 426),
    ] {
        assert_eq!(Socket::try_open(&lab, WS, &headers).await.err(), Some(status), "{what}");
    }
    let none = WS.replace("/1/", "/3/");
    assert_eq!(Socket::try_open(&lab, &none, &[("authorization", ADMIN)]).await.err(), Some(400));
    // A browser sends its cookie along, whichever page asks.
    let cookie = format!("mrp_session={ALICE}");
    let own = format!("http://{}", lab.people);
    let from = |origin: &str| [("cookie", cookie.clone()), ("origin", origin.to_owned())];
    let foreign = from("http://evil.example").map(|(name, value)| (name, value));
    let foreign: Vec<(&'static str, &str)> =
        foreign.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(Socket::try_open(&lab, WS, &foreign).await.err(), Some(403));
    let ours = from(&own);
    let ours: Vec<(&'static str, &str)> = ours.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut socket = Socket::try_open(&lab, WS, &ours).await.unwrap();
    socket.0.send(Message::Binary(vec![b'x'; 100_000].into())).await.unwrap();
    assert_eq!(socket.closed().await.0, CloseCode::Size);
    lab.stop().await;
}

#[tokio::test]
async fn a_token_that_may_only_look_types_nothing() {
    let lab = Lab::start().await;
    let body = r#"{"description": "wall display", "scope": "read"}"#;
    let issued = lab.expect(201, ALICE, "POST", "/api/v1/token", body).await;
    let mut socket = Socket::open(&lab, issued["token"].as_str().unwrap(), WS).await;
    socket.connected().await;
    socket.types("x").await;
    assert_eq!(socket.notice("refused").await.1["reason"], "you only watch");
    socket.asks(json!({"type": "take"})).await;
    let (_, refused) = socket.notice("refused").await;
    assert!(refused["reason"].as_str().unwrap().contains("scope read"), "{refused}");
    lab.stop().await;
}

#[tokio::test]
async fn the_record_comes_as_text_as_lines_and_as_objects() {
    let lab = Lab::start().await;
    let mut socket = Socket::open(&lab, ALICE, WS).await;
    socket.connected().await;
    for line in ["Linux version 6.1\r\n", "login: \x1b[1mroot\r\n"] {
        socket.types(line).await;
        socket.sees(line).await;
    }
    let answer = lab.get(ALICE, LOG).await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.text, "Linux version 6.1\r\nlogin: \x1b[1mroot\r\n");
    let found = lab.get(ALICE, &format!("{LOG}?text=LOGIN")).await.text;
    let (time, line) = found.split_once(' ').unwrap();
    assert_eq!(line, "login: \x1b[1mroot\n");
    let objects = lab.get(ALICE, &format!("{LOG}?format=ndjson&since={time}")).await;
    assert_eq!(objects.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = objects.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["mark", "output", "output"], "{lines:?}");
    assert_eq!(lines[2]["text"], "login: \x1b[1mroot\r\n");
    let until = lab.get(ALICE, &format!("{LOG}?until=2000-01-01T00:00:00Z")).await;
    assert_eq!((until.status, until.text.as_str()), (200, ""));
    lab.refused(
        "403 InvalidUsage: you do not hold this machine: only its holders and admins may do this",
        BOB,
        "GET",
        LOG,
        "",
    )
    .await;
    for (query, words) in [
        ("format=xml", "format: text or ndjson is needed"),
        ("since=yesterday", "since: a time of RFC 3339 is needed"),
        ("run=x", "run: an id is needed"),
    ] {
        lab.refused(&format!("400 SchemaError: {words}"), ALICE, "GET", &format!("{LOG}?{query}"), "").await;
    }
    lab.refused("404 InvalidUsage: run not found", ALICE, "GET", &format!("{LOG}?run=99"), "").await;
    lab.stop().await;
}
