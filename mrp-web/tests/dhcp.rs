//! The Kea hook's contract and dnsmasq's reports.

use mrp_core::secret::Secret;
use mrp_web::MachineConfig;

use crate::lab::{ADMIN, Answer, BOB, Lab, SHARED, Setup};

async fn report(lab: &Lab, body: &str) -> u16 {
    lab.ask("", "POST", "/dhcp/lease-event", body).await.status
}

fn event(action: &str, mac: &str, arch: &str, firmware: &str, at: i64) -> String {
    format!(
        r#"{{"action": "{action}", "mac": "{mac}", "ipv4": "10.101.0.77", "hostname": null, "client_arch": {arch},
            "firmware": {firmware}, "expires": 1800003600, "at": {at}}}"#
    )
}

const NOW: i64 = 1_800_000_000_000;

#[tokio::test]
async fn leases_that_dnsmasq_reports_are_known() {
    let lab = Lab::start().await;
    let mac = "52:54:00:00:00:03";
    assert_eq!(report(&lab, &event("add", mac, "7", "true", NOW)).await, 204);
    let lease = async || lab.get(BOB, "/api/v1/machine/2/interface").await.json()[0]["lease_ipv4"].clone();
    assert_eq!(lease().await, "10.101.0.77");
    let texts = async || {
        let events = lab.get(BOB, "/api/v1/event?machine=2").await.json();
        events
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let firmware = "52:54:00:00:00:03 has 10.101.0.77 (firmware)";
    assert_eq!(texts().await, [firmware]);
    // Told again after dnsmasq's start: nothing happened.
    assert_eq!(report(&lab, &event("old", mac, "null", "null", NOW)).await, 204);
    // Kept back for an hour: an address, but no boot.
    assert_eq!(report(&lab, &event("add", mac, "null", "false", NOW - 3_600_000)).await, 204);
    assert_eq!(texts().await, [firmware]);
    // A renewal that dnsmasq heard: the operating system asked.
    assert_eq!(report(&lab, &event("old", mac, "null", "false", NOW)).await, 204);
    assert_eq!(texts().await, [firmware, "52:54:00:00:00:03 has 10.101.0.77 (operating system)"]);
    // Sent twice, because mrp's answer was lost.
    assert_eq!(report(&lab, &event("old", mac, "null", "false", NOW)).await, 204);
    assert_eq!(texts().await.len(), 2);
    assert_eq!(report(&lab, &event("del", mac, "null", "null", NOW)).await, 204);
    assert!(lease().await.is_null());
    assert_eq!(report(&lab, &event("add", "52:54:00:ff:00:01", "11", "true", NOW)).await, 204);
    assert_eq!(lab.get(BOB, "/api/v1/discovered").await.json()[0]["client_arch"], 11);
    let wrong = [
        event("new", mac, "7", "true", NOW),
        event("add", "zz", "7", "true", NOW),
        "{}".into(),
        "notjson".into(),
    ];
    for wrong in wrong {
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
