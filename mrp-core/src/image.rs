//! Kernels, initrds and boot loaders.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::{ArchId, SubarchId};
use crate::id::{Id, Timestamp};
use crate::machine::MachineId;
use crate::user::UserId;

/// Identifies an [`Image`].
pub type ImageId = Id<Image>;

/// What an image is. The API's words are those of mr-provisioner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ImageKind {
    /// A kernel.
    Kernel,
    /// An initial RAM disk.
    Initrd,
    /// A boot loader, or a file that one needs (`ldlinux.c32`).
    #[serde(rename = "bootloader")]
    BootLoader,
}

impl ImageKind {
    /// The kind's name in API and store.
    pub fn as_str(self) -> &'static str {
        match self {
            ImageKind::Kernel => "Kernel",
            ImageKind::Initrd => "Initrd",
            ImageKind::BootLoader => "bootloader",
        }
    }
}

impl FromStr for ImageKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [ImageKind::Kernel, ImageKind::Initrd, ImageKind::BootLoader]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no image type; the types are Kernel, Initrd and bootloader"))
    }
}

/// SHA-256 of a blob: 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Digest(String);

impl Digest {
    /// From the 32 bytes of the hash.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(hex::encode(bytes))
    }

    /// From 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let valid = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Self(text.to_owned()))
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An uploaded file that machines boot. Its content is a blob, stored once by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Row id.
    pub id: ImageId,
    /// Grows by one with each change.
    pub revision: i64,
    /// Unique: `<owner>/<file name>.<8 hexadecimal digits>`; the path under which machines fetch it.
    pub name: String,
    /// The uploaded file's name, made safe by [`safe_file_name`].
    pub file_name: String,
    /// Kernel, initrd or boot loader.
    pub kind: ImageKind,
    /// The architecture it is for.
    pub arch: ArchId,
    /// Who uploaded it; `None` when that user is gone.
    pub owner: Option<UserId>,
    /// For people.
    pub description: Option<String>,
    /// Marked as working by a person.
    pub known_good: bool,
    /// Usable by everybody.
    pub public: bool,
    /// Content.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// When it was uploaded.
    pub uploaded: Timestamp,
}

/// What uses an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageUse {
    /// Machines, by id.
    pub machines: Vec<MachineUse>,
    /// Subarchitectures, by id.
    pub subarchs: Vec<SubarchUse>,
}

/// A machine that uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineUse {
    /// The machine.
    pub id: MachineId,
    /// Its revision.
    pub revision: i64,
    /// Its name.
    pub name: String,
    /// As its kernel.
    pub kernel: bool,
    /// As its initrd.
    pub initrd: bool,
}

/// A subarchitecture that has an image as its boot loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubarchUse {
    /// The subarchitecture.
    pub id: SubarchId,
    /// Its revision.
    pub revision: i64,
    /// `<architecture>/<name>`.
    pub name: String,
}

impl ImageUse {
    /// True if nothing does.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.subarchs.is_empty()
    }

    /// `machines a, b and subarchitectures arm64/efi`.
    pub fn in_words(&self) -> String {
        let list = |noun: &str, names: Vec<&str>| match names.as_slice() {
            [] => None,
            names => Some(format!("{noun} {}", names.join(", "))),
        };
        let machines = list("machines", self.machines.iter().map(|machine| &*machine.name).collect());
        let subarchs = list("subarchitectures", self.subarchs.iter().map(|subarch| &*subarch.name).collect());
        machines.into_iter().chain(subarchs).collect::<Vec<_>>().join(" and ")
    }
}

/// Makes a file name of what a client sent: path separators and everything but letters, digits, `.`, `_` and `-`
/// become `_` or go, leading dots go, and 100 characters are kept (after werkzeug's `secure_filename`, whose names
/// old clients expect). May be empty.
pub fn safe_file_name(sent: &str) -> String {
    let words: Vec<String> = sent
        .split(['/', '\\', ' ', '\t', '\n', '\r'])
        .map(|word| {
            word.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect::<String>()
        })
        .filter(|word| !word.is_empty())
        .collect();
    let joined = words.join("_");
    joined.trim_matches(['.', '_']).chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_become_safe_as_werkzeug_makes_them() {
        for (sent, safe) in [
            ("vm linuz.bin", "vm_linuz.bin"),
            ("../../etc/passwd", "etc_passwd"),
            ("", ""),
            ("..", ""),
            ("a\0b", "ab"),
            ("C:\\boot\\linux", "C_boot_linux"),
            ("ünïcode", "ncode"),
        ] {
            assert_eq!(safe_file_name(sent), safe, "{sent:?}");
        }
        assert_eq!(safe_file_name(&"x".repeat(300)).len(), 100);
    }
}
