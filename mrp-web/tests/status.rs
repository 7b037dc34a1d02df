//! What stands outside the API.

use std::sync::Arc;

use mrp_web::PeopleConfig;

use crate::lab::{ADMIN, ALICE, BOB, Lab, Setup};

#[tokio::test]
async fn the_start_page_tells_where_the_api_is() {
    let lab = Lab::start().await;
    assert_eq!(lab.get("", "/").await.header("location"), "/admin/");
    let page = lab.get("", "/admin/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text.contains("/api/v1/") && page.text.contains("docs/api-differences.md"));
    assert_eq!(lab.get("", "/api/v1/").await.header("location"), "/api/v1/docs");
    assert_eq!(lab.get("", "/api/v1").await.header("location"), "/api/v1/");
    lab.stop().await;
}

#[tokio::test]
async fn health_is_the_stores() {
    let lab = Lab::start().await;
    let healthy = lab.get("", "/healthz").await;
    assert_eq!((healthy.status, healthy.text.as_str()), (200, "ok\n"));
    lab.store.close().await;
    let ill = lab.get("", "/healthz").await;
    assert!(ill.status >= 500, "{ill:?}");
    assert!(!ill.text.to_lowercase().contains("sql") && !ill.text.contains("pool"), "{ill:?}");
    lab.stop().await;
}

#[tokio::test]
async fn figures_are_for_users_and_for_configured_sources() {
    let closed = Lab::start().await;
    assert_eq!(closed.get("", "/metrics").await.status, 401);
    assert_eq!(closed.get(BOB, "/metrics").await.status, 200);
    closed.stop().await;
    let people = PeopleConfig {
        metrics_from: vec!["127.0.0.0/8".parse().unwrap()],
        extra_metrics: Some(Arc::new(|| "tftp_transfers 3\n".into())),
    };
    let lab = Lab::with(Setup { people, ..Setup::default() }).await;
    lab.expect(202, ALICE, "POST", "/api/v1/machine/1/state", r#"{"state": "provision"}"#).await;
    lab.get(ADMIN, "/api/v1/machine/99").await;
    let figures = lab.get("", "/metrics").await.text;
    for line in [
        "mrp_machines{state=\"provisioning\"} 1",
        "mrp_machines{state=\"unknown\"} 5",
        "mrp_runs_active 1",
        "mrp_http_request_duration_seconds_count{operation=\"provision\",status=\"202\"} 1",
        "mrp_http_request_duration_seconds_count{operation=\"get_machine\",status=\"404\"} 1",
        "tftp_transfers 3",
    ] {
        assert!(figures.lines().any(|found| found == line), "{line} in\n{figures}");
    }
    // Every line is a comment or a sample.
    for line in figures.lines() {
        let sample = line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok());
        assert!(line.starts_with("# ") || sample, "{line}");
    }
    lab.stop().await;
}
