//! A small lab behind both doors: mr-provisioner's recorded rows, with the same ids, in SQLite in memory.
//!
//! Machines: 1 has everything, 2 neither subarch nor kernel, 3 no BMC, 4 a dead BMC, 5 a dead BMC of another kind, 6
//! netboot and no kernel. Alice holds 1, 4 and 5. Tokens: `TOKADMIN`, `TOKALICE`, `TOKBOB`.

#![allow(dead_code, reason = "each test program uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mrp_core::bmc::Drivers;
use mrp_core::clock::{Clock, ManualClock};
use mrp_core::id::Timestamp;
use mrp_core::secret::{Secret, ServerKey};
use mrp_core::{Provisioner, Settings};
use mrp_store::{ConsoleLimits, FsBlobs, FsConsoles, SqlStore};
use mrp_web::{MachineConfig, PeopleConfig, Tls, Web};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) mod bmc;
pub(crate) mod render;
mod seed;

pub(crate) const ADMIN: &str = "TOKADMIN";
pub(crate) const ALICE: &str = "TOKALICE";
pub(crate) const BOB: &str = "TOKBOB";
/// Content of `alice/linux.11`.
pub(crate) const KERNEL: &[u8] = b"kernelbytes\n";
/// The shared token of the machines' door.
pub(crate) const SHARED: &str = "shared-token-of-the-dhcp-server";

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("the answer is whole");
        Self { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The refusal's class and words.
    pub(crate) fn refusal(&self) -> String {
        let body = self.json();
        let words = body["errors"].as_array().unwrap_or_else(|| panic!("no list of errors: {self:?}"));
        let words: Vec<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
        format!("{} {}: {}", self.status, body["error_type"].as_str().unwrap(), words.join("; "))
    }
}

/// How a lab differs from the usual one.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) people: PeopleConfig,
    pub(crate) machines: Option<MachineConfig>,
    pub(crate) tls: Option<Tls>,
    /// By default BMCs in memory.
    pub(crate) drivers: Option<Drivers>,
    /// Rows that are there already, in place of the recorded ones.
    pub(crate) kept: Option<Kept>,
    /// Renders by the real templates.
    pub(crate) templates: bool,
}

/// What a lab goes on with.
pub(crate) struct Kept {
    pub(crate) store: SqlStore,
    pub(crate) folder: TempDir,
    pub(crate) key: ServerKey,
}

pub(crate) struct Lab {
    pub(crate) service: Provisioner,
    pub(crate) people: SocketAddr,
    pub(crate) machines: SocketAddr,
    pub(crate) http: reqwest::Client,
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: SqlStore,
    _consoles_folder: TempDir,
    stop: watch::Sender<bool>,
    doors: Vec<JoinHandle<()>>,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let Kept { store, folder, key } = match setup.kept {
            Some(kept) => kept,
            None => seed::made().await,
        };
        let blobs = FsBlobs::open(folder.path()).await.unwrap();
        let consoles_folder = TempDir::new().unwrap();
        let consoles = FsConsoles::open(consoles_folder.path(), ConsoleLimits::default()).unwrap();
        let listener = Web::listen("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let machines = listener.local_addr();
        let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
        let settings = Settings {
            machine_http_port: machines.port(),
            next_server: Some("10.0.0.1".parse().unwrap()),
            preseed_sources: vec!["127.0.0.0/8".parse().unwrap()],
            ..Settings::default()
        };
        let service = Provisioner::builder()
            .store(store.clone())
            .blobs(blobs)
            .console_record(consoles)
            .bmc_drivers(setup.drivers.unwrap_or_else(bmc::drivers))
            .clock(clock.clone() as Arc<dyn Clock>)
            .key(key)
            .settings(settings);
        let service = if setup.templates {
            service.renderer(mrp_netboot::render::MiniRenderer::new(None).unwrap())
        } else {
            service.renderer(render::PlainRenderer)
        };
        let service = service.build().await.unwrap();
        let dhcp_here = || MachineConfig { dhcp_from: vec!["127.0.0.0/8".parse().unwrap()], token: None };
        let machine_web = listener.serve_machines(service.clone(), setup.machines.unwrap_or_else(dhcp_here));
        let listener = Web::listen("127.0.0.1:0".parse().unwrap(), setup.tls).await.unwrap();
        let people = listener.local_addr();
        let web = listener.serve_people(service.clone(), setup.people);
        let (stop, _) = watch::channel(false);
        let doors = [web, machine_web]
            .into_iter()
            .map(|door| {
                let mut stopped = stop.subscribe();
                let stopped = async move {
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                tokio::spawn(door.run(stopped))
            })
            .collect();
        // An error says that there is one already: a build of the whole workspace gives reqwest a TLS that wants one.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self {
            service,
            people,
            machines,
            http,
            folder,
            clock,
            store,
            _consoles_folder: consoles_folder,
            stop,
            doors,
        }
    }

    /// The address of a path: `/boot`, `/dhcp` and the like are the machines' door's.
    pub(crate) fn url(&self, path: &str) -> String {
        let machine =
            ["/boot/", "/tftp", "/preseed/", "/autoinstall/", "/phone-home/", "/dhcp/", "/openapi.json"];
        let door =
            if machine.iter().any(|prefix| path.starts_with(prefix)) { self.machines } else { self.people };
        format!("http://{door}{path}")
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method: Method = method.parse().unwrap();
        self.http.request(method, self.url(path))
    }

    /// Asks with a token (none if empty) and a body (none if empty).
    pub(crate) async fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let mut request = self.request(method, path);
        if !token.is_empty() {
            request = request.header("authorization", token);
        }
        if !body.is_empty() {
            request = request.body(body.to_owned());
        }
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, "GET", path, "").await
    }

    /// Asks and expects a status; tells the JSON, `null` for an empty body.
    pub(crate) async fn expect(
        &self,
        status: u16,
        token: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Value {
        let answer = self.ask(token, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        if answer.text.is_empty() { Value::Null } else { answer.json() }
    }

    /// Asks and expects a refusal of these words.
    pub(crate) async fn refused(&self, words: &str, token: &str, method: &str, path: &str, body: &str) {
        let answer = self.ask(token, method, path, body).await;
        assert_eq!(answer.refusal(), words, "{method} {path} {body}");
    }

    /// Names of the files that lie in the image folder, whatever its structure.
    pub(crate) fn files(&self) -> Vec<String> {
        fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), found);
                } else {
                    found.push(entry.path().display().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        found.sort();
        found
    }

    pub(crate) async fn stop(self) {
        self.begin_stop();
        for door in self.doors {
            door.await.unwrap();
        }
        self.service.shutdown().await;
    }

    /// Tells the doors to stop, without waiting for it.
    pub(crate) fn begin_stop(&self) {
        self.stop.send_replace(true);
    }
}

/// Asks again until it is so, for what happens in the background.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    for _ in 0..400 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never happened: {what}");
}

/// The password that all BMCs of the lab have.
pub(crate) fn bmc_password() -> Secret {
    Secret::new("linaro-bmc-secret")
}
