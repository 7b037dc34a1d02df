//! TLS: a certificate from files, or one that mrp makes for itself at its first start.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: cannot be read or written", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// A file does not hold what it should.
    #[error("{}: no {what} in PEM form is in it", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// Key and certificate do not go together, or the key's kind is not known.
    #[error("the certificate and its private key cannot be used together")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A certificate with its key, ready to serve.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

impl Tls {
    /// A certificate chain and its private key from PEM files.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let no = |path: &Path, what| TlsError::Pem { path: path.to_owned(), what };
        let text = read(certificate)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|_| no(certificate, "certificate"))?;
        if chain.is_empty() {
            return Err(no(certificate, "certificate"));
        }
        let key_der = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| no(key, "private key"))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key_der)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// A certificate that mrp made for itself; made if one of the files is missing. The key's file is for its owner
    /// alone. Clients have to be told to trust it.
    pub fn self_made(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        if !(certificate.exists() && key.exists()) {
            make(certificate, key)?;
        }
        Self::from_files(certificate, key)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.clone())
    }
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError::Unusable(Box::new(error))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::File(path.to_owned(), error))
}

fn make(certificate: &Path, key: &Path) -> Result<(), TlsError> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(host_name());
    let mut params = CertificateParams::new(names).map_err(unusable)?;
    for address in ["127.0.0.1", "::1"] {
        params.subject_alt_names.push(SanType::IpAddress(address.parse().map_err(unusable)?));
    }
    params.distinguished_name.push(DnType::CommonName, "mrp");
    let pair = KeyPair::generate().map_err(unusable)?;
    let made = params.self_signed(&pair).map_err(unusable)?;
    write(key, pair.serialize_pem().as_bytes(), 0o600)?;
    write(certificate, made.pem().as_bytes(), 0o644)
}

fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned();
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    (valid && name != "localhost").then_some(name)
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), TlsError> {
    let write = || {
        // An older file may be open to others: its rights would stay.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| TlsError::File(path.to_owned(), error))
}
