//! The way to other servers on the same database: their doors for peers, by HTTP.

use std::time::Duration;

use async_trait::async_trait;
use mrp_core::clock::{Clock, SystemClock};
use mrp_core::peer::{PeerAct, PeerAnswer, PeerError, Peers, Proof};
use mrp_core::secret::ServerKey;
use mrp_tls::install_provider;
use mrp_web::PEER_PROOF;

/// A sequence of BMC commands with its repetitions ends sooner.
const PATIENCE: Duration = Duration::from_secs(120);

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
        let unreachable = |cause: Box<dyn std::error::Error + Send + Sync>| PeerError::Unreachable {
            url: url.to_owned(),
            cause,
        };
        let lost =
            |cause: Box<dyn std::error::Error + Send + Sync>| PeerError::Lost { url: url.to_owned(), cause };
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
}
