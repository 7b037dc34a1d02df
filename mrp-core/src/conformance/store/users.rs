//! Users and tokens.

use super::*;

pub(super) async fn life(store: &dyn Store) -> Outcome {
    same("users of an empty store", &store.users().await?, &vec![])?;
    let alice = store.insert_user(&user("alice"), &journal("alice comes")).await?;
    same("a new row's revision", &alice.revision, &1)?;
    ensure(alice.id.get() > 0, || format!("the id {} is not positive", alice.id))?;
    same("what came back", &User { id: Id::NEW, revision: 0, ..alice.clone() }, &user("alice"))?;
    same("user", &store.user(alice.id).await?, &Some(alice.clone()))?;
    same("user_by_name", &store.user_by_name("alice").await?, &Some(alice.clone()))?;
    same("user_by_name of nobody", &store.user_by_name("Alice").await?, &None)?;
    same("user of nobody", &store.user(Id::new(alice.id.get() + 1)).await?, &None)?;
    let bob = store.insert_user(&User { admin: true, ..user("bob") }, &quiet()).await?;
    ids("users", &store.users().await?, |user| user.id, &[alice.id, bob.id])?;

    let wanted = User {
        email: "a@b".into(),
        admin: true,
        password_hash: "other".into(),
        ssh_keys: String::new(),
        name: "alice2".into(),
        ..alice.clone()
    };
    let changed = store.update_user(&wanted, &journal("alice changes")).await?;
    same("a changed row", &changed, &User { revision: 2, ..wanted.clone() })?;
    same("a changed row, read again", &store.user(alice.id).await?, &Some(changed.clone()))?;
    stale("update_user on an old revision", store.update_user(&wanted, &journal("no")).await)?;
    same("a row after a stale change", &store.user(alice.id).await?, &Some(changed.clone()))?;
    stale("delete_user on an old revision", store.delete_user(&alice, &journal("no")).await)?;
    store.delete_user(&changed, &journal("alice goes")).await?;
    same("a removed user", &store.user(alice.id).await?, &None)?;
    gone("delete_user again", store.delete_user(&changed, &journal("no")).await)?;
    gone("update_user of a removed one", store.update_user(&changed, &journal("no")).await)?;
    written(store, 3, 3).await
}

pub(super) async fn names(store: &dyn Store) -> Outcome {
    store.insert_user(&user("alice"), &quiet()).await?;
    let bob = store.insert_user(&user("bob"), &quiet()).await?;
    conflict("insert_user of a taken name", store.insert_user(&user("alice"), &journal("no")).await)?;
    let renamed = User { name: "alice".into(), ..bob.clone() };
    conflict("update_user to a taken name", store.update_user(&renamed, &journal("no")).await)?;
    same("the row after a refused change", &store.user(bob.id).await?, &Some(bob))?;
    same("users", &store.users().await?.len(), &2)?;
    written(store, 0, 0).await
}

pub(super) async fn removal(store: &dyn Store) -> Outcome {
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let machine = stored_machine(store, "m1").await?;
    let picture = image("alice/linux.1", &arch(""), Some(&alice), ImageKind::Kernel);
    let picture = store.insert_image(&Image { arch: machine.arch, ..picture }, &quiet()).await?;
    let file = store.insert_answer_file(&answer_file("debian", Some(&alice)), &quiet()).await?;
    let (run, machine) = store.insert_run(&provision(&machine, Some(&alice)), &machine, &quiet()).await?;
    store.insert_token(&token(&alice, "h1", TokenKind::Api), &quiet()).await?;
    let held = store.insert_assignment(&assignment(&machine, &alice), &quiet()).await?;
    in_use("delete_user of a holder", store.delete_user(&alice, &journal("no")).await)?;
    written(store, 0, 0).await?;
    store.end_assignment(held.id, &machine, &quiet()).await?;
    store.delete_user(&alice, &quiet()).await?;
    same("a removed user's token", &store.token_by_hash("h1").await?, &None)?;
    let owners = (
        store.image(picture.id).await?.map(|image| image.owner),
        store.answer_file(file.id).await?.map(|file| file.owner),
        store.run(run.id).await?.map(|run| run.user),
    );
    same("owners of what a removed user had", &owners, &(Some(None), Some(None), Some(None)))
}

