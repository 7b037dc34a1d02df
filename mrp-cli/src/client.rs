//! The REST client: one method a verb, errors in words, each with the exit code that belongs to it.

use std::error::Error as _;
use std::ffi::OsString;
use std::time::Duration;

use mrp_core::api;
use mrp_core::secret::Secret;
use mrp_tls::install_provider;
use reqwest::header::{
    CONNECTION, ETAG, HeaderMap, IF_MATCH, LINK, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Upgraded};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::credentials::{Credentials, Trust};

/// A power command on a slow BMC takes this long at most.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many rows of a list are asked for at once.
const PAGE: u32 = 1000;

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
        /// The server's class of the refusal.
        error_type: String,
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

    /// The server's class of the refusal, if it refused.
    pub fn error_type(&self) -> Option<&str> {
        match self {
            ClientError::Refused { error_type, .. } => Some(error_type),
            _ => None,
        }
    }
}

/// A server and the token to use there.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<Secret>,
    is_job: bool,
}

impl Client {
    /// A client without a login.
    pub fn new(url: &str, trust: &Trust) -> Result<Self, ClientError> {
        let url = server_url(url)?;
        install_provider();
        // Labs are reached directly: a proxy of the environment is for the world outside.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("mrp/", env!("CARGO_PKG_VERSION")));
        let http = trust.apply(http)?.build().map_err(|error| ClientError::Invalid(cause(&error)))?;
        Ok(Self { http, url, token: None, is_job: false })
    }

    /// Logs in and keeps the token to itself.
    pub async fn login(url: &str, user: &str, password: &str) -> Result<Self, ClientError> {
        let mut client = Self::new(url, &Trust::default())?;
        client.log_in(user, &Secret::new(password)).await?;
        Ok(client)
    }

