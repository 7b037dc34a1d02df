//! Logins, tokens, their limits, and that no secret is ever written down.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mrp_core::secret::Secret;
use mrp_core::service::runs::StartRun;
use mrp_core::service::tokens::NewToken;
use mrp_core::service::users::{NewUser, UserChange};
use mrp_core::store::UserStore;
use mrp_core::token::Scope;
use mrp_core::user::User;
use mrp_core::{Actor, Error};

mod lab;

use lab::{BMC_PASSWORD, Lab, forbidden, refusal};

const PASSWORD: &str = "correct horse";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXtJ1gJcU7cMNkUp6K+1S2c0DmMYwzqY0x0c8y6M9oQ";
const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
const THERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));

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

fn for_ci() -> NewToken {
    NewToken { description: "for CI".into(), ..NewToken::default() }
}

/// Oneself with a new password.
fn new_password(password: &str) -> UserChange {
    UserChange {
        password: Some(Secret::new(password)),
        current_password: Some(Secret::new(PASSWORD)),
        ..UserChange::default()
    }
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
    for number in 0..30 {
        let refused = login(&lab, &format!("name-{number}"), "x", HERE).await;
        assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{number}: {refused:?}");
    }
    too_many(login(&lab, "one-more", "x", HERE).await);
    login(&lab, "carol", PASSWORD, THERE).await.unwrap();
}

#[tokio::test]
async fn whoever_guesses_at_a_name_locks_out_neither_its_owner_nor_a_neighbour() {
    let lab = Lab::new().await;
    carol(&lab).await;
    for _ in 0..5 {
        assert!(matches!(login(&lab, "carol", "x", THERE).await, Err(Error::Unauthenticated(_))));
    }
    too_many(login(&lab, "carol", PASSWORD, THERE).await);
    login(&lab, "carol", PASSWORD, HERE).await.unwrap();
    assert!(matches!(login(&lab, "dave", "x", THERE).await, Err(Error::Unauthenticated(_))));
    // From many places it is one name all the same.
    for number in 10..35 {
        let from = Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, number)));
        assert!(matches!(login(&lab, "carol", "x", from).await, Err(Error::Unauthenticated(_))));
    }
    too_many(login(&lab, "carol", PASSWORD, HERE).await);
    lab.clock.advance(Duration::from_secs(61));
    login(&lab, "carol", PASSWORD, HERE).await.unwrap();
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
    let known = users.authenticate(session.expose()).await.unwrap();
    assert_eq!((known.user, known.scope, known.admin), (carol.user, Scope::Admin, false));
    assert_eq!(known.token.unwrap().description, "login");
    let expires = Some(lab.mrp.now() + Duration::from_secs(3600));
    let api = users.create_token(&carol, NewToken { expires, ..for_ci() }).await.unwrap();
    users.authenticate(api.secret.expose()).await.unwrap();
    let other = users.delete_token(&lab.alice, api.token.id).await;
    assert!(matches!(other, Err(Error::NotFound { .. })), "another's token is not there: {other:?}");
    lab.wait(61);
    assert!(users.authenticate(api.secret.expose()).await.is_err(), "it has expired");
    users.authenticate(session.expose()).await.unwrap();
    lab.wait(12 * 60);
    assert!(users.authenticate(session.expose()).await.is_err(), "the session is over");

    let session = login(&lab, "carol", PASSWORD, None).await.unwrap();
    let lasting = users.create_token(&carol, for_ci()).await.unwrap();
    users.update(&carol, user.id, new_password("another horse")).await.unwrap();
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
    let keys = || UserChange { ssh_keys: Some(KEY.into()), ..UserChange::default() };
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
    let api = lab.mrp.users().create_token(&carol, for_ci()).await.unwrap();
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
    lab.mrp.users().update(&carol, user.id, new_password("another horse")).await.unwrap();
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

#[tokio::test]
async fn right_logins_of_one_address_at_once_lock_nobody_out() {
    let lab = Lab::new().await;
    for number in 0..12 {
        let name = format!("user{number}");
        let new = NewUser {
            name,
            email: String::new(),
            password: Secret::new(PASSWORD),
            admin: false,
            ssh_keys: String::new(),
        };
        lab.mrp.users().create(&lab.admin, new).await.unwrap();
    }
    let names: Vec<String> = (0..12).map(|number| format!("user{number}")).collect();
    let logins = names.iter().map(|name| login(&lab, name, PASSWORD, HERE));
    for result in futures_util::future::join_all(logins).await {
        result.unwrap();
    }
}

