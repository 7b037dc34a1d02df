//! `[retention]`: how long the history is kept.

use std::time::Duration;

use mrp_core::retention::{Limit, Retention};
use serde::{Deserialize, Serialize};

/// What is younger is never removed: a slip of the pen would take what somebody is looking at.
const SHORTEST: Duration = Duration::from_secs(60 * 60);

/// How long the history is kept.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(default)]
pub struct RetentionSection {
    /// Events, by age.
    pub events: Age,
    /// Events, by number; 0 for no limit.
    pub events_max: u64,
    /// Audit entries, by age.
    pub audit: Age,
    /// Audit entries, by number; 0 for no limit.
    pub audit_max: u64,
    /// Runs that have ended, by age.
    pub runs: Age,
    /// Runs, by number; 0 for no limit.
    pub runs_max: u64,
    /// Images that nobody uses, by the age of their upload.
    pub unused_images: Age,
}

/// `90d`, or `forever`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub Option<Duration>);

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "forever" {
            return Ok(Self(None));
        }
        let wrong = |why: String| {
            serde::de::Error::custom(format!(
                "{text:?} is no age ({why}); write it as \"12h\", \"90d\" or \"2y\", at least \"1h\", or \"forever\""
            ))
        };
        let age = humantime::parse_duration(&text).map_err(|error| wrong(error.to_string()))?;
        if age < SHORTEST { Err(wrong("too short".into())) } else { Ok(Self(Some(age))) }
    }
}

impl Serialize for Age {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_str("forever"),
            Some(age) => serializer.collect_str(&humantime::format_duration(age)),
        }
    }
}

impl Default for RetentionSection {
    fn default() -> Self {
        let Retention { events, audit, runs, unused_images } = Retention::default();
        Self {
            events: Age(events.age),
            events_max: events.count.unwrap_or(0),
            audit: Age(audit.age),
            audit_max: audit.count.unwrap_or(0),
            runs: Age(runs.age),
            runs_max: runs.count.unwrap_or(0),
            unused_images: Age(unused_images),
        }
    }
}

impl From<RetentionSection> for Retention {
    fn from(section: RetentionSection) -> Self {
        let limit = |age: Age, max: u64| Limit { age: age.0, count: Some(max).filter(|max| *max > 0) };
        Self {
            events: limit(section.events, section.events_max),
            audit: limit(section.audit, section.audit_max),
            runs: limit(section.runs, section.runs_max),
            unused_images: section.unused_images.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Retention, String> {
        let section: Result<RetentionSection, _> = toml::from_str(text);
        section.map(Retention::from).map_err(|error| error.to_string())
    }

    #[test]
    fn ages_and_numbers_are_understood() {
        assert_eq!(parse("").unwrap(), Retention::default());
        let kept =
            parse("events = \"forever\"\nevents_max = 0\nruns = \"12h\"\nunused_images = \"90d\"").unwrap();
        assert_eq!(kept.events, Limit::default());
        assert_eq!(kept.runs.age, Some(Duration::from_secs(12 * 60 * 60)));
        assert_eq!(kept.unused_images, Some(Duration::from_secs(90 * 24 * 60 * 60)));
    }

    #[test]
    fn wrong_ages_say_what_would_be_right() {
        for (text, says) in [
            ("events = \"0s\"", "at least \"1h\""),
            ("events = \"soon\"", "\"forever\""),
            ("audit = 90", "string"),
            ("events_max = -1", "-1"),
            ("events_max = \"many\"", "many"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
