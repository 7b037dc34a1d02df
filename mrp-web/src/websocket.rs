//! A console over a WebSocket (RFC 6455): binary frames are its bytes, text frames are notices and requests in JSON. Between
//! servers each of both is sealed in a binary frame.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use mrp_core::api::{ConsoleNotice, ConsoleRequest};
use mrp_core::bmc::ConsoleInput;
use mrp_core::peer::{PeerAnswer, SealedKind, SealedWay};
use mrp_core::secret::Secret;
use mrp_core::service::consoles::{ConsoleMessage, Viewer};
use mrp_core::{Error, Provisioner};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use warp::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use warp::http::{HeaderValue, StatusCode};

use crate::call::Call;
use crate::error::{Answer, ApiError};
use crate::reply::Response;

/// The largest message that a client may send: what a person pastes.
const MAX_MESSAGE: usize = 64 * 1024;
/// What sealing adds to a message of another server, generously.
const SEAL: usize = 128;
/// How often the client is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// How often the token of a client is looked at again.
const RECHECK: Duration = Duration::from_secs(5);
/// How long the last words to a client may take.
const FAREWELL: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A client's wish to speak WebSocket.
pub(crate) struct Handshake {
    upgrade: OnUpgrade,
    accept: HeaderValue,
    permit: OwnedSemaphorePermit,
}

impl Handshake {
    /// Reads the opening handshake (RFC 6455, 4.2.1).
    pub(crate) fn of(call: &Call) -> Result<Self, ApiError> {
        let has = |name: &str, wanted: &str| {
            let words = call.header(name).unwrap_or_default();
            words.split(',').any(|word| word.trim().eq_ignore_ascii_case(wanted))
        };
        let asked =
            has("upgrade", "websocket") && has("connection", "upgrade") && has("sec-websocket-version", "13");
        let (true, Some(key), Some(upgrade)) = (asked, call.header("sec-websocket-key"), &call.upgrade)
        else {
            return Err(ApiError::NoUpgrade);
        };
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
        let accept = accept.map_err(|_| ApiError::NoUpgrade)?;
        let permit = call.state.sockets.clone().try_acquire_owned();
        let permit =
            permit.map_err(|_| Error::TooMany("too many consoles are open at this server".into()))?;
        Ok(Self { upgrade: upgrade.clone(), accept, permit })
    }

    /// Answers, and carries the console from then on.
    pub(crate) fn accept(self, call: &Call, viewer: Viewer) -> Answer {
        let token = call.who.as_ref().map(|(_, token)| token.clone());
        let service = call.service().clone();
        self.upgrade(call, MAX_MESSAGE, |socket, stop| {
            carry(socket, Client::new(service, viewer, token), Wire::plain(), stop)
        })
    }

    /// The same for another server: what it is answered comes first.
    pub(crate) fn accept_peer(
        self,
        call: &Call,
        ways: (SealedWay, SealedWay),
        opened: Result<Viewer, PeerAnswer>,
    ) -> Answer {
        let service = call.service().clone();
        self.upgrade(call, MAX_MESSAGE + SEAL, |mut socket, stop| async move {
            let mut wire = Wire { inward: Way(Some(ways.0)), outward: Way(Some(ways.1)) };
            let answer = opened.as_ref().err().unwrap_or(&PeerAnswer::Done);
            let answer = serde_json::to_string(answer).expect("an answer has string keys only");
            if socket.send(wire.outward.pack(Message::text(answer))).await.is_ok()
                && let Ok(viewer) = opened
            {
                carry(socket, Client::new(service, viewer, None), wire, stop).await;
            }
        })
    }

    fn upgrade<F>(
        self,
        call: &Call,
        limit: usize,
        serve: impl FnOnce(Socket, watch::Receiver<bool>) -> F + Send + 'static,
    ) -> Answer
    where
        F: Future<Output = ()> + Send,
    {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        let stop = call.state.stop.subscribe();
        let (upgrade, permit) = (self.upgrade, self.permit);
        call.state.start_task(async move {
            let _permit = permit;
            match upgrade.await {
                Ok(upgraded) => {
                    let config = WebSocketConfig::default()
                        .max_message_size(Some(limit))
                        .max_frame_size(Some(limit))
                        .write_buffer_size(0);
                    let raw = TokioIo::new(upgraded);
                    let socket = WebSocketStream::from_raw_socket(raw, Role::Server, Some(config)).await;
                    serve(socket, stop).await;
                }
                Err(error) => tracing::debug!(%error, "a client has not gone on to WebSocket"),
            }
        });
        Ok(response)
    }
}

/// What messages are put into on their two ways.
struct Wire {
    inward: Way,
    outward: Way,
}

/// One way: messages as they are, or sealed between servers.
struct Way(Option<SealedWay>);

impl Wire {
    fn plain() -> Self {
        Self { inward: Way(None), outward: Way(None) }
    }
}

impl Way {
    fn pack(&mut self, message: Message) -> Message {
        let Some(way) = &mut self.0 else { return message };
        match message {
            Message::Text(text) => Message::binary(way.seal(SealedKind::Text, text.as_bytes())),
            Message::Binary(bytes) => Message::binary(way.seal(SealedKind::Bytes, &bytes)),
            other => other,
        }
    }

