//! Pages of lists. The body stays the plain array that old clients expect; `limit` and `cursor` in the query ask for a
//! part of it, and `Link: <…>; rel="next"` leads to the part after it.
//!
//! A cursor says after which key the next page begins, so that pages neither skip nor repeat what stays while other
//! things come and go.

use mrp_core::store::Page;
use serde::{Serialize, Serializer};
use warp::http::HeaderValue;
use warp::http::header::LINK;

use crate::call::Call;
use crate::error::ApiError;
use crate::reply::{self, Response};

/// Most that a page may have.
pub(crate) const MAX: u32 = 1000;
/// What a cursor of a list that is sorted by id looks like, for the document.
pub(crate) const CURSOR: &str = "^after-[0-9]{1,18}$";
/// What a cursor of a list that is sorted by MAC address looks like.
pub(crate) const MAC_CURSOR: &str = "^after-[0-9a-f]{2}(:[0-9a-f]{2}){5}$";

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pages {
    after: Option<String>,
    limit: Option<u32>,
}

impl Pages {
    /// What the query asks for: all, if it does not say.
    pub(crate) fn of(call: &Call) -> Result<Self, ApiError> {
        let limit =
            call.param("limit").map(|limit| limit.parse().ok().filter(|limit| (1..=MAX).contains(limit)));
        if limit == Some(None) {
            return Err(ApiError::schema("limit: a number from 1 to 1000 is needed"));
        }
        let cursor = call.param("cursor");
        let after = cursor.map(|cursor| {
            let key = cursor.strip_prefix("after-").filter(|key| !key.is_empty() && key.len() <= 20);
            let known = |key: &&str| key.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
            key.filter(known)
                .map(str::to_owned)
                .ok_or_else(|| ApiError::schema("cursor: take it from the Link header of the page before"))
        });
        Ok(Self { after: after.transpose()?, limit: limit.flatten() })
    }

    /// The same, where a list without a limit would be too long.
    pub(crate) fn at_most(mut self, limit: u32) -> Self {
        self.limit = self.limit.or(Some(limit));
        self
    }

    /// What a store is asked for, where it can: one more than the page, which tells whether there is a next one.
    pub(crate) fn wanted(&self) -> Result<Page, ApiError> {
        let after = match &self.after {
            None => 0,
            Some(key) => key.parse().map_err(|_| ApiError::schema("cursor: it is of another list"))?,
        };
        Ok(Page { after, limit: self.limit.map_or(0, |limit| limit + 1) })
    }

    /// Answers with the page of a list that is sorted by id.
    pub(crate) fn answer<T, V: Serialize>(
        &self,
        call: &Call,
        list: Vec<T>,
        id: impl Fn(&T) -> i64,
        view: impl Fn(&T) -> V,
    ) -> Result<Response, ApiError> {
        let after = self.wanted()?.after;
        let rest = list.into_iter().filter(|item| id(item) > after).collect();
        Ok(self.cut(call, rest, |item| id(item).to_string(), view))
    }

    /// Answers with the page of a list whose newest ids come first.
    pub(crate) fn answer_newest_first<T, V: Serialize>(
        &self,
        call: &Call,
        list: Vec<T>,
        id: impl Fn(&T) -> i64,
        view: impl Fn(&T) -> V,
    ) -> Result<Response, ApiError> {
        let before = match self.wanted()?.after {
            0 => i64::MAX,
            before => before,
        };
        let rest = list.into_iter().filter(|item| id(item) < before).collect();
        Ok(self.cut(call, rest, |item| id(item).to_string(), view))
    }

    /// Answers with the page of a list that is sorted by these keys.
    pub(crate) fn answer_by_key<T, V: Serialize>(
        &self,
        call: &Call,
        list: Vec<T>,
        key: impl Fn(&T) -> String,
        view: impl Fn(&T) -> V,
    ) -> Response {
        let after = self.after.clone().unwrap_or_default();
        let rest = list.into_iter().filter(|item| key(item) > after).collect();
        self.cut(call, rest, key, view)
    }

    /// True if the query asks for a part.
    pub(crate) fn are_asked(&self) -> bool {
        self.after.is_some() || self.limit.is_some()
    }

    fn cut<T, V: Serialize>(
        &self,
        call: &Call,
        mut rest: Vec<T>,
        key: impl Fn(&T) -> String,
        view: impl Fn(&T) -> V,
    ) -> Response {
        let limit = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let more = rest.len() > limit;
        rest.truncate(limit);
        let mut response = reply::ok(&Views { of: &rest, view });
        if let Some(last) = rest.last().filter(|_| more) {
            let link = format!("<{}>; rel=\"next\"", next(&call.path, &call.query, &key(last)));
            if let Ok(link) = HeaderValue::from_str(&link) {
                response.headers_mut().insert(LINK, link);
            }
        }
        response
    }
}

/// The views of a list, made one by one while they are written.
struct Views<'a, T, F> {
    of: &'a [T],
    view: F,
}

impl<T, V: Serialize, F: Fn(&T) -> V> Serialize for Views<'_, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.of.iter().map(&self.view))
    }
}

/// The same path and query with another cursor.
fn next(path: &str, query: &str, last: &str) -> String {
    let mut kept = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key != "cursor") {
        kept.append_pair(&key, &value);
    }
    kept.append_pair("cursor", &format!("after-{last}"));
    format!("{path}?{}", kept.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_the_query() {
        assert_eq!(
            next("/api/v1/machine", "q=%28%3D+arch+%22a%22%29&limit=2&cursor=after-1", "3"),
            "/api/v1/machine?q=%28%3D+arch+%22a%22%29&limit=2&cursor=after-3"
        );
        assert_eq!(next("/api/v1/arch", "", "3"), "/api/v1/arch?cursor=after-3");
    }
}
