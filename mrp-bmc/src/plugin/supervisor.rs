//! One plugin: started at first need and, once it has ended, again, after a pause that grows with each failure.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mrp_core::bmc::{Bmc, BmcConfig, BmcError, Drivers, NotRegistered, Opener};
use mrp_core::plugin::line::FromPlugin;
use mrp_core::plugin::{Hello, PluginError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::{Client, Exchange};
use super::library::{Library, Sink, Source};
use super::{Carrier, Limits, PluginBmc, is_library, process, read_hello};

/// After so long without a failure the next one counts as the first.
const STEADY: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A plugin that has said hello.
#[derive(Debug)]
pub struct Plugin {
    path: PathBuf,
    name: String,
    carrier: Carrier,
    limits: Limits,
    hello: Hello,
    slot: Mutex<Slot>,
}

#[derive(Debug)]
struct Slot {
    client: Arc<Client>,
    started: Instant,
    failures: u32,
    /// Why it is not there, and when it is started again.
    resting: Option<(String, Instant)>,
}

impl Plugin {
    /// Starts a plugin and hears its hello. What is wrong is said in words that begin with "it".
    pub async fn start(path: &Path, carrier: Carrier, limits: Limits) -> Result<Arc<Self>, String> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let (hello, client) = begin(path, &name, &carrier, limits, 0).await?;
        let slot = Slot { client: Arc::new(client), started: Instant::now(), failures: 0, resting: None };
        let (path, slot) = (path.to_owned(), Mutex::new(slot));
        Ok(Arc::new(Self { path, name, carrier, limits, hello, slot }))
    }

    /// What it said of itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What carries its messages.
    pub fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    /// How many answers it gave that nobody waited for: a second one to a call, or to a call that was never made.
    pub async fn strays(&self) -> u64 {
        self.slot.lock().await.client.strays()
    }

    /// Adds it to the drivers under its driver's name.
    pub fn register(self: &Arc<Self>, drivers: &mut Drivers) -> Result<(), NotRegistered> {
        let plugin = self.clone();
        let open: Opener = Arc::new(move |config| {
            let plugin = plugin.clone();
            Box::pin(async move { Ok(Arc::new(plugin.open(config).await?) as Arc<dyn Bmc>) })
        });
        drivers.add(&self.hello.driver, self.hello.options.clone(), self.hello.node.clone(), open)
    }

    /// Opens a BMC.
    pub async fn open(self: &Arc<Self>, config: BmcConfig) -> Result<PluginBmc, BmcError> {
        PluginBmc::open(self.clone(), config).await
    }

    /// The plugin as it runs. One that has ended is started again, unless it ended too recently.
    pub(super) async fn client(&self) -> Result<Arc<Client>, PluginError> {
        let mut slot = self.slot.lock().await;
        if slot.resting.is_none() {
            let Some(reason) = slot.client.ended() else { return Ok(slot.client.clone()) };
            slot.rest(reason);
        }
        if let Some((reason, until)) = &slot.resting {
            let pause = until.saturating_duration_since(Instant::now());
            if !pause.is_zero() {
                let seconds = pause.as_secs() + 1;
                return Err(PluginError::failed(format!("{reason}; it is started again in {seconds} s")));
            }
        }
        let generation = slot.client.generation + 1;
        let begun = begin(&self.path, &self.name, &self.carrier, self.limits, generation).await;
        slot.started = Instant::now();
        match begun {
            Ok((hello, client)) if hello.driver == self.hello.driver => {
                slot.client = Arc::new(client);
                slot.resting = None;
                Ok(slot.client.clone())
            }
            Ok((hello, _)) => {
                let reason =
                    format!("it calls itself {:?}, and was {:?} before", hello.driver, self.hello.driver);
                slot.rest(reason.clone());
                Err(PluginError::failed(reason))
            }
            Err(reason) => {
                slot.rest(reason.clone());
                Err(PluginError::failed(reason))
            }
        }
    }
}

impl Slot {
    /// The first failure in a while costs no pause.
    fn rest(&mut self, reason: String) {
        self.failures = if self.started.elapsed() >= STEADY { 1 } else { self.failures + 1 };
        let pause = match self.failures {
            1 => Duration::ZERO,
            failures => Duration::from_secs(1 << (failures - 2).min(6)).min(LONGEST_PAUSE),
        };
        self.resting = Some((reason, Instant::now() + pause));
    }
}

async fn begin(
    path: &Path,
    name: &str,
    carrier: &Carrier,
    limits: Limits,
    generation: u64,
) -> Result<(Hello, Client), String> {
    let exchange = Exchange::new(name);
    let source = match carrier {
        Carrier::Process(command) => {
            let (process, hello) = process::start(command, path, name, limits, exchange.clone()).await?;
            let client = Client::new(exchange, Arc::new(process), limits, generation);
            return Ok((read_hello(&hello)?, client));
        }
        Carrier::InProcess if !is_library(path) => return Err("it is no library (NAME.so)".into()),
        Carrier::InProcess => Source::File(path.to_owned()),
        Carrier::Linked(linked) => Source::Linked(*linked),
    };
    let sink = InProcess { plugin: name.to_owned(), exchange: exchange.clone() };
    let load = move || Library::load(source, Box::new(sink), limits.hello);
    let loaded = tokio::task::spawn_blocking(load).await;
    let (library, hello) = loaded.map_err(|error| format!("loading it failed: {error}"))??;
    Ok((read_hello(&hello)?, Client::new(exchange, Arc::new(library), limits, generation)))
}

/// What a library in this process says.
struct InProcess {
    plugin: String,
    exchange: Arc<Exchange>,
}

impl Sink for InProcess {
    fn message(&self, message: FromPlugin) {
        self.exchange.handle(message);
    }

    fn log(&self, level: u32, text: &str) {
        let plugin = &self.plugin;
        match level {
            0 => tracing::error!(%plugin, "{text}"),
            1 => tracing::warn!(%plugin, "{text}"),
            2 => tracing::info!(%plugin, "{text}"),
            _ => tracing::debug!(%plugin, "{text}"),
        }
    }
}
