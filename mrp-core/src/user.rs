//! People and the tokens they use.

use serde::{Deserialize, Serialize};

use crate::id::{Id, Timestamp};

/// Identifies a [`User`].
pub type UserId = Id<User>;
/// Identifies a [`Token`].
pub type TokenId = Id<Token>;

/// Someone who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Row id.
    pub id: UserId,
    /// Grows by one with each change.
    pub revision: i64,
    /// Unique login name; part of the names of the user's images.
    pub name: String,
    /// Where mail goes.
    pub email: String,
    /// May do everything.
    pub admin: bool,
    /// PHC string of the password (argon2id).
    pub password_hash: String,
    /// Public SSH keys, one a line; offered to answer files.
    pub ssh_keys: String,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Made by a login; ends with the session.
    Session,
    /// Made for a program.
    Api,
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
    /// What its owner calls it.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working; `None` for never.
    pub expires: Option<Timestamp>,
    /// When it was last used; to the minute.
    pub last_used: Option<Timestamp>,
}
