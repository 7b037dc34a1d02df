//! `ETag` and `If-Match`: two who change one object lose nothing.

use mrp_core::id::Id;
use serde_json::Value;

use crate::lab::{ADMIN, Answer, Lab};

/// Asks as an admin, for a change of an object as it was seen.
async fn conditional(lab: &Lab, method: &str, path: &str, seen: &str, body: &str) -> Answer {
    let request = lab.request(method, path).header("authorization", ADMIN).header("if-match", seen);
    Answer::of(request.body(body.to_owned()).send().await.unwrap()).await
}

async fn audited(lab: &Lab) -> usize {
    lab.service
        .events()
        .audit(&mrp_core::Actor::system(), mrp_core::store::AuditFilter::default())
        .await
        .unwrap()
        .len()
}

/// What there is of each noun: where one is made and with what, how it is changed.
const NOUNS: [(&str, &str, &str); 8] = [
    ("/api/v1/user", r#"{"name": "carol", "password": "password1"}"#, r#"{"email": "c@example.org"}"#),
    ("/api/v1/arch", r#"{"name": "riscv64"}"#, r#"{"name": "riscv64", "description": "new"}"#),
    (
        "/api/v1/subarch",
        r#"{"arch": "arm64", "name": "u-boot"}"#,
        r#"{"arch": "arm64", "name": "u-boot", "efiboot": true}"#,
    ),
    (
        "/api/v1/bmc",
        r#"{"name": "b9", "address": "127.0.0.9"}"#,
        r#"{"name": "b9", "address": "127.0.0.10"}"#,
    ),
    (
        "/api/v1/network",
        r#"{"name": "n9", "subnet": "10.9.0.0/24"}"#,
        r#"{"name": "n9", "subnet": "10.9.0.0/16"}"#,
    ),
    ("/api/v1/machine/1/interface", r#"{"mac": "52:54:00:00:00:99"}"#, r#"{"identifier": "eth9"}"#),
    ("/api/v1/machine/2/assignee", r#"{"user": "bob"}"#, r#"{"reason": "bisect"}"#),
    ("/api/v1/preseed", r#"{"name": "p9", "type": "preseed"}"#, r#"{"content": "new"}"#),
];

#[tokio::test]
async fn every_noun_is_changed_only_as_it_was_seen() {
    let lab = Lab::start().await;
    for (list, new, change) in NOUNS {
        let made = lab.ask(ADMIN, "POST", list, new).await;
        assert_eq!((made.status, made.header("etag")), (201, "\"1\""), "{list}: {made:?}");
        let path = format!("{list}/{}", made.json()["id"]);
        let before = audited(&lab).await;
        for seen in ["\"2\"", "W/\"1\"", "\"x\"", "", "1"] {
            for (method, body) in [("PUT", change), ("DELETE", "")] {
                let refused = conditional(&lab, method, &path, seen, body).await;
                let words = "412 PreconditionFailed: somebody else changed it meanwhile, it is at revision 1; look again";
                assert_eq!(refused.refusal(), words, "{method} {path} {seen}");
            }
        }
        assert_eq!(audited(&lab).await, before, "{list}: a refused change leaves no trace");
        let changed = conditional(&lab, "PUT", &path, "\"7\", \"1\"", change).await;
        assert_eq!((changed.status, changed.header("etag")), (200, "\"2\""), "{path}: {changed:?}");
        if !path.contains("/arch/") && !path.contains("/subarch/") {
            assert_eq!(lab.get(ADMIN, &path).await.header("etag"), "\"2\"", "{path}");
        }
        assert_eq!(conditional(&lab, "DELETE", &path, "\"1\"", "").await.status, 412, "{path}");
        let removed = conditional(&lab, "DELETE", &path, "*", "").await;
        assert_eq!(removed.status, 204, "{path}: {removed:?}");
        assert_eq!(conditional(&lab, "DELETE", &path, "\"1\"", "").await.status, 404, "{path}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn machines_and_images_are_changed_only_as_they_were_seen() {
    let lab = Lab::start().await;
    for (path, method, change) in [
        ("/api/v1/machine/3", "PUT", r#"{"kernel_opts": "quiet"}"#),
        ("/api/v1/machine/3", "PATCH", r#"{"bmc_info": "c3"}"#),
        ("/api/v1/image/2", "PUT", r#"{"description": "new"}"#),
    ] {
        let seen = lab.get(ADMIN, path).await.header("etag").to_owned();
        let before: Value = lab.get(ADMIN, path).await.json();
        assert_eq!(conditional(&lab, method, path, "\"99\"", change).await.status, 412, "{path}");
        assert_eq!(lab.get(ADMIN, path).await.json(), before, "{path}");
        let changed = conditional(&lab, method, path, &seen, change).await;
        assert_eq!(changed.status, 200, "{path}: {changed:?}");
        assert_eq!(conditional(&lab, method, path, &seen, change).await.status, 412, "{path}: it has moved");
    }
    assert_eq!(conditional(&lab, "DELETE", "/api/v1/machine/3", "\"1\"", "").await.status, 412);
    assert_eq!(conditional(&lab, "DELETE", "/api/v1/image/2", "\"9\"", "").await.status, 412);
    assert!(lab.service.machines().get(&mrp_core::Actor::system(), Id::new(3)).await.is_ok());
    lab.stop().await;
}

#[tokio::test]
async fn of_many_who_saw_the_same_one_changes_it() {
    let lab = Lab::start().await;
    let body = |n: usize| format!("{{\"name\": \"riscv64\", \"description\": \"{n}\"}}");
    let path =
        format!("/api/v1/arch/{}", lab.expect(201, ADMIN, "POST", "/api/v1/arch", &body(0)).await["id"]);
    let all = (1..=20).map(|n| {
        let (lab, path) = (&lab, &path);
        async move { conditional(lab, "PUT", path, "\"1\"", &body(n)).await.status }
    });
    let statuses = futures_util::future::join_all(all).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 19, "{statuses:?}");
    lab.stop().await;
}

#[tokio::test]
async fn pages_of_other_sites_may_read_and_send_tags() {
    let lab = Lab::start().await;
    let answer = lab.get(ADMIN, "/api/v1/machine/1").await;
    assert!(answer.header("access-control-expose-headers").contains("ETag"), "{answer:?}");
    let request = lab.request("OPTIONS", "/api/v1/machine/1").header("origin", "http://other.example.org");
    let preflight = Answer::of(request.send().await.unwrap()).await;
    assert!(preflight.header("access-control-allow-headers").contains("If-Match"), "{preflight:?}");
    lab.stop().await;
}
