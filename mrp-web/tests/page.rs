//! Lists in pages.

use serde_json::Value;

use crate::lab::{ADMIN, Lab};

/// Where the next page is, if there is one.
fn next(link: &str) -> Option<String> {
    Some(link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?.to_owned())
}

/// All pages of a list, from a first one.
async fn pages(lab: &Lab, first: &str) -> Vec<Vec<Value>> {
    let (mut path, mut found) = (Some(first.to_owned()), Vec::new());
    while let Some(asked) = path {
        let answer = lab.get(ADMIN, &asked).await;
        assert_eq!(answer.status, 200, "{asked}: {answer:?}");
        found.push(answer.json().as_array().unwrap().clone());
        path = next(answer.header("link"));
        assert!(found.len() < 1000, "{first} ends");
    }
    found
}

#[tokio::test]
async fn the_pages_of_every_list_are_the_list() {
    let lab = Lab::start().await;
    for n in 0..3 {
        let mac = format!("{{\"discover\": true, \"mac\": \"52:54:00:99:00:0{n}\", \"options\": []}}");
        assert_eq!(lab.ask("", "POST", "/dhcp/ipv4/seen", &mac).await.status, 202);
        let machine = format!("{{\"name\": \"new{n}\", \"arch\": \"arm64\"}}");
        lab.expect(201, ADMIN, "POST", "/api/v1/machine", &machine).await;
        lab.expect(201, ADMIN, "POST", "/api/v1/token", "{\"description\": \"t\"}").await;
        lab.expect(200, ADMIN, "PUT", "/api/v1/machine/3/state", "{\"state\": \"ready\"}").await;
        lab.expect(200, ADMIN, "PUT", "/api/v1/machine/3/state", "{\"state\": \"error\"}").await;
    }
    let lists = mrp_web::people_document();
    let paged = lists["paths"].as_object().unwrap().iter().filter(|(_, operations)| {
        let parameters = operations["get"]["parameters"].as_array();
        parameters.into_iter().flatten().any(|parameter| parameter["name"] == "cursor")
    });
    let mut full = 0;
    for (path, _) in paged {
        let path = path.replace("{id}", "1");
        let whole = lab.get(ADMIN, &format!("{path}?show_all=true&all=true")).await;
        let whole = whole.json().as_array().unwrap().clone();
        for limit in [1, 2, 1000] {
            let found = pages(&lab, &format!("{path}?show_all=true&all=true&limit={limit}")).await;
            let (sizes, mut all): (Vec<usize>, Vec<Value>) =
                (found.iter().map(Vec::len).collect(), found.into_iter().flatten().collect());
            assert!(sizes.iter().rev().skip(1).all(|size| *size == limit), "{path} {limit}: {sizes:?}");
            let mut whole = whole.clone();
            // Clients come newest first where no page is asked for.
            if path.ends_with("discovered") {
                let mac = |client: &Value| client["mac"].to_string();
                all.sort_by_key(mac);
                whole.sort_by_key(mac);
            }
            // Tokens note that they are used.
            for list in [&mut all, &mut whole] {
                list.iter_mut()
                    .filter_map(Value::as_object_mut)
                    .for_each(|item| drop(item.remove("last_used")));
            }
            assert_eq!(all, whole, "{path} {limit}");
            full += usize::from(sizes.len() > 1);
        }
    }
    assert!(full > 15, "the lists have pages: {full}");
    lab.stop().await;
}

#[tokio::test]
async fn pages_are_stable_while_things_come_and_go() {
    let lab = Lab::start().await;
    let first = lab.get(ADMIN, "/api/v1/machine?show_all=true&limit=2").await;
    let second = next(first.header("link")).unwrap();
    lab.expect(204, ADMIN, "DELETE", "/api/v1/machine/2", "").await;
    lab.expect(201, ADMIN, "POST", "/api/v1/machine", r#"{"name": "new", "arch": "arm64"}"#).await;
    let rest = pages(&lab, &second).await.concat();
    let ids: Vec<i64> = rest.iter().map(|machine| machine["id"].as_i64().unwrap()).collect();
    assert!(ids.starts_with(&[3, 4]) && ids.is_sorted(), "{ids:?}");
    assert_eq!(rest.last().unwrap()["name"], "new");
    lab.stop().await;
}

#[tokio::test]
async fn what_is_no_page_is_refused_in_words() {
    let lab = Lab::start().await;
    let limit = "400 SchemaError: limit: a number from 1 to 1000 is needed";
    for asked in ["limit=", "limit=0", "limit=1001", "limit=-1", "limit=x", "limit=99999999999999999999"] {
        for list in ["machine", "run", "event", "audit", "arch"] {
            lab.refused(limit, ADMIN, "GET", &format!("/api/v1/{list}?{asked}"), "").await;
        }
    }
    let cursor = "400 SchemaError: cursor: take it from the Link header of the page before";
    for asked in
        ["cursor=", "cursor=1", "cursor=after-", "cursor=after-'", "cursor=after-111111111111111111111"]
    {
        lab.refused(cursor, ADMIN, "GET", &format!("/api/v1/machine?{asked}"), "").await;
    }
    let other = "400 SchemaError: cursor: it is of another list";
    lab.refused(other, ADMIN, "GET", "/api/v1/machine?cursor=after-52:54:00:99:00:00", "").await;
    lab.refused(other, ADMIN, "GET", "/api/v1/run?cursor=after-99999999999999999999", "").await;
    lab.stop().await;
}
