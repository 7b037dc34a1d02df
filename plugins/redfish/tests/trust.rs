//! TLS: whose certificate is trusted. And options that are wrong.

use mrp_core::bmc::{BmcError, Drivers, OpenBmc};
use mrp_redfish::RedfishBmc;
use serde_json::{Value, json};

use crate::support::service::Shape;
use crate::support::sim::Simulator;
use crate::support::{fingerprint, plugins, power_error};

async fn opened(simulator: &Simulator, options: Value) -> Result<RedfishBmc, BmcError> {
    RedfishBmc::open(plugins::config(&simulator.address.to_string(), options)).await
}

#[tokio::test]
async fn a_certificate_is_trusted_by_its_fingerprint_or_its_maker_and_not_by_default() {
    let simulator = Simulator::start(Shape::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &simulator.pem).unwrap();
    let pinned = fingerprint(&simulator.der);
    for options in [
        json!({"fingerprint": pinned}),
        json!({"fingerprint": pinned.replace(':', "").to_lowercase()}),
        json!({"ca_file": ca_file}),
    ] {
        use mrp_core::bmc::{Bmc as _, Node};
        let bmc = opened(&simulator, options.clone()).await.unwrap();
        assert!(bmc.power(&Node::default()).await.is_ok(), "{options}");
    }
    let other = Simulator::start(Shape::default()).await;
    let before = simulator.lines().len();
    std::fs::write(&ca_file, &other.pem).unwrap();
    for options in [json!({}), json!({"fingerprint": fingerprint(&other.der)}), json!({"ca_file": ca_file})] {
        let error = power_error(&opened(&simulator, options.clone()).await.unwrap()).await;
        assert!(matches!(error, BmcError::Protocol { .. }), "{options}: {error}");
        let words = error.to_string();
        assert!(words.contains("its certificate is not trusted: "), "{options}: {words}");
        let shown = pinned.replace(':', "").to_lowercase();
        assert!(words.ends_with(&format!("It shows the certificate {shown}")), "{words}");
    }
    assert_eq!(simulator.lines().len(), before, "not a request went out");
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_from_who_is_away() {
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut client, _)) = plain.accept().await {
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let bmc = RedfishBmc::open(plugins::config(&address, json!({}))).await.unwrap();
    let error = power_error(&bmc).await.to_string();
    assert!(error.contains("no TLS comes about"), "{error}");
}

#[tokio::test]
async fn options_that_are_wrong_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let drivers = Drivers::new().with::<RedfishBmc>();
    for (options, says) in [
        (json!({"fingerprint": "abcd"}), "option fingerprint: "),
        (
            json!({"fingerprint": "ab".repeat(32), "ca_file": "/x"}),
            "fingerprint and ca_file exclude each other",
        ),
        (json!({"ca_file": "/nowhere/ca.pem"}), "option ca_file /nowhere/ca.pem: No such file"),
        (json!({"ca_file": empty}), "it has no certificate in PEM"),
        (json!({"auth": "digest"}), "option auth: "),
        (json!({"timeout_s": 0}), "option timeout_s: 0 is less than the minimum of 1"),
        (json!({"verify": false}), "there is no option \"verify\""),
        (json!({"console": "ssh"}), "option console: "),
        (json!({"ipmi": {"tries": 3}}), "option ipmi is for the console"),
        (json!({"console": "ipmi", "ipmi": {"tries": 0}}), "option tries is 0"),
    ] {
        let outcome = drivers.open("redfish", plugins::config("bmc", options.clone())).await;
        let error = outcome.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(says), "{options}: {error}");
    }
    let error = RedfishBmc::open(plugins::config("https://bmc", json!({}))).await.unwrap_err();
    assert!(matches!(error, BmcError::Config(_)), "{error}");
}

#[tokio::test]
async fn a_service_without_sessions_says_what_to_do() {
    let simulator = Simulator::start(Shape { sessions: false, ..Shape::default() }).await;
    let bmc = opened(&simulator, json!({"fingerprint": fingerprint(&simulator.der)})).await.unwrap();
    let error = power_error(&bmc).await;
    assert!(matches!(error, BmcError::Config(_)), "{error}");
    assert!(error.to_string().contains("option auth = \"basic\""), "{error}");
}
