//! Logins, cookies and tokens.

use mrp_core::Actor;
use mrp_core::id::Id;
use mrp_core::secret::Secret;
use mrp_core::service::users::UserChange;

use crate::lab::{ADMIN, ALICE, Answer, BOB, Lab};

async fn with_password() -> Lab {
    let lab = Lab::start().await;
    let password = Some(Secret::new("correct horse"));
    let change = UserChange { password, ..UserChange::default() };
    lab.service.users().update(&Actor::system(), Id::new(2), change).await.unwrap();
    lab
}

const LOGIN: &str = r#"{"user": "alice", "password": "correct horse"}"#;

async fn with_cookie(lab: &Lab, method: &str, path: &str, cookie: &str, origin: Option<String>) -> Answer {
    let mut request = lab.request(method, path).header("cookie", cookie).body("{}");
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_login_gives_a_token_that_a_logout_ends() {
    let lab = with_password().await;
    let issued = lab.expect(201, "", "POST", "/api/v1/session", LOGIN).await;
    let token = issued["token"].as_str().unwrap();
    let me = lab.expect(200, &format!("Bearer {token}"), "GET", "/api/v1/session", "").await;
    assert_eq!((me["name"].as_str(), me["admin"].as_bool()), (Some("alice"), Some(false)));
    lab.expect(204, token, "DELETE", "/api/v1/session", "").await;
    assert_eq!(lab.get(token, "/api/v1/session").await.status, 401);
    lab.stop().await;
}

#[tokio::test]
async fn wrong_logins_are_refused_in_words_and_slowed_down() {
    let lab = with_password().await;
    for _ in 0..5 {
        lab.refused(
            "401 Unauthorized: wrong user name or password",
            "",
            "POST",
            "/api/v1/session",
            r#"{"user": "alice", "password": "wrong"}"#,
        )
        .await;
    }
    let answer = lab.ask("", "POST", "/api/v1/session", LOGIN).await;
    assert!(answer.refusal().starts_with("429 TooManyRequests: too many failed logins"), "{answer:?}");
    lab.refused(
        "400 SchemaWrongKeyError: unknown field `username`, expected `user` or `password`",
        "",
        "POST",
        "/api/v1/session",
        r#"{"username": "alice"}"#,
    )
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn a_cookie_reads_from_anywhere_and_writes_for_this_servers_pages_only() {
    let lab = with_password().await;
    let answer = lab.ask("", "POST", "/api/v1/session", LOGIN).await;
    let set = answer.header("set-cookie").to_owned();
    assert!(set.contains("; HttpOnly; SameSite=Strict") && !set.contains("Secure"), "{set}");
    assert!(set.contains("Max-Age=43200"), "{set}");
    let cookie = set.split(';').next().unwrap().to_owned();
    let own = format!("http://{}", lab.people);
    assert_eq!(with_cookie(&lab, "GET", "/api/v1/session", &cookie, None).await.status, 200);
    for origin in [None, Some("http://evil.example".to_owned()), Some("null".to_owned())] {
        let answer = with_cookie(&lab, "PUT", "/api/v1/machine/1", &cookie, origin).await;
        assert!(answer.refusal().starts_with("403 InvalidUsage: a session cookie"), "{answer:?}");
    }
    assert_eq!(with_cookie(&lab, "PUT", "/api/v1/machine/1", &cookie, Some(own.clone())).await.status, 200);
    let answer =
        with_cookie(&lab, "GET", "/api/v1/session", &cookie, Some("http://evil.example".into())).await;
    assert_eq!(
        (answer.header("access-control-allow-origin"), answer.header("access-control-allow-credentials")),
        ("*", "")
    );
    let answer = with_cookie(&lab, "DELETE", "/api/v1/session", &cookie, Some(own)).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("set-cookie").starts_with("mrp_session=; Path=/; Max-Age=0"), "{answer:?}");
    lab.stop().await;
}

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_expires_or_is_removed() {
    let lab = Lab::start().await;
    let body = r#"{"description": "ci", "expires": "2027-01-15T09:00:00Z"}"#;
    let issued = lab.expect(201, ALICE, "POST", "/api/v1/token", body).await;
    let token = issued["token"].as_str().unwrap().to_owned();
    assert_eq!(lab.get(&token, "/api/v1/machine").await.status, 200);
    let list = lab.get(ALICE, "/api/v1/token").await;
    assert!(!list.text.contains(&token));
    assert_eq!(list.json()[1]["description"], "ci");
    let path = format!("/api/v1/token/{}", issued["id"]);
    lab.refused("404 InvalidUsage: token not found", BOB, "DELETE", &path, "").await;
    lab.clock.advance(std::time::Duration::from_secs(3600 * 2));
    assert_eq!(lab.get(&token, "/api/v1/machine").await.status, 401);
    lab.expect(204, ALICE, "DELETE", &path, "").await;
    lab.refused("400 SchemaError: expires: lies in the past", ALICE, "POST", "/api/v1/token", body).await;
    lab.refused(
        "400 SchemaWrongKeyError: unknown field `name`, expected one of `description`, `expires`, `scope`",
        ALICE,
        "POST",
        "/api/v1/token",
        r#"{"name": "ci"}"#,
    )
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn tokens_have_scopes_and_admins_see_and_end_everybodys() {
    let lab = Lab::start().await;
    let make = async |token: &str, body: &str| lab.expect(201, token, "POST", "/api/v1/token", body).await;
    let plain = make(ALICE, "{}").await;
    assert_eq!(plain["scope"], "admin", "as old clients know it");
    let user = make(ADMIN, r#"{"description": "ci", "scope": "use"}"#).await;
    let token = user["token"].as_str().unwrap();
    lab.refused(
        "403 InvalidUsage: only an admin may do this, and this token has the scope use",
        token,
        "POST",
        "/api/v1/arch",
        r#"{"name": "riscv64"}"#,
    )
    .await;
    lab.refused(
        "403 InvalidUsage: your token has the scope use: it makes none of the scope admin",
        token,
        "POST",
        "/api/v1/token",
        r#"{"scope": "admin"}"#,
    )
    .await;
    for wrong in [r#"{"scope": "root"}"#, r#"{"scope": null, "x": 1}"#, r#"{"scope": 3}"#, "[]"] {
        let answer = lab.ask(ALICE, "POST", "/api/v1/token", wrong).await;
        assert!(answer.refusal().starts_with("400 Schema"), "{wrong}: {answer:?}");
    }
    let all = lab.expect(200, ADMIN, "GET", "/api/v1/token?all=true", "").await;
    let all: Vec<_> = all.as_array().unwrap().iter().map(|token| token["user"].as_str().unwrap()).collect();
    assert_eq!(all, ["admin", "alice", "bob", "alice", "admin"]);
    lab.refused("403 InvalidUsage: only an admin may do this", ALICE, "GET", "/api/v1/token?all=true", "")
        .await;
    let own = lab.expect(200, ADMIN, "GET", "/api/v1/token", "").await;
    assert_eq!((own.as_array().map(Vec::len), own[1]["scope"].as_str()), (Some(2), Some("use")));
    let path = format!("/api/v1/token/{}", plain["id"]);
    lab.expect(204, ADMIN, "DELETE", &path, "").await;
    assert_eq!(lab.get(plain["token"].as_str().unwrap(), "/api/v1/session").await.status, 401);
    lab.refused("404 InvalidUsage: token not found", ADMIN, "DELETE", "/api/v1/token/99999999999", "").await;
    lab.stop().await;
}

#[tokio::test]
async fn a_new_own_password_needs_the_one_of_before() {
    let lab = with_password().await;
    let session = lab.expect(201, "", "POST", "/api/v1/session", LOGIN).await;
    let session = session["token"].as_str().unwrap();
    lab.refused(
        "400 SchemaError: current_password: a new password needs the one of before",
        session,
        "PUT",
        "/api/v1/user/2",
        r#"{"password": "another horse"}"#,
    )
    .await;
    lab.refused(
        "403 InvalidUsage: current_password is wrong",
        session,
        "PUT",
        "/api/v1/user/2",
        r#"{"password": "another horse", "current_password": "a guess"}"#,
    )
    .await;
    let change =
        r#"{"password": "another horse", "current_password": "correct horse", "revoke_tokens": true}"#;
    lab.expect(200, session, "PUT", "/api/v1/user/2", change).await;
    assert_eq!(lab.get(session, "/api/v1/session").await.status, 401);
    assert_eq!(lab.get(ALICE, "/api/v1/session").await.status, 401);
    lab.stop().await;
}