#[tokio::test]
async fn servers_on_one_database_count_logins_together() {
    let lab = Lab::new().await;
    carol(&lab).await;
    let other = lab.beside().await;
    for number in 0..5 {
        let mrp = if number % 2 == 0 { &lab.mrp } else { &other };
        let refused = mrp.users().login("carol", &Secret::new("wrong password"), HERE).await;
        assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{refused:?}");
    }
    for mrp in [&lab.mrp, &other] {
        too_many(mrp.users().login("carol", &Secret::new(PASSWORD), HERE).await);
        mrp.users().login("carol", &Secret::new(PASSWORD), THERE).await.unwrap();
    }
    other.shutdown().await;
}

#[tokio::test]
async fn names_that_nobody_can_have_are_refused_like_others() {
    let lab = Lab::new().await;
    let long = "x".repeat(100_000);
    for name in ["", "a\0b", "\u{1b}[2J", "\u{202e}", "' OR 1=1 --", &long] {
        let refused = login(&lab, name, "wrong password", None).await;
        assert_eq!(refusal(refused), "wrong user name or password", "{name:?}");
    }
}

#[tokio::test]
async fn the_own_password_is_changed_by_who_knows_it() {
    let lab = Lab::new().await;
    let user = carol(&lab).await;
    let (users, carol) = (lab.mrp.users(), Actor::from(&user));
    let without = UserChange { current_password: None, ..new_password("another horse") };
    let refused = refusal(users.update(&carol, user.id, without.clone()).await);
    assert_eq!(refused, "current_password: a new password needs the one of before");
    let wrong =
        UserChange { current_password: Some(Secret::new("a guess")), ..new_password("another horse") };
    for _ in 0..5 {
        let refused = refusal(users.update(&carol, user.id, wrong.clone()).await);
        assert_eq!(refused, "current_password is wrong");
    }
    too_many(users.update(&carol, user.id, new_password("another horse")).await);
    lab.wait(2);
    let session = login(&lab, "carol", PASSWORD, None).await.unwrap();
    let token = users.create_token(&carol, for_ci()).await.unwrap();
    users.update(&carol, user.id, new_password("another horse")).await.unwrap();
    assert!(users.authenticate(session.expose()).await.is_err(), "the sessions have ended");
    users.authenticate(token.secret.expose()).await.unwrap();
    users.update(&lab.admin, user.id, UserChange { revoke_tokens: true, ..without }).await.unwrap();
    assert!(users.authenticate(token.secret.expose()).await.is_err(), "the tokens have ended");
    login(&lab, "carol", "another horse", None).await.unwrap();
    let alone = UserChange { revoke_tokens: true, ..UserChange::default() };
    assert_eq!(
        refusal(users.update(&carol, user.id, alone).await),
        "revoke_tokens: goes with a new password"
    );
}

#[tokio::test]
async fn hashes_of_the_original_are_taken_once() {
    let lab = Lab::new().await;
    let user = carol(&lab).await;
    let old = "$pbkdf2-sha256$1$$ZMA1N448/D1ij7XRKSAknopAy.7TubfJpGo0A/RBrGM";
    lab.store.rehash_password(user.id, &user.password_hash, old).await.unwrap();
    let before = login(&lab, "carol", "wrong password", None).await;
    assert!(matches!(before, Err(Error::Unauthenticated(_))), "{before:?}");
    let hash = async || lab.store.user(user.id).await.unwrap().unwrap().password_hash;
    assert_eq!(hash().await, old);
    let session = login(&lab, "carol", PASSWORD, None).await.unwrap();
    assert!(hash().await.starts_with("$argon2id$"));
    login(&lab, "carol", PASSWORD, None).await.unwrap();
    lab.mrp.users().authenticate(session.expose()).await.unwrap();
    for unknown in ["", "plain text", "$2b$12$abc", "$pbkdf2-sha256$1$$"] {
        lab.store.rehash_password(user.id, &hash().await, unknown).await.unwrap();
        for guess in [PASSWORD, unknown, ""] {
            lab.wait(2);
            let refused = login(&lab, "carol", guess, None).await;
            assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{unknown}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn sessions_survive_a_restart() {
    let mut lab = Lab::new().await;
    carol(&lab).await;
    let session = login(&lab, "carol", PASSWORD, None).await.unwrap();
    lab.restart().await;
    assert_eq!(lab.mrp.users().authenticate(session.expose()).await.unwrap().name, "carol");
}
