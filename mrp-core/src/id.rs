//! Typed row ids and points in time.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of a `T` in the store: positive, never used again. `Id<Machine>` and `Id<User>` do not mix.
pub struct Id<T> {
    value: i64,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The id of a value that is not stored yet; the store replaces it.
    pub const NEW: Self = Self::new(0);

    /// Wraps the store's number.
    pub const fn new(value: i64) -> Self {
        Self { value, of: PhantomData }
    }

    /// The store's number.
    pub const fn get(self) -> i64 {
        self.value
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value.cmp(&other.value)
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.value)
    }
}
impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
impl<T> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}
impl<'de, T> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self::new)
    }
}
impl<T> JsonSchema for Id<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "format": "int64", "minimum": 1})
    }
}

/// A point in time: milliseconds since 1970-01-01 00:00 UTC. In JSON an RFC 3339 string in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// 9999-12-31T23:59:59.999Z, the last that RFC 3339 can write.
    const LAST_WRITTEN: i64 = 253_402_300_799_999;

    /// The same point as the standard library has it.
    pub fn system_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writable = Timestamp(self.0.clamp(0, Self::LAST_WRITTEN));
        humantime::format_rfc3339_millis(writable.system_time()).fmt(f)
    }
}
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl std::str::FromStr for Timestamp {
    type Err = humantime::TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (utc, ahead) = split_offset(text);
        let at = humantime::parse_rfc3339(&utc).map(Self::from)?;
        Ok(Self(at.0.saturating_sub(ahead)))
    }
}
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A time of RFC 3339 as one in UTC, and by how many milliseconds its clock is ahead of UTC.
fn split_offset(text: &str) -> (Cow<'_, str>, i64) {
    let whole = || (Cow::Borrowed(text), 0);
    let Some((time, offset)) = text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) else {
        return whole();
    };
    let number = |digits: &str| {
        let all = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        all.then(|| digits.parse::<i64>().ok()).flatten()
    };
    let parts = offset.get(1..).and_then(|rest| rest.split_once(':'));
    match (offset.get(..1), parts.map(|(hours, minutes)| (number(hours), number(minutes)))) {
        (Some(sign @ ("+" | "-")), Some((Some(hours @ 0..24), Some(minutes @ 0..60)))) => {
            let ahead = (hours * 60 + minutes) * 60_000;
            (Cow::Owned(format!("{time}Z")), if sign == "+" { ahead } else { -ahead })
        }
        _ => whole(),
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_rfc_3339_in_json() {
        let at = Timestamp(1_700_000_000_123);
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
    }

    #[test]
    fn a_timestamp_may_be_that_of_another_time_zone() {
        let at = |text: &str| serde_json::from_str::<Timestamp>(&format!("\"{text}\"")).map(|at| at.0).ok();
        assert_eq!(at("2023-11-14T23:13:20+01:00"), Some(1_700_000_000_000));
        assert_eq!(at("2023-11-14T17:43:20.5-04:30"), Some(1_700_000_000_500));
        for wrong in [
            "2023-11-14T23:13:20+24:00",
            "2023-11-14T23:13:20+1:00",
            "2023-11-14T23:13:20",
            "+01:00",
            "",
            "é+01:00",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_timestamp_beyond_the_calendar_is_written_as_its_end() {
        assert_eq!(Timestamp(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp(i64::MIN).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(i64::MIN).since(Timestamp(i64::MAX)), Duration::ZERO);
    }
}