pub(super) async fn tokens(store: &dyn Store) -> Outcome {
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let bob = store.insert_user(&user("bob"), &quiet()).await?;
    let wanted = token(&alice, "hash1", TokenKind::Api);
    let api = store.insert_token(&wanted, &journal("token")).await?;
    for scope in Scope::ALL {
        let made = Token { scope, ..token(&bob, scope.as_str(), TokenKind::Api) };
        let made = store.insert_token(&made, &quiet()).await?;
        let found = store.token_by_hash(scope.as_str()).await?.map(|(token, _)| token);
        same("a token of another scope", &found, &Some(made.clone()))?;
        store.delete_token(made.id, &quiet()).await?;
    }
    same("a new token", &api, &Token { id: api.id, ..wanted })?;
    same("token_by_hash", &store.token_by_hash("hash1").await?, &Some((api.clone(), alice.clone())))?;
    same("token", &store.token(api.id).await?, &Some(api.clone()))?;
    same("token of none", &store.token(Id::new(api.id.get() + 1)).await?, &None)?;
    same("token_by_hash of none", &store.token_by_hash("hash2").await?, &None)?;
    let nobody = Token { user: Id::new(1 << 40), ..token(&alice, "hash9", TokenKind::Api) };
    gone("insert_token of no user", store.insert_token(&nobody, &journal("no")).await)?;
    let twice = store.insert_token(&token(&bob, "hash1", TokenKind::Api), &journal("no")).await;
    conflict("insert_token of a known hash", twice)?;

    store.touch_token(api.id, Timestamp(AT.0 + 5)).await?;
    let used = store.token_by_hash("hash1").await?.and_then(|(token, _)| token.last_used);
    same("last use", &used, &Some(Timestamp(AT.0 + 5)))?;

    let session = |of: &User, hash: &str, expires: i64| Token {
        expires: Some(Timestamp(expires)),
        ..token(of, hash, TokenKind::Session)
    };
    let mine = store.insert_token(&session(&alice, "s1", 900), &quiet()).await?;
    let other = store.insert_token(&session(&bob, "s3", 900), &quiet()).await?;
    ids("all_tokens", &store.all_tokens().await?, |token| token.id, &[api.id, mine.id, other.id])?;
    ids("tokens", &store.tokens(alice.id).await?, |token| token.id, &[api.id, mine.id])?;
    let renamed = User { email: "new@example.org".into(), ..alice.clone() };
    let renamed = store.update_user(&renamed, &quiet()).await?;
    ids("tokens after another change", &store.tokens(alice.id).await?, |token| token.id, &[api.id, mine.id])?;
    let renewed = User { password_hash: "another hash".into(), ..renamed };
    store.update_user(&renewed, &quiet()).await?;
    ids("tokens after a new password", &store.tokens(alice.id).await?, |token| token.id, &[api.id])?;
    ids("another's session", &store.tokens(bob.id).await?, |token| token.id, &[other.id])?;

    store.delete_token(api.id, &journal("token goes")).await?;
    gone("delete_token again", store.delete_token(api.id, &journal("no")).await)?;
    same("tokens", &store.tokens(alice.id).await?, &vec![])?;
    written(store, 2, 2).await
}

pub(super) async fn passwords(store: &dyn Store) -> Outcome {
    let alice = store.insert_user(&user("alice"), &quiet()).await?;
    let bob = store.insert_user(&user("bob"), &quiet()).await?;
    let api = store.insert_token(&token(&alice, "h1", TokenKind::Api), &quiet()).await?;
    let session = store.insert_token(&token(&alice, "h2", TokenKind::Session), &quiet()).await?;
    let other = store.insert_token(&token(&bob, "h3", TokenKind::Api), &quiet()).await?;

    store.rehash_password(alice.id, &alice.password_hash, "newer kind").await?;
    let rehashed = User { password_hash: "newer kind".into(), ..alice.clone() };
    same("a user with a newer hash", &store.user(alice.id).await?, &Some(rehashed.clone()))?;
    store.rehash_password(alice.id, &alice.password_hash, "of the password of before").await?;
    same("a user whose hash has moved", &store.user(alice.id).await?, &Some(rehashed.clone()))?;
    store.rehash_password(Id::new(1 << 40), "x", "y").await?;
    ids("tokens", &store.tokens(alice.id).await?, |token| token.id, &[api.id, session.id])?;

    let changed = User { password_hash: "another".into(), ..rehashed.clone() };
    let changed = store.update_user(&changed, &journal("password")).await?;
    ids("tokens after a new password", &store.tokens(alice.id).await?, |token| token.id, &[api.id])?;
    stale("update_user_revoking", store.update_user_revoking(&rehashed, &journal("no")).await)?;
    ids("tokens after a stale change", &store.tokens(alice.id).await?, |token| token.id, &[api.id])?;
    let again = User { password_hash: "a third".into(), ..changed };
    let again = store.update_user_revoking(&again, &journal("password")).await?;
    same("a user after it", &store.user(alice.id).await?, &Some(again))?;
    same("tokens after update_user_revoking", &store.tokens(alice.id).await?, &vec![])?;
    ids("another's tokens", &store.tokens(bob.id).await?, |token| token.id, &[other.id])?;
    written(store, 2, 2).await
}
