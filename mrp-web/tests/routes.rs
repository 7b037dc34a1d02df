//! The table of routes and what is behind it agree.

use mrp_web::{RouteInfo, Who, machine_routes, people_routes};

use crate::lab::{ADMIN, BOB, Lab};

/// A path that a pattern matches, for objects that there are where it matters little.
fn example(route: &RouteInfo) -> String {
    route
        .path
        .split('/')
        .map(|segment| if segment.starts_with('{') { "9" } else { segment })
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test]
async fn every_route_is_there_with_its_method() {
    let lab = Lab::start().await;
    for route in people_routes()
        .into_iter()
        .chain(machine_routes())
        .filter(|route| !route.operation.starts_with("follow_"))
    {
        let path = example(&route);
        let answer = lab.ask(ADMIN, route.method, &path, "").await;
        assert_ne!(answer.status, 405, "{route:?}");
        let unrouted = answer.status == 404 && answer.text.contains("404: Not Found");
        assert!(!unrouted, "{route:?}: {answer:?}");
        assert!(answer.status < 500, "{route:?}: {answer:?}");
        let options = lab.ask("", "OPTIONS", &path, "").await;
        assert_eq!(options.status, 200, "{route:?}");
        assert!(options.header("allow").contains(route.method), "{route:?}: {options:?}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn every_route_but_the_open_ones_wants_a_token() {
    let lab = Lab::start().await;
    for route in people_routes().into_iter().filter(|route| route.who != Who::Anyone) {
        for token in ["", "WRONG", "Basic TOKADMIN"] {
            let answer = lab.ask(token, route.method, &example(&route), "{}").await;
            assert_eq!((answer.status, answer.text.as_str()), (401, ""), "{route:?}");
        }
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_token_to_read_writes_nowhere() {
    let lab = Lab::start().await;
    let body = r#"{"description": "wall display", "scope": "read"}"#;
    let issued = lab.expect(201, ADMIN, "POST", "/api/v1/token", body).await;
    let reader = issued["token"].as_str().unwrap();
    let writing = people_routes().into_iter().filter(|route| !route.looks && route.who != Who::Anyone);
    for route in writing {
        let answer = lab.ask(reader, route.method, &example(&route), "{}").await;
        assert!(answer.refusal().starts_with("403 InvalidUsage: this token has the scope read"), "{route:?}");
    }
    for path in ["/api/v1/machine", "/api/v1/audit", "/api/v1/session", "/api/v1/machine/1/power"] {
        assert_eq!(lab.get(reader, path).await.status, 200, "{path}");
    }
    // What changes nothing is reading, whatever its method.
    let template = r#"{"content": "d-i x string {{ hostname }}\n", "type": "preseed", "machine": 1}"#;
    for path in ["/api/v1/preseed/lint", "/api/v1/preseed/render"] {
        lab.expect(200, reader, "POST", path, template).await;
    }
    let posts = people_routes().into_iter().filter(|route| route.looks && route.method == "POST");
    let operations: Vec<&str> = posts.map(|route| route.operation).collect();
    assert_eq!(operations, ["render_unsaved_preseed", "lint_unsaved_preseed"]);
    lab.stop().await;
}

#[tokio::test]
async fn what_is_for_admins_is_for_nobody_else() {
    let lab = Lab::start().await;
    let body = |operation: &str| match operation {
        "create_machine" => r#"{"name": "m", "arch": "arm64"}"#,
        "adopt_discovered" => r#"{"name": "m", "arch": "arm64"}"#,
        "create_interface" => r#"{"mac": "52:54:00:00:00:99"}"#,
        "assign_machine" => r#"{"user": "bob"}"#,
        "create_user" => r#"{"name": "eve", "password": "password1", "admin": true}"#,
        "create_arch" | "set_arch" => r#"{"name": "a"}"#,
        "create_subarch" | "set_subarch" => r#"{"name": "a", "arch": "arm64"}"#,
        "create_bmc" | "set_bmc" => r#"{"name": "b", "address": "127.0.0.5"}"#,
        "create_network" | "set_network" => r#"{"name": "n", "subnet": "10.9.0.0/24"}"#,
        _ => "{}",
    };
    for route in people_routes().into_iter().filter(|route| route.who == Who::Admin) {
        let path = route.path.replace("{id}", "1").replace("{interface}", "1");
        let path = path.replace("{mac}", "52:54:00:cc:00:01");
        let answer = lab.ask(BOB, route.method, &path, body(route.operation)).await;
        assert_eq!(answer.refusal(), "403 InvalidUsage: only an admin may do this", "{route:?}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let lab = Lab::start().await;
    lab.refused("404 NotFound: 404: Not Found", ADMIN, "GET", "/api/v1/nosuch", "").await;
    lab.refused("404 NotFound: 404: Not Found", ADMIN, "GET", "/api/v1/machine/", "").await;
    lab.refused("404 NotFound: 404: Not Found", ADMIN, "GET", "/api/v1/machine/1/nosuch", "").await;
    lab.refused("404 NotFound: 404: Not Found", ADMIN, "GET", "/api/v1/machine/%ff", "").await;
    let answer = lab.ask(ADMIN, "PATCH", "/api/v1/image", "{}").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, OPTIONS, POST"));
    let answer = lab.ask(ADMIN, "PUT", "/api/v1/machine/reservation", "{}").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "OPTIONS, POST"));
    let answer = lab.ask("", "PUT", "/dhcp/ipv4", "").await;
    assert_eq!((answer.status, answer.header("content-type")), (405, "text/plain; charset=utf-8"));
    for path in ["/phone-home/x", "/preseed/1", "/preseed/1/x", "/autoinstall/x/user-data"] {
        let answer = lab.ask("", "HEAD", path, "").await;
        assert_eq!(answer.status, 405, "{path}: looking has an effect");
        assert!(!answer.header("allow").contains("HEAD"), "{answer:?}");
    }
    let answer = lab.ask(ADMIN, "HEAD", "/api/v1/machine", "").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    lab.stop().await;
}
