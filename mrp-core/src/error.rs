//! The service's only error. What the user reads is in `Display`; the cause is logged once, at the edge.

use crate::bmc::BmcError;
use crate::store::StoreError;

/// Why the service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing of that name or id.
    #[error("{kind} not found")]
    NotFound {
        /// The noun.
        kind: &'static str,
        /// The name or id that was asked for.
        id: String,
    },
    /// No machine that is free matches a reservation.
    #[error("no matching machine")]
    NoMatch,
    /// The query language was not understood.
    #[error("{0}")]
    Query(#[from] crate::query::QueryError),
    /// The request contradicts what is there: a taken name, a machine that is busy, a row that moved.
    #[error("{0}")]
    Conflict(String),
    /// A change was wanted of an object as it was seen, and it has moved since.
    #[error("somebody else changed it meanwhile, it is at revision {revision}; look again")]
    Outdated {
        /// Where it is.
        revision: i64,
    },
    /// The request itself is wrong.
    #[error("{field}: {message}")]
    Invalid {
        /// The field, as the API names it.
        field: &'static str,
        /// What is wrong with it and what would be right.
        message: String,
    },
    /// The request is right in form, and a rule of the noun forbids it; the words are mr-provisioner's where it had them.
    #[error("{0}")]
    Refused(String),
    /// No valid token or password.
    #[error("{0}")]
    Unauthenticated(String),
    /// The actor may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// Too many attempts; try again later.
    #[error("{0}")]
    TooMany(String),
    /// The BMC did not do it.
    #[error("BMC error: {0}")]
    Bmc(#[from] BmcError),
    /// The answer file cannot be rendered.
    #[error("{0}")]
    Render(#[from] crate::render::RenderError),
    /// The store is not reachable; try again.
    #[error("the store is not reachable; try again in a moment")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fault of mrp's own.
    #[error("internal error; the server's log has the cause")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A field that is wrong.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Error::Invalid { field, message: message.into() }
    }

    /// Nothing of that name or id.
    pub fn not_found(kind: &'static str, id: impl ToString) -> Self {
        Error::NotFound { kind, id: id.to_string() }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Error::NotFound { kind: "object", id: String::new() },
            StoreError::Stale => {
                Error::Conflict("somebody else changed it at the same time; look again".into())
            }
            StoreError::Conflict { what } => Error::Conflict(format!("{what} is taken already")),
            StoreError::InUse { what } => Error::Conflict(format!("still in use by {what}")),
            StoreError::Unavailable(cause) => Error::Unavailable(cause),
            StoreError::Internal(cause) => Error::Internal(cause),
        }
    }
}

impl From<crate::blob::BlobError> for Error {
    fn from(error: crate::blob::BlobError) -> Self {
        match error {
            crate::blob::BlobError::NotFound => Error::NotFound { kind: "image content", id: String::new() },
            crate::blob::BlobError::Full => Error::Unavailable(Box::new(error)),
            crate::blob::BlobError::Busy => Error::Conflict(error.to_string()),
            crate::blob::BlobError::Digest(_) => Error::Refused(error.to_string()),
            crate::blob::BlobError::Io(_) => Error::Internal(Box::new(error)),
        }
    }
}

impl From<crate::console::RecordError> for Error {
    fn from(error: crate::console::RecordError) -> Self {
        Error::Internal(Box::new(error))
    }
}
