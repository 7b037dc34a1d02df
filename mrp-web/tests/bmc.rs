//! BMCs.

use crate::lab::{ADMIN, ALICE, Lab};

#[tokio::test]
async fn an_admin_makes_tests_changes_and_removes_one() {
    let lab = Lab::start().await;
    let body = r#"{"name": "new", "address": "127.0.0.3", "username": "admin", "password": "linaro-bmc-secret", "privilege": "operator"}"#;
    let made = lab.ask(ADMIN, "POST", "/api/v1/bmc", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(!made.text.contains("secret") && !made.text.contains("password"), "{made:?}");
    let made = made.json();
    assert_eq!((made["driver"].as_str(), made["privilege"].as_str()), (Some("plain"), Some("operator")));
    assert_eq!(lab.expect(200, ADMIN, "POST", "/api/v1/bmc/4/test", r#"{"node": ""}"#).await["state"], "on");
    // Without a password the old one stays.
    let body = r#"{"name": "renamed", "address": "127.0.0.3", "username": "admin"}"#;
    assert_eq!(lab.expect(200, ADMIN, "PUT", "/api/v1/bmc/4", body).await["name"], "renamed");
    lab.expect(200, ADMIN, "POST", "/api/v1/bmc/4/test", "{}").await;
    assert_eq!(lab.get(ADMIN, "/api/v1/bmc/4").await.json()["name"], "renamed");
    lab.expect(204, ADMIN, "DELETE", "/api/v1/bmc/4", "").await;
    assert_eq!(lab.get(ADMIN, "/api/v1/bmc").await.json().as_array().map(Vec::len), Some(3));
    lab.stop().await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let lab = Lab::start().await;
    let post =
        |words: &'static str, body: &'static str| lab.refused(words, ADMIN, "POST", "/api/v1/bmc", body);
    post("409 IntegrityError: this BMC name is taken already", r#"{"name": "sim", "address": "127.0.0.5"}"#)
        .await;
    post("409 IntegrityError: this BMC address is taken already", r#"{"name": "x", "address": "127.0.0.1"}"#)
        .await;
    post(
        "400 SchemaError: driver: there is no driver \"ilo\"; the drivers are: moonshot, plain",
        r#"{"name": "x", "address": "127.0.0.5", "driver": "ilo"}"#,
    )
    .await;
    post(
        "400 SchemaUnexpectedTypeError: privilege: unknown variant `root`, expected one of `user`, `operator`, `admin`",
        r#"{"name": "x", "address": "127.0.0.5", "privilege": "root"}"#,
    )
    .await;
    lab.refused("404 InvalidUsage: BMC not found", ADMIN, "GET", "/api/v1/bmc/9", "").await;
    lab.refused("404 InvalidUsage: BMC not found", ADMIN, "POST", "/api/v1/bmc/9/test", "{}").await;
    lab.refused(
        "504 BMCError: BMC error: BMC at 127.0.0.99 does not answer",
        ADMIN,
        "POST",
        "/api/v1/bmc/2/test",
        "{}",
    )
    .await;
    lab.refused("403 InvalidUsage: only an admin may do this", ALICE, "GET", "/api/v1/bmc", "").await;
    let answer = lab.ask(ADMIN, "DELETE", "/api/v1/bmc/1", "").await;
    assert!(answer.refusal().starts_with("409 IntegrityError: still in use by"), "{answer:?}");
    lab.stop().await;
}
