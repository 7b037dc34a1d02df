//! People.

use std::fmt;

use crate::id::Id;

/// Identifies a [`User`].
pub type UserId = Id<User>;

/// Someone who may log in.
#[derive(Clone, PartialEq, Eq)]
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
    /// PHC string of the password: argon2id, or passlib's `pbkdf2_sha256` until the next login.
    pub password_hash: String,
    /// Public SSH keys, one a line; offered to answer files.
    pub ssh_keys: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("revision", &self.revision)
            .field("name", &self.name)
            .field("email", &self.email)
            .field("admin", &self.admin)
            .field("ssh_keys", &self.ssh_keys)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_does_not_print_the_hash_of_the_password() {
        let user = User {
            id: Id::new(3),
            revision: 1,
            name: "alice".into(),
            email: String::new(),
            admin: false,
            password_hash: "$argon2id$hash".into(),
            ssh_keys: String::new(),
        };
        let shown = format!("{user:?} {user:#?}");
        assert!(shown.contains("alice") && !shown.contains("argon2id"), "{shown}");
    }
}
