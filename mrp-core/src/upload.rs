//! Uploads that may go on later: what is said of the image at the start, and how far its bytes have come.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::Timestamp;
use crate::image::{Digest, ImageId, ImageKind};
use crate::secret::random_bytes;
use crate::user::UserId;

/// Names a [`PendingUpload`] and its bytes: 32 hexadecimal digits that nobody can guess.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UploadKey(String);

impl UploadKey {
    /// A new one.
    pub fn generate() -> Self {
        Self(hex::encode(random_bytes::<16>()))
    }

    /// From 32 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let valid = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Self(text.to_owned()))
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for UploadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An upload under way, or one that became an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingUpload {
    /// Names it.
    pub key: UploadKey,
    /// Who uploads.
    pub user: UserId,
    /// The file's name, made safe.
    pub file_name: String,
    /// Kernel, initrd or boot loader.
    pub kind: ImageKind,
    /// Name of its architecture.
    pub arch: String,
    /// For people.
    pub description: Option<String>,
    /// Marked as working.
    pub known_good: bool,
    /// Usable by everybody.
    pub public: bool,
    /// What the content has to be, if the client said so.
    pub digest: Option<Digest>,
    /// Bytes that it will have.
    pub length: u64,
    /// Bytes that are kept, whatever happens to the server.
    pub received: u64,
    /// When it began.
    pub created: Timestamp,
    /// When it last went on.
    pub advanced: Timestamp,
    /// What it became.
    pub image: Option<ImageId>,
}

impl PendingUpload {
    /// Uploads that one person may have under way.
    pub const AT_ONCE: usize = 100;
    /// Largest content, in bytes.
    pub const MAX_BYTES: u64 = 1 << 40;

    /// Refuses a client that goes on elsewhere than where the upload is.
    pub fn check_offset(&self, offset: u64) -> Result<(), Error> {
        if offset == self.received {
            return Ok(());
        }
        let (key, received) = (&self.key, self.received);
        Err(Error::Conflict(format!("upload {key} is at byte {received}, not {offset}; go on there")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_digits() {
        let key = UploadKey::generate();
        assert_eq!(UploadKey::from_hex(key.as_str()), Some(key));
        for text in ["", "../../../../../../../../etc/passwd", &"A".repeat(32), &"a".repeat(33), "é"] {
            assert_eq!(UploadKey::from_hex(text), None, "{text}");
        }
    }
}