    /// The server that is named, or that of `MRP_URL`, or of the last `mrp login`; and the token that is meant for it:
    /// `MRP_TOKEN` goes to the server of `MRP_URL` and to no other.
    pub fn choose(named: Option<&str>) -> Result<Self, ClientError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (of_variable, token) = (variable("MRP_URL"), std::env::var_os("MRP_TOKEN"));
        let url = match named.or(of_variable.as_deref()) {
            Some(url) => server_url(url)?,
            None => last_login(token.is_some())?,
        };
        let is_meant = match &of_variable {
            Some(meant) => server_url(meant)? == url,
            None => true,
        };
        let token = token.filter(|_| is_meant).map(token_of_job).transpose()?;
        // A job that brings both has no use for logins, and perhaps no right to read them.
        let logins = match (&token, Credentials::load()) {
            (Some(_), Err(_)) => Credentials::default(),
            (_, logins) => logins?,
        };
        let stored = logins.pick(Some(&url));
        let trust = match variable("MRP_CA") {
            Some(file) => Trust::from_ca_file(file.as_ref())?,
            None => stored.as_ref().map(|login| login.trust.clone()).unwrap_or_default(),
        };
        let mut client = Self::new(&url, &trust)?;
        client.is_job = token.is_some();
        client.token = token.or_else(|| stored.map(|login| Secret::new(login.token)));
        if client.token.is_none() {
            let message =
                format!("not logged in at {url}; log in: mrp login {url}, or set MRP_URL and MRP_TOKEN");
            return Err(ClientError::NoLogin(message));
        }
        Ok(client)
    }

    /// True if the token is that of `MRP_TOKEN`, not of a login.
    pub fn is_job(&self) -> bool {
        self.is_job
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

    /// Reads a whole list, page by page (RFC 8288: `Link: <…>; rel="next"`), so that no answer is too large.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, String)],
    ) -> Result<Vec<T>, ClientError> {
        let first = self.request(Method::GET, path).query(parameters).query(&[("limit", PAGE)]);
        let (mut request, mut all) = (first, Vec::new());
        loop {
            let response = self.send(request.timeout(PATIENCE)).await?;
            let next = next_page(response.headers());
            let page: Vec<T> = self.read(response).await?;
            let was_empty = page.is_empty();
            all.extend(page);
            match next {
                Some(path) if !was_empty => request = self.request(Method::GET, &path),
                _ => return Ok(all),
            }
        }
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

    /// Reads something with its entity tag (RFC 9110, 8.8.3), if the server gives one.
    pub async fn get_tagged<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(T, Option<String>), ClientError> {
        let response = self.send(self.request(Method::GET, path).timeout(PATIENCE)).await?;
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok((self.read(response).await?, tag))
    }

    /// Changes something that still has the entity tag; 412 if it has another.
    pub async fn put_if<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        tag: Option<&str>,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::PUT, path).json(body);
        self.json(match tag {
            Some(tag) => request.header(IF_MATCH, tag),
            None => request,
        })
        .await
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, path).timeout(PATIENCE)).await.map(|_| ())
    }

    /// Opens a stream of server-sent events after the event `after`.
    pub async fn stream(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        after: i64,
    ) -> Result<Response, ClientError> {
        let request = self.request(Method::GET, path).query(parameters);
        self.send(request.header("Accept", "text/event-stream").header("Last-Event-ID", after)).await
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
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

    /// Goes on to WebSocket with a key (RFC 6455, 4.1): the server's proof that it has read it, and the connection.
    pub(crate) async fn upgrade(&self, path: &str, key: &str) -> Result<(String, Upgraded), ClientError> {
        let request = self.request(Method::GET, path);
        let request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        let request = request.header(SEC_WEBSOCKET_VERSION, "13").header(SEC_WEBSOCKET_KEY, key);
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refusal(response).await);
        }
        let proof = response.headers().get(SEC_WEBSOCKET_ACCEPT).and_then(|proof| proof.to_str().ok());
        let proof = proof.unwrap_or_default().to_owned();
        Ok((proof, response.upgrade().await.map_err(|error| self.failed(&error))?))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    async fn refusal(&self, response: Response) -> ClientError {
        let status = response.status();
        let text = match response.bytes().await {
            Ok(text) => text,
            Err(error) => return self.failed(&error),
        };
        let body: Option<api::ErrorBody> = serde_json::from_slice(&text).ok();
        match body.filter(|body| !body.errors.is_empty()) {
            _ if status == StatusCode::UNAUTHORIZED && self.token.is_some() => self.ended(),
            Some(body) => ClientError::Refused {
                status: status.as_u16(),
                error_type: body.error_type,
                message: body.errors.join("; "),
            },
            None if status == StatusCode::FORBIDDEN => ClientError::Refused {
                status: 403,
                error_type: "Forbidden".into(),
                message: "you may not do this; admins may".into(),
            },
            None => self.foreign(format!("HTTP {status}")),
        }
    }

    pub(crate) fn ended(&self) -> ClientError {
        let url = &self.url;
        ClientError::NoLogin(if self.is_job {
            format!(
                "{url} does not accept the token in MRP_TOKEN: it has expired, was removed, or is of another server; make a new one: mrp login {url}, then mrp token add"
            )
        } else {
            format!("the login at {url} has ended; log in again: mrp login {url}")
        })
    }

    pub(crate) fn failed(&self, error: &reqwest::Error) -> ClientError {
        let (url, reason) = (self.url.clone(), cause(error));
        if matches!(mrp_tls::tls_error(error), Some(mrp_tls::Error::InvalidCertificate(_))) {
            return ClientError::Untrusted { url, reason };
        }
        let reason = if error.is_timeout() { "no answer in time".into() } else { reason };
        ClientError::Unreachable { url, reason }
    }

    pub(crate) fn foreign(&self, reason: String) -> ClientError {
        ClientError::Foreign { url: self.url.clone(), reason }
    }
}

