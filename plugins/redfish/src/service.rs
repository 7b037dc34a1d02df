//! A Redfish service: requests with the session that is kept, links, bounded answers.

use std::sync::Arc;

use mrp_core::bmc::{BmcConfig, BmcError};
use mrp_core::secret::Secret;
use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::answer::{Answer, Failure, Refusal, messages};
use super::options::{Auth, Options};
use super::trust;

/// The one path that is known (DSP0266, 6.2).
const ROOT: &str = "/redfish/v1/";
const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// Bytes of an answer; systems have some ten thousand.
const MAX_ANSWER: usize = 1 << 20;
/// What the caller was doing, where an answer stops half-way; the driver puts its own words in its place.
const EXCHANGE: &str = "the exchange";

/// A service and the session with it.
#[derive(Debug)]
pub(crate) struct Service {
    /// `host:port`, for errors.
    pub(crate) address: String,
    base: Url,
    http: Client,
    auth: Auth,
    username: String,
    password: Secret,
    session: Mutex<Option<Arc<Session>>>,
}

#[derive(Debug)]
struct Session {
    token: Secret,
    /// The session's resource, which ends it.
    path: Option<String>,
}

impl Service {
    pub(crate) fn new(config: &BmcConfig, options: &Options) -> Result<Self, BmcError> {
        let base = base(&config.address)?;
        let http = trust::client(options)?;
        let host = base.host_str().unwrap_or_default();
        Ok(Self {
            address: format!("{host}:{}", base.port_or_known_default().unwrap_or_default()),
            base,
            http,
            auth: options.auth,
            username: config.username.clone(),
            password: config.password.clone(),
            session: Mutex::default(),
        })
    }

    /// The BMC's name or address, an IPv6 one in brackets.
    pub(crate) fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// The service root.
    pub(crate) async fn root(&self) -> Result<Value, Failure> {
        // It needs no login, and some services refuse it one.
        Ok(self.exchange(self.http.get(self.url(ROOT)?)).await?.body)
    }

