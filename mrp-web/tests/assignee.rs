//! Assignments.

use crate::lab::{ADMIN, ALICE, BOB, Lab};

#[tokio::test]
async fn giving_a_machine_back_ends_what_its_holder_had() {
    let lab = Lab::start().await;
    lab.expect(202, ALICE, "POST", "/api/v1/machine/1/state", r#"{"state": "provision"}"#).await;
    lab.refused(
        "403 InvalidUsage: only its holder and admins may end an assignment",
        BOB,
        "DELETE",
        "/api/v1/machine/1/assignee/1",
        "",
    )
    .await;
    lab.expect(204, ALICE, "DELETE", "/api/v1/machine/1/assignee/self", "").await;
    let detail = lab.expect(200, BOB, "GET", "/api/v1/machine/1/detail", "").await;
    assert_eq!(
        (detail["netboot"].as_str(), detail["run"]["status"].as_str()),
        (Some("off"), Some("cancelled"))
    );
    assert_eq!(detail["assignees"].as_array().map(Vec::len), Some(0));
    let power = r#"{"state": "on"}"#;
    lab.refused(
        "403 InvalidUsage: you do not hold this machine: only its holders and admins may do this",
        ALICE,
        "POST",
        "/api/v1/machine/1/power",
        power,
    )
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn an_admin_assigns_and_takes_back() {
    let lab = Lab::start().await;
    let made = lab.expect(201, ADMIN, "POST", "/api/v1/machine/2/assignee", r#"{"user": "bob"}"#).await;
    let path = format!("/api/v1/machine/2/assignee/{}", made["id"]);
    assert_eq!(lab.expect(200, BOB, "PUT", &path, r#"{"reason": "mine"}"#).await["reason"], "mine");
    lab.refused(
        "409 IntegrityError: bob holds this machine already",
        ADMIN,
        "POST",
        "/api/v1/machine/2/assignee",
        r#"{"user": "bob"}"#,
    )
    .await;
    lab.refused(
        "400 SchemaError: reason: text is needed, not null",
        BOB,
        "PUT",
        &path,
        r#"{"reason": null}"#,
    )
    .await;
    lab.expect(204, ADMIN, "DELETE", &path, "").await;
    lab.refused("404 InvalidUsage: assignee not found", ADMIN, "GET", &path, "").await;
    lab.refused("404 NotFound: 404: Not Found", ADMIN, "GET", "/api/v1/machine/2/assignee/foo", "").await;
    lab.stop().await;
}
