//! Password hashes: argon2id is what mrp writes; passlib's `pbkdf2_sha256`, which came with imported users, is read.
//!
//! Both take tens of milliseconds of a processor on purpose: call them where that blocks nobody.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use base64ct::{Base64Unpadded, Encoding};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::error::Error;
use crate::secret::{Secret, random_bytes};

/// Hash of no password that anybody has.
pub(crate) const UNKNOWN_USER: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$0000000000000000000000000000000000000000000";

/// Above this a hash was made to keep the processor busy; passlib's default is 29,000.
const MOST_ROUNDS: u32 = 1_000_000;
/// Longest salt that is read; passlib's default is 16 bytes.
const LONGEST_SALT: usize = 1024;

/// What a password is to a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is another one, or the hash is of no known kind.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, and the hash is of an older kind: make a new one.
    RightButOld,
}

/// Refuses passwords that are too short or too long.
pub(crate) fn check(password: &Secret) -> Result<(), Error> {
    let length = password.expose().chars().count();
    if (8..=256).contains(&length) {
        Ok(())
    } else {
        Err(Error::invalid("password", "8 to 256 characters are needed"))
    }
}

/// A new hash of a password.
pub(crate) fn hash(password: &Secret) -> Result<String, Error> {
    let salt: [u8; 16] = random_bytes();
    match Argon2::default().hash_password_with_salt(password.expose().as_bytes(), &salt) {
        Ok(hash) => Ok(hash.to_string()),
        Err(error) => Err(Error::Internal(error.to_string().into())),
    }
}

/// Compares a password with a stored hash.
pub(crate) fn verify(password: &Secret, hash: &str) -> Verdict {
    if hash.starts_with("$argon2id$") {
        let right = PasswordHash::new(hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok());
        return if right { Verdict::Right } else { Verdict::Wrong };
    }
    match Pbkdf2::parse(hash) {
        Some(hash) if hash.is_of(password) => Verdict::RightButOld,
        _ => Verdict::Wrong,
    }
}

/// True if a hash is of a kind that can be verified; an import leaves out the others.
pub fn is_known(hash: &str) -> bool {
    (hash.starts_with("$argon2id$") && PasswordHash::new(hash).is_ok()) || Pbkdf2::parse(hash).is_some()
}

/// `$pbkdf2-sha256$<rounds>$<salt>$<checksum>`, the last two in base64 with `.` for `+` and without padding.
struct Pbkdf2 {
    rounds: u32,
    salt: Vec<u8>,
    checksum: Vec<u8>,
}

impl Pbkdf2 {
    fn parse(hash: &str) -> Option<Self> {
        let mut parts = hash.strip_prefix("$pbkdf2-sha256$")?.split('$');
        let (rounds, salt, checksum) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = rounds.bytes().all(|byte| byte.is_ascii_digit()) && !rounds.starts_with('0');
        let rounds = rounds.parse().ok().filter(|rounds| digits && (1..=MOST_ROUNDS).contains(rounds))?;
        let (salt, checksum) = (decode(salt)?, decode(checksum)?);
        let whole = parts.next().is_none() && salt.len() <= LONGEST_SALT && checksum.len() == 32;
        whole.then_some(Self { rounds, salt, checksum })
    }

    fn is_of(&self, password: &Secret) -> bool {
        let mut made = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.expose().as_bytes(), &self.salt, self.rounds, &mut made);
        // Compares every byte, so that the time tells nothing of how many were right.
        let differ = made.iter().zip(&self.checksum).fold(0, |differ, (a, b)| differ | (a ^ b));
        made.zeroize();
        differ == 0
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    if text.contains('+') {
        return None;
    }
    Base64Unpadded::decode_vec(&text.replace('.', "+")).ok()
}

#[cfg(test)]
mod tests;
