//! MAC addresses.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An Ethernet address (EUI-48). Written in lower case with colons; read in every form that PostgreSQL's
/// `macaddr` reads, since old clients send them all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

/// Not a MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a MAC address; write it as 52:54:00:12:34:56")]
pub struct MacAddrError(String);

impl MacAddr {
    /// True for the address of one card: neither a group's (IEEE 802, 8.2.2: the first bit sent is 1) nor all zeros.
    pub fn is_of_a_card(&self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }

    /// With dashes, as boot loaders ask for it: `52-54-00-12-34-56`.
    pub fn dashed(&self) -> String {
        self.to_string().replace(':', "-")
    }
}

/// Knows who made a network card.
pub trait Vendors: fmt::Debug + Send + Sync {
    /// The name of who made the card with this address, if that is known.
    fn vendor(&self, mac: MacAddr) -> Option<String>;
}

/// Knows no maker of network cards.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoVendors;

impl Vendors for NoVendors {
    fn vendor(&self, _mac: MacAddr) -> Option<String> {
        None
    }
}

impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let error = || MacAddrError(text.chars().take(64).collect());
        let groups: Vec<&str> = text.split([':', '-', '.']).collect();
        let width = 12 / groups.len().min(12);
        let separators: Vec<char> = text.chars().filter(|c| ":-.".contains(*c)).collect();
        let uniform = separators.windows(2).all(|pair| pair[0] == pair[1]);
        let shape = matches!(groups.len(), 1 | 2 | 3 | 6) && groups.iter().all(|g| g.len() == width);
        if !uniform || !shape {
            return Err(error());
        }
        let bytes = hex::decode(groups.concat()).map_err(|_| error())?;
        Ok(Self(bytes.try_into().map_err(|_| error())?))
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
impl JsonSchema for MacAddr {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "MacAddr".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){5})$",
            "examples": ["52:54:00:12:34:56"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_old_clients_send_is_read() {
        for text in
            ["52:54:00:00:00:01", "52-54-00-00-00-01", "5254.0000.0001", "525400000001", "525400:000001"]
        {
            assert_eq!(text.parse(), Ok(MacAddr([0x52, 0x54, 0, 0, 0, 1])), "{text}");
        }
        assert_eq!("AA:BB:CC:DD:EE:FF".parse::<MacAddr>().unwrap().to_string(), "aa:bb:cc:dd:ee:ff");
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in
            ["", "zz", "52:54:00:00:00", "52:54:00:00:00:01:99:77", "52:54-00:00:00:01", "é2:54:00:00:00:01"]
        {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }
}
