//! Users, their tokens, and who holds which machine.

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::id::Id;
use crate::import::{LegacyUser, Noun};
use crate::machine::Assignment;
use crate::service::import::plan::{At, Plan};
use crate::token::{Scope, Token, TokenKind};
use crate::user::{User, check_ssh_keys, has_private_key};

/// Hash of no password that anybody has.
const NO_PASSWORD: &str = "!";
const TO_DO: &str = "no login until `mrp user reset-password`";

impl Plan<'_> {
    pub(super) fn people(&mut self) {
        for legacy in &self.legacy.users {
            let at = At(Noun::User, legacy.id);
            let user = User {
                id: Id::NEW,
                revision: 0,
                name: self.user_name(at, &legacy.name),
                email: self.text(at, "email", &legacy.email, 256),
                admin: legacy.admin.unwrap_or(false),
                password_hash: self.password(at, legacy),
                ssh_keys: self.ssh_keys(at, legacy.ssh_key.as_deref().unwrap_or_default()),
            };
            self.settle(legacy.id, user);
        }
        self.tokens();
    }

    /// A login name of letters, digits and `._-@`, a letter or digit first.
    fn user_name(&mut self, at: At, name: &str) -> String {
        let safe = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
        let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(safe);
        if fits && name.len() <= 64 {
            return name.to_owned();
        }
        let made: String = name.chars().map(|c| if safe(c) { c } else { '-' }).collect();
        let made = made.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let made: String = if made.is_empty() { "user" } else { made }.chars().take(48).collect();
        let renamed = format!("{made}-{}", at.1);
        let reason = "1 to 64 letters, digits and . _ - @ are allowed, a letter or digit first";
        self.note(at, "username", reason, format!("renamed to {renamed}"));
        renamed
    }

    /// Keys as they are: answer files have them. A private one is nobody's to see.
    fn ssh_keys(&mut self, at: At, keys: &str) -> String {
        if has_private_key(keys) {
            self.note(at, "ssh_key", "is a private key", "left out");
            return String::new();
        }
        if let Err(Error::Invalid { message, .. }) = check_ssh_keys(keys) {
            self.note(at, "ssh_key", message, "kept; a change of it has to mend it");
        }
        keys.to_owned()
    }

    fn password(&mut self, at: At, legacy: &LegacyUser) -> String {
        if legacy.ldap == Some(true) {
            self.note(at, "ldap", "mrp asks no LDAP server", "the password that mr-provisioner has is used");
        }
        match legacy.password.as_ref().map(|hash| hash.expose()) {
            Some(hash) if hash.starts_with("$pbkdf2-sha256$") => hash.to_owned(),
            None | Some("") => {
                self.note(at, "password", "there is none", TO_DO);
                NO_PASSWORD.to_owned()
            }
            Some(_) => {
                self.note(at, "password", "is no hash of pbkdf2_sha256", TO_DO);
                NO_PASSWORD.to_owned()
            }
        }
    }

    fn tokens(&mut self) {
        for legacy in &self.legacy.tokens {
            let at = At(Noun::Token, legacy.id);
            let Some(user) = self.needed(at, "user_id", Noun::User, legacy.user) else { continue };
            if legacy.token.expose().is_empty() {
                self.leave_out(at, "token", "is empty");
                continue;
            }
            let description = legacy.description.as_deref().unwrap_or_default();
            let token = Token {
                id: Id::NEW,
                user: Id::new(user),
                hash: hex::encode(Sha256::digest(legacy.token.expose().as_bytes())),
                kind: TokenKind::Api,
                scope: Scope::Admin,
                description: self.text(at, "desc", description, 256),
                created: self.service.now(),
                expires: None,
                last_used: None,
            };
            self.settle(legacy.id, token);
        }
    }

    pub(super) fn assignments(&mut self) {
        for legacy in &self.legacy.assignments {
            let at = At(Noun::Assignment, legacy.id);
            let Some(machine) = self.needed(at, "machine_id", Noun::Machine, legacy.machine) else {
                continue;
            };
            let Some(user) = self.needed(at, "user_id", Noun::User, legacy.user) else { continue };
            let assignment = Assignment {
                id: Id::NEW,
                revision: 0,
                machine: Id::new(machine),
                user: Id::new(user),
                reason: self.text(at, "reason", &legacy.reason, 128),
                since: legacy.since,
                until: None,
            };
            self.settle(legacy.id, assignment);
        }
    }
}
