//! One request as a handler sees it, and what all requests of a door share.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{BoxStream, Stream, StreamExt};
use hyper::upgrade::OnUpgrade;
use mrp_core::id::Id;
use mrp_core::secret::Secret;
use mrp_core::service::expected::Expected;
use mrp_core::{Actor, Provisioner};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use warp::http::header::IF_MATCH;
use warp::http::{HeaderMap, Method};

use crate::error::ApiError;
use crate::machine::SharedChunks;
use crate::metrics::Metrics;
use crate::schema::{self, Fields};
use crate::server::{MachineConfig, PeopleConfig};

/// WebSockets of one door at once.
const MAX_SOCKETS: usize = 2048;
/// Largest JSON body.
pub(crate) const JSON_LIMIT: usize = 4 << 20;
/// How long a client may be silent within a body.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a whole JSON body may take.
const JSON_TIME: Duration = Duration::from_secs(60);
/// How much of a refused body is read, so that the client gets to see the refusal.
const DRAIN_LIMIT: usize = 512 << 20;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The client.
    pub(crate) address: SocketAddr,
    /// The address that the client asked.
    pub(crate) local: SocketAddr,
    /// The connection is encrypted.
    pub(crate) tls: bool,
    /// `host[:port]` as the client wrote it.
    pub(crate) authority: Option<String>,
}

/// What all requests of a door share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) service: Provisioner,
    pub(crate) people: PeopleConfig,
    pub(crate) machines: MachineConfig,
    pub(crate) metrics: Metrics,
    /// Becomes true when the door closes: streams end then.
    pub(crate) stop: watch::Sender<bool>,
    /// WebSockets that may still be opened.
    pub(crate) sockets: Arc<Semaphore>,
    /// Work that outlives its answer: the reports of transfers.
    pub(crate) tasks: Mutex<JoinSet<()>>,
    /// Pieces of images that are being sent.
    pub(crate) chunks: SharedChunks,
}

impl State {
    pub(crate) fn new(service: Provisioner, people: PeopleConfig, machines: MachineConfig) -> Arc<Self> {
        let (stop, _) = watch::channel(false);
        let (metrics, tasks, chunks) = (Metrics::default(), Mutex::default(), SharedChunks::default());
        let sockets = Arc::new(Semaphore::new(MAX_SOCKETS));
        Arc::new(Self { service, people, machines, metrics, stop, sockets, tasks, chunks })
    }

    /// Starts a task that belongs to the door.
    pub(crate) fn start_task(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

/// A body on its way in. Clones read the same body.
#[derive(Clone)]
pub(crate) struct Body(Arc<tokio::sync::Mutex<BoxStream<'static, Result<Bytes, warp::Error>>>>);

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client was silent for too long.
    #[error("the body did not come in time")]
    Silent,
    /// The connection ended, or the body broke HTTP.
    #[error("the body was cut off")]
    Cut,
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Silent => ApiError::TooSlow,
            BodyError::Cut => ApiError::malformed(error.to_string()),
        }
    }
}

impl Body {
    /// Takes a body that comes in as pieces.
    pub(crate) fn new<B: Buf>(pieces: impl Stream<Item = Result<B, warp::Error>> + Send + 'static) -> Self {
        let pieces = pieces.map(|piece| piece.map(|mut piece| piece.copy_to_bytes(piece.remaining())));
        Self(Arc::new(tokio::sync::Mutex::new(pieces.boxed())))
    }

    /// The next piece.
    pub(crate) async fn piece(&self) -> Option<Result<Bytes, BodyError>> {
        let mut pieces = self.0.lock().await;
        match tokio::time::timeout(SILENCE, pieces.next()).await {
            Err(_) => Some(Err(BodyError::Silent)),
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some(Ok(piece)),
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "a body was cut off");
                Some(Err(BodyError::Cut))
            }
        }
    }

    /// The pieces as a stream.
    pub(crate) fn pieces(&self) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + use<> {
        futures_util::stream::unfold(self.clone(), |body| async move {
            body.piece().await.map(|piece| (piece, body))
        })
    }

    /// The whole body, if it is within the limit.
    pub(crate) async fn whole(&self, limit: usize) -> Result<Bytes, ApiError> {
        let read = async {
            let mut whole = BytesMut::new();
            while let Some(piece) = self.piece().await {
                let piece = piece?;
                if whole.len() + piece.len() > limit {
                    return Err(ApiError::TooLarge(limit));
                }
                whole.extend_from_slice(&piece);
            }
            Ok(whole.freeze())
        };
        tokio::time::timeout(JSON_TIME, read).await.unwrap_or(Err(ApiError::TooSlow))
    }

    /// Reads on after a refusal: a client that is still sending would see a reset instead of the answer.
    pub(crate) async fn drain(&self) {
        let read = async {
            let mut left = DRAIN_LIMIT;
            while let Some(Ok(piece)) = self.piece().await {
                match left.checked_sub(piece.len()) {
                    Some(rest) => left = rest,
                    None => break,
                }
            }
        };
        let _ = tokio::time::timeout(SILENCE, read).await;
    }
}

