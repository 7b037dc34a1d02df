//! Who acts, and what they may.

use crate::error::Error;
use crate::user::{User, UserId};

/// Someone who asks the service for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user; `None` for mrp itself.
    pub user: Option<UserId>,
    /// The name in events and audit.
    pub name: String,
    /// May do everything.
    pub admin: bool,
}

impl Actor {
    /// mrp itself, or the program that embeds it: may do everything.
    pub fn system() -> Self {
        Self { user: None, name: "mrp".into(), admin: true }
    }

    /// Refuses everybody but admins.
    pub fn require_admin(&self) -> Result<(), Error> {
        if self.admin { Ok(()) } else { Err(forbidden()) }
    }

    /// True for the user that owns something, and for admins.
    pub fn owns(&self, owner: Option<UserId>) -> bool {
        self.admin || (owner.is_some() && owner == self.user)
    }

    /// True if an image or answer file may be used: it is public, one's own, or one is admin.
    pub fn may_use(&self, owner: Option<UserId>, public: bool) -> bool {
        public || self.owns(owner)
    }
}

impl From<&User> for Actor {
    fn from(user: &User) -> Self {
        Self { user: Some(user.id), name: user.name.clone(), admin: user.admin }
    }
}

/// The refusal that says no more than the original's.
pub(crate) fn forbidden() -> Error {
    Error::Forbidden("Forbidden".into())
}
