//! Cipher suites (section 22.15.2), RAKP's codes and keys (sections 13.28 to 13.32), AES-CBC-128 payloads (section 13.29).

use std::fmt;

use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::wire::open_session::Algorithms;

/// A password or key that is wiped when it is dropped.
pub(crate) type Key = Zeroizing<Vec<u8>>;

/// Longest password of an IPMI 2.0 account.
pub(crate) const MAX_PASSWORD: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
}

/// A cipher suite that this crate can speak. Suites without authentication or with MD5 are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CipherSuite {
    id: u8,
    hash: Hash,
    integrity: bool,
    confidentiality: bool,
}

const SUITES: [CipherSuite; 6] = [
    CipherSuite { id: 1, hash: Hash::Sha1, integrity: false, confidentiality: false },
    CipherSuite { id: 2, hash: Hash::Sha1, integrity: true, confidentiality: false },
    CipherSuite { id: 3, hash: Hash::Sha1, integrity: true, confidentiality: true },
    CipherSuite { id: 15, hash: Hash::Sha256, integrity: false, confidentiality: false },
    CipherSuite { id: 16, hash: Hash::Sha256, integrity: true, confidentiality: false },
    CipherSuite { id: 17, hash: Hash::Sha256, integrity: true, confidentiality: true },
];

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl CipherSuite {
    /// The suites that can be named, by id.
    pub(crate) fn known_ids() -> impl Iterator<Item = u8> {
        SUITES.iter().map(|suite| suite.id)
    }

    /// The suite of an id.
    pub(crate) fn from_id(id: u8) -> Option<Self> {
        SUITES.iter().find(|suite| suite.id == id).copied()
    }

    /// The suite of three algorithms.
    pub(crate) fn from_algorithms(algorithms: Algorithms) -> Option<Self> {
        SUITES.iter().find(|suite| suite.algorithms() == algorithms).copied()
    }

    /// Its id.
    pub(crate) fn id(self) -> u8 {
        self.id
    }

    /// Its algorithms as Open Session names them (tables 13-17 to 13-19).
    pub(crate) fn algorithms(self) -> Algorithms {
        let (authentication, integrity) = match self.hash {
            Hash::Sha1 => (1, 1),
            Hash::Sha256 => (3, 4),
        };
        Algorithms {
            authentication,
            integrity: if self.integrity { integrity } else { 0 },
            confidentiality: u8::from(self.confidentiality),
        }
    }

    /// Packets of its sessions are authenticated.
    pub(crate) fn has_integrity(self) -> bool {
        self.integrity
    }

    /// Packets of its sessions are encrypted.
    pub(crate) fn has_confidentiality(self) -> bool {
        self.confidentiality
    }

    /// Length of RAKP 4's integrity check value and of a packet's authentication code.
    pub(crate) fn truncated_length(self) -> usize {
        match self.hash {
            Hash::Sha1 => 12,
            Hash::Sha256 => 16,
        }
    }

    /// HMAC of the parts with the suite's hash.
    pub(crate) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Key {
        match self.hash {
            Hash::Sha1 => Key::new(hmac::<Hmac<Sha1>>(key, parts).finalize().into_bytes().to_vec()),
            Hash::Sha256 => Key::new(hmac::<Hmac<Sha256>>(key, parts).finalize().into_bytes().to_vec()),
        }
    }

    /// True if `code` is the HMAC of the parts, cut to `length`. Takes the same time for every wrong code.
    pub(crate) fn verify(self, key: &[u8], parts: &[&[u8]], code: &[u8], length: usize) -> bool {
        if code.len() != length {
            return false;
        }
        match self.hash {
            Hash::Sha1 => hmac::<Hmac<Sha1>>(key, parts).verify_truncated_left(code).is_ok(),
            Hash::Sha256 => hmac::<Hmac<Sha256>>(key, parts).verify_truncated_left(code).is_ok(),
        }
    }

    /// Length of the hash: of RAKP 2's and 3's codes and of the session integrity key.
    pub(crate) fn hash_length(self) -> usize {
        match self.hash {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
        }
    }

    /// K1 (integrity) or K2 (confidentiality) of a session integrity key (section 13.32).
    pub(crate) fn additional_key(self, session_integrity_key: &[u8], number: u8) -> Key {
        self.hmac(session_integrity_key, &[&[number; 20]])
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

/// What both sides know of a login once RAKP 2 was exchanged; its codes and keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rakp {
    pub(crate) suite: CipherSuite,
    pub(crate) console_session_id: u32,
    pub(crate) managed_system_session_id: u32,
    pub(crate) console_nonce: [u8; 16],
    pub(crate) managed_system_nonce: [u8; 16],
    pub(crate) managed_system_guid: [u8; 16],
    pub(crate) role: u8,
    pub(crate) user_name: Vec<u8>,
}

impl Rakp {
    fn role_and_name(&self) -> [u8; 2] {
        [self.role, u8::try_from(self.user_name.len()).expect("user names have at most 16 bytes")]
    }

    /// The BMC's proof in RAKP 2 (section 13.21), with the user's key.
    pub(crate) fn code_of_rakp2(&self, user_key: &[u8]) -> Key {
        let (console, bmc) = self.session_ids();
        let fields = self.fields_of_rakp2(&console, &bmc);
        self.suite.hmac(user_key, &with_name(&fields, &self.role_and_name(), &self.user_name))
    }

    /// Checks RAKP 2's proof.
    pub(crate) fn verify_rakp2(&self, user_key: &[u8], code: &[u8]) -> bool {
        let (console, bmc) = self.session_ids();
        let fields = self.fields_of_rakp2(&console, &bmc);
        let role = self.role_and_name();
        let parts = with_name(&fields, &role, &self.user_name);
        self.suite.verify(user_key, &parts, code, self.suite.hash_length())
    }

    /// The console's proof in RAKP 3 (section 13.22).
    pub(crate) fn code_of_rakp3(&self, user_key: &[u8]) -> Key {
        let console = self.console_session_id.to_le_bytes();
        let role = self.role_and_name();
        let fields: [&[u8]; 2] = [&self.managed_system_nonce, &console];
        self.suite.hmac(user_key, &with_name(&fields, &role, &self.user_name))
    }

    /// Checks RAKP 3's proof.
    pub(crate) fn verify_rakp3(&self, user_key: &[u8], code: &[u8]) -> bool {
        let console = self.console_session_id.to_le_bytes();
        let role = self.role_and_name();
        let fields: [&[u8]; 2] = [&self.managed_system_nonce, &console];
        let parts = with_name(&fields, &role, &self.user_name);
        self.suite.verify(user_key, &parts, code, self.suite.hash_length())
    }

    /// The session integrity key (section 13.31), without a K_G of the BMC's own.
    pub(crate) fn session_integrity_key(&self, user_key: &[u8]) -> Key {
        let role = self.role_and_name();
        let fields: [&[u8]; 2] = [&self.console_nonce, &self.managed_system_nonce];
        self.suite.hmac(user_key, &with_name(&fields, &role, &self.user_name))
    }

    /// RAKP 4's integrity check value (section 13.23).
    pub(crate) fn code_of_rakp4(&self, session_integrity_key: &[u8]) -> Vec<u8> {
        let bmc = self.managed_system_session_id.to_le_bytes();
        let parts: [&[u8]; 3] = [&self.console_nonce, &bmc, &self.managed_system_guid];
        self.suite.hmac(session_integrity_key, &parts)[..self.suite.truncated_length()].to_vec()
    }

    /// Checks RAKP 4's integrity check value.
    pub(crate) fn verify_rakp4(&self, session_integrity_key: &[u8], code: &[u8]) -> bool {
        let bmc = self.managed_system_session_id.to_le_bytes();
        let parts: [&[u8]; 3] = [&self.console_nonce, &bmc, &self.managed_system_guid];
        self.suite.verify(session_integrity_key, &parts, code, self.suite.truncated_length())
    }

    fn session_ids(&self) -> ([u8; 4], [u8; 4]) {
        (self.console_session_id.to_le_bytes(), self.managed_system_session_id.to_le_bytes())
    }

    fn fields_of_rakp2<'a>(&'a self, console: &'a [u8], bmc: &'a [u8]) -> [&'a [u8]; 5] {
        [console, bmc, &self.console_nonce, &self.managed_system_nonce, &self.managed_system_guid]
    }
}

