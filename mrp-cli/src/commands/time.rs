//! Times as people write them: `2026-01-31`, `2026-01-31T12:00:00Z`, or a distance from here and now: `2d`, `12h`.

use std::fmt;
use std::time::{Duration, SystemTime};

use mrp_core::id::Timestamp;

/// A time, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Option<Timestamp>);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => time.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// A time that has been.
pub fn past(text: &str) -> Result<Time, String> {
    read(text, |now, distance| now.checked_sub(distance)).map(|time| Time(Some(time)))
}

/// A time that is to come.
pub fn future(text: &str) -> Result<Time, String> {
    read(text, |now, distance| now.checked_add(distance)).map(|time| Time(Some(time)))
}

/// A time that is to come, or `none`.
pub fn future_or_none(text: &str) -> Result<Time, String> {
    if text == "none" { Ok(Time(None)) } else { future(text) }
}

fn read(text: &str, from: impl Fn(SystemTime, Duration) -> Option<SystemTime>) -> Result<Timestamp, String> {
    let wrong = || "write it as 2026-01-31, 2026-01-31T12:00:00Z (UTC), 2d or 12h".to_owned();
    if let Ok(distance) = humantime::parse_duration(text) {
        return from(SystemTime::now(), distance).map(Timestamp::from).ok_or_else(wrong);
    }
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    humantime::parse_rfc3339_weak(&whole).map(Timestamp::from).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_moments_or_distances() {
        let day = "2026-01-31T00:00:00.000Z";
        assert_eq!(future("2026-01-31").unwrap().to_string(), day);
        assert_eq!(future("2026-01-31T00:00:00Z"), past("2026-01-31"));
        let (before, after) = (past("2d").unwrap().0.unwrap(), future("2d").unwrap().0.unwrap());
        assert!(after.since(before) >= Duration::from_secs(4 * 24 * 60 * 60 - 60));
        assert_eq!(future_or_none("none"), Ok(Time(None)));
        for wrong in ["", "tomorrow", "2026-13-01", "31.1.2026", "999999999999y"] {
            assert!(future(wrong).is_err(), "{wrong}");
        }
    }
}
