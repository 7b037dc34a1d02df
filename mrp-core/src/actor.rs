//! Who acts, and what they may.

use crate::error::Error;
use crate::token::{Scope, Token, TokenRef};
use crate::user::{User, UserId};

/// Someone who asks the service for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user; `None` for mrp itself.
    pub user: Option<UserId>,
    /// The name in events and audit.
    pub name: String,
    /// May do everything, or look at everything with the scope `read`. Never with the scope `use`.
    pub admin: bool,
    /// How much of what the user may this actor may.
    pub scope: Scope,
    /// The token that was shown; `None` for what mrp does itself.
    pub token: Option<TokenRef>,
}

impl Actor {
    /// mrp itself, or the program that embeds it: may do everything.
    pub fn system() -> Self {
        Self { user: None, name: "mrp".into(), admin: true, scope: Scope::Admin, token: None }
    }

    /// A user who shows a token.
    pub fn with_token(user: &User, token: &Token) -> Self {
        Self {
            user: Some(user.id),
            name: user.name.clone(),
            admin: user.admin && token.scope != Scope::Use,
            scope: token.scope,
            token: Some(TokenRef::from(token)),
        }
    }

    /// Refuses everybody but admins.
    pub fn require_admin(&self) -> Result<(), Error> {
        match self.scope {
            _ if self.admin => Ok(()),
            Scope::Use => Err(forbidden("only an admin may do this, and this token has the scope use")),
            Scope::Read | Scope::Admin => Err(forbidden("only an admin may do this")),
        }
    }

    /// Refuses a token that may only look.
    pub fn require_write(&self) -> Result<(), Error> {
        match self.scope {
            Scope::Read => Err(forbidden(
                "this token has the scope read: it may only look; use one with the scope use or admin",
            )),
            Scope::Use | Scope::Admin => Ok(()),
        }
    }

    /// True for the user that owns something, and for admins.
    pub fn owns(&self, owner: Option<UserId>) -> bool {
        self.admin || (owner.is_some() && owner == self.user)
    }

    /// True if an image or answer file may be used: it is public, one's own, or one is admin.
    pub fn may_use(&self, owner: Option<UserId>, public: bool) -> bool {
        public || self.owns(owner)
    }
}

impl From<&User> for Actor {
    fn from(user: &User) -> Self {
        let (user_id, name) = (Some(user.id), user.name.clone());
        Self { user: user_id, name, admin: user.admin, scope: Scope::Admin, token: None }
    }
}

/// The refusal of an actor, with who may do it.
pub(crate) fn forbidden(who_may: impl Into<String>) -> Error {
    Error::Forbidden(who_may.into())
}

/// The refusal of mrp itself, where a user is needed.
pub(crate) fn nobody() -> Error {
    forbidden("this is done by a user, with a login or token of their own")
}
