//! Architectures and subarchitectures.

use crate::lab::{ADMIN, BOB, Lab};

#[tokio::test]
async fn an_admin_makes_changes_and_removes_them() {
    let lab = Lab::start().await;
    assert_eq!(lab.expect(201, ADMIN, "POST", "/api/v1/arch", r#"{"name": "riscv64"}"#).await["id"], 3);
    let body = r#"{"name": "riscv64", "description": "RISC-V"}"#;
    assert_eq!(lab.expect(200, ADMIN, "PUT", "/api/v1/arch/3", body).await["description"], "RISC-V");
    let body = r#"{"arch": "riscv64", "name": "efi", "bootloader_id": 1, "efiboot": true}"#;
    let made = lab.expect(201, ADMIN, "POST", "/api/v1/subarch", body).await;
    assert_eq!((made["arch"].as_str(), made["bootloader_id"].as_i64()), (Some("riscv64"), Some(1)));
    let body = r#"{"arch": "arm64", "name": "uefi", "bootloader_id": null}"#;
    let words = "400 SchemaError: arch: a subarchitecture stays with its architecture";
    lab.refused(words, ADMIN, "PUT", "/api/v1/subarch/3", body).await;
    let body = r#"{"arch": "riscv64", "name": "uefi", "bootloader_id": null}"#;
    let set = lab.expect(200, ADMIN, "PUT", "/api/v1/subarch/3", body).await;
    assert_eq!(
        (set["name"].as_str(), set["arch"].as_str(), set["efiboot"].as_bool()),
        (Some("uefi"), Some("riscv64"), Some(false))
    );
    assert_eq!(lab.get(BOB, "/api/v1/subarch").await.json().as_array().map(Vec::len), Some(3));
    lab.expect(204, ADMIN, "DELETE", "/api/v1/subarch/3", "").await;
    lab.expect(204, ADMIN, "DELETE", "/api/v1/arch/3", "").await;
    assert_eq!(lab.get(BOB, "/api/v1/arch").await.json().as_array().map(Vec::len), Some(2));
    lab.stop().await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let lab = Lab::start().await;
    lab.refused(
        "409 IntegrityError: this architecture name is taken already",
        ADMIN,
        "POST",
        "/api/v1/arch",
        r#"{"name": "arm64"}"#,
    )
    .await;
    lab.refused("404 InvalidUsage: arch not found", ADMIN, "PUT", "/api/v1/arch/9", r#"{"name": "x"}"#).await;
    let answer = lab.ask(ADMIN, "DELETE", "/api/v1/arch/1", "").await;
    assert!(answer.refusal().starts_with("409 IntegrityError: still in use by"), "{answer:?}");
    let answer = lab.ask(ADMIN, "DELETE", "/api/v1/subarch/1", "").await;
    assert!(answer.refusal().starts_with("409 IntegrityError: still in use by"), "{answer:?}");
    let post =
        |words: &'static str, body: &'static str| lab.refused(words, ADMIN, "POST", "/api/v1/subarch", body);
    post("400 InvalidUsage: no such architecture", r#"{"arch": "x", "name": "y"}"#).await;
    post("404 InvalidUsage: image not found", r#"{"arch": "arm64", "name": "y", "bootloader_id": 99}"#).await;
    post(
        "400 SchemaError: bootloader_id: image alice/linux.11 is no bootloader",
        r#"{"arch": "arm64", "name": "y", "bootloader_id": 2}"#,
    )
    .await;
    lab.refused("404 InvalidUsage: subarch not found", ADMIN, "DELETE", "/api/v1/subarch/9", "").await;
    lab.stop().await;
}
