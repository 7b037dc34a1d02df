//! Answer files.

use crate::lab::{ADMIN, ALICE, BOB, Lab};

#[tokio::test]
async fn all_kinds_are_made_and_a_preview_shows_what_a_machine_would_get() {
    let lab = Lab::start().await;
    for kind in ["preseed", "kickstart", "autoyast", "autoinstall", "agama"] {
        let body = format!(
            r#"{{"name": "my-{kind}", "type": "{kind}", "content": "{{{{ hostname }}}}\n{{{{ nosuch }}}}"}}"#
        );
        assert_eq!(lab.expect(201, ALICE, "POST", "/api/v1/preseed", &body).await["type"], kind);
    }
    let rendered = lab.expect(200, ALICE, "GET", "/api/v1/preseed/5/render?machine=1", "").await;
    assert_eq!(rendered["text"], "lab-node-1\n");
    assert_eq!(rendered["warnings"][0], "nosuch is undefined - line: 2");
    lab.refused(
        "400 TemplateError: Syntax error on preseed template: expected an expression - line: 2",
        ALICE,
        "GET",
        "/api/v1/preseed/3/render?machine=1",
        "",
    )
    .await;
    let words = "400 SchemaError: machine: a machine's id is needed";
    lab.refused(words, ALICE, "GET", "/api/v1/preseed/3/render", "").await;
    lab.refused(
        "403 InvalidUsage: you do not hold this machine: only its holders and admins may do this",
        BOB,
        "GET",
        "/api/v1/preseed/3/render?machine=1",
        "",
    )
    .await;
    lab.refused(
        "403 InvalidUsage: the answer file is private: only its owner and admins may use it",
        BOB,
        "GET",
        "/api/v1/preseed/1/render?machine=1",
        "",
    )
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn a_preseed_in_use_is_named_with_its_machines() {
    let lab = Lab::start().await;
    let words = "409 IntegrityError: answer file debian is still in use by machines lab.node-1";
    lab.refused(words, ADMIN, "DELETE", "/api/v1/preseed/1", "").await;
    lab.stop().await;
}

#[tokio::test]
async fn large_ones_are_taken_up_to_their_limit() {
    let lab = Lab::start().await;
    let body =
        |size: usize| format!(r#"{{"name": "large", "type": "preseed", "content": "{}"}}"#, "x".repeat(size));
    lab.expect(201, ALICE, "POST", "/api/v1/preseed", &body(2 << 20)).await;
    lab.refused(
        "400 SchemaError: content: 2097153 bytes; 2097152 are allowed",
        ALICE,
        "PUT",
        "/api/v1/preseed/5",
        &body((2 << 20) + 1),
    )
    .await;
    lab.refused(
        "413 RequestEntityTooLarge: the body is too large; at most 4194304 bytes are taken",
        ALICE,
        "PUT",
        "/api/v1/preseed/5",
        &body(5 << 20),
    )
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn what_is_not_saved_is_previewed_too() {
    let lab = Lab::start().await;
    let body = r#"{"content": "{{ hostname }} {{ phone_home_url }}", "type": "preseed", "machine": 1}"#;
    let path = "/api/v1/preseed/render";
    let rendered = lab.expect(200, ALICE, "POST", path, body).await;
    let text = rendered["text"].as_str().unwrap();
    assert!(text.starts_with("lab-node-1 http://") && text.ends_with("/phone-home/preview"), "{text}");
    lab.refused(
        "403 InvalidUsage: you do not hold this machine: only its holders and admins may do this",
        BOB,
        "POST",
        path,
        body,
    )
    .await;
    lab.refused(
        "404 InvalidUsage: machine not found",
        ALICE,
        "POST",
        path,
        r#"{"content": "x", "machine": 4294967296}"#,
    )
    .await;
    let nul = r#"{"content": "a\u0000b", "machine": 1}"#;
    lab.refused("400 SchemaError: content: a NUL character is not allowed", ALICE, "POST", path, nul).await;
    lab.refused(
        "400 SchemaMissingKeyError: missing field `content`",
        ALICE,
        "POST",
        path,
        r#"{"machine": 1}"#,
    )
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn lint_names_the_line() {
    let lab = Lab::start().await;
    let found = lab.expect(200, ALICE, "GET", "/api/v1/preseed/3/lint", "").await;
    assert_eq!(found["ok"], false);
    let wanted = serde_json::json!([
        {"line": 2, "message": "expected an expression", "rendered": false, "severity": "error"}
    ]);
    assert_eq!(found["findings"], wanted);
    let path = "/api/v1/preseed/lint";
    let body = r#"{"content": "{{ hostname }}\n{{ nosuch }}", "type": "kickstart"}"#;
    let found = lab.expect(200, ALICE, "POST", path, body).await;
    assert_eq!(found["ok"], true, "a warning is no error");
    assert_eq!(found["findings"][0]["message"], "nosuch is undefined");
    assert_eq!(found["findings"][0]["severity"], "warning");
    let of_machine = r#"{"content": "x", "type": "agama", "machine": 1}"#;
    lab.expect(200, ALICE, "POST", path, of_machine).await;
    lab.refused(
        "403 InvalidUsage: you do not hold this machine: only its holders and admins may do this",
        BOB,
        "POST",
        path,
        of_machine,
    )
    .await;
    lab.refused(
        "403 InvalidUsage: the answer file is private: only its owner and admins may use it",
        BOB,
        "GET",
        "/api/v1/preseed/1/lint",
        "",
    )
    .await;
    let refused = lab.ask(ALICE, "POST", path, r#"{"content": "x", "type": "winnt.sif"}"#).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    lab.stop().await;
}

#[tokio::test]
async fn versions_are_kept_with_who_saved_them_and_come_back() {
    let lab = Lab::start().await;
    let made = lab.expect(
        201,
        ALICE,
        "POST",
        "/api/v1/preseed",
        r#"{"name": "mine", "type": "preseed", "content": "one"}"#,
    );
    let path = format!("/api/v1/preseed/{}", made.await["id"]);
    let versions = format!("{path}/version");
    lab.expect(200, ADMIN, "PUT", &path, r#"{"content": "two ü"}"#).await;
    lab.expect(200, ALICE, "PUT", &path, r#"{"public": true}"#).await;
    let listed = lab.expect(200, BOB, "GET", &versions, "").await;
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(
        (&listed[0]["version"], &listed[0]["saved_by"], &listed[0]["bytes"]),
        (&2.into(), &"admin".into(), &6.into())
    );
    assert_eq!((&listed[1]["version"], &listed[1]["saved_by"]), (&1.into(), &"alice".into()));
    let first = lab.expect(200, BOB, "GET", &format!("{versions}/1"), "").await;
    assert_eq!((&first["content"], &first["version"]), (&"one".into(), &1.into()));
    lab.refused(
        "403 InvalidUsage: only the owner of the answer file and admins may change it",
        BOB,
        "POST",
        &versions,
        r#"{"restore": 1}"#,
    )
    .await;
    let restored = lab.expect(201, ALICE, "POST", &versions, r#"{"restore": 1}"#).await;
    assert_eq!(restored["content"], "one");
    let listed = lab.expect(200, ALICE, "GET", &versions, "").await;
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "the old one became a new one: {listed}");
    let words = "400 InvalidUsage: version 1 is what answer file mine has already";
    lab.refused(words, ALICE, "POST", &versions, r#"{"restore": 1}"#).await;
    lab.refused("404 InvalidUsage: version not found", ALICE, "POST", &versions, r#"{"restore": 9}"#).await;
    lab.refused("404 InvalidUsage: version not found", ALICE, "GET", &format!("{versions}/4294967297"), "")
        .await;
    lab.refused("404 NotFound: 404: Not Found", ALICE, "GET", &format!("{versions}/x"), "").await;
    lab.refused("404 InvalidUsage: preseed not found", ALICE, "GET", "/api/v1/preseed/99/version", "").await;
    lab.refused(
        "403 InvalidUsage: the answer file is private: only its owner and admins may use it",
        BOB,
        "GET",
        "/api/v1/preseed/1/version",
        "",
    )
    .await;
    lab.stop().await;
}
