//! The doors themselves: TLS, slow and hostile clients, a clean end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use mrp_web::{Tls, Web};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::lab::{ADMIN, ALICE, Lab, Setup};

/// Connects by TLS as a client that trusts one certificate alone.
async fn connect(lab: &Lab, certificate: &Path, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let socket = TcpStream::connect(lab.people).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

async fn ask_by_tls(lab: &Lab, certificate: &Path, request: &str) -> String {
    let mut stream = connect(lab, certificate, b"http/1.1").await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_self_made_certificate_is_made_once_and_its_key_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let tls = Tls::self_made(&certificate, &key).unwrap();
    let first = std::fs::read(&certificate).unwrap();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!format!("{tls:?}").contains("PRIVATE"));
    Tls::self_made(&certificate, &key).unwrap();
    assert_eq!(std::fs::read(&certificate).unwrap(), first, "it is used again at the next start");
    let lab = Lab::with(Setup { tls: Some(tls), ..Setup::default() }).await;
    let answer = ask_by_tls(
        &lab,
        &certificate,
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"), "{answer}");
    lab.stop().await;
}

#[tokio::test]
async fn certificates_come_from_files_and_wrong_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    Tls::self_made(&certificate, &key).unwrap();
    let lab =
        Lab::with(Setup { tls: Some(Tls::from_files(&certificate, &key).unwrap()), ..Setup::default() })
            .await;
    let login = r#"{"user": "nobody", "password": "nothing at all"}"#;
    let request = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{login}",
        login.len()
    );
    let answer = ask_by_tls(&lab, &certificate, &request).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    lab.stop().await;
    let missing = Tls::from_files(&folder.path().join("nosuch"), &key).unwrap_err();
    assert!(missing.to_string().ends_with("nosuch: cannot be read or written"), "{missing}");
    let swapped = Tls::from_files(&key, &certificate).unwrap_err();
    assert!(swapped.to_string().contains("no certificate in PEM form"), "{swapped}");
    let (other, other_key) = (folder.path().join("other.pem"), folder.path().join("other-key.pem"));
    Tls::self_made(&other, &other_key).unwrap();
    let mixed = Tls::from_files(&certificate, &other_key).unwrap_err();
    assert_eq!(mixed.to_string(), "the certificate and its private key cannot be used together");
}

#[tokio::test]
async fn a_cookie_under_tls_is_for_tls_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let tls = Tls::self_made(&certificate, &key).unwrap();
    let lab = Lab::with(Setup { tls: Some(tls), ..Setup::default() }).await;
    let request = format!(
        "DELETE /api/v1/session HTTP/1.1\r\nHost: localhost\r\nAuthorization: {ALICE}\r\nConnection: close\r\n\r\n"
    );
    let answer = ask_by_tls(&lab, &certificate, &request).await.to_lowercase();
    assert!(answer.contains("samesite=strict; secure"), "{answer}");
    lab.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_in_words() {
    let first = Web::listen("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let error = Web::listen(first.local_addr(), None).await.unwrap_err();
    let expected = format!(
        "cannot listen on {}: another program has this port; stop it or choose another port",
        first.local_addr()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_let_go() {
    let lab = Lab::start().await;
    let mut silent = TcpStream::connect(lab.people).await.unwrap();
    let mut slow = TcpStream::connect(lab.machines).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").await.unwrap();
    // Meanwhile others are served.
    assert_eq!(lab.get(ADMIN, "/api/v1/machine").await.status, 200);
    let mut rest = Vec::new();
    let closed = async {
        // A connection that is let go is closed or reset.
        let _ = silent.read_to_end(&mut rest).await;
        let _ = slow.read_to_end(&mut rest).await;
    };
    tokio::time::timeout(Duration::from_secs(120), closed).await.expect("both are let go");
    lab.stop().await;
}

#[tokio::test]
async fn hostile_bodies_are_refused() {
    let lab = Lab::start().await;
    for body in [&b"\xff\xfe{"[..], b"{\"kernel_opts\": \"\xff\"}", b"", b"{", b"\"x\"", b"null", b"[]"] {
        let request =
            lab.request("PUT", "/api/v1/machine/1").header("authorization", ALICE).body(body.to_vec());
        assert_eq!(request.send().await.unwrap().status(), 400, "{body:?}");
    }
    let deep = format!("{{\"kernel_opts\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(lab.ask(ALICE, "PUT", "/api/v1/machine/1", &deep).await.status, 400);
    let answer = lab.ask(ALICE, "PUT", "/api/v1/machine/1", &"x".repeat(30_000_000)).await;
    assert_eq!(answer.status, 413);
    let answer = lab.ask("WRONG", "PUT", "/api/v1/machine/1", &"x".repeat(30_000_000)).await;
    assert_eq!(answer.status, 401);
    let answer = lab.ask("", "POST", "/phone-home/1-0", &"x".repeat(100_000)).await;
    assert_eq!(answer.status, 413);
    lab.stop().await;
}

#[tokio::test]
async fn requests_in_flight_end_before_the_server_does() {
    let lab = Lab::start().await;
    let slow = r#"{"name": "dead", "address": "127.0.0.96", "username": "admin"}"#;
    lab.expect(200, ADMIN, "PUT", "/api/v1/bmc/2", slow).await;
    let asked = lab.get(ADMIN, "/api/v1/machine/4/power");
    let stop = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        lab.begin_stop();
    };
    let (answer, ()) = tokio::join!(asked, stop);
    assert_eq!(answer.text, "{\"state\":\"on\"}\n");
    assert!(TcpStream::connect(lab.people).await.is_err(), "the door is closed");
    lab.stop().await;
}

#[tokio::test]
async fn preflights_are_answered_for_tokens() {
    let lab = Lab::start().await;
    let request = lab
        .request("OPTIONS", "/api/v1/machine/1")
        .header("origin", "http://x")
        .header("access-control-request-method", "PUT");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], "http://x");
    assert!(answer.headers()["access-control-allow-methods"].to_str().unwrap().contains("PUT"));
    assert!(answer.headers()["access-control-allow-headers"].to_str().unwrap().contains("Authorization"));
    assert!(answer.headers().get("access-control-allow-credentials").is_none());
    lab.stop().await;
}

#[tokio::test]
async fn http_2_is_spoken_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let tls = Tls::self_made(&certificate, &key).unwrap();
    let lab = Lab::with(Setup { tls: Some(tls), ..Setup::default() }).await;
    let stream = TokioIo::new(connect(&lab, &certificate, b"h2").await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let asked = (0..20).map(|number| {
        let request = hyper::Request::get(format!("https://localhost/api/v1/machine/{}", number % 6 + 1))
            .header("authorization", ADMIN)
            .body(String::new())
            .unwrap();
        client.send_request(request)
    });
    for answer in futures_util::future::join_all(asked).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
    }
    // A cookie's origin is compared with the authority, since HTTP/2 has no Host header.
    let request = hyper::Request::delete("https://localhost/api/v1/session")
        .header("cookie", format!("mrp_session={ALICE}"))
        .header("origin", "https://localhost")
        .body(String::new())
        .unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status().as_u16(), 204);
    drop(client);
    lab.stop().await;
    connection.abort();
}
