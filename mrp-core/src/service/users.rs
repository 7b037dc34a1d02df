//! Users, logins and tokens.

use std::net::IpAddr;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::actor::{Actor, forbidden};
use crate::error::Error;
use crate::id::{Id, Timestamp};
use crate::machine::check_text;
use crate::secret::{Secret, random_bytes};
use crate::service::{Provisioner, lock};
use crate::user::{Token, TokenId, TokenKind, User, UserId};

/// Failed logins until a name or an address has to wait.
const FREE_FAILURES: u32 = 5;
/// How long it then waits; failures older than this are forgotten.
const LOCKOUT: Duration = Duration::from_secs(60);

/// Failed logins of one name or address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failures {
    count: u32,
    last: Timestamp,
}

/// A user that is to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Login name.
    pub name: String,
    /// Where mail goes.
    pub email: String,
    /// The first password.
    pub password: Secret,
    /// May do everything.
    pub admin: bool,
    /// Public SSH keys, one a line.
    pub ssh_keys: String,
}

/// What is to be changed of a user; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// Where mail goes.
    pub email: Option<String>,
    /// A new password; ends all sessions.
    pub password: Option<Secret>,
    /// May do everything; only an admin may change it.
    pub admin: Option<bool>,
    /// Public SSH keys.
    pub ssh_keys: Option<String>,
}

/// A token that was just made.
#[derive(Debug)]
pub struct IssuedToken {
    /// What is stored of it.
    pub token: Token,
    /// The token itself; shown this once.
    pub secret: Secret,
}

/// Users, logins and tokens.
#[derive(Debug)]
pub struct Users<'a>(&'a Provisioner);

impl Provisioner {
    /// Users, logins and tokens.
    pub fn users(&self) -> Users<'_> {
        Users(self)
    }
}

