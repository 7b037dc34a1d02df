//! TLS: whose certificate is trusted, and why one is not.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use mrp_core::bmc::BmcError;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client};

use super::options::Options;

/// How long a connection may take; a call may end before.
const CONNECT: Duration = Duration::from_secs(10);
/// BMCs close connections that are idle, some after a few seconds.
const IDLE: Duration = Duration::from_secs(5);
/// So often a service may lead elsewhere.
const MAX_REDIRECTS: usize = 3;

/// An HTTP client that trusts what the options name.
pub(crate) fn client(options: &Options) -> Result<Client, BmcError> {
    mrp_tls::install_provider();
    let builder = Client::builder()
        .no_proxy()
        .https_only(true)
        .http1_only()
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .redirect(Policy::custom(same_origin));
    let builder = match (&options.fingerprint, &options.ca_file) {
        (Some(fingerprint), _) => {
            let wanted = fingerprint
                .parse()
                .map_err(|words| BmcError::Config(format!("option fingerprint: {words}")))?;
            builder.tls_backend_preconfigured(mrp_tls::pinned(wanted))
        }
        (None, Some(path)) => builder.tls_certs_only(authorities(path)?),
        (None, None) => builder,
    };
    builder.build().map_err(|error| BmcError::Config(format!("TLS: {}", chain(&error))))
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, BmcError> {
    let wrong = |words: String| BmcError::Config(format!("option ca_file {}: {words}", path.display()));
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&text).map_err(|error| wrong(chain(&error)))?;
    if found.is_empty() { Err(wrong("it has no certificate in PEM".into())) } else { Ok(found) }
}

/// A service may lead to another of its paths, not to another host, which would get the token.
fn same_origin(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from = attempt.previous().first().map(reqwest::Url::origin);
    if from != Some(attempt.url().origin()) || attempt.previous().len() > MAX_REDIRECTS {
        return attempt.stop();
    }
    attempt.follow()
}

/// What TLS has against the service, if it was TLS that failed.
pub(crate) async fn refusal(error: &reqwest::Error, base: &reqwest::Url) -> Option<String> {
    let reason = match mrp_tls::tls_error(error)? {
        mrp_tls::Error::InvalidCertificate(reason) => reason,
        other => return Some(format!("no TLS comes about: {other}")),
    };
    let shown = mrp_tls::shown_by(base.as_str()).await;
    let shown = shown.map(|shown| format!(" It shows the certificate {shown}")).unwrap_or_default();
    Some(format!(
        "its certificate is not trusted: {reason}; option fingerprint pins a certificate, option ca_file names authorities.{shown}"
    ))
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
