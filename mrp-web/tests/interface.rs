//! Interfaces.

use serde_json::Value;

use crate::lab::{ADMIN, ALICE, BOB, Lab};

const NEW: &str = r#"{"mac": "52:54:00:00:00:AA", "identifier": "eth9", "network": "lab"}"#;

#[tokio::test]
async fn an_admin_adds_moves_and_removes_one() {
    let lab = Lab::start().await;
    let made = lab.expect(201, ADMIN, "POST", "/api/v1/machine/2/interface", NEW).await;
    let text = |key: &str| made[key].as_str().unwrap_or("").to_owned();
    assert_eq!((made["id"].as_i64(), text("mac")), (Some(7), "52:54:00:00:00:aa".into()));
    assert_eq!((text("network_name"), text("subnetv4")), ("lab".into(), "10.101.0.0/16".into()));
    let path = "/api/v1/machine/2/interface/7";
    let moved = lab.expect(200, ADMIN, "PUT", path, r#"{"mac": "52:54:00:00:00:ab", "network": null}"#).await;
    assert_eq!((moved["mac"].as_str(), &moved["network_name"]), (Some("52:54:00:00:00:ab"), &Value::Null));
    lab.expect(204, ADMIN, "DELETE", path, "").await;
    lab.refused("404 InvalidUsage: interface not found", ADMIN, "DELETE", path, "").await;
    lab.stop().await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let lab = Lab::start().await;
    let path = "/api/v1/machine/2/interface";
    lab.refused(
        "409 IntegrityError: 52:54:00:00:00:01 is taken already, by machine lab.node-1",
        ADMIN,
        "POST",
        path,
        r#"{"mac": "52:54:00:00:00:01"}"#,
    )
    .await;
    lab.refused(
        "400 SchemaError: mac: \"zz\" is not a MAC address; write it as 52:54:00:12:34:56",
        ADMIN,
        "POST",
        path,
        r#"{"mac": "zz"}"#,
    )
    .await;
    let body = r#"{"mac": "52:54:00:00:00:ac", "network": "nosuch"}"#;
    lab.refused("400 InvalidUsage: no such network: nosuch", ADMIN, "POST", path, body).await;
    lab.refused("404 InvalidUsage: machine not found", ADMIN, "POST", "/api/v1/machine/99/interface", NEW)
        .await;
    for (mac, words) in [
        ("ff:ff:ff:ff:ff:ff", "ff:ff:ff:ff:ff:ff is no network card's address, but a group's or none"),
        ("01:00:5e:00:00:01", "01:00:5e:00:00:01 is no network card's address, but a group's or none"),
        ("00:00:00:00:00:00", "00:00:00:00:00:00 is no network card's address, but a group's or none"),
    ] {
        let refused = format!("400 SchemaError: mac: {words}");
        lab.refused(&refused, ADMIN, "POST", path, &format!(r#"{{"mac": "{mac}"}}"#)).await;
        lab.refused(
            &refused,
            ADMIN,
            "PUT",
            "/api/v1/machine/1/interface/1",
            &format!(r#"{{"mac": "{mac}"}}"#),
        )
        .await;
    }
    // A name is one interface's.
    let named = |mac: &str| format!(r#"{{"mac": "52:54:00:00:02:{mac}", "identifier": "lan7"}}"#);
    let made = lab.expect(201, ADMIN, "POST", path, &named("01")).await;
    let taken = "409 IntegrityError: lan7 is taken already, by 52:54:00:00:02:01";
    lab.refused(taken, ADMIN, "POST", path, &named("02")).await;
    let other = lab.expect(201, ADMIN, "POST", path, r#"{"mac": "52:54:00:00:02:02"}"#).await;
    let other = format!("{path}/{}", other["id"]);
    lab.refused(taken, ADMIN, "PUT", &other, r#"{"identifier": "lan7"}"#).await;
    lab.expect(200, ADMIN, "PUT", &format!("{path}/{}", made["id"]), r#"{"identifier": "lan7"}"#).await;
    lab.expect(201, ADMIN, "POST", "/api/v1/machine/1/interface", &named("03")).await;
    // Holders choose the address, admins the plug.
    let own = "/api/v1/machine/1/interface/1";
    lab.refused(
        "403 InvalidUsage: only an admin may change the MAC address or the network of an interface",
        ALICE,
        "PUT",
        own,
        r#"{"mac": "52:54:00:00:00:99"}"#,
    )
    .await;
    lab.refused(
        "403 InvalidUsage: you do not hold this machine: only its holders and admins may do this",
        BOB,
        "PUT",
        own,
        r#"{"identifier": "x"}"#,
    )
    .await;
    // A client that sends the whole object back changes only what it changed.
    let body = r#"{"mac": "52:54:00:00:00:01", "network_name": "lab", "identifier": "lan0"}"#;
    assert_eq!(lab.expect(200, ALICE, "PUT", own, body).await["identifier"], "lan0");
    lab.stop().await;
}

#[tokio::test]
async fn automatic_addresses_are_all_different_until_there_are_none() {
    let lab = Lab::start().await;
    let body = r#"{"config_type_v4": "dynamic-reserved", "configured_ipv4": "auto"}"#;
    for mac in ["52:54:00:00:01:01", "52:54:00:00:01:02"] {
        let new = format!(r#"{{"mac": "{mac}", "network": "tiny"}}"#);
        lab.expect(201, ADMIN, "POST", "/api/v1/machine/2/interface", &new).await;
    }
    let paths = ["/api/v1/machine/2/interface/7", "/api/v1/machine/2/interface/8"];
    let set = paths.map(|path| lab.expect(200, ADMIN, "PUT", path, body));
    let set = futures_util::future::join_all(set).await;
    let mut addresses: Vec<&str> = set.iter().map(|set| set["configured_ipv4"].as_str().unwrap()).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["10.102.0.8", "10.102.0.9"]);
    for (path, before) in paths.iter().zip(&set) {
        let again = lab.expect(200, ADMIN, "PUT", path, body).await;
        assert_eq!(again["configured_ipv4"], before["configured_ipv4"], "who has one keeps it");
    }
    lab.refused(
        "409 IntegrityError: no more IPs available in 10.102.0.8/31",
        ADMIN,
        "PUT",
        "/api/v1/machine/2/interface/3",
        body,
    )
    .await;
    lab.stop().await;
}
