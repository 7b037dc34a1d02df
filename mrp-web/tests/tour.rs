//! A tour of every route that writes: each leaves an entry in the audit log, and no secret is in any.

use std::collections::BTreeSet;

use mrp_core::store::{AuditFilter, EventFilter, EventStore};
use mrp_web::{RouteInfo, people_routes};

use crate::lab::{ADMIN, ALICE, Answer, BOB, Lab, bmc_password};

/// Stands for the token of the login that was made on the way.
const SESSION: &str = "SESSION";

/// What leaves no entry, though it does not only look, and why.
const CHANGE_NOTHING: &[(&str, &str)] = &[
    ("test_bmc", "it asks the BMC for its state"),
    ("begin_upload", "the entry is that of the image which it becomes"),
    ("continue_upload", "the same"),
    ("cancel_upload", "nothing came of it"),
];

/// Operation, who asks, path behind `/api/v1`, body. In an order in which each finds what it needs.
pub(crate) const TOUR: &[(&str, &str, &str, &str)] = &[
    ("create_arch", ADMIN, "/arch", r#"{"name": "riscv64"}"#),
    ("set_arch", ADMIN, "/arch/3", r#"{"name": "riscv"}"#),
    ("create_subarch", ADMIN, "/subarch", r#"{"name": "x", "arch": "riscv"}"#),
    ("set_subarch", ADMIN, "/subarch/3", r#"{"name": "y", "arch": "riscv"}"#),
    ("delete_subarch", ADMIN, "/subarch/3", ""),
    ("delete_arch", ADMIN, "/arch/3", ""),
    ("create_bmc", ADMIN, "/bmc", r#"{"name": "b", "address": "127.0.0.5", "password": "SECRET-BMC-1"}"#),
    ("set_bmc", ADMIN, "/bmc/4", r#"{"name": "b", "address": "127.0.0.6", "password": "SECRET-BMC-2"}"#),
    ("delete_bmc", ADMIN, "/bmc/4", ""),
    ("create_network", ADMIN, "/network", r#"{"name": "n", "subnet": "10.9.0.0/24"}"#),
    ("set_network", ADMIN, "/network/4", r#"{"name": "n", "subnet": "10.10.0.0/24"}"#),
    ("delete_network", ADMIN, "/network/4", ""),
    ("create_user", ADMIN, "/user", r#"{"name": "eve", "password": "SECRET-PASSWORD-1"}"#),
    ("set_user", ADMIN, "/user/4", r#"{"password": "SECRET-PASSWORD-2", "email": "eve@example.org"}"#),
    ("log_in", "", "/session", r#"{"user": "eve", "password": "SECRET-PASSWORD-2"}"#),
    (
        "set_user",
        SESSION,
        "/user/4",
        r#"{"password": "SECRET-PASSWORD-3", "current_password": "SECRET-PASSWORD-2"}"#,
    ),
    ("log_in", "", "/session", r#"{"user": "eve", "password": "SECRET-PASSWORD-3"}"#),
    ("log_out", SESSION, "/session", ""),
    ("delete_user", ADMIN, "/user/4", ""),
    ("create_token", ALICE, "/token", r#"{"description": "for CI", "scope": "use"}"#),
    ("delete_token", ALICE, "/token/6", ""),
    (
        "create_preseed",
        ALICE,
        "/preseed",
        r#"{"name": "pp", "type": "preseed", "content": "SECRET-CONTENT-1"}"#,
    ),
    ("set_preseed", ALICE, "/preseed/5", r#"{"content": "SECRET-CONTENT-2"}"#),
    ("restore_preseed_version", ALICE, "/preseed/5/version", r#"{"restore": 1}"#),
    ("delete_preseed", ALICE, "/preseed/5", ""),
    ("upload_image", ALICE, "/image", UPLOAD),
    ("set_image", ALICE, "/image/6", r#"{"description": "new"}"#),
    ("delete_image", ALICE, "/image/6", ""),
    ("replace_image", ALICE, "/image/2/replace", r#"{"by": 5}"#),
    ("create_machine", ADMIN, "/machine", r#"{"name": "m", "arch": "arm64"}"#),
    ("define_machine", ADMIN, "/machine/7", r#"{"name": "m2"}"#),
    ("create_interface", ADMIN, "/machine/7/interface", r#"{"mac": "52:54:00:00:00:99"}"#),
    ("set_interface", ADMIN, "/machine/7/interface/7", r#"{"identifier": "eth9"}"#),
    ("delete_interface", ADMIN, "/machine/7/interface/7", ""),
    ("assign_machine", ADMIN, "/machine/7/assignee", r#"{"user": "bob"}"#),
    ("set_assignee", BOB, "/machine/7/assignee/4", r#"{"reason": "tests"}"#),
    ("release_machine", BOB, "/machine/7/assignee/4", ""),
    ("reserve_machine", BOB, "/machine/reservation", r#"{"query": "", "reason": "tests"}"#),
    ("delete_machine", ADMIN, "/machine/7", ""),
    ("change_machine_tags", ADMIN, "/machine/1/tags", r#"{"add": ["fast"]}"#),
    ("open_console", ALICE, "/machine/1/console", ""),
    ("take_console", ALICE, "/machine/1/console", ""),
    (
        "adopt_discovered",
        ADMIN,
        "/discovered/52:54:00:aa:00:01/machine",
        r#"{"name": "found", "arch": "arm64"}"#,
    ),
    ("forget_discovered", ADMIN, "/discovered/52:54:00:aa:00:02", ""),
    (
        "set_machine",
        ALICE,
        "/machine/1",
        r#"{"kernel_id": 2, "initrd_id": null, "preseed_id": null, "subarch": "efi", "kernel_opts": "quiet", "netboot_enabled": false}"#,
    ),
    ("set_power", ALICE, "/machine/1/power", r#"{"state": "on"}"#),
    ("provision", ALICE, "/machine/1/state", r#"{"state": "provision"}"#),
    ("cancel_run", ALICE, "/run/1/cancel", "{}"),
    ("start_run", ALICE, "/run", r#"{"machine": 1}"#),
    ("set_state", ALICE, "/machine/1/state", r#"{"state": "ready"}"#),
];

const UPLOAD: &str = "--B\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n{\"type\": \"Kernel\", \"arch\": \"arm64\"}\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"vmlinuz\"\r\n\r\nbytes\r\n--B--\r\n";

async fn ask(lab: &Lab, token: &str, method: &str, path: &str, body: &'static str) -> Answer {
    let mut request = lab.request(method, &format!("/api/v1{path}")).body(body);
    if !token.is_empty() {
        request = request.header("authorization", token);
    }
    if body == UPLOAD {
        request = request.header("content-type", "multipart/form-data; boundary=B");
    }
    Answer::of(request.send().await.unwrap()).await
}

fn writing() -> Vec<RouteInfo> {
    people_routes().into_iter().filter(|route| !route.looks).collect()
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_and_no_secret_is() {
    let lab = Lab::start().await;
    let (mut wrong, mut secrets, mut session) = (Vec::new(), Vec::new(), String::new());
    for number in [1, 2] {
        let seen = format!(r#"{{"discover": true, "mac": "52:54:00:aa:00:0{number}", "options": []}}"#);
        lab.expect(202, "", "POST", "/dhcp/ipv4/seen", &seen).await;
    }
    for (operation, token, path, body) in TOUR {
        let Some(route) = writing().into_iter().find(|route| route.operation == *operation) else {
            wrong.push(format!("there is no route {operation}"));
            continue;
        };
        let before = lab.store.last_audit().await.unwrap();
        let token = if *token == SESSION { &session } else { *token };
        let answer = ask(&lab, token, route.method, path, body).await;
        if answer.status >= 300 {
            wrong.push(format!("{operation}: {answer:?}"));
        } else if lab.store.last_audit().await.unwrap() == before {
            wrong.push(format!("{operation} is not in the audit log"));
        }
        if ["log_in", "create_token", "open_console"].contains(operation) {
            answer.json()["token"].as_str().unwrap().clone_into(&mut session);
            secrets.push(session.clone());
        }
    }
    let toured: BTreeSet<&str> =
        TOUR.iter().map(|step| step.0).chain(CHANGE_NOTHING.iter().map(|x| x.0)).collect();
    let left = writing().into_iter().filter(|route| !toured.contains(route.operation));
    wrong.extend(left.map(|route| format!("{route:?} is not on the tour")));
    assert!(wrong.is_empty(), "{wrong:#?}");

    let audit = lab.store.audit_log(&AuditFilter::default()).await.unwrap();
    let events = lab.store.events(&EventFilter::default()).await.unwrap();
    // What is changed shows what was before, in pairs; or says that it was changed, where its content is not for all.
    for entry in audit.iter().filter(|entry| ["update", "explain", "state"].contains(&&*entry.action)) {
        let changes = entry.changes.as_object().unwrap_or_else(|| panic!("{entry:?}"));
        for (what, change) in
            changes.iter().filter(|(what, _)| !["machine", "arch", "restored"].contains(&&***what))
        {
            let is_pair = change.as_array().is_some_and(|pair| pair.len() == 2);
            let is_word = change.as_str().is_some_and(|word| ["changed", "kept", "revoked"].contains(&word));
            assert!(is_pair || is_word, "{what} has no old value: {entry:?}");
        }
    }
    for entry in &audit {
        assert!(entry.actor == "eve" && entry.action == "login" || entry.token.is_some(), "{entry:?}");
    }
    let written = serde_json::to_string(&(audit, events)).unwrap();
    secrets.extend([ADMIN, ALICE, BOB, bmc_password().expose(), "SECRET-", "argon2id"].map(str::to_owned));
    for secret in secrets {
        assert!(!written.contains(&secret), "{secret} is written down: {written}");
    }
    lab.stop().await;
}
