//! People.

use std::fmt;

use ssh_key::authorized_keys::Entry;

use crate::error::Error;
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

/// Most characters of a user's SSH keys.
const MAX_KEYS: usize = 16_384;

/// Checks that a text is public SSH keys as in `authorized_keys` (sshd(8)): one a line, options before it allowed, blank
/// lines and comments too. The refusal names the line and shows nothing of it: it may be a secret.
pub fn check_ssh_keys(keys: &str) -> Result<(), Error> {
    let length = keys.chars().count();
    if length > MAX_KEYS {
        return Err(Error::invalid(
            "ssh_keys",
            format!("{length} characters; at most {MAX_KEYS} are allowed"),
        ));
    }
    if has_private_key(keys) {
        return Err(Error::invalid(
            "ssh_keys",
            "this is a private key, which belongs to its owner alone; the public one is in the file that ends in .pub",
        ));
    }
    for (index, line) in keys.lines().enumerate() {
        if !is_key_line(line) {
            let number = index + 1;
            let message = format!("line {number} is no public SSH key, such as `ssh-ed25519 AAAA… name`");
            return Err(Error::invalid("ssh_keys", message));
        }
    }
    Ok(())
}

/// True if there is a private key in a text, in PEM, in OpenSSH's format or in PuTTY's.
pub(crate) fn has_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY") || text.contains("PuTTY-User-Key-File")
}

fn is_key_line(line: &str) -> bool {
    let line = line.trim();
    let empty = line.is_empty() || line.starts_with('#');
    empty || (!line.contains(char::is_control) && line.parse::<Entry>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXtJ1gJcU7cMNkUp6K+1S2c0DmMYwzqY0x0c8y6M9oQ";

    #[test]
    fn ssh_keys_are_public_keys() {
        for (keys, ok) in [
            ("", true),
            (ED25519, true),
            (&*format!("# mine\r\n\r\n{ED25519} alice@example.org\r\n"), true),
            (&*format!("from=\"10.0.0.0/8\",no-pty {ED25519} a b"), true),
            ("garbage", false),
            ("ssh-ed25519 AAAA", false),
            (&ED25519[..60], false),
            (&*format!("{ED25519}\nssh-rsa"), false),
            (&*format!("{ED25519} a\x07"), false),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n", false),
            ("PuTTY-User-Key-File-3: ssh-ed25519", false),
            (&*"#".repeat(MAX_KEYS + 1), false),
        ] {
            let checked = check_ssh_keys(keys);
            assert_eq!(checked.is_ok(), ok, "{keys:?}");
            let text = checked.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!text.contains("b3Bl"), "{text}");
        }
    }

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
