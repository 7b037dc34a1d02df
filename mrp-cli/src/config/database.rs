//! `[database]`: where rows are kept. A URL may hold a password, which is shown nowhere.

use std::path::PathBuf;

use mrp_core::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Rows: SQLite in the data folder, or PostgreSQL.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct DatabaseSection {
    /// `postgres://user@host:5432/database`; without it, SQLite in the data folder.
    #[serde(deserialize_with = "secret", serialize_with = "hidden")]
    pub url: Option<Secret>,
    /// File with the password, for a URL without one.
    pub password_file: Option<PathBuf>,
}

impl DatabaseSection {
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.url, &self.password_file) {
            (None, Some(_)) => {
                Err("database.password_file is for a PostgreSQL database; set database.url".into())
            }
            (Some(url), _) if !url.expose().starts_with("postgres") => Err(
                "database.url: write \"postgres://user@host:5432/database\"; without it mrp keeps an SQLite \
                     database in the data folder"
                    .into(),
            ),
            _ => Ok(()),
        }
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

#[allow(clippy::ref_option, reason = "serde gives the field as it is")]
fn hidden<S: Serializer>(url: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    url.as_ref().map(|_| "…").serialize(serializer)
}

/// A text without what stands before the `@` of its URLs: an error quotes the line that it found.
pub(super) fn without_passwords(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, url)) = rest.split_once("://") {
        let end = url.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        shown.push_str(before);
        shown.push_str("://");
        shown.push_str(url.rsplit_once('@').map_or(url, |(_, host)| host));
        rest = after;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, "mrp.toml", std::iter::empty()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_password_is_never_shown() {
        let text = "[database]\nurl = \"postgres://mrp:hunter2@db/mrp\"\n";
        let config = parse(text).unwrap();
        assert_eq!(config.database.url.as_ref().unwrap().expose(), "postgres://mrp:hunter2@db/mrp");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
        for wrong in [
            "[database]\nurl = \"postgres://mrp:hunter2@db/mrp\n",
            "[database]\nurl = postgres://mrp:hunter2@db/mrp\n",
            "[database]\nurl = [\"postgres://mrp:hunter2@db/mrp\"]\n",
            "[database]\nurl = \"mysql://mrp:hunter2@db/mrp\"\n",
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(!error.contains("hunter2") && error.contains("url"), "{error}");
        }
        let alone = parse("[database]\npassword_file = \"/etc/mrp/password\"\n").unwrap_err();
        assert!(alone.contains("set database.url"), "{alone}");
    }
}
