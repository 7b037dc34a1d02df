//! The Kea hook of mrp, as far as it is not Kea's: `shim/` translates between Kea's types and the functions of `ffi`.
//!
//! Kea never waits: each callout reads the [`table`] in memory or pushes into the [`report`] queue. One thread keeps the
//! table current from mrp ([`keeper`], over [`http`] and [`feed`]) and on disk ([`cache`]), another one sends the reports
//! ([`reporter`]). While mrp is away, slow or talks nonsense, the last table answers; without one, Kea answers as if
//! this hook were not there.

pub mod answer;
pub mod cache;
pub mod feed;
pub mod ffi;
pub mod hook;
pub mod http;
pub mod keeper;
pub mod report;
pub mod reporter;
pub mod settings;
pub mod table;
