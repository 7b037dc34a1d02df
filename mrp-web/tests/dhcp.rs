//! The Kea hook's contract and dnsmasq's reports.

use mrp_core::secret::Secret;
use mrp_web::MachineConfig;

use crate::lab::{ADMIN, Answer, BOB, Lab, SHARED, Setup};

async fn report(lab: &Lab, body: &str) -> u16 {
    lab.ask("", "POST", "/dhcp/lease-event", body).await.status
}

fn event(action: &str, mac: &str, arch: &str, at: i64) -> String {
    format!(
        r#"{{"action": "{action}", "mac": "{mac}", "ipv4": "10.101.0.77", "hostname": null, "client_arch": {arch}, "at": {at}}}"#
    )
}

const NOW: i64 = 1_800_000_000_000;

#[tokio::test]
async fn leases_that_dnsmasq_reports_are_known() {
    let lab = Lab::start().await;
    let mac = "52:54:00:00:00:03";
    assert_eq!(report(&lab, &event("add", mac, "7", NOW)).await, 204);
    let lease = async || lab.get(BOB, "/api/v1/machine/2/interface").await.json()[0]["lease_ipv4"].clone();
    assert_eq!(lease().await, "10.101.0.77");
    let events = lab.get(BOB, "/api/v1/event?machine=2").await.json();
    assert_eq!(events[0]["text"], "52:54:00:00:00:03 has 10.101.0.77 (firmware)");
    // Told again after dnsmasq's start: nothing happened.
    assert_eq!(report(&lab, &event("old", mac, "null", NOW)).await, 204);
    // Kept back for an hour: an address, but no boot.
    assert_eq!(report(&lab, &event("add", mac, "null", NOW - 3_600_000)).await, 204);
    assert_eq!(lab.get(BOB, "/api/v1/event?machine=2").await.json().as_array().map(Vec::len), Some(1));
    assert_eq!(report(&lab, &event("del", mac, "null", NOW)).await, 204);
    assert!(lease().await.is_null());
    assert_eq!(report(&lab, &event("add", "52:54:00:ff:00:01", "11", NOW)).await, 204);
    assert_eq!(lab.get(BOB, "/api/v1/discovered").await.json()[0]["client_arch"], 11);
    for wrong in [event("new", mac, "7", NOW), event("add", "zz", "7", NOW), "{}".into(), "notjson".into()] {
        assert_eq!(report(&lab, &wrong).await, 400, "{wrong}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn strangers_are_refused() {
    let token = Some(Secret::new(SHARED));
    let machines = Some(MachineConfig { dhcp_from: vec!["10.0.0.0/8".parse().unwrap()], token });
    let lab = Lab::with(Setup { machines, ..Setup::default() }).await;
    for (method, path) in [
        ("GET", "/dhcp/ipv4?hwaddr=52:54:00:00:00:01"),
        ("POST", "/dhcp/ipv4/seen"),
        ("POST", "/dhcp/ipv4/lease"),
        ("POST", "/dhcp/ipv4/subnet"),
        ("POST", "/dhcp/lease-event"),
        ("GET", "/tftp/"),
    ] {
        let answer = lab.ask(ADMIN, method, path, "{}").await;
        assert_eq!(answer.status, 403, "{path}");
        let request = lab.request(method, path).header("x-mrp-token", SHARED).body("{}");
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_ne!(answer.status, 403, "{path}");
    }
    lab.stop().await;
}