    /// `None` for what is not the next message of the peer.
    fn unpack(&mut self, message: Message) -> Option<Message> {
        let Some(way) = &mut self.0 else { return Some(message) };
        match message {
            Message::Binary(sealed) => Some(match way.open(&sealed)? {
                (SealedKind::Text, text) => Message::text(String::from_utf8(text).ok()?),
                (SealedKind::Bytes, bytes) => Message::binary(bytes),
            }),
            Message::Text(_) => None,
            other => Some(other),
        }
    }
}

async fn carry(socket: Socket, client: Client, wire: Wire, stop: watch::Receiver<bool>) {
    let (mut sink, stream) = socket.split();
    let (refuse, refusals) = mpsc::channel(16);
    let end = tokio::select! {
        end = client.tell(&mut sink, refusals, wire.outward, stop) => end,
        end = client.hear(stream, refuse, wire.inward) => end,
    };
    let (code, reason) = match end {
        End::Gone => return,
        End::Said(code, reason) => (code, reason),
    };
    let frame = CloseFrame { code, reason: reason.into() };
    let _ = tokio::time::timeout(FAREWELL, sink.send(Message::Close(Some(frame)))).await;
}

/// Why a WebSocket ends.
enum End {
    /// The client has gone.
    Gone,
    /// It is told why.
    Said(CloseCode, &'static str),
}

struct Client {
    service: Provisioner,
    viewer: Viewer,
    /// The token that was shown; none with a ticket.
    token: Option<Secret>,
    /// Something came from the client since it was last asked.
    heard: AtomicBool,
}

impl Client {
    fn new(service: Provisioner, viewer: Viewer, token: Option<Secret>) -> Self {
        Self { service, viewer, token, heard: AtomicBool::new(true) }
    }

    /// Sends what the console shows.
    async fn tell(
        &self,
        sink: &mut SplitSink<Socket, Message>,
        mut refusals: mpsc::Receiver<String>,
        mut way: Way,
        mut stop: watch::Receiver<bool>,
    ) -> End {
        let (mut ping, mut recheck) = (tokio::time::interval(PING), tokio::time::interval(RECHECK));
        loop {
            let message = tokio::select! {
                message = self.viewer.next() => match message {
                    None => return End::Said(CloseCode::Normal, "the console was cut"),
                    Some(ConsoleMessage::Output(bytes)) => Message::Binary(bytes),
                    Some(ConsoleMessage::Notice(notice)) => text(&notice),
                },
                Some(reason) = refusals.recv() => text(&ConsoleNotice::Refused { reason }),
                _ = ping.tick() => {
                    if !self.heard.swap(false, Ordering::Relaxed) {
                        return End::Said(CloseCode::Policy, "the client does not answer");
                    }
                    Message::Ping(Bytes::new())
                }
                _ = recheck.tick() => {
                    if let Some(token) = &self.token
                        && matches!(self.service.users().authenticate(token.expose()).await, Err(Error::Unauthenticated(_)))
                    {
                        return End::Said(CloseCode::Policy, "the token has ended");
                    }
                    continue;
                }
                () = async { let _ = stop.wait_for(|stop| *stop).await; } => {
                    return End::Said(CloseCode::Restart, "the server ends");
                }
            };
            if sink.send(way.pack(message)).await.is_err() {
                return End::Gone;
            }
        }
    }

    /// Takes what the client types and asks.
    async fn hear(&self, mut stream: SplitStream<Socket>, refuse: mpsc::Sender<String>, mut way: Way) -> End {
        loop {
            let message = match stream.next().await {
                None => return End::Gone,
                Some(Err(tungstenite::Error::Capacity(_))) => {
                    return End::Said(CloseCode::Size, "at most 64 KiB a message");
                }
                Some(Err(_)) => return End::Gone,
                Some(Ok(message)) => match way.unpack(message) {
                    Some(message) => message,
                    None => return End::Said(CloseCode::Policy, "a message is not sealed as it has to be"),
                },
            };
            self.heard.store(true, Ordering::Relaxed);
            let done = match message {
                Message::Binary(bytes) => self.viewer.send(ConsoleInput::Bytes(bytes)).await,
                Message::Text(request) => self.request(&request).await,
                Message::Close(_) => return End::Gone,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
            };
            if let Err(error) = done {
                // Who types faster than they read need not be told of each key.
                let _ = refuse.try_send(error.to_string());
            }
        }
    }

    async fn request(&self, request: &str) -> Result<(), Error> {
        match serde_json::from_str(request) {
            Ok(ConsoleRequest::Break) => self.viewer.send(ConsoleInput::Break).await,
            Ok(ConsoleRequest::Keyboard) => self.viewer.take_keyboard().await,
            Ok(ConsoleRequest::Take) => {
                self.service.consoles().take(self.viewer.actor(), self.viewer.machine()).await
            }
            Err(error) => Err(Error::Refused(format!("no request that is known: {error}"))),
        }
    }
}

fn text(notice: &ConsoleNotice) -> Message {
    Message::text(serde_json::to_string(notice).expect("a notice has string keys only"))
}
