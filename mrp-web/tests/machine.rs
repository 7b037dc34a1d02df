//! Machines.

use serde_json::{Value, json};

use crate::lab::{ADMIN, ALICE, BOB, Lab};

fn ids(list: &Value) -> Vec<i64> {
    list.as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn an_admin_makes_changes_and_removes_one() {
    let lab = Lab::start().await;
    let body = r#"{"name": "new.one", "arch": "arm64", "subarch": "efi", "bmc": "sim", "bmc_info": "3"}"#;
    let made = lab.expect(201, ADMIN, "POST", "/api/v1/machine", body).await;
    assert_eq!((made["id"].as_i64(), made["hostname"].as_str()), (Some(7), Some("new-one")));
    let detail = lab.expect(200, BOB, "GET", "/api/v1/machine/7/detail", "").await;
    assert_eq!(detail["bmc_info"], "3");
    assert_eq!(
        (&detail["has_bmc"], &detail["netboot"], &detail["state"]),
        (&json!(true), &json!("off"), &json!("unknown"))
    );
    let changed =
        lab.expect(200, ADMIN, "PATCH", "/api/v1/machine/7", r#"{"name": "other", "bmc": null}"#).await;
    assert_eq!((changed["name"].as_str(), changed["subarch"].as_str()), (Some("other"), Some("efi")));
    let detail = lab.expect(200, BOB, "GET", "/api/v1/machine/7/detail", "").await;
    assert_eq!(detail["has_bmc"], false);
    let moved = lab.expect(200, ADMIN, "PATCH", "/api/v1/machine/7", r#"{"arch": "x86_64"}"#).await;
    assert_eq!((moved["arch"].as_str(), &moved["subarch"]), (Some("x86_64"), &Value::Null));
    lab.expect(204, ADMIN, "DELETE", "/api/v1/machine/7", "").await;
    lab.refused("404 InvalidUsage: machine not found", ADMIN, "GET", "/api/v1/machine/7", "").await;
    lab.stop().await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let lab = Lab::start().await;
    let post =
        |words: &'static str, body: &'static str| lab.refused(words, ADMIN, "POST", "/api/v1/machine", body);
    post("409 IntegrityError: this machine name is taken already", r#"{"name": "node2", "arch": "arm64"}"#)
        .await;
    post("400 InvalidUsage: no such architecture", r#"{"name": "m", "arch": "sparc"}"#).await;
    post("400 InvalidUsage: no such BMC: b", r#"{"name": "m", "arch": "arm64", "bmc": "b"}"#).await;
    post("400 SchemaMissingKeyError: missing field `arch`", r#"{"name": "m"}"#).await;
    post(
        "400 SchemaWrongKeyError: unknown field `bcm`, expected one of `name`, `arch`, `subarch`, `bmc`, `bmc_info`",
        r#"{"name": "m", "arch": "arm64", "bcm": "sim"}"#,
    )
    .await;
    post(
        "400 SchemaUnexpectedTypeError: name: invalid type: integer `5`, expected a string",
        r#"{"name": 5, "arch": "arm64"}"#,
    )
    .await;
    post("400 SchemaError: name: 0 characters; 1 to 256 are allowed", r#"{"name": "", "arch": "arm64"}"#)
        .await;
    lab.refused("404 InvalidUsage: machine not found", BOB, "PATCH", "/api/v1/machine/99", "{}").await;
    lab.refused("404 InvalidUsage: machine not found", ADMIN, "DELETE", "/api/v1/machine/99", "").await;
    lab.refused("404 InvalidUsage: machine not found", ADMIN, "GET", "/api/v1/machine/99/detail", "").await;
    lab.refused("403 InvalidUsage: Forbidden", BOB, "PUT", "/api/v1/machine/1", r#"{"kernel_opts": ""}"#)
        .await;
    lab.stop().await;
}

#[tokio::test]
async fn a_refused_change_changes_nothing() {
    let lab = Lab::start().await;
    let before = lab.expect(200, ALICE, "GET", "/api/v1/machine/1", "").await;
    let body = r#"{"kernel_opts": "changed", "netboot_enabled": false, "preseed_id": 2}"#;
    lab.refused("403 InvalidUsage: not allowed to use preseed", ALICE, "PUT", "/api/v1/machine/1", body)
        .await;
    assert_eq!(lab.expect(200, ALICE, "GET", "/api/v1/machine/1", "").await, before);
    lab.stop().await;
}

#[tokio::test]
async fn lists_hold_ones_own_or_all_or_what_matches() {
    let lab = Lab::start().await;
    let list = async |token: &str, query: &str| {
        ids(&lab.expect(200, token, "GET", &format!("/api/v1/machine{query}"), "").await)
    };
    assert_eq!(list(ALICE, "").await, [1, 4, 5]);
    assert_eq!(list(ADMIN, "?show_all=1").await, [0i64; 0]);
    assert_eq!(list(BOB, "?show_all=TrUe").await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(list(BOB, "?show_all=true&q=(=%20state%20%22ready%22)").await, [1]);
    let twice_quoted = "?q=(=%20name%20%22lab.node-1%22)&show_all=false";
    assert_eq!(list(ALICE, twice_quoted).await, [1]);
    assert_eq!(list(BOB, twice_quoted).await, [0i64; 0]);
    lab.stop().await;
}

#[tokio::test]
async fn of_many_who_reserve_the_same_machine_one_gets_it() {
    let lab = Lab::start().await;
    let body = r#"{"query": "(= name \"node2\")", "reason": "race"}"#;
    let asked = (0..8).map(|number| {
        let token = if number % 2 == 0 { BOB } else { ALICE };
        lab.ask(token, "POST", "/api/v1/machine/reservation", body)
    });
    let answers = futures_util::future::join_all(asked).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404, 404, 404, 404, 404, 404, 404]);
    lab.stop().await;
}
