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
    lab.refused("403 InvalidUsage: Forbidden", BOB, "GET", "/api/v1/preseed/3/render?machine=1", "").await;
    lab.refused("403 InvalidUsage: Forbidden", BOB, "GET", "/api/v1/preseed/1/render?machine=1", "").await;
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
