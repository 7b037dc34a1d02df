//! Passwords and tokens are in no answer and in no line of the log.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use crate::lab::{ADMIN, ALICE, BOB, Lab, SHARED, bmc_password};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn nothing_gives_a_secret_away() {
    let log = Log::default();
    // For the whole program: what other tests log meanwhile is searched as well.
    tracing_subscriber::fmt().with_writer(log.clone()).with_max_level(tracing::Level::DEBUG).init();
    let answers = tour().await;
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("answered"), "the log was read");
    let password = bmc_password();
    let secrets = [
        ADMIN,
        ALICE,
        BOB,
        SHARED,
        "a-new-password",
        "a-wrong-password",
        "bmc-password-2",
        password.expose(),
    ];
    for secret in secrets {
        assert!(!logged.contains(secret), "{secret} is in the log");
        assert!(!answers.contains(secret), "{secret} is in an answer");
    }
}

/// Sends every secret there is to everything that takes one, and reads everything that there is.
async fn tour() -> String {
    let lab = Lab::start().await;
    let mut answers = String::new();
    for (token, method, path, body) in [
        (ADMIN, "POST", "/api/v1/user", r#"{"name": "eve", "password": "a-new-password"}"#),
        (ADMIN, "PUT", "/api/v1/user/3", r#"{"password": "a-new-password"}"#),
        ("", "POST", "/api/v1/session", r#"{"user": "bob", "password": "a-wrong-password"}"#),
        ("", "POST", "/api/v1/session", r#"{"user": "bob", "password": "a-wrong-password", "x": 1}"#),
        ("", "POST", "/api/v1/session", r#"{"user": "bob", "password": ["a-wrong-password"]}"#),
        (
            ADMIN,
            "POST",
            "/api/v1/bmc",
            r#"{"name": "n", "address": "127.0.0.5", "password": "bmc-password-2"}"#,
        ),
        (
            ADMIN,
            "PUT",
            "/api/v1/bmc/2",
            r#"{"name": "dead", "address": "127.0.0.2", "password": "bmc-password-2"}"#,
        ),
        (ADMIN, "POST", "/api/v1/bmc/2/test", "{}"),
        (ALICE, "POST", "/api/v1/machine/4/power", r#"{"state": "on"}"#),
        (ALICE, "POST", "/api/v1/machine/5/power", r#"{"state": "on"}"#),
        (ADMIN, "GET", "/api/v1/bmc", ""),
        (ADMIN, "GET", "/api/v1/audit", ""),
        (ADMIN, "GET", "/api/v1/event", ""),
        (ADMIN, "GET", "/api/v1/user", ""),
        (ADMIN, "GET", "/api/v1/token", ""),
        (ADMIN, "GET", "/api/v1/nosuch", ""),
        (ADMIN, "GET", "/metrics", ""),
        ("WRONG", "GET", "/api/v1/machine", ""),
    ] {
        let answer = lab.ask(token, method, path, body).await;
        answers.push_str(&format!("{} {:?} {}\n", answer.status, answer.headers, answer.text));
    }
    lab.stop().await;
    answers
}
