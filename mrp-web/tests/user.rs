//! Users.

use crate::lab::{ADMIN, ALICE, BOB, Lab};

const EVE: &str = r#"{"name": "eve", "password": "eve's password", "email": "eve@example.com"}"#;

#[tokio::test]
async fn an_admin_makes_and_removes_users_and_each_changes_himself() {
    let lab = Lab::start().await;
    let made = lab.ask(ADMIN, "POST", "/api/v1/user", EVE).await;
    assert_eq!(made.status, 201);
    assert!(!made.text.contains("password"), "{made:?}");
    assert_eq!(lab.get(BOB, "/api/v1/user").await.json().as_array().map(Vec::len), Some(4));
    let set = lab.expect(200, BOB, "PUT", "/api/v1/user/3", r#"{"ssh_keys": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXtJ1gJcU7cMNkUp6K+1S2c0DmMYwzqY0x0c8y6M9oQ x"}"#).await;
    assert_eq!(
        (set["ssh_keys"].as_str(), set["email"].as_str()),
        (
            Some("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXtJ1gJcU7cMNkUp6K+1S2c0DmMYwzqY0x0c8y6M9oQ x"),
            Some("bob@example.com")
        )
    );
    lab.refused(
        "403 InvalidUsage: only an admin may change another user",
        BOB,
        "PUT",
        "/api/v1/user/2",
        r#"{"email": "x@example.com"}"#,
    )
    .await;
    lab.refused(
        "403 InvalidUsage: only an admin may say who is one",
        BOB,
        "PUT",
        "/api/v1/user/3",
        r#"{"admin": true}"#,
    )
    .await;
    assert_eq!(lab.expect(200, ADMIN, "PUT", "/api/v1/user/4", r#"{"admin": true}"#).await["admin"], true);
    lab.expect(204, ADMIN, "DELETE", "/api/v1/user/4", "").await;
    lab.refused("404 InvalidUsage: user not found", ADMIN, "GET", "/api/v1/user/4", "").await;
    lab.stop().await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let lab = Lab::start().await;
    lab.expect(201, ADMIN, "POST", "/api/v1/user", EVE).await;
    lab.refused("409 IntegrityError: this user name is taken already", ADMIN, "POST", "/api/v1/user", EVE)
        .await;
    lab.refused(
        "400 SchemaError: password: 8 to 256 characters are needed",
        ADMIN,
        "POST",
        "/api/v1/user",
        r#"{"name": "x", "password": "short"}"#,
    )
    .await;
    lab.refused(
        "400 SchemaError: name: letters, digits and . _ - @ are allowed, a letter or digit first",
        ADMIN,
        "POST",
        "/api/v1/user",
        r#"{"name": "../x", "password": "long enough"}"#,
    )
    .await;
    let answer = lab.ask(ADMIN, "DELETE", "/api/v1/user/2", "").await;
    assert_eq!(
        answer.refusal(),
        "409 IntegrityError: still holds machines lab.node-1, node4-deadbmc, node5-ms",
        "{answer:?}"
    );
    lab.refused("409 IntegrityError: you cannot remove yourself", ADMIN, "DELETE", "/api/v1/user/1", "")
        .await;
    lab.refused("403 InvalidUsage: only an admin may do this", ALICE, "DELETE", "/api/v1/user/3", "").await;
    lab.stop().await;
}
