//! Secrets that never print themselves, and their encryption at rest.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

/// A password or token that neither `Debug` nor `Display` nor serde gives away.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A sealed secret does not open with this key, or is damaged.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the stored secret does not open with this key file")]
pub struct SealError;

/// The server's key: seals BMC secrets at rest and signs boot tokens.
#[derive(Clone)]
pub struct ServerKey([u8; 32]);

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(…)")
    }
}

impl ServerKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self(random_bytes())
    }

    /// The key from its 64 hexadecimal digits, as a key file holds it.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = hex::decode(text.trim()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// The 64 hexadecimal digits for a key file.
    pub fn to_hex(&self) -> Secret {
        Secret::new(hex::encode(self.0))
    }

    /// Encrypts a secret: 24 bytes nonce, then the ciphertext with its tag (XChaCha20-Poly1305).
    pub fn seal(&self, secret: &Secret) -> Vec<u8> {
        self.seal_for("", secret.expose().as_bytes())
    }

    /// Decrypts what [`ServerKey::seal`] made.
    pub fn open(&self, sealed: &[u8]) -> Result<Secret, SealError> {
        String::from_utf8(self.open_for("", sealed)?).map(Secret::new).map_err(|_| SealError)
    }

    /// Encrypts a message that opens with the same context only, in the form of [`ServerKey::seal`].
    pub fn seal_for(&self, context: &str, message: &[u8]) -> Vec<u8> {
        let nonce: [u8; 24] = random_bytes();
        let mut sealed = nonce.to_vec();
        let ciphertext = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: message, aad: context.as_bytes() })
            .expect("a message is far below the cipher's limit of 256 GB");
        sealed.extend(ciphertext);
        sealed
    }

    /// Decrypts what [`ServerKey::seal_for`] made for this context.
    pub fn open_for(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, ciphertext) = sealed.split_at_checked(24).ok_or(SealError)?;
        let nonce: [u8; 24] = nonce.try_into().map_err(|_| SealError)?;
        let sealed = Payload { msg: ciphertext, aad: context.as_bytes() };
        self.cipher().decrypt(&XNonce::from(nonce), sealed).map_err(|_| SealError)
    }

    /// Signs a message: the first 16 bytes of HMAC-SHA256 under a purpose, as 32 hexadecimal digits.
    pub fn sign(&self, purpose: &str, message: &str) -> String {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(message.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..16])
    }

    /// What this key makes of a fixed message: tells whether two keys are the same, and gives neither away.
    pub fn check_value(&self) -> String {
        self.sign("key check", "")
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(self.0))
    }
}

/// Random bytes from the operating system.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness once it has booted");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_with_its_key_only() {
        let key = ServerKey::generate();
        let sealed = key.seal(&Secret::new("hunter2"));
        assert_eq!(key.open(&sealed).map(|s| s.expose().to_owned()), Ok("hunter2".to_owned()));
        assert_eq!(ServerKey::generate().open(&sealed), Err(SealError));
        assert_eq!(key.open(&sealed[..20]), Err(SealError));
        assert_ne!(sealed, key.seal(&Secret::new("hunter2")), "each sealing has its own nonce");
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }

    #[test]
    fn a_key_survives_its_file() {
        let key = ServerKey::generate();
        let again = ServerKey::from_hex(key.to_hex().expose()).unwrap();
        assert_eq!(key.sign("boot", "m1"), again.sign("boot", "m1"));
        assert_ne!(key.sign("boot", "m1"), key.sign("other", "m1"));
        assert!(ServerKey::from_hex("abc").is_none());
    }
}
