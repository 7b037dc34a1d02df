//! Runs.

use crate::lab::{ADMIN, ALICE, BOB, Lab, eventually};

#[tokio::test]
async fn a_run_starts_is_seen_and_is_cancelled() {
    let lab = Lab::start().await;
    let run = lab.expect(201, ALICE, "POST", "/api/v1/run", r#"{"machine": 1}"#).await;
    assert_eq!((run["status"].as_str(), run["started_by"].as_str()), (Some("active"), Some("alice")));
    assert_eq!(run["plan"]["kernel"]["name"], "alice/linux.11");
    let path = format!("/api/v1/run/{}", run["id"]);
    eventually("the BMC has switched it on", async || {
        let run = lab.get(BOB, &path).await.json();
        run["stages"][0]["detail"] == "power on" && run["waiting_for"] == "DHCP"
    })
    .await;
    assert_eq!(lab.get(BOB, "/api/v1/run?active=true&machine=1").await.json()[0]["id"], run["id"]);
    let answer = lab.ask(ADMIN, "POST", "/api/v1/run", r#"{"machine": 1}"#).await;
    assert!(
        answer.refusal().starts_with("409 IntegrityError: machine lab.node-1 is being provisioned by alice"),
        "{answer:?}"
    );
    lab.refused(
        "403 InvalidUsage: you do not hold this machine: only its holders and admins may do this",
        BOB,
        "POST",
        &format!("{path}/cancel"),
        "",
    )
    .await;
    let ended = lab.expect(200, ALICE, "POST", &format!("{path}/cancel"), "").await;
    assert_eq!(
        (ended["status"].as_str(), ended["verdict"].as_str()),
        (Some("cancelled"), Some("cancelled by alice"))
    );
    lab.refused(
        "409 IntegrityError: run 1 has ended: cancelled by alice",
        ALICE,
        "POST",
        &format!("{path}/cancel"),
        "",
    )
    .await;
    assert_eq!(lab.get(BOB, "/api/v1/run?active=true").await.json().as_array().map(Vec::len), Some(0));
    let again = lab.expect(201, ALICE, "POST", "/api/v1/run", r#"{"machine": 1, "manual": true}"#).await;
    assert_eq!(again["plan"]["manual"], true);
    assert_eq!(lab.get(BOB, "/api/v1/run?limit=1").await.json()[0]["id"], again["id"]);
    lab.stop().await;
}

#[tokio::test]
async fn a_machine_without_bmc_is_provisioned_too() {
    let lab = Lab::start().await;
    lab.expect(200, ADMIN, "PUT", "/api/v1/machine/6", r#"{"kernel_id": 5}"#).await;
    let run = lab.expect(201, ADMIN, "POST", "/api/v1/run", r#"{"machine": 6}"#).await;
    assert_eq!(run["plan"]["has_bmc"], false);
    lab.stop().await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let lab = Lab::start().await;
    let post =
        |words: &'static str, body: &'static str| lab.refused(words, ADMIN, "POST", "/api/v1/run", body);
    post("400 InvalidUsage: provisioning requires a kernel", r#"{"machine": 2}"#).await;
    post("404 InvalidUsage: machine not found", r#"{"machine": 99}"#).await;
    post("400 SchemaMissingKeyError: missing field `machine`", "{}").await;
    post(
        "400 SchemaUnexpectedTypeError: machine: invalid type: string \"1\", expected i64",
        r#"{"machine": "1"}"#,
    )
    .await;
    lab.refused(
        "403 InvalidUsage: you do not hold this machine: only its holders and admins may do this",
        BOB,
        "POST",
        "/api/v1/run",
        r#"{"machine": 1}"#,
    )
    .await;
    lab.refused("404 InvalidUsage: run not found", ADMIN, "GET", "/api/v1/run/99", "").await;
    lab.refused("404 InvalidUsage: run not found", ADMIN, "POST", "/api/v1/run/99/cancel", "").await;
    lab.refused(
        "400 SchemaError: limit: a number from 1 to 1000 is needed",
        ADMIN,
        "GET",
        "/api/v1/run?limit=x",
        "",
    )
    .await;
    lab.stop().await;
}
