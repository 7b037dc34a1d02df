//! A simulated Redfish service over HTTPS. What goes wrong with it is a [`Canned`] answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::CertifiedKey;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::service::{Shape, State};

/// An answer in the place of the service's own.
#[derive(Debug, Clone)]
pub(crate) enum Canned {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    },
    /// None, ever.
    Silence,
}

impl Canned {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Canned::Answer { status, headers: Vec::new(), body: body.to_string().into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Canned::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `GET /redfish/v1/`, for example.
    pub(crate) line: String,
    pub(crate) if_match: Option<String>,
    pub(crate) body: Value,
}

#[derive(Debug)]
pub(crate) struct Simulator {
    state: Arc<Mutex<State>>,
    pub(crate) address: SocketAddr,
    /// Its certificate.
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
    server: JoinHandle<()>,
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Simulator {
    pub(crate) async fn start(shape: Shape) -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let tls =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::new(shape)));
        let server = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), state.clone()));
        Self { state, address, pem: cert.pem(), der: cert.der().to_vec(), server }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Answers requests of this line so, once each.
    pub(crate) fn can(&self, line: &str, answers: impl IntoIterator<Item = Canned>) {
        self.lock().canned.entry(line.to_owned()).or_default().extend(answers);
    }

    /// The lines of the requests that came.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock().seen.iter().map(|seen| seen.line.clone()).collect()
    }

    /// The requests of a line.
    pub(crate) fn seen(&self, line: &str) -> Vec<Seen> {
        self.lock().seen.iter().filter(|seen| seen.line == line).cloned().collect()
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, state: Arc<Mutex<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, state) = (tls.clone(), state.clone());
        tokio::spawn(async move {
            // A client that trusts another certificate goes away here.
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| answer(state.clone(), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let line = format!("{} {}", head.method, head.uri);
    let answer = {
        let mut state = state.lock().unwrap();
        state.seen.push(Seen { line: line.clone(), if_match: header("if-match"), body });
        let canned = state.canned.get_mut(&line).filter(|canned| !canned.is_empty());
        match canned.map(|canned| canned.remove(0)) {
            Some(canned) => canned,
            None => {
                let (token, basic) = (header("x-auth-token"), header("authorization"));
                state.answer(head.method.as_str(), head.uri.path(), head.uri.query(), token, basic)
            }
        }
    };
    let Canned::Answer { status, headers, body } = answer else { return std::future::pending().await };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(body)).unwrap())
}
