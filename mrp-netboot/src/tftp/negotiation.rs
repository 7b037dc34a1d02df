//! What a client asks for becomes the terms of a transfer (RFC 2347, 2348, 2349, 7440).
//!
//! An option that is unknown, or whose value is none, is left out of the answer, which refuses it.

use std::time::Duration;

use super::packet::encode_oack;

/// Smallest and largest block (RFC 2348).
const BLKSIZE: std::ops::RangeInclusive<u64> = 8..=65464;
/// Above it, an old block could not be told from a new one by its number.
const MAX_WINDOWSIZE: u16 = i16::MAX as u16;

/// Seconds between repetitions that are granted (RFC 2349): a longer wait would keep a place for a client that is gone.
const TIMEOUT: std::ops::RangeInclusive<u64> = 1..=15;

/// The most that the server grants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) blksize: u16,
    pub(super) windowsize: u16,
}

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    /// Bytes in a block.
    pub(super) blksize: u16,
    /// Blocks in a window.
    pub(super) windowsize: u16,
    /// When to send again, if the client asked for a time.
    pub(super) timeout: Option<Duration>,
    /// Bytes of the file.
    pub(super) total: u64,
    /// Options and values of the OACK; with none, the transfer begins with DATA.
    options: Vec<(&'static str, u64)>,
}

impl Terms {
    /// Grants what the limits allow.
    pub(super) fn negotiate(options: &[(String, String)], limits: Limits, total: u64) -> Self {
        let mut terms = Self { blksize: 512, windowsize: 1, timeout: None, total, options: Vec::new() };
        for (name, value) in options {
            let value = value.trim().parse::<u64>().ok();
            if let Some(granted) = value.and_then(|value| terms.grant(name, value, limits)) {
                terms.options.push(granted);
            }
        }
        terms
    }

    /// The OACK packet, if one is due.
    pub(super) fn oack(&self) -> Option<Vec<u8>> {
        (!self.options.is_empty()).then(|| encode_oack(&self.options))
    }

    /// The client asked for the file's size (RFC 2349).
    pub(super) fn tsize(&self) -> bool {
        self.options.iter().any(|(name, _)| *name == "tsize")
    }

    fn grant(&mut self, name: &str, value: u64, limits: Limits) -> Option<(&'static str, u64)> {
        let name = ["blksize", "windowsize", "timeout", "tsize"].into_iter().find(|known| *known == name)?;
        if self.options.iter().any(|(granted, _)| *granted == name) {
            return None;
        }
        let value = match name {
            "blksize" if value >= *BLKSIZE.start() => {
                self.blksize = clamp(value, limits.blksize.min(65464)).max(8);
                self.blksize.into()
            }
            "windowsize" if value >= 1 => {
                self.windowsize = clamp(value, limits.windowsize.min(MAX_WINDOWSIZE)).max(1);
                self.windowsize.into()
            }
            "timeout" if TIMEOUT.contains(&value) => {
                self.timeout = Some(Duration::from_secs(value));
                value
            }
            "tsize" => self.total,
            _ => return None,
        };
        Some((name, value))
    }
}

fn clamp(value: u64, limit: u16) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX).min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { blksize: 1468, windowsize: 64 };

    type Options<'a> = &'a [(&'a str, &'a str)];

    fn oack(options: Options<'_>) -> Option<String> {
        let options: Vec<_> = options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let terms = Terms::negotiate(&options, LIMITS, 1_000_000);
        terms.oack().map(|packet| String::from_utf8(packet[2..].to_vec()).unwrap().replace('\0', " "))
    }

    #[test]
    fn options_are_granted_up_to_the_limits() {
        let table: [(Options<'_>, Option<&str>); 13] = [
            (&[], None),
            (&[("blksize", "1024"), ("tsize", "0")], Some("blksize 1024 tsize 1000000 ")),
            (&[("blksize", "65464"), ("windowsize", "65535")], Some("blksize 1468 windowsize 64 ")),
            (&[("blksize", "99999999999"), ("windowsize", "4")], Some("blksize 1468 windowsize 4 ")),
            (&[("blksize", "8")], Some("blksize 8 ")),
            (&[("blksize", "7")], None),
            (&[("blksize", "abc"), ("tsize", "0")], Some("tsize 1000000 ")),
            (&[("windowsize", "0")], None),
            (&[("timeout", "3")], Some("timeout 3 ")),
            (&[("timeout", "0")], None),
            (&[("timeout", "16")], None),
            (&[("multicast", ""), ("rollover", "0")], None),
            (&[("blksize", "1000"), ("blksize", "500")], Some("blksize 1000 ")),
        ];
        for (options, expected) in table {
            assert_eq!(oack(options).as_deref(), expected, "{options:?}");
        }
    }

    #[test]
    fn without_options_rfc_1350_holds() {
        let terms = Terms::negotiate(&[], LIMITS, 7);
        assert_eq!((terms.blksize, terms.windowsize, terms.timeout, terms.total), (512, 1, None, 7));
    }
}