impl Users<'_> {
    /// Makes the user `admin` with a random password if there is no user at all, and tells the password.
    pub async fn first_admin(&self) -> Result<Option<Secret>, Error> {
        if !self.0.store().users().await?.is_empty() {
            return Ok(None);
        }
        let password = Secret::new(hex::encode(random_bytes::<12>()));
        let new = NewUser {
            name: "admin".into(),
            email: String::new(),
            password: password.clone(),
            admin: true,
            ssh_keys: String::new(),
        };
        self.create(&Actor::system(), new).await?;
        Ok(Some(password))
    }

    /// Logs in. After some failures a name and an address have to wait a minute.
    pub async fn login(
        &self,
        name: &str,
        password: &Secret,
        from: Option<IpAddr>,
    ) -> Result<IssuedToken, Error> {
        let keys = [Some(format!("user {name}")), from.map(|from| format!("address {from}"))];
        let keys: Vec<String> = keys.into_iter().flatten().collect();
        self.count_attempt(&keys)?;
        let user = self.0.store().user_by_name(name).await?;
        // A missing user costs as much time as a wrong password.
        let hash = user.as_ref().map_or_else(|| UNKNOWN_USER.to_owned(), |user| user.password_hash.clone());
        let correct = verify(password.clone(), hash).await?;
        let Some(user) = user.filter(|_| correct) else {
            return Err(Error::Unauthenticated("wrong user name or password".into()));
        };
        self.forgive(&keys);
        let expires = Some(self.0.now() + self.0.settings().session);
        self.issue(&Actor::from(&user), user.id, TokenKind::Session, "login", expires).await
    }

    /// Who a token belongs to.
    pub async fn authenticate(&self, token: &str) -> Result<Actor, Error> {
        let refused =
            || Error::Unauthenticated("no valid token; send one in the Authorization header".into());
        let (found, user) = self.0.store().token_by_hash(&hash_token(token)).await?.ok_or_else(refused)?;
        let now = self.0.now();
        if found.expires.is_some_and(|expires| expires <= now) {
            return Err(refused());
        }
        if found.last_used.is_none_or(|used| now.since(used) > Duration::from_secs(60)) {
            // A full disk is no reason to refuse a read.
            if let Err(error) = self.0.store().touch_token(found.id, now).await {
                tracing::warn!(%error, "the use of a token could not be noted");
            }
        }
        Ok(Actor::from(&user))
    }

    /// All users.
    pub async fn list(&self, _actor: &Actor) -> Result<Vec<User>, Error> {
        Ok(self.0.store().users().await?)
    }

    /// One user.
    pub async fn get(&self, _actor: &Actor, id: UserId) -> Result<User, Error> {
        self.0.store().user(id).await?.ok_or_else(|| Error::not_found("user", id))
    }

    /// One user by name.
    pub async fn by_name(&self, _actor: &Actor, name: &str) -> Result<User, Error> {
        self.0.store().user_by_name(name).await?.ok_or_else(|| Error::not_found("user", name))
    }

    /// Makes a user; admins only.
    pub async fn create(&self, actor: &Actor, new: NewUser) -> Result<User, Error> {
        actor.require_admin()?;
        let safe = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
        if !new.name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !new.name.chars().all(safe) {
            return Err(Error::invalid(
                "name",
                "letters, digits and . _ - @ are allowed, a letter or digit first",
            ));
        }
        check_text("name", &new.name, 1, 64)?;
        check_text("email", &new.email, 0, 256)?;
        check_password(&new.password)?;
        let user = User {
            id: Id::NEW,
            revision: 0,
            password_hash: hash_password(new.password).await?,
            name: new.name,
            email: new.email,
            admin: new.admin,
            ssh_keys: new.ssh_keys,
        };
        let changes = json!({"email": user.email, "admin": user.admin});
        let journal = self.0.draft(actor).audit("create", "user", &user.name, changes).done();
        Ok(self.0.store().insert_user(&user, &journal).await?)
    }

    /// Changes a user: oneself, or anyone for an admin.
    pub async fn update(&self, actor: &Actor, id: UserId, change: UserChange) -> Result<User, Error> {
        let mut user = self.get(actor, id).await?;
        if !actor.owns(Some(id)) || (change.admin.is_some_and(|admin| admin != user.admin) && !actor.admin) {
            return Err(forbidden());
        }
        let mut changes = serde_json::Map::new();
        if let Some(email) = change.email {
            check_text("email", &email, 0, 256)?;
            changes.insert("email".into(), json!([user.email, email]));
            user.email = email;
        }
        if let Some(admin) = change.admin {
            let is_last = async || -> Result<bool, Error> {
                Ok(!self.0.store().users().await?.iter().any(|other| other.admin && other.id != id))
            };
            if user.admin && !admin && is_last().await? {
                return Err(Error::Conflict(format!(
                    "{} is the only admin; make another one first",
                    user.name
                )));
            }
            changes.insert("admin".into(), json!([user.admin, admin]));
            user.admin = admin;
        }
        if let Some(keys) = change.ssh_keys {
            changes.insert("ssh_keys".into(), json!("changed"));
            user.ssh_keys = keys;
        }
        if let Some(password) = change.password {
            check_password(&password)?;
            changes.insert("password".into(), json!("changed"));
            user.password_hash = hash_password(password).await?;
        }
        let journal = self.0.draft(actor).audit("update", "user", &user.name, Value::Object(changes)).done();
        Ok(self.0.store().update_user(&user, &journal).await?)
    }

    /// Removes a user who holds no machine; admins only.
    pub async fn delete(&self, actor: &Actor, id: UserId) -> Result<(), Error> {
        actor.require_admin()?;
        let user = self.get(actor, id).await?;
        if actor.user == Some(id) {
            return Err(Error::Conflict("you cannot remove yourself".into()));
        }
        let journal = self.0.draft(actor).audit("delete", "user", &user.name, Value::Null).done();
        Ok(self.0.store().delete_user(&user, &journal).await?)
    }

    /// One's own tokens.
    pub async fn tokens(&self, actor: &Actor) -> Result<Vec<Token>, Error> {
        let user = actor.user.ok_or_else(forbidden)?;
        Ok(self.0.store().tokens(user).await?)
    }

    /// Makes an API token for oneself.
    pub async fn create_token(
        &self,
        actor: &Actor,
        description: &str,
        expires: Option<Timestamp>,
    ) -> Result<IssuedToken, Error> {
        let user = actor.user.ok_or_else(forbidden)?;
        check_text("description", description, 0, 256)?;
        if expires.is_some_and(|expires| expires <= self.0.now()) {
            return Err(Error::invalid("expires", "lies in the past"));
        }
        self.issue(actor, user, TokenKind::Api, description, expires).await
    }

    /// Removes one of one's own tokens.
    pub async fn delete_token(&self, actor: &Actor, id: TokenId) -> Result<(), Error> {
        let tokens = self.tokens(actor).await?;
        let token =
            tokens.iter().find(|token| token.id == id).ok_or_else(|| Error::not_found("token", id))?;
        let journal = self.0.draft(actor).audit("delete", "token", &token.description, Value::Null).done();
        Ok(self.0.store().delete_token(id, &journal).await?)
    }

    /// Ends the session, or removes the token, that is used.
    pub async fn logout(&self, actor: &Actor, token: &str) -> Result<(), Error> {
        let (found, _) = self
            .0
            .store()
            .token_by_hash(&hash_token(token))
            .await?
            .ok_or_else(|| Error::not_found("session", ""))?;
        let journal = self.0.draft(actor).audit("logout", "session", &actor.name, Value::Null).done();
        Ok(self.0.store().delete_token(found.id, &journal).await?)
    }

    async fn issue(
        &self,
        actor: &Actor,
        user: UserId,
        kind: TokenKind,
        description: &str,
        expires: Option<Timestamp>,
    ) -> Result<IssuedToken, Error> {
        let secret = Secret::new(hex::encode(random_bytes::<24>()));
        let token = Token {
            id: Id::NEW,
            user,
            hash: hash_token(secret.expose()),
            kind,
            description: description.to_owned(),
            created: self.0.now(),
            expires,
            last_used: None,
        };
        let (action, object) = match kind {
            TokenKind::Session => ("login", "session"),
            TokenKind::Api => ("create", "token"),
        };
        let name = if kind == TokenKind::Session { &actor.name } else { description };
        let journal = self.0.draft(actor).audit(action, object, name, json!({"expires": expires})).done();
        Ok(IssuedToken { token: self.0.store().insert_token(&token, &journal).await?, secret })
    }

    /// Counts an attempt as a failure before its password is looked at, so that many at once are no way around the limit.
    fn count_attempt(&self, keys: &[String]) -> Result<(), Error> {
        let now = self.0.now();
        let mut logins = lock(&self.0.0.logins);
        logins.retain(|_, failures| now.since(failures.last) < LOCKOUT);
        if let Some(key) = keys.iter().find(|key| logins.get(*key).is_some_and(|f| f.count >= FREE_FAILURES))
        {
            return Err(Error::TooMany(format!("too many failed logins of {key}; wait a minute")));
        }
        for key in keys {
            let count = logins.get(key).map_or(0, |failures| failures.count) + 1;
            logins.insert(key.clone(), Failures { count, last: now });
        }
        Ok(())
    }

    /// The attempt was right: its name starts anew, its address loses nothing by it.
    fn forgive(&self, keys: &[String]) {
        let mut logins = lock(&self.0.0.logins);
        logins.remove(&keys[0]);
        for key in &keys[1..] {
            if let Some(failures) = logins.get_mut(key) {
                failures.count = failures.count.saturating_sub(1);
            }
        }
    }
}

/// Hash of no password that anybody has.
const UNKNOWN_USER: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$0000000000000000000000000000000000000000000";

fn hash_token(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

fn check_password(password: &Secret) -> Result<(), Error> {
    let length = password.expose().chars().count();
    if (8..=256).contains(&length) {
        Ok(())
    } else {
        Err(Error::invalid("password", "8 to 256 characters are needed"))
    }
}

async fn hash_password(password: Secret) -> Result<String, Error> {
    let hash = move || {
        let salt: [u8; 16] = random_bytes();
        Argon2::default()
            .hash_password_with_salt(password.expose().as_bytes(), &salt)
            .map(|hash| hash.to_string())
    };
    match tokio::task::spawn_blocking(hash).await {
        Ok(Ok(hash)) => Ok(hash),
        Ok(Err(error)) => Err(Error::Internal(error.to_string().into())),
        Err(error) => Err(Error::Internal(Box::new(error))),
    }
}

async fn verify(password: Secret, hash: String) -> Result<bool, Error> {
    let check = move || {
        PasswordHash::new(&hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
    };
    tokio::task::spawn_blocking(check).await.map_err(|error| Error::Internal(Box::new(error)))
}
