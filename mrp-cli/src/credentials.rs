//! Logins that `mrp login` keeps: one file of mode 0600, a login for each server, the last one is the default.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mrp_tls::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::client::{ClientError, server_url};

/// Whose certificate is trusted, beside those of the system's authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// PEM text of an authority or of the server's own certificate; the system's authorities then count no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Exactly the certificate with this SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
}

impl Trust {
    /// The certificates of a PEM file.
    pub fn from_ca_file(path: &Path) -> Result<Self, ClientError> {
        let text = fs::read_to_string(path)
            .map_err(|error| ClientError::Invalid(format!("{}: {error}", path.display())))?;
        let trust = Self { ca: Some(text), fingerprint: None };
        trust
            .certificates()
            .map_err(|reason| ClientError::Invalid(format!("{}: {reason}", path.display())))?;
        Ok(trust)
    }

    pub(crate) fn apply(&self, http: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, ClientError> {
        if let Some(fingerprint) = &self.fingerprint {
            return Ok(http.tls_backend_preconfigured(mrp_tls::pinned(fingerprint.clone())));
        }
        if self.ca.is_some() {
            return Ok(http.tls_certs_only(self.certificates().map_err(ClientError::Invalid)?));
        }
        Ok(http)
    }

    fn certificates(&self) -> Result<Vec<reqwest::Certificate>, String> {
        let text = self.ca.as_deref().unwrap_or_default();
        let found =
            reqwest::Certificate::from_pem_bundle(text.as_bytes()).map_err(|error| error.to_string())?;
        if found.is_empty() { Err("there is no certificate in PEM form in it".into()) } else { Ok(found) }
    }
}

/// One login.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// The server.
    #[serde(skip)]
    pub url: String,
    /// Who.
    pub user: String,
    /// The token.
    pub token: String,
    /// Whose certificate is trusted there.
    #[serde(flatten)]
    pub trust: Trust,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({} at {})", self.user, self.url)
    }
}

/// All logins.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Credentials {
    #[serde(default)]
    default: Option<String>,
    #[serde(default)]
    logins: BTreeMap<String, Login>,
}

impl Credentials {
    /// Where they are kept: `mrp/logins.json` in the user's configuration folder.
    pub fn path() -> PathBuf {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".config");
        std::env::var_os("XDG_CONFIG_HOME").map_or_else(home, PathBuf::from).join("mrp/logins.json")
    }

    /// Reads them; none if there is no file yet. A file that cannot be read is left as it is.
    pub fn load() -> Result<Self, ClientError> {
        let path = Self::path();
        let wrong = |reason: String| {
            let path = path.display();
            ClientError::Invalid(format!(
                "the logins in {path} cannot be read: {reason}; mend the file, or move it away and log in again"
            ))
        };
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| wrong(error.to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// Reads them, changes them and writes them back; two programs that do so take turns.
    pub fn change(change: impl FnOnce(&mut Self)) -> Result<(), ClientError> {
        let path = Self::path();
        let wrong = |error: std::io::Error| {
            ClientError::Invalid(format!("logins are not saved: {}: {error}", path.display()))
        };
        let _turn = lock(&path).map_err(wrong)?;
        let mut credentials = Self::load()?;
        change(&mut credentials);
        credentials.write(&path).map_err(wrong)
    }

    /// The login at a server, or the last one.
    pub fn pick(&self, url: Option<&str>) -> Option<Login> {
        let url = match url {
            Some(url) => server_url(url).ok()?,
            None => self.default.clone()?,
        };
        self.logins.get(&url).map(|login| Login { url: url.clone(), ..login.clone() })
    }

    /// Adds a login and makes it the default.
    pub fn add(&mut self, login: Login) {
        self.default = Some(login.url.clone());
        self.logins.insert(login.url.clone(), login);
    }

    /// Forgets a login.
    pub fn remove(&mut self, url: &str) {
        self.logins.remove(url);
        if self.default.as_deref() == Some(url) {
            self.default = self.logins.keys().next().cloned();
        }
    }

    /// Whole or not at all.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&part, path)
    }
}

/// Held until it is dropped.
fn lock(path: &Path) -> std::io::Result<fs::File> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.with_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_login_is_the_default_and_each_server_has_its_own() {
        let login = |url: &str| Login {
            url: url.into(),
            user: "alice".into(),
            token: format!("token of {url}"),
            trust: Trust::default(),
        };
        let mut credentials = Credentials::default();
        assert!(credentials.pick(None).is_none());
        credentials.add(login("http://a"));
        credentials.add(login("http://b"));
        assert_eq!(credentials.pick(None).unwrap().url, "http://b");
        assert_eq!(credentials.pick(Some("http://a/")).unwrap().token, "token of http://a");
        assert!(credentials.pick(Some("http://c")).is_none());
        credentials.remove("http://b");
        assert_eq!(credentials.pick(None).unwrap().url, "http://a");
        assert!(!format!("{credentials:?}").contains("token of"), "a token does not print itself");
    }
}
