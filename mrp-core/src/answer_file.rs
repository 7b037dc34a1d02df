//! Answer files: what drives an installer. The API calls them `preseed`, whatever their kind.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{Id, Timestamp};
use crate::user::UserId;

/// Identifies an [`AnswerFile`].
pub type AnswerFileId = Id<AnswerFile>;

/// Which installer an answer file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerFileKind {
    /// Debian installer.
    Preseed,
    /// Anaconda.
    Kickstart,
    /// YaST.
    Autoyast,
    /// Ubuntu's Subiquity, by cloud-init.
    Autoinstall,
    /// Agama (SLES 16, Leap 16).
    Agama,
}

impl AnswerFileKind {
    /// All kinds.
    pub const ALL: [AnswerFileKind; 5] = [
        AnswerFileKind::Preseed,
        AnswerFileKind::Kickstart,
        AnswerFileKind::Autoyast,
        AnswerFileKind::Autoinstall,
        AnswerFileKind::Agama,
    ];

    /// The kind's name in API and store.
    pub fn as_str(self) -> &'static str {
        match self {
            AnswerFileKind::Preseed => "preseed",
            AnswerFileKind::Kickstart => "kickstart",
            AnswerFileKind::Autoyast => "autoyast",
            AnswerFileKind::Autoinstall => "autoinstall",
            AnswerFileKind::Agama => "agama",
        }
    }
}

impl FromStr for AnswerFileKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is no answer file type; the types are {known}")
        })
    }
}

/// A template of an answer file (Jinja2), rendered for a machine when it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFile {
    /// Row id.
    pub id: AnswerFileId,
    /// Grows by one with each change.
    pub revision: i64,
    /// Unique name, 2 to 256 characters.
    pub name: String,
    /// The installer.
    pub kind: AnswerFileKind,
    /// For people.
    pub description: Option<String>,
    /// The template; at most [`AnswerFile::MAX_BYTES`]. `None` is served as an empty file.
    pub content: Option<String>,
    /// Who owns it; `None` when that user is gone.
    pub owner: Option<UserId>,
    /// Marked as working by a person.
    pub known_good: bool,
    /// Usable by everybody.
    pub public: bool,
    /// When the content was last saved.
    pub saved: Timestamp,
    /// Who saved it: a name, which outlives its user.
    pub saved_by: String,
}

/// A content that an answer file had, or has: each that was saved is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFileVersion {
    /// 1 for the first, growing by one.
    pub number: i64,
    /// When it was saved.
    pub saved: Timestamp,
    /// Who saved it; empty where that is not known.
    pub saved_by: String,
    /// Its size in bytes.
    pub bytes: u64,
}

impl AnswerFile {
    /// Longest template, in bytes.
    pub const MAX_BYTES: usize = 2 << 20;
}
