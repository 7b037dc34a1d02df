//! The hook's parameters in Kea's configuration.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where the copy of the table lies if nothing is said: in the folder of Debian's Kea for its leases.
const CACHE: &str = "/var/lib/kea/mrp-dhcp-table";

/// What the site says of mrp.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host:port` of mrp's machine.listen.
    pub authority: String,
    /// The shared token.
    pub token: Option<String>,
    /// Where the copy of the table lies.
    pub cache: PathBuf,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        let Self { authority, cache, .. } = self;
        f.debug_struct("Settings")
            .field("authority", authority)
            .field("token", &token)
            .field("cache", cache)
            .finish()
    }
}

/// A parameter is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("hook parameter {0}")]
pub struct SettingsError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Parameters {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    token_file: Option<PathBuf>,
    #[serde(default)]
    cache: Option<PathBuf>,
}

impl Settings {
    /// Reads the parameters, JSON as Kea's configuration has them, and the token's file.
    pub fn read(parameters: &str) -> Result<Self, SettingsError> {
        let wrong = |what: String| SettingsError(what);
        let found: Parameters = serde_json::from_str(parameters).map_err(|error| {
            let error = error.to_string();
            let error = error.split(" at line").next().unwrap_or_default();
            wrong(format!("{error}; there are \"url\", \"token-file\" and \"cache\""))
        })?;
        let url = found.url.ok_or_else(|| {
            wrong("\"url\" is missing: where mrp's machine.listen is, http://10.0.0.1:8081".into())
        })?;
        let authority = authority(&url).map_err(|why| wrong(format!("\"url\": {url:?} {why}")))?;
        let token = found.token_file.as_deref().map(token).transpose()?;
        let cache = found.cache.unwrap_or_else(|| CACHE.into());
        let named = |why: &str| wrong(format!("\"cache\": {} {why}", cache.display()));
        if !cache.is_absolute() || cache.file_name().is_none() {
            return Err(named("is no file with a whole path"));
        }
        if !cache.parent().is_some_and(Path::is_dir) {
            return Err(named("is in a folder that does not exist; make it, and let Kea's user write there"));
        }
        if cache.is_dir() {
            return Err(named("is a folder; name a file"));
        }
        Ok(Self { authority, token, cache })
    }
}

/// `host:port` of a URL.
fn authority(url: &str) -> Result<String, &'static str> {
    if url.starts_with("https:") {
        return Err("begins with https; machine.listen of mrp speaks http");
    }
    let rest = url.strip_prefix("http://").ok_or("is no URL; write http://10.0.0.1:8081")?;
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() || rest.contains(['/', '?', '#', '@', ' ']) || rest.contains(char::is_control) {
        return Err("has more than host and port; write http://10.0.0.1:8081");
    }
    // The colons of an IPv6 address stand in brackets.
    let port = rest.rsplit_once(']').map_or(rest, |(_, port)| port).rsplit_once(':');
    match port {
        None => Ok(format!("{rest}:80")),
        Some((_, port)) if port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(rest.to_owned()),
        Some(_) => Err("has a port that is none"),
    }
}

fn token(path: &Path) -> Result<String, SettingsError> {
    let named = |why: String| SettingsError(format!("\"token-file\": {} {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| named(format!("cannot be read: {error}")))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(named("has no token: one line of letters, digits and signs is needed".into()));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (token, cache) = (folder.path().join("token"), folder.path().join("table"));
        fs::write(&token, "a-secret\n").unwrap();
        let parameters =
            format!(r#"{{"url": "http://10.0.0.1:8081/", "token-file": {token:?}, "cache": {cache:?}}}"#);
        let settings = Settings::read(&parameters).unwrap();
        assert_eq!(
            (settings.authority.as_str(), settings.token.as_deref()),
            ("10.0.0.1:8081", Some("a-secret"))
        );
        assert_eq!(settings.cache, cache);
        assert!(!format!("{settings:?}").contains("secret"));
        for (url, expected) in [
            ("http://mrp.example.org", "mrp.example.org:80"),
            ("http://[fd00::1]:8081", "[fd00::1]:8081"),
            ("http://[fd00::1]", "[fd00::1]:80"),
        ] {
            assert_eq!(authority(url).unwrap(), expected);
        }
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::write(at("empty"), "\n").unwrap();
        fs::write(at("two"), "a b\n").unwrap();
        for (parameters, says) in [
            ("null".into(), "there are \"url\""),
            ("{}".into(), "\"url\" is missing"),
            (r#"{"url": 3}"#.into(), "hook parameter invalid type"),
            (r#"{"ulr": "http://x"}"#.into(), "`ulr`"),
            (r#"{"url": "https://x:1"}"#.into(), "speaks http"),
            (r#"{"url": "10.0.0.1"}"#.into(), "is no URL"),
            (r#"{"url": "http://x/y"}"#.into(), "more than host and port"),
            (r#"{"url": "http://x\r\ny"}"#.into(), "more than host and port"),
            (r#"{"url": "http://x:99999"}"#.into(), "port that is none"),
            (r#"{"url": "http://x", "cache": "table"}"#.into(), "whole path"),
            (r#"{"url": "http://x", "cache": "/no/such/folder/table"}"#.into(), "does not exist"),
            (format!(r#"{{"url": "http://x", "cache": {:?}}}"#, folder.path()), "is a folder"),
            (format!(r#"{{"url": "http://x", "token-file": {:?}}}"#, at("none")), "cannot be read"),
            (format!(r#"{{"url": "http://x", "token-file": {:?}}}"#, at("empty")), "has no token"),
            (format!(r#"{{"url": "http://x", "token-file": {:?}}}"#, at("two")), "has no token"),
        ] {
            let error = Settings::read(&parameters).unwrap_err().to_string();
            assert!(error.contains(says), "{parameters}: {error}");
        }
    }
}
