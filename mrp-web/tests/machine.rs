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
        "400 SchemaWrongKeyError: unknown field `bcm`, expected one of `name`, `arch`, `subarch`, `bmc`, `bmc_info`, `interfaces`",
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
    lab.refused(
        "403 InvalidUsage: you do not hold this machine: only its holders and admins may do this",
        BOB,
        "PUT",
        "/api/v1/machine/1",
        r#"{"kernel_opts": ""}"#,
    )
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

#[tokio::test]
async fn a_machine_is_made_with_its_interfaces_or_not_at_all() {
    let lab = Lab::start().await;
    let new = |name: &str, macs: &[&str]| {
        let plug = |(number, mac): (usize, &&str)| json!({"mac": mac, "identifier": format!("eth{number}"), "network": "lab"});
        let interfaces: Vec<_> = macs.iter().enumerate().map(plug).collect();
        json!({"name": name, "arch": "arm64", "interfaces": interfaces}).to_string()
    };
    let path = "/api/v1/machine";
    let taken = new("half", &["52:54:00:00:03:01", "52:54:00:00:00:01"]);
    let words = "409 IntegrityError: 52:54:00:00:00:01 is taken already, by machine lab.node-1";
    lab.refused(words, ADMIN, "POST", path, &taken).await;
    let group = new("half", &["52:54:00:00:03:01", "01:00:5e:00:00:01"]);
    let words = "400 SchemaError: mac: 01:00:5e:00:00:01 is no network card's address, but a group's or none";
    lab.refused(words, ADMIN, "POST", path, &group).await;
    let twice = r#"{"name": "half", "arch": "arm64", "interfaces": [
        {"mac": "52:54:00:00:03:01", "identifier": "a"}, {"mac": "52:54:00:00:03:02", "identifier": "a"}]}"#;
    lab.refused("409 IntegrityError: two interfaces are called a", ADMIN, "POST", path, twice).await;
    let found =
        lab.expect(200, ADMIN, "GET", "/api/v1/machine?show_all=true&q=(%3D%20name%20%22half%22)", "");
    assert_eq!(found.await.as_array().map(Vec::len), Some(0), "nothing is left of it");
    let made = new("whole", &["52:54:00:00:03:01", "52:54:00:00:03:02"]);
    let made = lab.expect(201, ADMIN, "POST", path, &made).await;
    let interfaces = lab.get(ADMIN, &format!("{path}/{}/interface", made["id"])).await.json();
    let macs: Vec<_> = interfaces.as_array().unwrap().iter().map(|found| found["mac"].clone()).collect();
    assert_eq!(macs, ["52:54:00:00:03:01", "52:54:00:00:03:02"]);
    assert_eq!(
        (interfaces[1]["identifier"].as_str(), interfaces[1]["network_name"].as_str()),
        (Some("eth1"), Some("lab"))
    );
    lab.stop().await;
}

#[tokio::test]
async fn a_name_can_be_told_from_an_id_and_from_another_name() {
    let lab = Lab::start().await;
    for (name, words) in [
        ("17", "\"17\": of digits alone it would look like an id; put a letter in"),
        ("  ", "\"  \": it begins or ends with a blank"),
        ("../..", "\"../..\": it has no letter and no digit"),
        ("a\u{202e}b", "\"a\\u{202e}b\": it has a character that is not seen"),
    ] {
        for (path, body) in [
            ("/api/v1/machine", json!({"name": name, "arch": "arm64"})),
            ("/api/v1/arch", json!({"name": name})),
            ("/api/v1/network", json!({"name": name, "subnet": "10.9.0.0/24"})),
            ("/api/v1/bmc", json!({"name": name, "address": "10.9.0.1"})),
            ("/api/v1/preseed", json!({"name": name, "type": "preseed", "content": ""})),
        ] {
            let refused = format!("400 SchemaError: name: {words}");
            lab.refused(&refused, ADMIN, "POST", path, &body.to_string()).await;
        }
    }
    lab.stop().await;
}
