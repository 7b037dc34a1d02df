//! API tokens: making, listing, revoking.

use serde_json::{Value, json};

use crate::actor::{Actor, nobody};
use crate::error::Error;
use crate::id::{Id, Timestamp};
use crate::machine::check_text;
use crate::secret::{Secret, random_bytes};
use crate::service::logins::hash_token;
use crate::service::users::Users;
use crate::token::{Scope, Token, TokenId, TokenKind};
use crate::user::{User, UserId};

/// A token that was just made.
#[derive(Debug)]
pub struct IssuedToken {
    /// What is stored of it.
    pub token: Token,
    /// The token itself; shown this once.
    pub secret: Secret,
}

/// A token that is to be made.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// What its owner calls it.
    pub description: String,
    /// When it is to stop working; `None` for never.
    pub expires: Option<Timestamp>,
    /// How much it is to be allowed; by default as much as the token that makes it.
    pub scope: Option<Scope>,
}

/// A token with the name of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    /// The token.
    pub token: Token,
    /// Its owner's name.
    pub user: String,
}

impl Users<'_> {
    /// One's own tokens.
    pub async fn tokens(&self, actor: &Actor) -> Result<Vec<TokenView>, Error> {
        let user = actor.user.ok_or_else(nobody)?;
        let tokens = self.0.store().tokens(user).await?;
        Ok(tokens.into_iter().map(|token| TokenView { token, user: actor.name.clone() }).collect())
    }

    /// Everybody's tokens; admins only.
    pub async fn all_tokens(&self, actor: &Actor) -> Result<Vec<TokenView>, Error> {
        actor.require_admin()?;
        let (tokens, users) = (self.0.store().all_tokens().await?, self.0.store().users().await?);
        let name = |id: UserId| {
            users.iter().find(|user: &&User| user.id == id).map_or_else(String::new, |user| user.name.clone())
        };
        Ok(tokens.into_iter().map(|token| TokenView { user: name(token.user), token }).collect())
    }

    /// Makes an API token for oneself. One that is made by a token may no more than that token, and not for longer.
    pub async fn create_token(&self, actor: &Actor, new: NewToken) -> Result<IssuedToken, Error> {
        actor.require_write()?;
        let user = actor.user.ok_or_else(nobody)?;
        check_text("description", &new.description, 0, 256)?;
        if new.expires.is_some_and(|expires| expires <= self.0.now()) {
            return Err(Error::invalid("expires", "lies in the past"));
        }
        let scope = new.scope.unwrap_or(actor.scope);
        if scope > actor.scope {
            let message =
                format!("your token has the scope {}: it makes none of the scope {scope}", actor.scope);
            return Err(Error::Forbidden(message));
        }
        if let Some(end) = self.end_of(actor).await?
            && new.expires.is_none_or(|expires| expires > end)
        {
            let message = format!("your token ends at {end}: one that it makes needs an end, not after that");
            return Err(Error::invalid("expires", message));
        }
        self.issue(actor, user, TokenKind::Api, scope, &new.description, new.expires).await
    }

    /// Removes a token: one's own, or anybody's for an admin. It ends at once, on other servers within seconds.
    pub async fn delete_token(&self, actor: &Actor, id: TokenId) -> Result<(), Error> {
        let found = self.0.store().token(id).await?.filter(|token| actor.owns(Some(token.user)));
        let token = found.ok_or_else(|| Error::not_found("token", id))?;
        let owner = match actor.user == Some(token.user) {
            true => None,
            false => self.0.store().user(token.user).await?.map(|user| user.name),
        };
        let changes = owner.map_or(Value::Null, |owner| json!({"user": owner}));
        let journal = self.0.draft(actor)?.audit("delete", "token", &token.description, changes).done();
        self.0.store().delete_token(id, &journal).await?;
        self.0.forget_tokens();
        Ok(())
    }

    /// When the API token that is used ends. A session may make tokens that outlive it: its password was asked for.
    async fn end_of(&self, actor: &Actor) -> Result<Option<Timestamp>, Error> {
        let Some(used) = &actor.token else { return Ok(None) };
        let token = self.0.store().token(used.id).await?;
        Ok(token.filter(|token| token.kind == TokenKind::Api).and_then(|token| token.expires))
    }

    pub(super) async fn issue(
        &self,
        actor: &Actor,
        user: UserId,
        kind: TokenKind,
        scope: Scope,
        description: &str,
        expires: Option<Timestamp>,
    ) -> Result<IssuedToken, Error> {
        let secret = Secret::new(hex::encode(random_bytes::<24>()));
        let token = Token {
            id: Id::NEW,
            user,
            hash: hash_token(secret.expose()),
            kind,
            scope,
            description: description.to_owned(),
            created: self.0.now(),
            expires,
            last_used: None,
        };
        let (action, object, name) = match kind {
            TokenKind::Session => ("login", "session", actor.name.as_str()),
            TokenKind::Api => ("create", "token", description),
        };
        let changes = json!({"expires": expires, "scope": scope});
        let journal = self.0.draft(actor)?.audit(action, object, name, changes).done();
        Ok(IssuedToken { token: self.0.store().insert_token(&token, &journal).await?, secret })
    }
}
