//! The certificate that a server shows before anybody trusts it.

use std::time::Duration;

pub use mrp_tls::Fingerprint;
use mrp_tls::Pin;

/// The fingerprint of the certificate that a server shows. No request is sent: the handshake ends at the certificate.
pub(crate) async fn shown_by(url: &str) -> Option<Fingerprint> {
    let pin = Pin::new(None);
    let http = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(pin.config()).build().ok()?;
    let _ = http.get(url).timeout(Duration::from_secs(10)).send().await;
    pin.seen()
}
