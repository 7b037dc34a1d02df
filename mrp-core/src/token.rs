//! Tokens: the right to act as a user, or as less than that.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{Id, Timestamp};
use crate::user::UserId;

/// Identifies a [`Token`].
pub type TokenId = Id<Token>;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Made by a login; ends with the session.
    Session,
    /// Made for a program.
    Api,
}

/// How much of what its owner may a token may. The wider scope is the greater one.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Only looks.
    Read,
    /// What a plain user may, also where its owner is an admin.
    Use,
    /// Everything that its owner may.
    #[default]
    Admin,
}

impl Scope {
    /// All scopes, the narrowest first.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Use, Scope::Admin];

    /// The scope's name in API and store.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Use => "use",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scopes are read, use and admin")]
pub struct NoScope;

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(NoScope)
    }
}

/// The right to act as a user. The token itself is shown once; only its SHA-256 is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Row id.
    pub id: TokenId,
    /// Whose token it is.
    pub user: UserId,
    /// SHA-256 of the token, 64 hexadecimal digits.
    pub hash: String,
    /// Session or API token.
    pub kind: TokenKind,
    /// How much it may; sessions may everything that their user may.
    pub scope: Scope,
    /// What its owner calls it.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working; `None` for never.
    pub expires: Option<Timestamp>,
    /// When it was last used; to the minute.
    pub last_used: Option<Timestamp>,
}

/// Which token somebody acted by, as the audit log keeps it: it outlives the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRef {
    /// The token's id.
    pub id: TokenId,
    /// What its owner called it then.
    pub description: String,
}

impl From<&Token> for TokenRef {
    fn from(token: &Token) -> Self {
        Self { id: token.id, description: token.description.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_have_an_order_and_a_word_each() {
        assert!(Scope::Read < Scope::Use && Scope::Use < Scope::Admin);
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
        assert_eq!("Admin".parse::<Scope>(), Err(NoScope));
    }
}
