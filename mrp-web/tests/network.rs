//! Networks.

use crate::lab::{ADMIN, BOB, Lab};

#[tokio::test]
async fn an_admin_makes_changes_and_removes_one() {
    let lab = Lab::start().await;
    let body = r#"{"name": "new", "subnet": "10.9.0.0/24", "static_net": "10.9.0.0/26"}"#;
    let made = lab.expect(201, ADMIN, "POST", "/api/v1/network", body).await;
    assert_eq!((made["id"].as_i64(), made["trust_path_mac"].as_bool()), (Some(4), Some(true)));
    let body = r#"{"name": "new", "subnet": "10.9.0.0/24", "server_url": "http://10.9.0.1:8081", "trust_path_mac": false}"#;
    let set = lab.expect(200, ADMIN, "PUT", "/api/v1/network/4", body).await;
    assert_eq!(
        (set["server_url"].as_str(), set["static_net"].as_str()),
        (Some("http://10.9.0.1:8081"), None)
    );
    assert_eq!(lab.get(BOB, "/api/v1/network/4").await.json(), set);
    lab.expect(204, ADMIN, "DELETE", "/api/v1/network/4", "").await;
    assert_eq!(lab.get(BOB, "/api/v1/network").await.json().as_array().map(Vec::len), Some(3));
    lab.stop().await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let lab = Lab::start().await;
    let post =
        |words: &'static str, body: &'static str| lab.refused(words, ADMIN, "POST", "/api/v1/network", body);
    post("400 SchemaError: subnet: write it as 10.0.0.0/24", r#"{"name": "x", "subnet": "10.9.0.0"}"#).await;
    post(
        "400 SchemaError: subnet: 10.9.0.1/24 has host bits set; write 10.9.0.0/24",
        r#"{"name": "x", "subnet": "10.9.0.1/24"}"#,
    )
    .await;
    post(
        "409 IntegrityError: 10.101.5.0/24 overlaps 10.101.0.0/16 of network lab",
        r#"{"name": "x", "subnet": "10.101.5.0/24"}"#,
    )
    .await;
    post(
        "400 SchemaError: server_url: write it as http://10.0.0.1:8081",
        r#"{"name": "x", "subnet": "10.9.0.0/24", "server_url": "10.9.0.1"}"#,
    )
    .await;
    lab.refused("404 InvalidUsage: network not found", ADMIN, "GET", "/api/v1/network/9", "").await;
    let answer = lab.ask(ADMIN, "DELETE", "/api/v1/network/1", "").await;
    assert!(answer.refusal().starts_with("409 IntegrityError: still in use by"), "{answer:?}");
    lab.stop().await;
}
