//! What tokens may, how long, and how they end.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::time::Duration;

use mrp_core::image::ImageKind;
use mrp_core::machine::MachineState;
use mrp_core::service::machines::Settings;
use mrp_core::service::runs::StartRun;
use mrp_core::service::tokens::NewToken;
use mrp_core::service::users::{UserChange, Users};
use mrp_core::store::{EventFilter, EventStore};
use mrp_core::token::Scope;
use mrp_core::{Actor, Error};

mod lab;

use lab::{Lab, forbidden, refusal};

fn of(scope: Scope) -> NewToken {
    NewToken { description: format!("to {scope}"), scope: Some(scope), ..NewToken::default() }
}

async fn actor(users: &Users<'_>, owner: &Actor, scope: Scope) -> Actor {
    let issued = users.create_token(owner, of(scope)).await.unwrap();
    users.authenticate(issued.secret.expose()).await.unwrap()
}

fn only_looks<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) {
    match result {
        Err(Error::Forbidden(words)) => assert!(words.contains("may only look"), "{what}: {words}"),
        other => panic!("{what}: {other:?}"),
    }
}

#[tokio::test]
async fn a_token_to_read_changes_nothing() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let run = lab.started(&node).await;
    let mrp = &lab.mrp;
    let own = mrp.assignments().own(&lab.alice, node.id).await.unwrap().assignment;
    for owner in [&lab.alice, &lab.admin] {
        let reader = actor(&mrp.users(), owner, Scope::Read).await;
        let before = lab.journal().await;
        only_looks("set", mrp.machines().set(&reader, node.id, Settings::default()).await);
        only_looks("state", mrp.machines().set_state(&reader, node.id, MachineState::Ready).await);
        only_looks("power", mrp.power(&reader, node.id).on().await);
        only_looks("provision", mrp.runs().start(&reader, node.id, StartRun::default()).await);
        only_looks("cancel", mrp.runs().cancel(&reader, run.id).await);
        only_looks("reserve", mrp.assignments().reserve(&reader, "", "", None).await);
        only_looks("give back", mrp.assignments().give_back(&reader, node.id, own.id).await);
        only_looks("token", mrp.users().create_token(&reader, of(Scope::Read)).await);
        only_looks("image", mrp.images().upload(&reader).await.map(drop));
        only_looks("user", mrp.users().update(&reader, owner.user.unwrap(), UserChange::default()).await);
        assert_eq!(lab.journal().await, before, "a refusal writes nothing");
        mrp.machines().list(&reader, true, None, mrp_core::store::Page::default()).await.unwrap();
        mrp.power(&reader, node.id).status().await.unwrap();
        mrp.events().list(&reader, EventFilter::default()).await.unwrap();
    }
    let reader = actor(&mrp.users(), &lab.admin, Scope::Read).await;
    mrp.bmcs().list(&reader).await.unwrap();
    mrp.users().all_tokens(&reader).await.unwrap();
    only_looks("an architecture", mrp.archs().create(&reader, "riscv64", "").await.map(drop));
}

#[tokio::test]
async fn an_admins_token_to_use_is_a_plain_users() {
    let lab = Lab::new().await;
    let node = lab.node("m1").await;
    let mrp = &lab.mrp;
    let user = actor(&mrp.users(), &lab.admin, Scope::Use).await;
    forbidden("an architecture", mrp.archs().create(&user, "riscv64", "").await);
    forbidden("BMCs", mrp.bmcs().list(&user).await);
    forbidden("another's machine", mrp.power(&user, node.id).on().await);
    forbidden("all tokens", mrp.users().all_tokens(&user).await);
    let free = lab.bare_node("m2", true).await;
    mrp.assignments().reserve(&user, "", "mine", None).await.unwrap();
    mrp.power(&user, free.id).on().await.unwrap();
    lab::upload(mrp, &user, "vmlinuz", ImageKind::Kernel, false).await;
}

