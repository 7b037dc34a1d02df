//! Power and state, through a BMC.

use mrp_bmc::sim::{BmcSimulator, Faults, MachineEvent, SimConfig};
use mrp_bmc::{IpmiBmc, MoonshotBmc};
use mrp_core::bmc::{BootDevice, Drivers, Power};

use crate::lab::{ADMIN, ALICE, BOB, Lab, Setup, bmc_password};

fn machine(id: i64) -> String {
    format!("/api/v1/machine/{id}/power")
}

#[tokio::test]
async fn every_word_is_understood_and_the_new_state_is_told() {
    let lab = Lab::start().await;
    for (word, state) in [
        ("off", "off"),
        ("on", "on"),
        ("soft", "off"),
        ("reboot", "on"),
        ("pxe_reboot", "on"),
        ("disk_reboot", "on"),
        ("bios_reboot", "on"),
        ("cycle", "on"),
    ] {
        let body = format!(r#"{{"state": "{word}"}}"#);
        let answer = lab.expect(202, ALICE, "POST", &machine(1), &body).await;
        assert_eq!(answer["state"], state, "{word}");
    }
    assert_eq!(lab.expect(200, BOB, "GET", &machine(1), "").await["state"], "on");
    assert_eq!(lab.expect(200, BOB, "GET", &machine(3), "").await["state"], "unknown");
    assert_eq!(lab.expect(200, BOB, "GET", &machine(4), "").await["state"], "Unknown (BMC error)");
    lab.stop().await;
}

#[tokio::test]
async fn failures_of_bmcs_are_told_apart() {
    let lab = Lab::start().await;
    let on = r#"{"state": "on"}"#;
    lab.refused("504 BMCError: BMC error: BMC at 127.0.0.99 does not answer", ALICE, "POST", &machine(4), on)
        .await;
    let broken = r#"{"name": "dead", "address": "127.0.0.97", "username": "admin"}"#;
    lab.expect(200, ADMIN, "PUT", "/api/v1/bmc/2", broken).await;
    lab.refused(
        "502 BMCError: BMC error: BMC at 127.0.0.97 broke the protocol: an answer of no sense",
        ALICE,
        "POST",
        &machine(4),
        on,
    )
    .await;
    let wrong =
        r#"{"name": "dead", "address": "127.0.0.2", "username": "admin", "password": "not-the-password"}"#;
    lab.expect(200, ADMIN, "PUT", "/api/v1/bmc/2", wrong).await;
    lab.refused(
        "502 BMCError: BMC error: BMC at 127.0.0.2 refuses the login: wrong password",
        ALICE,
        "POST",
        &machine(4),
        on,
    )
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn one_at_a_time_is_at_a_bmc_and_a_slow_one_stalls_nobody() {
    let lab = Lab::start().await;
    let slow = r#"{"name": "dead", "address": "127.0.0.96", "username": "admin"}"#;
    lab.expect(200, ADMIN, "PUT", "/api/v1/bmc/2", slow).await;
    let path = machine(4);
    let first = lab.ask(ALICE, "POST", &path, r#"{"state": "off"}"#);
    let meanwhile = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let second = lab.ask(ADMIN, "POST", &path, r#"{"state": "on"}"#).await;
        let list = lab.get(BOB, "/api/v1/machine?show_all=true").await;
        (second, list.status)
    };
    let (first, (second, list)) = tokio::join!(first, meanwhile);
    assert_eq!((first.status, list), (202, 200), "{first:?}");
    assert_eq!(
        second.refusal(),
        "409 IntegrityError: machine node4-deadbmc is busy: alice is at power off; try again in a moment"
    );
    lab.stop().await;
}

#[tokio::test]
async fn a_state_set_by_hand_ends_the_run() {
    let lab = Lab::start().await;
    let path = "/api/v1/machine/1/state";
    let provision = r#"{"state": "provision"}"#;
    assert_eq!(lab.expect(202, ALICE, "POST", path, provision).await["state"], "provisioning");
    let second = lab.ask(ALICE, "POST", path, provision).await;
    assert_eq!(second.status, 409);
    assert!(second.refusal().contains("is being provisioned by alice since"), "{second:?}");
    assert_eq!(lab.expect(200, ALICE, "PUT", path, r#"{"state": "ready"}"#).await["state"], "ready");
    let run = lab.expect(200, BOB, "GET", "/api/v1/run/1", "").await;
    assert_eq!(run["status"], "ready");
    lab.stop().await;
}

#[tokio::test]
async fn a_dead_bmc_leaves_no_run_behind() {
    let lab = Lab::start().await;
    lab.expect(200, ALICE, "PUT", "/api/v1/machine/4", r#"{"kernel_id": 2}"#).await;
    let answer = lab.ask(ALICE, "POST", "/api/v1/machine/4/state", r#"{"state": "provision"}"#).await;
    assert_eq!(answer.refusal(), "504 BMCError: BMC error: BMC at 127.0.0.99 does not answer");
    let detail = lab.expect(200, ALICE, "GET", "/api/v1/machine/4/detail", "").await;
    assert_eq!(
        (detail["state"].as_str(), detail["netboot"].as_str(), detail["run"]["status"].as_str()),
        (Some("error"), Some("off"), Some("failed"))
    );
    lab.stop().await;
}

#[tokio::test]
async fn power_reaches_a_bmc_over_the_wire() {
    let config = SimConfig { username: "admin".into(), password: bmc_password(), ..SimConfig::default() };
    let bmc = BmcSimulator::start("127.0.0.1:0".parse().unwrap(), config).await.unwrap();
    let mut events = bmc.events();
    let drivers = Some(Drivers::new().with::<IpmiBmc>());
    let lab = Lab::with(Setup { drivers, ..Setup::default() }).await;
    let entry = format!(r#"{{"name": "sim", "address": "{}", "username": "admin"}}"#, bmc.local_addr());
    lab.expect(200, ADMIN, "PUT", "/api/v1/bmc/1", &entry).await;
    lab.expect(202, ALICE, "POST", &machine(1), r#"{"state": "off"}"#).await;
    assert_eq!(bmc.power(), Power::Off);
    lab.expect(202, ALICE, "POST", &machine(1), r#"{"state": "pxe_reboot"}"#).await;
    assert_eq!(bmc.power(), Power::On);
    lab.expect(202, ALICE, "POST", "/api/v1/machine/1/state", r#"{"state": "provision"}"#).await;
    let boot = loop {
        if let MachineEvent::Reset { boot } = events.recv().await.unwrap() {
            break boot;
        }
    };
    assert_eq!(boot.map(|boot| (boot.device, boot.efi)), Some((BootDevice::Pxe, true)));
    bmc.set_faults(Faults { wrong_password: true, ..Faults::default() });
    bmc.forget_sessions();
    let answer = lab.ask(ADMIN, "POST", "/api/v1/bmc/1/test", "{}").await;
    assert!(answer.refusal().starts_with("502 BMCError: BMC error: BMC at 127.0.0.1"), "{answer:?}");
    assert!(!answer.text.contains(bmc_password().expose()));
    lab.stop().await;
    bmc.stop().await;
}

/// A machine without an address in its chassis could never be switched.
#[tokio::test]
async fn a_moonshot_machine_needs_the_number_of_its_cartridge() {
    let drivers = Some(Drivers::new().with::<IpmiBmc>().with::<MoonshotBmc>());
    let lab = Lab::with(Setup { drivers, ..Setup::default() }).await;
    let refusal = |info: &str| {
        format!(
            "400 SchemaError: bmc_info: the node of a Moonshot chassis is a cartridge's number from 1 to 63, not {info:?}"
        )
    };
    for info in ["", "0", "c7"] {
        let body = format!(r#"{{"name": "blade", "arch": "arm64", "bmc": "ms", "bmc_info": "{info}"}}"#);
        lab.refused(&refusal(info), ADMIN, "POST", "/api/v1/machine", &body).await;
    }
    let body = r#"{"name": "blade", "arch": "arm64", "bmc": "ms", "bmc_info": "7"}"#;
    let made = lab.expect(201, ADMIN, "POST", "/api/v1/machine", body).await;
    let url = format!("/api/v1/machine/{}", made["id"]);
    lab.refused(&refusal("0"), ADMIN, "PATCH", &url, r#"{"bmc_info": "0"}"#).await;
    lab.expect(200, ADMIN, "PATCH", &url, r#"{"bmc_info": "0", "bmc": "sim"}"#).await;
    lab.refused(&refusal("0"), ADMIN, "PATCH", &url, r#"{"bmc": "ms"}"#).await;
    lab.stop().await;
}