/// The path of the next page of a list, below `/api/v1`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok());
    let mut links = links.flat_map(|link| link.split(','));
    let (target, _) = links.find_map(|link| {
        link.trim().split_once(';').filter(|(_, about)| about.replace(' ', "").contains("rel=\"next\""))
    })?;
    // The server's own path: a page elsewhere is not followed.
    let target = target.trim().trim_start_matches('<').trim_end_matches('>');
    target.strip_prefix("/api/v1").filter(|path| path.starts_with('/')).map(str::to_owned)
}

/// The URL of a server in its one form: lower case, no slash at the end, no port that goes without saying.
pub fn server_url(given: &str) -> Result<String, ClientError> {
    let wrong = |why: &str| {
        Err(ClientError::Invalid(format!(
            "{given:?} is no URL of a server{why}; write it as http://mrp.example.org:8080"
        )))
    };
    let Ok(url) = reqwest::Url::parse(given.trim()) else { return wrong("") };
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return wrong("");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ClientError::Invalid(
            "a URL with a user or password in it is seen by others; name the user with mrp login --user"
                .into(),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong(": it has ? or # in it");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The token of `MRP_TOKEN`. One that is set and is none is refused: a job whose secret is missing is not to go on with
/// whatever login there is.
fn token_of_job(token: OsString) -> Result<Secret, ClientError> {
    let wrong = |what: &str| {
        let message = format!("MRP_TOKEN {what}; set it to a token of mrp token add, or unset it");
        Err(ClientError::Invalid(message))
    };
    match token.into_string() {
        Ok(token) if token.is_empty() => wrong("is set, but empty"),
        Ok(token) if token.chars().all(|c| c.is_ascii_graphic()) => Ok(Secret::new(token)),
        _ => wrong("has a character that no token has (a blank, the end of a line?)"),
    }
}

/// The server of the last login; not for a token of which nobody said where it belongs.
fn last_login(is_token_given: bool) -> Result<String, ClientError> {
    let last = Credentials::load().map(|logins| logins.pick(None).map(|login| login.url));
    if is_token_given {
        let last =
            last.ok().flatten().map(|url| format!(" (the last login was at {url})")).unwrap_or_default();
        return Err(ClientError::Invalid(format!(
            "MRP_TOKEN is set, but not the server that it is for: set MRP_URL or give --url{last}"
        )));
    }
    last?.ok_or_else(|| {
        ClientError::NoLogin("which server? log in first: mrp login http://mrp.example.org:8080".into())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_one_url() {
        let url = |given: &str| server_url(given).map_err(|error| error.to_string());
        assert_eq!(url("http://MRP.example.org:80/").unwrap(), "http://mrp.example.org");
        assert_eq!(url("https://lab.example.org:8443/mrp/").unwrap(), "https://lab.example.org:8443/mrp");
        assert_eq!(url(" http://[::1]:8080").unwrap(), "http://[::1]:8080");
        for wrong in
            ["", "mrp.example.org", "mrp:8080", "ftp://mrp", "http://", "http://mrp/?a=b", "http://mrp/#x"]
        {
            assert!(url(wrong).unwrap_err().contains("http://mrp.example.org:8080"), "{wrong}");
        }
        let refused = url("http://alice:geheim@mrp").unwrap_err();
        assert!(!refused.contains("geheim") && refused.contains("--user"), "{refused}");
    }

    #[test]
    fn the_next_page_is_one_of_the_server_itself() {
        let next = |link: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, link.parse().unwrap());
            next_page(&headers)
        };
        let there = "</api/v1/machine?limit=2&cursor=after-2>; rel=\"next\"";
        assert_eq!(next(there).as_deref(), Some("/machine?limit=2&cursor=after-2"));
        assert_eq!(next(&format!("</api/v1/x>; rel=\"prev\", {there}")), next(there));
        for other in
            ["<http://elsewhere/api/v1/machine>; rel=\"next\"", "</api/v1/x>; rel=\"prev\"", "nonsense"]
        {
            assert_eq!(next(other), None, "{other}");
        }
    }
}
