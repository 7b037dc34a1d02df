//! Logins, tokens, their limits, and that no secret is ever written down.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mrp_core::secret::Secret;
use mrp_core::service::runs::StartRun;
use mrp_core::service::users::{NewUser, UserChange};
use mrp_core::user::User;
use mrp_core::{Actor, Error};

mod lab;

use lab::{BMC_PASSWORD, Lab, forbidden, refusal};

const PASSWORD: &str = "correct horse";
const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

async fn carol(lab: &Lab) -> User {
    let new = NewUser {
        name: "carol".into(),
        email: String::new(),
        password: Secret::new(PASSWORD),
        admin: false,
        ssh_keys: String::new(),
    };
    lab.mrp.users().create(&lab.admin, new).await.unwrap()
}

async fn login(lab: &Lab, name: &str, password: &str, from: Option<IpAddr>) -> Result<Secret, Error> {
    lab.mrp.users().login(name, &Secret::new(password), from).await.map(|issued| issued.secret)
}

fn too_many<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::TooMany(_))), "{result:?}");
}

#[tokio::test]
async fn after_five_failures_a_name_waits_a_minute() {
    let lab = Lab::new().await;
    carol(&lab).await;
    for _ in 0..5 {
        let refused = login(&lab, "carol", "wrong password", None).await;
        assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{refused:?}");
    }
    too_many(login(&lab, "carol", PASSWORD, None).await);
    lab.clock.advance(Duration::from_secs(61));
    login(&lab, "carol", PASSWORD, None).await.unwrap();
    let unknown = refusal(login(&lab, "nobody", PASSWORD, None).await);
    assert_eq!(unknown, "wrong user name or password", "it does not tell who exists");
}

#[tokio::test]
async fn an_address_that_tries_names_waits_too_and_right_logins_cost_it_nothing() {
    let lab = Lab::new().await;
    carol(&lab).await;
    for _ in 0..7 {
        login(&lab, "carol", PASSWORD, HERE).await.unwrap();
    }
    for name in ["a", "b", "c", "d", "e"] {
        assert!(matches!(login(&lab, name, "x", HERE).await, Err(Error::Unauthenticated(_))));
    }
    too_many(login(&lab, "f", "x", HERE).await);
    login(&lab, "carol", PASSWORD, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_attempts_at_once_are_no_way_around_the_limit() {
    let lab = Lab::new().await;
    carol(&lab).await;
    let mut attempts = tokio::task::JoinSet::new();
    for number in 0..20 {
        let mrp = lab.mrp.clone();
        let guess = Secret::new(format!("guess number {number}"));
        attempts.spawn(async move { mrp.users().login("carol", &guess, None).await.map(|_| ()) });
    }
    let results = attempts.join_all().await;
    let looked_at = results.iter().filter(|r| matches!(r, Err(Error::Unauthenticated(_)))).count();
    assert_eq!(looked_at, 5, "{results:?}");
}

#[tokio::test]
async fn tokens_end() {
    let lab = Lab::new().await;
    let user = carol(&lab).await;
    let carol = Actor::from(&user);
    let users = lab.mrp.users();
    let session = login(&lab, "carol", PASSWORD, None).await.unwrap();
    assert_eq!(users.authenticate(session.expose()).await.unwrap(), carol);
    let expires = Some(lab.mrp.now() + Duration::from_secs(3600));
    let api = users.create_token(&carol, "for CI", expires).await.unwrap();
    users.authenticate(api.secret.expose()).await.unwrap();
    let other = users.delete_token(&lab.alice, api.token.id).await;
    assert!(matches!(other, Err(Error::NotFound { .. })), "another's token is not there: {other:?}");
    lab.wait(61);
    assert!(users.authenticate(api.secret.expose()).await.is_err(), "it has expired");
    users.authenticate(session.expose()).await.unwrap();
    lab.wait(12 * 60);
    assert!(users.authenticate(session.expose()).await.is_err(), "the session is over");

    let session = login(&lab, "carol", PASSWORD, None).await.unwrap();
    let lasting = users.create_token(&carol, "for ever", None).await.unwrap();
    let password = UserChange { password: Some(Secret::new("another horse")), ..UserChange::default() };
    users.update(&carol, user.id, password).await.unwrap();
    assert!(users.authenticate(session.expose()).await.is_err(), "a new password ends sessions");
    users.authenticate(lasting.secret.expose()).await.unwrap();
    users.delete(&lab.admin, user.id).await.unwrap();
    assert!(users.authenticate(lasting.secret.expose()).await.is_err(), "it goes with its user");
    for wrong in ["", "x", "' OR 1=1"] {
        assert!(users.authenticate(wrong).await.is_err());
    }
}

#[tokio::test]
async fn a_user_changes_oneself_and_an_admin_everyone() {
    let lab = Lab::new().await;
    let (alice, bob) = (lab.alice.user.unwrap(), lab.bob.user.unwrap());
    let users = lab.mrp.users();
    let keys = || UserChange { ssh_keys: Some("ssh-ed25519 X".into()), ..UserChange::default() };
    let admin = || UserChange { admin: Some(true), ..UserChange::default() };
    users.update(&lab.alice, alice, keys()).await.unwrap();
    users.update(&lab.admin, bob, keys()).await.unwrap();
    forbidden("another's keys", users.update(&lab.alice, bob, keys()).await);
    forbidden("becoming admin", users.update(&lab.alice, alice, admin()).await);
    forbidden("removing a user", users.delete(&lab.alice, bob).await);
    assert!(refusal(users.delete(&lab.admin, lab.admin.user.unwrap()).await).contains("yourself"));
    users.update(&lab.admin, bob, admin()).await.unwrap();
}

#[tokio::test]
async fn no_secret_is_in_events_audit_or_errors() {
    let lab = Lab::new().await;
    let user = carol(&lab).await;
    let carol = Actor::from(&user);
    let session = login(&lab, "carol", PASSWORD, HERE).await.unwrap();
    let _ = login(&lab, "carol", "a wrong password", HERE).await;
    let api = lab.mrp.users().create_token(&carol, "for CI", None).await.unwrap();
    let node = lab.node("m1").await;
    lab.started(&node).await;
    let token = lab.install(&node).await;
    lab.phone_home(&node, &token).await.unwrap();
    let entry = lab.mrp.bmcs().list(&lab.admin).await.unwrap().remove(0);
    let mut wrong = lab::bmc_spec(&entry.name, &node.bmc);
    wrong.password = Some(Secret::new("the next BMC password"));
    lab.mrp.bmcs().update(&lab.admin, entry.id, wrong).await.unwrap();
    let refused = lab.mrp.runs().start(&lab.alice, node.id, StartRun { by_bmc: true, manual: false }).await;
    let refused = refused.unwrap_err();
    let words = format!("{refused:?} {refused} {entry:?} {api:?}");
    let change = UserChange { password: Some(Secret::new("another horse")), ..UserChange::default() };
    lab.mrp.users().update(&carol, user.id, change).await.unwrap();
    let journal = lab.journal().await;
    assert!(journal.contains("phone_home") && journal.contains("login"));
    for secret in [
        PASSWORD,
        "a wrong password",
        "another horse",
        BMC_PASSWORD,
        "the next BMC password",
        session.expose(),
        api.secret.expose(),
        &token,
        "argon2id",
        "d-i late_command",
    ] {
        assert!(!journal.contains(secret), "{secret:?} is written down");
        assert!(!words.contains(secret), "{secret:?} is in {words}");
    }
}
