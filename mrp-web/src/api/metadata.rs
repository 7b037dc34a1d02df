//! `Upload-Metadata`: pairs of a key and a value in base64, with commas between them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::ApiError;

/// The pairs; what is not known is ignored.
#[derive(Debug)]
pub(crate) struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// Reads the header. A key stands once, and its value is text.
    pub(crate) fn parse(header: &str) -> Result<Self, ApiError> {
        let refused = |what: String| ApiError::schema(format!("upload-metadata: {what}"));
        let mut pairs = BTreeMap::new();
        for pair in header.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let named = || key.chars().take(32).collect::<String>();
            let bytes =
                STANDARD.decode(value.trim()).map_err(|_| refused(format!("{} is no base64", named())))?;
            let text = String::from_utf8(bytes).map_err(|_| refused(format!("{} is no UTF-8", named())))?;
            if text.contains('\0') {
                return Err(refused(format!("{}: a NUL character is not allowed", named())));
            }
            if pairs.insert(key.to_owned(), text).is_some() {
                return Err(refused(format!("{} stands twice", named())));
            }
        }
        Ok(Self(pairs))
    }

    /// A value that is there and not empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// `true` or `false`; a key without a value is true, one that is missing is false.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, ApiError> {
        match self.0.get(key).map(String::as_str) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(ApiError::schema(format!("upload-metadata: {key}: true or false is needed"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read() {
        let metadata =
            Metadata::parse("filename dm1saW51eg==, public,known_good ZmFsc2U=,empty ,x w7w=").unwrap();
        assert_eq!(metadata.text("filename"), Some("vmlinuz"));
        assert_eq!(metadata.text("x"), Some("ü"));
        assert_eq!((metadata.text("empty"), metadata.text("none")), (None, None));
        let flags = ["public", "known_good", "none"].map(|key| metadata.flag(key).unwrap());
        assert_eq!(flags, [true, false, false]);
        assert!(metadata.flag("filename").is_err());
        assert!(Metadata::parse("").unwrap().text("filename").is_none());
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for header in ["a %%%", "a /w==", "a YQ==,a Yg==", "a AA=="] {
            assert!(Metadata::parse(header).is_err(), "{header}");
        }
    }
}
