//! Trust in one certificate by its SHA-256: for servers and BMCs with a self-made certificate.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use rustls::Error;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256 of a certificate: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(hex::encode(Sha256::digest(certificate)))
    }
}

impl FromStr for Fingerprint {
    type Err = String;
    /// Takes it as `openssl x509 -fingerprint -sha256` prints it, too.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
        let valid = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if valid { Ok(Self(digits)) } else { Err("a fingerprint has 64 hexadecimal digits (SHA-256)".into()) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What rustls needs once in a process.
pub fn install_provider() {
    // An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// TLS that accepts exactly the certificate with this fingerprint.
pub fn pinned(fingerprint: Fingerprint) -> ClientConfig {
    config(Pin { wanted: Some(fingerprint), seen: Mutex::default() }.into())
}

/// The fingerprint of the certificate that a server shows. No request is sent: the handshake ends at the certificate.
pub async fn shown_by(url: &str) -> Option<Fingerprint> {
    let pin = Arc::new(Pin { wanted: None, seen: Mutex::default() });
    let http =
        reqwest::Client::builder().no_proxy().tls_backend_preconfigured(config(pin.clone())).build().ok()?;
    let _ = http.get(url).timeout(Duration::from_secs(10)).send().await;
    pin.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The error of TLS that is behind an HTTP client's, if it was TLS that failed.
pub fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        // The source of an `io::Error` is that of its content, not the content.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inside.map_or_else(|| error.source(), |inside| Some(inside));
    }
    None
}

fn config(pin: Arc<Pin>) -> ClientConfig {
    install_provider();
    ClientConfig::builder().dangerous().with_custom_certificate_verifier(pin).with_no_client_auth()
}

fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}

/// Accepts the wanted certificate, or none; remembers what it saw. Signatures are checked as ever, so that the server has
/// to own the certificate's key.
#[derive(Debug)]
struct Pin {
    wanted: Option<Fingerprint>,
    seen: Mutex<Option<Fingerprint>>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = Fingerprint::of(end_entity);
        let accepted = self.wanted.as_ref() == Some(&found);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        if accepted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_openssl_prints_it() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(colons.parse::<Fingerprint>(), plain.parse());
        assert!("abcd".parse::<Fingerprint>().unwrap_err().contains("64 hexadecimal digits"));
    }
}
