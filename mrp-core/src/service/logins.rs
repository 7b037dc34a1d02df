//! Logging in and out, and who a token belongs to.
//!
//! What a token means is kept in memory for [`KEPT`] at most, the only thing that is: revoking ends it at once here, and
//! after that time on other servers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::actor::Actor;
use crate::error::Error;
use crate::id::Timestamp;
use crate::login::{LOCKOUT, LoginLimit, LoginOutcome};
use crate::password::{self, UNKNOWN_USER, Verdict};
use crate::secret::Secret;
use crate::service::tokens::IssuedToken;
use crate::service::users::Users;
use crate::service::{Provisioner, lock};
use crate::token::{Scope, TokenKind};
use crate::user::User;

/// How long the meaning of a token is kept in memory.
pub const KEPT: Duration = Duration::from_secs(5);
/// How exact the last use of a token is.
const LAST_USE: Duration = Duration::from_secs(60);
/// Kept tokens from which on old ones are looked for.
const MANY: usize = 1024;
/// Longest name that a user can have.
const LONGEST_NAME: usize = 64;

/// What tokens mean, by their hash.
#[derive(Debug, Default)]
pub(crate) struct KnownTokens {
    known: HashMap<String, Known>,
    /// Grows when tokens or users change: what was read before is not kept.
    generation: u64,
}

#[derive(Debug, Clone)]
struct Known {
    actor: Actor,
    read: Timestamp,
    expires: Option<Timestamp>,
}

impl KnownTokens {
    fn find(&self, hash: &str, now: Timestamp) -> Option<Actor> {
        let known = self.known.get(hash)?;
        let fresh = known.read <= now && now.since(known.read) < KEPT;
        let valid = known.expires.is_none_or(|expires| expires > now);
        (fresh && valid).then(|| known.actor.clone())
    }

    fn keep(&mut self, generation: u64, hash: String, known: Known) {
        if self.generation != generation {
            return;
        }
        if self.known.len() >= MANY {
            let now = known.read;
            self.known.retain(|_, known| now.since(known.read) < KEPT);
        }
        self.known.insert(hash, known);
    }
}

impl Provisioner {
    /// To be called after each change of users or tokens.
    pub(crate) fn forget_tokens(&self) {
        let mut tokens = lock(&self.0.known_tokens);
        tokens.generation += 1;
        tokens.known.clear();
    }
}

