//! Users: looking, making, changing, removing. Logins are in [`logins`](super::logins), tokens in
//! [`tokens`](super::tokens).

use serde_json::{Map, Value, json};

use crate::actor::{Actor, forbidden};
use crate::error::Error;
use crate::id::Id;
use crate::machine::check_text;
use crate::password;
use crate::secret::{Secret, random_bytes};
use crate::service::Provisioner;
use crate::service::expected::Expected;
use crate::service::journal::{between, said};
use crate::store::{MachineReference, StoreError};
use crate::user::{User, UserId, check_ssh_keys};

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
    /// The password of before: needed by whoever changes the own one.
    pub current_password: Option<Secret>,
    /// With a new password: end all API tokens too.
    pub revoke_tokens: bool,
    /// May do everything; only an admin may change it.
    pub admin: Option<bool>,
    /// Public SSH keys.
    pub ssh_keys: Option<String>,
}

/// Users, logins and tokens.
#[derive(Debug)]
pub struct Users<'a>(pub(super) &'a Provisioner, Expected);

impl Provisioner {
    /// Users, logins and tokens.
    pub fn users(&self) -> Users<'_> {
        Users(self, Expected::Any)
    }
}

impl Users<'_> {
    /// The same, for changes of an object as it was seen.
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.1 = expected;
        self
    }

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
        check_ssh_keys(&new.ssh_keys)?;
        password::check(&new.password)?;
        let user = User {
            id: Id::NEW,
            revision: 0,
            password_hash: self.hash(new.password).await?,
            name: new.name,
            email: new.email,
            admin: new.admin,
            ssh_keys: new.ssh_keys,
        };
        let changes = said(described(&user));
        let journal = self.0.draft(actor)?.audit("create", "user", &user.name, changes).done();
        Ok(self.0.store().insert_user(&user, &journal).await?)
    }

    /// Changes a user: oneself, or anyone for an admin.
    pub async fn update(&self, actor: &Actor, id: UserId, change: UserChange) -> Result<User, Error> {
        actor.require_write()?;
        if change.revoke_tokens && change.password.is_none() {
            return Err(Error::invalid("revoke_tokens", "goes with a new password"));
        }
        let mut user = self.get(actor, id).await?;
        if !actor.owns(Some(id)) {
            return Err(forbidden("only an admin may change another user"));
        }
        if change.admin.is_some_and(|admin| admin != user.admin) && !actor.admin {
            return Err(forbidden("only an admin may say who is one"));
        }
        self.1.check(user.revision)?;
        let old = described(&user);
        let mut secret = Map::new();
        if let Some(email) = change.email {
            check_text("email", &email, 0, 256)?;
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
            user.admin = admin;
        }
        if let Some(keys) = change.ssh_keys
            && keys != user.ssh_keys
        {
            check_ssh_keys(&keys)?;
            secret.insert("ssh_keys".into(), json!("changed"));
            user.ssh_keys = keys;
        }
        if let Some(password) = change.password {
            password::check(&password)?;
            if actor.user == Some(id) {
                let missing = || Error::invalid("current_password", "a new password needs the one of before");
                self.require_password(&user, &change.current_password.ok_or_else(missing)?).await?;
            }
            secret.insert("password".into(), json!("changed"));
            if change.revoke_tokens {
                secret.insert("tokens".into(), json!("revoked"));
            }
            user.password_hash = self.hash(password).await?;
        }
        let mut changes = between(&old, &described(&user));
        for (field, what) in secret {
            changes[field] = what;
        }
        let journal = self.0.draft(actor)?.audit("update", "user", &user.name, changes).done();
        let written = match change.revoke_tokens {
            true => self.0.store().update_user_revoking(&user, &journal).await,
            false => self.0.store().update_user(&user, &journal).await,
        };
        let user = self.1.settle(written, user.revision)?;
        self.0.forget_tokens();
        self.0.recheck_consoles().await;
        Ok(user)
    }

    /// Removes a user who holds no machine; admins only.
    pub async fn delete(&self, actor: &Actor, id: UserId) -> Result<(), Error> {
        actor.require_admin()?;
        let user = self.get(actor, id).await?;
        self.1.check(user.revision)?;
        if actor.user == Some(id) {
            return Err(Error::Conflict("you cannot remove yourself".into()));
        }
        let journal = self.0.draft(actor)?.audit("delete", "user", &user.name, said(described(&user))).done();
        match self.0.store().delete_user(&user, &journal).await {
            in_use @ Err(StoreError::InUse { .. }) => {
                self.0.removed(in_use, MachineReference::Holder(id)).await?;
            }
            other => self.1.settle(other, user.revision)?,
        }
        self.0.forget_tokens();
        self.0.recheck_consoles().await;
        Ok(())
    }
}

/// What the audit log says of a user, password and keys apart.
fn described(user: &User) -> Value {
    json!({"email": user.email, "admin": user.admin})
}
