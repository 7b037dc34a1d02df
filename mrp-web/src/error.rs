//! What a refusal looks like in HTTP: the only place that decides status codes.
//!
//! The words are the service's; the cause behind them is logged here, once, and never sent.

use std::error::Error as _;

use mrp_core::Error;
use mrp_core::api::ErrorBody;
use mrp_core::blob::BlobError;
use mrp_core::bmc::BmcError;
use warp::http::header::{ALLOW, UPGRADE};
use warp::http::{HeaderValue, StatusCode};

use crate::reply::{self, Response};

/// Why a request was refused.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The service's refusal.
    Service(Error),
    /// A body that does not have the shape; the class is mr-provisioner's.
    Schema {
        /// `SchemaError`, `SchemaMissingKeyError`, `SchemaWrongKeyError`, `SchemaUnexpectedTypeError`.
        class: &'static str,
        /// Which key, and what would be right.
        message: String,
    },
    /// A body that cannot be read at all.
    Malformed {
        /// `BadRequest`, `JSONDecodeError`.
        class: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A body above the route's limit in bytes.
    TooLarge(usize),
    /// The client stopped sending.
    TooSlow,
    /// A client of the upload protocol speaks another version than ours.
    TusVersion,
    /// A body of another content type than the route takes.
    ContentType(&'static str),
    /// No valid token: answered with an empty body, as old clients expect.
    Unauthorized,
    /// A cookie used by another site's page.
    ForeignOrigin,
    /// A route that speaks WebSocket, asked otherwise.
    NoUpgrade,
    /// No such path.
    NoRoute,
    /// The path is there, the method is not; the methods that are.
    NoMethod(String),
}

/// What a handler answers.
pub(crate) type Answer = Result<Response, ApiError>;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        ApiError::Service(error)
    }
}

impl ApiError {
    /// A query parameter or body that does not have the shape.
    pub(crate) fn schema(message: impl Into<String>) -> Self {
        ApiError::Schema { class: "SchemaError", message: message.into() }
    }

    /// A request that cannot be read.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        ApiError::Malformed { class: "BadRequest", message: message.into() }
    }

    /// A refusal in words, 400.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        ApiError::Service(Error::Refused(message.into()))
    }

    /// The refusal for people and their programs.
    pub(crate) fn into_json(self) -> Response {
        let (status, class, message) = self.parts();
        if matches!(self, ApiError::Unauthorized) {
            return reply::empty(status);
        }
        let body = ErrorBody { error_type: class.to_owned(), errors: vec![message] };
        self.with_headers(reply::json(status, &body))
    }

    /// The refusal for machines, whose consoles show it.
    pub(crate) fn into_text(self) -> Response {
        let (status, _, message) = self.parts();
        self.with_headers(reply::text(status, message))
    }

    fn with_headers(&self, mut response: Response) -> Response {
        if let ApiError::NoMethod(allowed) = self
            && let Ok(allowed) = HeaderValue::from_str(allowed)
        {
            response.headers_mut().insert(ALLOW, allowed);
        }
        if matches!(self, ApiError::NoUpgrade) {
            response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        response
    }

    fn parts(&self) -> (StatusCode, &'static str, String) {
        match self {
            ApiError::Service(error) => service_parts(error),
            ApiError::Schema { class, message } | ApiError::Malformed { class, message } => {
                (StatusCode::BAD_REQUEST, class, message.clone())
            }
            ApiError::TooLarge(limit) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                format!("the body is too large; at most {limit} bytes are taken"),
            ),
            ApiError::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "the body did not come in time".into())
            }
            ApiError::TusVersion => (
                StatusCode::PRECONDITION_FAILED,
                "PreconditionFailed",
                "send the header Tus-Resumable: 1.0.0".into(),
            ),
            ApiError::ContentType(wanted) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                format!("send the content type {wanted}"),
            ),
            ApiError::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "Unauthorized", "a valid token is needed".into())
            }
            ApiError::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "InvalidUsage",
                "a session cookie changes things only with an Origin header of this server; programs send a token".into(),
            ),
            ApiError::NoUpgrade => (
                StatusCode::UPGRADE_REQUIRED,
                "UpgradeRequired",
                "this is a WebSocket: ask by HTTP/1.1 with Upgrade: websocket, version 13".into(),
            ),
            ApiError::NoRoute => (StatusCode::NOT_FOUND, "NotFound", "404: Not Found".into()),
            ApiError::NoMethod(allowed) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                format!("405: Method Not Allowed; the methods are {allowed}"),
            ),
        }
    }
}