/// The fields, then role, length of the user name and the user name, as all of RAKP's codes end.
fn with_name<'a>(fields: &[&'a [u8]], role: &'a [u8], user_name: &'a [u8]) -> Vec<&'a [u8]> {
    let mut parts = fields.to_vec();
    parts.extend([role, user_name]);
    parts
}

const BLOCK: usize = 16;

/// Encrypts a payload: the initialization vector, then the ciphertext of payload, pad 1, 2, 3… and pad length.
pub(crate) fn encrypt(key: &[u8; 16], iv: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let pad = (BLOCK - (payload.len() + 1) % BLOCK) % BLOCK;
    let mut out = Vec::with_capacity(BLOCK + payload.len() + pad + 1);
    out.extend(iv);
    out.extend(payload);
    out.extend((1..=BLOCK as u8).take(pad));
    out.push(pad as u8);
    let length = out.len() - BLOCK;
    cbc::Encryptor::<aes::Aes128>::new(key.into(), &iv.into())
        .encrypt_padded::<NoPadding>(&mut out[BLOCK..], length)
        .expect("the text was padded to whole blocks");
    out
}

/// Decrypts a payload. `None` if it is no whole number of blocks or its padding is wrong.
pub(crate) fn decrypt(key: &[u8; 16], payload: &[u8]) -> Option<Vec<u8>> {
    let (iv, text) = payload.split_first_chunk::<BLOCK>()?;
    let mut text = text.to_vec();
    cbc::Decryptor::<aes::Aes128>::new(key.into(), iv.into()).decrypt_padded::<NoPadding>(&mut text).ok()?;
    let pad = usize::from(*text.last()?);
    let end = text.len().checked_sub(1 + pad)?;
    let padded = text[end..].iter().take(pad).zip(1u8..).all(|(byte, expected)| *byte == expected);
    text.truncate(end);
    (pad < BLOCK && padded).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_lengths_are_those_of_the_specification() {
        for (id, hash, truncated) in [(3, 20, 12), (17, 32, 16)] {
            let suite = CipherSuite::from_id(id).unwrap();
            assert_eq!(suite.hmac(b"key", &[b"text"]).len(), hash);
            assert_eq!((suite.hash_length(), suite.truncated_length()), (hash, truncated));
            assert_eq!(CipherSuite::from_algorithms(suite.algorithms()), Some(suite));
        }
        for refused in [0, 4, 6, 8, 12, 99] {
            assert_eq!(CipherSuite::from_id(refused), None);
        }
    }

    /// RFC 2202, test case 2, and RFC 4231, test case 2.
    #[test]
    fn hmac_is_that_of_the_rfcs() {
        let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        let sha1 = CipherSuite::from_id(3).unwrap().hmac(b"Jefe", &parts);
        assert_eq!(hex::encode(&*sha1), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        let suite = CipherSuite::from_id(17).unwrap();
        let sha256 = suite.hmac(b"Jefe", &parts);
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(&*sha256), expected);
        assert!(suite.verify(b"Jefe", &parts, &sha256[..16], 16));
        assert!(!suite.verify(b"Jefe", &parts, &sha256[..15], 16), "a shorter code is no code");
        assert!(!suite.verify(b"jefe", &parts, &sha256[..16], 16));
    }

    /// A user's key is padded with zeros to 20 bytes, which an HMAC key does not notice.
    #[test]
    fn a_short_password_needs_no_padding() {
        for id in [3, 17] {
            let suite = CipherSuite::from_id(id).unwrap();
            let mut padded = b"secret".to_vec();
            padded.resize(MAX_PASSWORD, 0);
            assert_eq!(suite.hmac(b"secret", &[b"x"]), suite.hmac(&padded, &[b"x"]));
        }
    }

    proptest! {
        #[test]
        fn decryption_undoes_encryption(key: [u8; 16], iv: [u8; 16], payload in prop::collection::vec(any::<u8>(), 0..80)) {
            let encrypted = encrypt(&key, iv, &payload);
            prop_assert_eq!(encrypted.len() % 16, 0);
            prop_assert_eq!(decrypt(&key, &encrypted), Some(payload));
        }

        #[test]
        fn decryption_never_panics(key: [u8; 16], bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decrypt(&key, &bytes);
        }
    }
}