#[tokio::test]
async fn no_token_makes_a_stronger_one() {
    let lab = Lab::new().await;
    let users = lab.mrp.users();
    let user = actor(&users, &lab.admin, Scope::Use).await;
    let refused = refusal(users.create_token(&user, of(Scope::Admin)).await);
    assert_eq!(refused, "your token has the scope use: it makes none of the scope admin");
    users.create_token(&user, of(Scope::Read)).await.unwrap();
    let heir = users.create_token(&user, NewToken::default()).await.unwrap();
    assert_eq!(heir.token.scope, Scope::Use, "by default as much as the one that makes it");
    let plain = users.create_token(&lab.alice, NewToken::default()).await.unwrap();
    assert_eq!(plain.token.scope, Scope::Admin, "everything that its owner may");
    let alice = users.authenticate(plain.secret.expose()).await.unwrap();
    assert!(!alice.admin, "which is no more than that");

    let end = lab.mrp.now() + Duration::from_secs(3600);
    let ending = NewToken { expires: Some(end), ..of(Scope::Use) };
    let issued = users.create_token(&lab.alice, ending.clone()).await.unwrap();
    let ending_actor = users.authenticate(issued.secret.expose()).await.unwrap();
    for expires in [None, Some(end + Duration::from_secs(1))] {
        let refused =
            refusal(users.create_token(&ending_actor, NewToken { expires, ..of(Scope::Use) }).await);
        assert!(refused.starts_with("expires: your token ends at"), "{refused}");
    }
    users.create_token(&ending_actor, ending).await.unwrap();
    let past = NewToken { expires: Some(lab.mrp.now()), ..of(Scope::Use) };
    assert_eq!(refusal(users.create_token(&lab.alice, past).await), "expires: lies in the past");
    let long = NewToken { description: "x".repeat(257), ..of(Scope::Use) };
    assert!(refusal(users.create_token(&lab.alice, long).await).starts_with("description: 257 characters"));
    let odd = NewToken { description: "a\0b".into(), ..of(Scope::Use) };
    assert!(refusal(users.create_token(&lab.alice, odd).await).starts_with("description: the control"));
}

#[tokio::test]
async fn revoking_ends_a_token_at_once_here_and_soon_elsewhere() {
    let lab = Lab::new().await;
    let other = lab.beside().await;
    let users = lab.mrp.users();
    let issued = users.create_token(&lab.alice, of(Scope::Use)).await.unwrap();
    for mrp in [&lab.mrp, &other] {
        mrp.users().authenticate(issued.secret.expose()).await.unwrap();
    }
    let (bob, id) = (&lab.bob, issued.token.id);
    assert!(matches!(users.delete_token(bob, id).await, Err(Error::NotFound { .. })));
    users.delete_token(&lab.admin, id).await.unwrap();
    assert!(users.authenticate(issued.secret.expose()).await.is_err(), "at once");
    lab.clock.advance(Duration::from_secs(5));
    assert!(other.users().authenticate(issued.secret.expose()).await.is_err(), "after five seconds");
    other.shutdown().await;
}

#[tokio::test]
async fn a_users_rights_are_those_of_now() {
    let lab = Lab::new().await;
    let users = lab.mrp.users();
    let issued = users.create_token(&lab.bob, of(Scope::Admin)).await.unwrap();
    let admin = async || users.authenticate(issued.secret.expose()).await.unwrap().admin;
    assert!(!admin().await);
    let change = |admin| UserChange { admin: Some(admin), ..UserChange::default() };
    users.update(&lab.admin, lab.bob.user.unwrap(), change(true)).await.unwrap();
    assert!(admin().await);
    users.update(&lab.admin, lab.bob.user.unwrap(), change(false)).await.unwrap();
    assert!(!admin().await);
}

#[tokio::test]
async fn uses_are_noted_to_the_minute_and_entries_name_the_token() {
    let lab = Lab::new().await;
    let users = lab.mrp.users();
    let issued = users.create_token(&lab.admin, of(Scope::Admin)).await.unwrap();
    let used = async || {
        let found = users.tokens(&lab.admin).await.unwrap().remove(0);
        assert_eq!((found.user.as_str(), found.token.id), ("root", issued.token.id));
        found.token.last_used
    };
    assert_eq!(used().await, None);
    let first = lab.mrp.now();
    let actor = users.authenticate(issued.secret.expose()).await.unwrap();
    assert_eq!(used().await, Some(first));
    lab.clock.advance(Duration::from_secs(30));
    users.authenticate(issued.secret.expose()).await.unwrap();
    assert_eq!(used().await, Some(first));
    lab.wait(2);
    users.authenticate(issued.secret.expose()).await.unwrap();
    assert_eq!(used().await, Some(lab.mrp.now()));

    lab.mrp.archs().create(&actor, "riscv64", "").await.unwrap();
    users.delete_token(&lab.admin, issued.token.id).await.unwrap();
    let audit = lab.store.audit(mrp_core::id::Id::NEW, 1000).await.unwrap();
    let by = |name: &str| audit.iter().find(|entry| entry.name == name).unwrap().token.clone();
    let token = by("riscv64").unwrap();
    assert_eq!((token.id, token.description.as_str()), (issued.token.id, "to admin"));
    assert_eq!(by("x86_64"), None);
}
