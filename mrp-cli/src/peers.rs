//! The way to other servers on the same database: their doors for peers, by HTTP.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use mrp_core::api::ConsoleRequest;
use mrp_core::bmc::ConsoleInput;
use mrp_core::clock::{Clock, SystemClock};
use mrp_core::peer::{
    PeerAct, PeerAnswer, PeerConsole, PeerError, Peers, Proof, SealedKind, SealedWay, ViewerRequest,
};
use mrp_core::secret::ServerKey;
use mrp_core::service::consoles::ConsoleMessage;
use mrp_tls::install_provider;
use mrp_web::{PEER_ACT, PEER_PROOF};
use reqwest::StatusCode;
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// A sequence of BMC commands with its repetitions ends sooner.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a server may take to answer whether it has a console.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Messages of a console on their way.
const WAITING: usize = 16;

/// Why a peer was not reached.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Asks peers by HTTP.
#[derive(Debug)]
pub struct HttpPeers {
    http: reqwest::Client,
    key: ServerKey,
}

impl HttpPeers {
    /// With the key that the servers share.
    pub fn new(key: ServerKey) -> reqwest::Result<Self> {
        install_provider();
        // Peers are reached directly, and what they say is proved by the key, whoever carries it.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(2))
            .timeout(PATIENCE);
        Ok(Self { http: http.build()?, key })
    }
}

#[async_trait]
impl Peers for HttpPeers {
    async fn ask(&self, url: &str, act: &PeerAct) -> Result<PeerAnswer, PeerError> {
        let unreachable = |cause: Cause| PeerError::Unreachable { url: url.to_owned(), cause };
        let lost = |cause: Cause| PeerError::Lost { url: url.to_owned(), cause };
        let body = serde_json::to_string(act).map_err(|error| unreachable(Box::new(error)))?;
        let proof = Proof::make(&self.key, SystemClock.now(), &body);
        let request = self.http.post(format!("{}/peer", url.trim_end_matches('/')));
        let sent = request.header(PEER_PROOF, proof.to_string()).body(body).send().await;
        let response = sent.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                unreachable(Box::new(error))
            } else {
                lost(Box::new(error))
            }
        })?;
        let status = response.status();
        let header = response.headers().get(PEER_PROOF).and_then(|proof| proof.to_str().ok());
        let answered = header.unwrap_or_default().to_owned();
        let text = response.text().await.map_err(|error| lost(Box::new(error)))?;
        // Who does not take the key has not done it: another key, a clock that is wrong, or no mrp at all.
        if !status.is_success() {
            return Err(unreachable(
                format!("{status}: {}", text.chars().take(200).collect::<String>()).into(),
            ));
        }
        if !proof.answer_holds(&self.key, &answered, &text) {
            return Err(lost("its answer is not proved by the key that the servers share".into()));
        }
        serde_json::from_str(&text).map_err(|error| lost(Box::new(error)))
    }

    async fn console(
        &self,
        url: &str,
        act: &PeerAct,
    ) -> Result<(PeerAnswer, Option<PeerConsole>), PeerError> {
        // Whatever goes wrong before the answer has changed nothing.
        let unreachable = |cause| PeerError::Unreachable { url: url.to_owned(), cause };
        let opened = tokio::time::timeout(HANDSHAKE, self.open_line(url, act)).await;
        let opened = opened.unwrap_or_else(|_| Err("it does not answer".into()));
        let (answer, line) = opened.map_err(unreachable)?;
        Ok((answer.clone(), matches!(answer, PeerAnswer::Done).then(|| line.carry())))
    }
}

impl HttpPeers {
    /// Opens the line of a console: what is answered first, and the line.
    async fn open_line(&self, url: &str, act: &PeerAct) -> Result<(PeerAnswer, Line), Cause> {
        let body = serde_json::to_string(act)?;
        let proof = Proof::make(&self.key, SystemClock.now(), &body);
        let (key, address) = (generate_key(), format!("{}/peer/console", url.trim_end_matches('/')));
        let request = self.http.get(address).header(PEER_PROOF, proof.to_string()).header(PEER_ACT, body);
        let request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        let request = request.header(SEC_WEBSOCKET_VERSION, "13").header(SEC_WEBSOCKET_KEY, key);
        let response = request.send().await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(format!("{}", response.status()).into());
        }
        let upgraded = response.upgrade().await?;
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
        let (outward, inward) = SealedWay::pair(&self.key, &proof);
        let mut line = Line { socket, outward, inward };
        let (_, answer) =
            line.next().await.ok_or("its answer is not sealed by the key that the servers share")?;
        Ok((serde_json::from_slice(&answer)?, line))
    }
}

/// The line of a console that another server holds.
struct Line {
    socket: WebSocketStream<reqwest::Upgraded>,
    outward: SealedWay,
    inward: SealedWay,
}

impl Line {
    /// The next message; `None` at the end of the line.
    async fn next(&mut self) -> Option<(SealedKind, Vec<u8>)> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Binary(sealed)) => return self.inward.open(&sealed),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                _ => return None,
            }
        }
    }

    async fn send(&mut self, request: ViewerRequest) -> Option<()> {
        let ask = |request| serde_json::to_vec(&request).expect("a request has string keys only");
        let (kind, message) = match request {
            ViewerRequest::Type(ConsoleInput::Bytes(bytes)) => (SealedKind::Bytes, bytes.to_vec()),
            ViewerRequest::Type(ConsoleInput::Break) => (SealedKind::Text, ask(ConsoleRequest::Break)),
            ViewerRequest::TakeKeyboard => (SealedKind::Text, ask(ConsoleRequest::Keyboard)),
        };
        let sealed = self.outward.seal(kind, &message);
        self.socket.send(Message::binary(sealed)).await.ok()
    }

    /// Carries the console in a task of its own, until either end goes.
    fn carry(mut self) -> PeerConsole {
        let (sender, messages) = mpsc::channel(WAITING);
        let (requests, mut asked) = mpsc::channel(WAITING);
        let mut carrier = JoinSet::new();
        carrier.spawn(async move {
            loop {
                let message = tokio::select! {
                    message = self.next() => message,
                    request = asked.recv() => match request {
                        None => break,
                        Some(request) => match self.send(request).await {
                            Some(()) => continue,
                            None => break,
                        },
                    },
                };
                let message = match message {
                    None => break,
                    Some((SealedKind::Bytes, bytes)) => ConsoleMessage::Output(bytes.into()),
                    Some((SealedKind::Text, text)) => match serde_json::from_slice(&text) {
                        Ok(notice) => ConsoleMessage::Notice(notice),
                        // A notice that this version does not know is none for it.
                        Err(_) => continue,
                    },
                };
                if sender.send(message).await.is_err() {
                    break;
                }
            }
        });
        PeerConsole { messages, requests, carrier }
    }
}