    /// Reads a resource.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let answer = self.request(Method::GET, path, None, None).await?;
        if answer.status == StatusCode::ACCEPTED || answer.body.is_object() {
            return Ok(answer);
        }
        Err(self.protocol(format!("the answer at {path} is no JSON object")).into())
    }

    /// Sends a request, logged in. A session that the service has forgotten is renewed once.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> Result<Answer, Failure> {
        let url = self.url(path)?;
        let once = async |session: Option<&Session>| {
            let mut request = self.http.request(method.clone(), url.clone());
            if let Some(body) = body {
                request = request.json(body);
            }
            if let Some(etag) = if_match {
                request = request.header(IF_MATCH, etag);
            }
            request = match session {
                Some(session) => request.header(X_AUTH_TOKEN, secret_header(&session.token)),
                None => request.basic_auth(&self.username, Some(self.password.expose())),
            };
            self.exchange(request).await
        };
        if self.auth == Auth::Basic {
            return once(None).await;
        }
        let session = self.session().await?;
        match once(Some(&session)).await {
            Err(failure) if failure.status() == Some(StatusCode::UNAUTHORIZED) => {
                self.forget(&session).await;
                once(Some(&*self.session().await?)).await
            }
            outcome => outcome,
        }
    }

    /// Ends the session. Later requests open one anew.
    pub(crate) async fn close(&self) {
        let Some(session) = self.session.lock().await.take() else { return };
        let Some(url) = session.path.as_deref().and_then(|path| self.url(path).ok()) else { return };
        let request = self.http.delete(url).header(X_AUTH_TOKEN, secret_header(&session.token));
        // A service that does not answer ends the session by itself when it is idle.
        let _ = self.exchange(request).await;
    }

    /// The session that is kept, or a new one.
    async fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut kept = self.session.lock().await;
        if let Some(session) = &*kept {
            return Ok(session.clone());
        }
        let root = self.root().await?;
        let Some(sessions) = link(&root["Links"]["Sessions"]) else {
            let words = "the service offers no sessions: option auth = \"basic\" sends name and password with each request";
            return Err(BmcError::Config(words.into()).into());
        };
        let account = json!({"UserName": self.username, "Password": self.password.expose()});
        let answer = self.exchange(self.http.post(self.url(&sessions)?).json(&account)).await?;
        let Some(token) = answer.token else {
            return Err(self.protocol("a new session comes without a token".into()).into());
        };
        let path = answer.location.or_else(|| link(&answer.body));
        let session = Arc::new(Session { token, path });
        *kept = Some(session.clone());
        Ok(session)
    }

    /// Keeps a session no longer, unless there is another one already.
    async fn forget(&self, session: &Arc<Session>) {
        let mut kept = self.session.lock().await;
        if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, session)) {
            *kept = None;
        }
    }

    /// The URL of a link, which has to lead to this service: no other gets the token.
    fn url(&self, path: &str) -> Result<Url, BmcError> {
        match self.base.join(path) {
            Ok(url) if url.origin() == self.base.origin() => Ok(url),
            _ => Err(self.protocol(format!("a link leads to {path:?}, which is not of this service"))),
        }
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let request = request.header("OData-Version", "4.0").header("Accept", "application/json");
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.transport(&error).await.into()),
        };
        let status = response.status();
        let header = |name: HeaderName| text(response.headers(), &name);
        let (etag, location) = (header(ETAG), header(LOCATION).map(path_of));
        let token = header(X_AUTH_TOKEN).map(Secret::new);
        let retry_after = header(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
        let bytes = self.read(response).await?;
        // A page for people, or nothing at all, is no failure where nothing is read.
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_client_error() || status.is_server_error() {
            let mut messages = messages(&body);
            for message in &mut messages {
                message.text = self.without_secrets(&message.text);
                message.about = message.about.iter().map(|text| self.without_secrets(text)).collect();
            }
            return Err(Failure::Refused(Refusal { status, messages }));
        }
        if !status.is_success() {
            let words = format!("HTTP {} leads to another service or in circles", status.as_u16());
            return Err(self.protocol(words).into());
        }
        Ok(Answer { status, etag, location, retry_after, token, body })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, BmcError> {
        let mut bytes = Vec::new();
        loop {
            let piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(bytes),
                Err(error) => return Err(self.transport(&error).await),
            };
            if bytes.len() + piece.len() > MAX_ANSWER {
                return Err(self.protocol(format!("its answer has more than {MAX_ANSWER} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
    }

    async fn transport(&self, error: &reqwest::Error) -> BmcError {
        let address = self.address.clone();
        if let Some(reason) = trust::refusal(error, &self.base).await {
            return BmcError::Protocol { address, reason };
        }
        if error.is_connect() {
            return BmcError::Unreachable { address };
        }
        BmcError::Timeout { address, operation: EXCHANGE }
    }

    /// A service's words, which may repeat what was sent.
    fn without_secrets(&self, words: &str) -> String {
        match self.password.expose() {
            "" => words.to_owned(),
            password => words.replace(password, "…"),
        }
    }

    /// An answer that the protocol does not allow.
    pub(crate) fn protocol(&self, reason: String) -> BmcError {
        BmcError::Protocol { address: self.address.clone(), reason }
    }
}

/// The path that a reference names: `{"@odata.id": …}`.
pub(crate) fn link(reference: &Value) -> Option<String> {
    reference["@odata.id"].as_str().filter(|path| !path.is_empty()).map(str::to_owned)
}

/// The path of a `Location`. Some services, HPE's iLO for one, put a name of their own before it, by which they need not be
/// reached from here.
fn path_of(location: String) -> String {
    match Url::parse(&location) {
        Ok(url) => {
            let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
            format!("{}{query}", url.path())
        }
        Err(_) => location,
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A header that no log shows. A token that is none is refused by the service.
fn secret_header(secret: &Secret) -> HeaderValue {
    let mut value = HeaderValue::from_str(secret.expose()).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// `https://host:port/` of an address: `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
fn base(address: &str) -> Result<Url, BmcError> {
    let wrong =
        || BmcError::Config(format!("address {address:?} is neither host, host:port nor [IPv6]:port"));
    let host = match address.parse::<std::net::Ipv6Addr>() {
        Ok(bare) => format!("[{bare}]"),
        Err(_) => address.to_owned(),
    };
    if host.is_empty() || host.contains(['/', '@', '?', '#', '\\', ' ']) {
        return Err(wrong());
    }
    Url::parse(&format!("https://{host}/")).ok().filter(|url| url.port() != Some(0)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed() {
        for (text, expected) in [
            ("bmc-1.example.org", "https://bmc-1.example.org/"),
            ("10.0.0.1:8443", "https://10.0.0.1:8443/"),
            ("fe80::1", "https://[fe80::1]/"),
            ("[::1]", "https://[::1]/"),
            ("[::1]:700", "https://[::1]:700/"),
        ] {
            assert_eq!(base(text).expect(text).as_str(), expected);
        }
        for wrong in
            ["", ":443", "host:0", "host:99999", "[::1", "a b", "user@host", "host/path", "http://host"]
        {
            assert!(matches!(base(wrong), Err(BmcError::Config(_))), "{wrong:?}");
        }
    }
}