impl Users<'_> {
    /// Logs in. After some failures a name and an address have to wait a minute, on all servers of a database.
    pub async fn login(
        &self,
        name: &str,
        password: &Secret,
        from: Option<IpAddr>,
    ) -> Result<IssuedToken, Error> {
        let possible = name.len() <= LONGEST_NAME && !name.chars().any(char::is_control);
        let limits = match (possible, from) {
            (true, from) => LoginLimit::of(name, from),
            (false, from) => from.map(LoginLimit::of_address).into_iter().collect(),
        };
        let user = match possible {
            true => self.0.store().user_by_name(name).await?,
            false => None,
        };
        // People type passwords where the name goes: only a name that there is may be written down.
        let known = user.as_ref().map_or("a user that there is not", |user| &user.name);
        let place = from.map_or_else(|| "an unknown address".to_owned(), |from| from.to_string());
        let right = self.attempt(&limits, password, user.as_ref()).await;
        if matches!(right, Err(Error::TooMany(_))) {
            tracing::warn!(user = known, from = place, "a login was refused: too many have failed");
        }
        if !right? {
            tracing::warn!(user = known, from = place, "a login failed: wrong name or password");
            return Err(Error::Unauthenticated("wrong user name or password".into()));
        }
        let user = user.ok_or_else(|| Error::Internal("a password of nobody was right".into()))?;
        let expires = Some(self.0.now() + self.0.settings().session);
        self.issue(&Actor::from(&user), user.id, TokenKind::Session, Scope::Admin, "login", expires).await
    }

    /// True if this is a user's password; for the program that has the database, not for people: nothing is counted.
    pub async fn has_password(&self, name: &str, password: Secret) -> Result<bool, Error> {
        let Some(user) = self.0.store().user_by_name(name).await? else { return Ok(false) };
        Ok(self.verify(password, user.password_hash).await? != Verdict::Wrong)
    }

    /// Refuses whoever does not know the password of a user, within the limits of logins.
    pub(super) async fn require_password(&self, user: &User, password: &Secret) -> Result<(), Error> {
        match self.attempt(&[LoginLimit::of_user(&user.name)], password, Some(user)).await? {
            true => Ok(()),
            false => Err(Error::Forbidden("current_password is wrong".into())),
        }
    }

    /// True if a password is the user's. The attempt is counted before the password is looked at, so that many at once
    /// are no way around the limit.
    async fn attempt(
        &self,
        limits: &[LoginLimit],
        password: &Secret,
        user: Option<&User>,
    ) -> Result<bool, Error> {
        let (store, now) = (self.0.store(), self.0.now());
        let since = Timestamp(now.0.saturating_sub(LOCKOUT.as_millis() as i64));
        if let Some(subject) = store.begin_login(limits, since, now).await? {
            return Err(Error::TooMany(format!("too many failed logins of {subject}; wait a minute")));
        }
        // A missing user costs as much time as a wrong password.
        let hash = user.map_or(UNKNOWN_USER, |user| &user.password_hash).to_owned();
        let verdict = self.verify(password.clone(), hash).await?;
        let right = verdict != Verdict::Wrong && user.is_some();
        let outcome = if right { LoginOutcome::Right } else { LoginOutcome::Failed };
        store.end_login(limits, outcome).await?;
        if let (Verdict::RightButOld, Some(user)) = (verdict, user) {
            let newer = self.hash(password.clone()).await?;
            store.rehash_password(user.id, &user.password_hash, &newer).await?;
        }
        Ok(right)
    }

    /// Who a token belongs to, and how much it may.
    pub async fn authenticate(&self, token: &str) -> Result<Actor, Error> {
        let refused =
            || Error::Unauthenticated("no valid token; send one in the Authorization header".into());
        let (hash, now) = (hash_token(token), self.0.now());
        let generation = {
            let tokens = lock(&self.0.0.known_tokens);
            if let Some(actor) = tokens.find(&hash, now) {
                return Ok(actor);
            }
            tokens.generation
        };
        let (found, user) = self.0.store().token_by_hash(&hash).await?.ok_or_else(refused)?;
        if found.expires.is_some_and(|expires| expires <= now) {
            return Err(refused());
        }
        if found.last_used.is_none_or(|used| now.since(used) > LAST_USE) {
            // A full disk is no reason to refuse a read.
            if let Err(error) = self.0.store().touch_token(found.id, now).await {
                tracing::warn!(%error, "the use of a token could not be noted");
            }
        }
        let actor = Actor::with_token(&user, &found);
        let known = Known { actor: actor.clone(), read: now, expires: found.expires };
        lock(&self.0.0.known_tokens).keep(generation, hash, known);
        Ok(actor)
    }

    /// Ends the session, or removes the token, that is used.
    pub async fn logout(&self, actor: &Actor, token: &str) -> Result<(), Error> {
        let found = self.0.store().token_by_hash(&hash_token(token)).await?;
        let (found, _) = found.ok_or_else(|| Error::not_found("session", ""))?;
        let (action, object, name) = match found.kind {
            TokenKind::Session => ("logout", "session", &actor.name),
            TokenKind::Api => ("delete", "token", &found.description),
        };
        let journal = self.0.draft(actor)?.audit(action, object, name, serde_json::Value::Null).done();
        self.0.store().delete_token(found.id, &journal).await?;
        self.0.forget_tokens();
        Ok(())
    }

    /// A new hash of a password.
    pub(super) async fn hash(&self, password: Secret) -> Result<String, Error> {
        self.calculate(move || password::hash(&password)).await?
    }

    async fn verify(&self, password: Secret, hash: String) -> Result<Verdict, Error> {
        self.calculate(move || password::verify(&password, &hash)).await
    }

    /// Hashes take memory and time: a few at once, on threads that may block.
    async fn calculate<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.0.0.hashing.acquire().await;
        let result = tokio::task::spawn_blocking(work).await;
        drop(permit);
        result.map_err(|error| Error::Internal(Box::new(error)))
    }
}

/// What is stored of a token.
pub(super) fn hash_token(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
