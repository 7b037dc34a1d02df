//! The OpenAPI documents are the ones in `docs/`, and the server gives them out.

use std::path::Path;

use serde_json::Value;

use crate::lab::Lab;

fn golden(name: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs").join(name);
    if std::env::var_os("MRP_RENEW").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(document).unwrap() + "\n").unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    let written: Value = serde_json::from_str(&written).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        assert_eq!(&written["paths"][path], operations, "{name}, {path}: {RENEW}");
    }
    for (schema, shape) in document["components"]["schemas"].as_object().unwrap() {
        assert_eq!(&written["components"]["schemas"][schema], shape, "{name}, {schema}: {RENEW}");
    }
    assert!(written == *document, "{name}: {RENEW}");
}

const RENEW: &str = "look whether the change is wanted, then: MRP_RENEW=1 cargo test -p mrp-web openapi";

#[test]
fn the_documents_are_the_ones_in_the_tree() {
    golden("openapi.json", &mrp_web::people_document());
    golden("openapi-machines.json", &mrp_web::machine_document());
}

#[tokio::test]
async fn both_doors_give_their_document_to_anyone() {
    let lab = Lab::start().await;
    let people = lab.ask("", "GET", "/api/v1/openapi.json", "").await;
    assert_eq!((people.status, people.header("content-type")), (200, "application/json"));
    assert_eq!(serde_json::from_str::<Value>(&people.text).unwrap(), mrp_web::people_document());
    let machines = lab.ask("", "GET", "/openapi.json", "").await;
    assert_eq!(serde_json::from_str::<Value>(&machines.text).unwrap(), mrp_web::machine_document());
    lab.stop().await;
}

#[tokio::test]
async fn the_page_has_all_its_parts_here_and_runs_nothing_else() {
    let lab = Lab::start().await;
    let page = lab.ask("", "GET", "/api/v1/docs", "").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
        "{policy}"
    );
    let links: Vec<&str> = page
        .text
        .split(['"'])
        .filter(|word| word.starts_with("docs/") || word.starts_with("openapi") || word.contains("//"))
        .collect();
    assert_eq!(links.len(), 5, "{links:?}");
    for link in links {
        let part = lab.ask("", "GET", &format!("/api/v1/{link}"), "").await;
        assert_eq!(part.status, 200, "{link}");
        assert!(!part.text.is_empty(), "{link}");
    }
    assert_eq!(lab.get("", "/api/v1/docs/nosuch.js").await.status, 404);
    for (old, new) in [("/docs", "/api/v1/docs"), ("/swagger.yaml", "/api/v1/openapi.json")] {
        let answer = lab.get("", old).await;
        assert_eq!((answer.status, answer.header("location")), (308, new), "{old}");
    }
    lab.stop().await;
}