fn service_parts(error: &Error) -> (StatusCode, &'static str, String) {
    let (status, class) = match error {
        Error::NotFound { .. } | Error::NoMatch => (StatusCode::NOT_FOUND, "InvalidUsage"),
        Error::Query(_) => (StatusCode::BAD_REQUEST, "ValueError"),
        Error::Conflict(_) => (StatusCode::CONFLICT, "IntegrityError"),
        Error::Outdated { .. } => (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
        Error::Invalid { .. } => (StatusCode::BAD_REQUEST, "SchemaError"),
        Error::Refused(_) => (StatusCode::BAD_REQUEST, "InvalidUsage"),
        Error::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Error::Forbidden(_) => (StatusCode::FORBIDDEN, "InvalidUsage"),
        Error::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        Error::Bmc(BmcError::Unreachable { .. } | BmcError::Timeout { .. }) => {
            (StatusCode::GATEWAY_TIMEOUT, "BMCError")
        }
        Error::Bmc(BmcError::ConsoleTaken { .. }) => (StatusCode::CONFLICT, "BMCError"),
        Error::Bmc(BmcError::Unsupported(_)) => (StatusCode::BAD_REQUEST, "BMCError"),
        Error::Bmc(_) => (StatusCode::BAD_GATEWAY, "BMCError"),
        Error::Render(_) => (StatusCode::BAD_REQUEST, "TemplateError"),
        Error::Unavailable(cause) if is_full(&**cause) => {
            tracing::error!(cause = %chain(error), "a request failed");
            let message = "there is no space left for images; remove images or enlarge the disk";
            return (StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage", message.into());
        }
        Error::Unavailable(_) => {
            tracing::error!(cause = %chain(error), "a request failed");
            (StatusCode::SERVICE_UNAVAILABLE, "Unavailable")
        }
        // `Internal`, and kinds of error that this crate does not know.
        _ => {
            tracing::error!(cause = %chain(error), "a request failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "InternalError")
        }
    };
    let message = match error {
        Error::Render(error) => format!("Syntax error on preseed template: {error}"),
        error => error.to_string(),
    };
    (status, class, message)
}

fn is_full(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(cause.downcast_ref::<BlobError>(), Some(BlobError::Full))
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_causes_are_told_apart_and_causes_stay_inside() {
        let status = |error: Error| service_parts(&error).0.as_u16();
        assert_eq!(status(BlobError::Full.into()), 507);
        assert_eq!(status(Error::Unavailable("secret cause".into())), 503);
        assert_eq!(status(Error::Internal("secret cause".into())), 500);
        for error in [Error::Unavailable("secret cause".into()), Error::Internal("secret cause".into())] {
            assert_eq!(chain(&error).matches("secret cause").count(), 1);
            assert!(!service_parts(&error).2.contains("secret cause"));
        }
    }

    #[test]
    fn failures_of_bmcs_have_their_status() {
        let address = || "10.0.0.1".to_owned();
        for (error, status) in [
            (BmcError::Unreachable { address: address() }, 504),
            (BmcError::Timeout { address: address(), operation: "login" }, 504),
            (BmcError::Unauthorized { address: address(), reason: "no".into() }, 502),
            (BmcError::Busy { address: address(), reason: "no".into() }, 502),
            (BmcError::Protocol { address: address(), reason: "no".into() }, 502),
            (BmcError::ConsoleTaken { address: address(), session: None }, 409),
            (BmcError::Config("no".into()), 502),
            (BmcError::Driver { driver: "acme".into(), reason: "no".into() }, 502),
            (BmcError::Unsupported("soft power"), 400),
        ] {
            let (found, class, _) = service_parts(&Error::Bmc(error));
            assert_eq!((found.as_u16(), class), (status, "BMCError"));
        }
    }
}
