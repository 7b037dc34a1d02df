//! The REST client: one method a verb, errors in words, each with the exit code that belongs to it.

use std::error::Error as _;
use std::time::Duration;

use mrp_core::api;
use mrp_core::secret::Secret;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::certificate::install_provider;
use crate::credentials::{Credentials, Trust};

/// A power command on a slow BMC takes this long at most.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer.
    #[error("{url} is not reachable: {reason}")]
    Unreachable {
        /// The server.
        url: String,
        /// Why, in words.
        reason: String,
    },
    /// The server's certificate is not one that this client trusts.
    #[error(
        "the certificate of {url} is not trusted ({reason}); give its authority with `mrp login {url} --ca FILE`, or its SHA-256 with --fingerprint"
    )]
    Untrusted {
        /// The server.
        url: String,
        /// Why, in words.
        reason: String,
    },
    /// The server said no.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// Nobody is logged in, or the token is of no use.
    #[error("{0}")]
    NoLogin(String),
    /// What answered is not mrp, or another version.
    #[error("{url} does not answer as mrp does: {reason}")]
    Foreign {
        /// The server.
        url: String,
        /// What was wrong.
        reason: String,
    },
    /// The request itself cannot be made.
    #[error("{0}")]
    Invalid(String),
}

impl ClientError {
    /// The server's HTTP status, if it refused.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// An image that is to be sent.
#[derive(Debug)]
pub struct Upload<'a> {
    /// The file's name.
    pub file_name: &'a str,
    /// `Kernel`, `Initrd`, `bootloader`.
    pub kind: &'a str,
    /// Architecture's name.
    pub arch: &'a str,
    /// For people.
    pub description: Option<&'a str>,
    /// Usable by everybody.
    pub public: bool,
    /// Marked as working.
    pub known_good: bool,
}

/// A server and the token to use there.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<Secret>,
}

impl Client {
    /// A client without a login.
    pub fn new(url: &str, trust: &Trust) -> Result<Self, ClientError> {
        let url = url.trim_end_matches('/').to_owned();
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            let message = format!("{url:?} is no URL of a server; write it as http://mrp.example.org:8080");
            return Err(ClientError::Invalid(message));
        }
        install_provider();
        // Labs are reached directly: a proxy of the environment is for the world outside.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("mrp/", env!("CARGO_PKG_VERSION")));
        let http = trust.apply(http)?.build().map_err(|error| ClientError::Invalid(cause(&error)))?;
        Ok(Self { http, url, token: None })
    }

    /// Logs in and keeps the token to itself.
    pub async fn login(url: &str, user: &str, password: &str) -> Result<Self, ClientError> {
        let mut client = Self::new(url, &Trust::default())?;
        client.log_in(user, &Secret::new(password)).await?;
        Ok(client)
    }

    /// The server and token of `MRP_URL` and `MRP_TOKEN`, or of `mrp login`.
    pub fn from_environment() -> Result<Self, ClientError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let stored = Credentials::load()?.pick(variable("MRP_URL").as_deref());
        let url = variable("MRP_URL").or_else(|| stored.as_ref().map(|login| login.url.clone()));
        let url = url.ok_or_else(|| {
            ClientError::NoLogin("which server? log in first: mrp login http://mrp.example.org:8080".into())
        })?;
        let trust = match variable("MRP_CA") {
            Some(file) => Trust::from_ca_file(file.as_ref())?,
            None => stored.as_ref().map(|login| login.trust.clone()).unwrap_or_default(),
        };
        let mut client = Self::new(&url, &trust)?;
        let token = variable("MRP_TOKEN").map(Secret::new);
        client.token = token.or_else(|| stored.map(|login| Secret::new(login.token)));
        if client.token.is_none() {
            return Err(ClientError::NoLogin(format!(
                "not logged in at {url}: mrp login {url}, or set MRP_TOKEN"
            )));
        }
        Ok(client)
    }

    /// Logs in; the client sends the token from here on.
    pub async fn log_in(&mut self, user: &str, password: &Secret) -> Result<api::IssuedToken, ClientError> {
        let login = api::Login { user: user.to_owned(), password: password.expose().to_owned() };
        let issued: api::IssuedToken = self.post("/session", &login).await?;
        self.token = Some(Secret::new(issued.token.clone()));
        Ok(issued)
    }

    /// The server, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads. `path` is below `/api/v1`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(self.request(Method::GET, path)).await
    }

    /// Reads, with parameters that are encoded.
    pub async fn query<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, String)],
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::GET, path).query(parameters)).await
    }

    /// Makes something, or tells it to do something.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// Changes something.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::PUT, path).json(body)).await
    }

    /// Changes a part of something.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::PATCH, path).json(body)).await
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, path).timeout(PATIENCE)).await.map(|_| ())
    }

    /// Sends an image, from memory or from a stream whose length is known.
    pub async fn upload(
        &self,
        upload: &Upload<'_>,
        body: impl Into<reqwest::Body>,
        length: u64,
    ) -> Result<api::Image, ClientError> {
        let description = json!({
            "type": upload.kind, "arch": upload.arch, "description": upload.description,
            "public": upload.public, "known_good": upload.known_good,
        });
        let file = Part::stream_with_length(body, length).file_name(upload.file_name.to_owned());
        let form = Form::new().text("q", description.to_string()).part("file", file);
        let response = self.send(self.request(Method::POST, "/image").multipart(form)).await?;
        self.read(response).await
    }

    /// Opens a stream of server-sent events after the event `after`.
    pub async fn stream(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        after: Option<i64>,
    ) -> Result<Response, ClientError> {
        let mut request =
            self.request(Method::GET, path).query(parameters).header("Accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        self.send(request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request.timeout(PATIENCE)).await?;
        self.read(response).await
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let bytes = response.bytes().await.map_err(|error| self.failed(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.foreign(error.to_string()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.bytes().await.map_err(|error| self.failed(&error))?;
        let body: Option<api::ErrorBody> = serde_json::from_slice(&text).ok();
        match body.filter(|body| !body.errors.is_empty()) {
            _ if status == StatusCode::UNAUTHORIZED && self.token.is_some() => Err(ClientError::NoLogin(
                format!("the login at {0} has ended or the token is not valid: mrp login {0}", self.url),
            )),
            Some(body) => {
                Err(ClientError::Refused { status: status.as_u16(), message: body.errors.join("; ") })
            }
            None if status == StatusCode::FORBIDDEN => {
                Err(ClientError::Refused { status: 403, message: "forbidden".into() })
            }
            None => Err(self.foreign(format!("HTTP {status}"))),
        }
    }

    fn failed(&self, error: &reqwest::Error) -> ClientError {
        let (url, reason) = (self.url.clone(), cause(error));
        // rustls' errors come without a type that reqwest shows; their words are stable enough to choose a hint by.
        if error.is_connect() && reason.contains("certificate") {
            return ClientError::Untrusted { url, reason };
        }
        let reason = if error.is_timeout() { "no answer in time".into() } else { reason };
        ClientError::Unreachable { url, reason }
    }

    fn foreign(&self, reason: String) -> ClientError {
        ClientError::Foreign { url: self.url.clone(), reason }
    }
}

/// The innermost cause: the one that a person can do something about.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    let mut next = error.source();
    while let Some(source) = next {
        (innermost, next) = (source, source.source());
    }
    innermost.to_string()
}