/// One request.
pub(crate) struct Call {
    pub(crate) state: Arc<State>,
    pub(crate) peer: Peer,
    pub(crate) method: Method,
    /// The path as it was asked for.
    pub(crate) path: String,
    /// What stands in the variable parts of the path, decoded.
    pub(crate) params: Vec<String>,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// The way to another protocol on the connection, where the client asks for one.
    pub(crate) upgrade: Option<OnUpgrade>,
    /// Who asks, and by which token; on every route that is not for anyone.
    pub(crate) who: Option<(Actor, Secret)>,
}

impl Call {
    /// The service.
    pub(crate) fn service(&self) -> &Provisioner {
        &self.state.service
    }

    /// Who asks.
    pub(crate) fn actor(&self) -> &Actor {
        &self.who.as_ref().expect("the router lets only known users through to this route").0
    }

    /// The id in a variable part of the path; what is no number is no path.
    pub(crate) fn id<T>(&self, index: usize) -> Result<Id<T>, ApiError> {
        let text = self.params.get(index).ok_or(ApiError::NoRoute)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Id::new(number)),
            _ => Err(ApiError::NoRoute),
        }
    }

    /// A parameter of the query.
    pub(crate) fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A parameter of the query that has to be of a type.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, ApiError> {
        match self.param(name) {
            None => Ok(None),
            Some(value) => {
                value.parse().map(Some).map_err(|_| ApiError::schema(format!("{name}: {expected} is needed")))
            }
        }
    }

    /// An id in the query.
    pub(crate) fn id_param<T>(&self, name: &str) -> Result<Option<Id<T>>, ApiError> {
        self.id_from(1, name)
    }

    /// The id in the query after which a list is to begin; 0 for its beginning.
    pub(crate) fn after<T>(&self) -> Result<Option<Id<T>>, ApiError> {
        self.id_from(0, "after")
    }

    fn id_from<T>(&self, least: i64, name: &str) -> Result<Option<Id<T>>, ApiError> {
        match self.parsed::<i64>(name, "an id")? {
            Some(id) if id < least => Err(ApiError::schema(format!("{name}: an id is needed"))),
            id => Ok(id.map(Id::new)),
        }
    }

    /// mr-provisioner's truth: the word `true`, in any case.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.param(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A header that is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Which revisions a change is wanted of (`If-Match`; RFC 9110, 13.1.1). A tag that is none of ours matches nothing.
    pub(crate) fn expected(&self) -> Expected {
        if !self.headers.contains_key(IF_MATCH) {
            return Expected::Any;
        }
        let lines = self.headers.get_all(IF_MATCH).iter().filter_map(|line| line.to_str().ok());
        let tags: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        if tags.contains(&"*") {
            return Expected::Any;
        }
        let revision = |tag: &&str| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        Expected::OneOf(tags.iter().filter_map(revision).collect())
    }

    /// The body as JSON, whatever its content type says.
    pub(crate) async fn json(&self) -> Result<Value, ApiError> {
        let body = self.body.whole(JSON_LIMIT).await?;
        serde_json::from_slice(&body)
            .map_err(|error| ApiError::malformed(format!("the body is not JSON: {error}")))
    }

    /// The body of a route that mr-provisioner had.
    pub(crate) async fn fields(&self) -> Result<Fields, ApiError> {
        Fields::of(self.json().await?)
    }

    /// The body of a route of our own: exactly the keys of `T`.
    pub(crate) async fn exact<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        schema::exact(self.json().await?)
    }
}
