//! The calls that are under way at a plugin, whatever carries them: each has a number that never comes twice, so that a late
//! answer answers nothing else.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mrp_core::bmc::{BmcError, Console, ConsoleInput};
use mrp_core::plugin::line::{FromPlugin, ToPlugin};
use mrp_core::plugin::message::{Empty, Reply};
use mrp_core::plugin::{ErrorKind, Operation, PluginError, Request};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Chunks of a console that nobody has read yet; with more the console is closed.
const CONSOLE_CHUNKS: usize = 4096;
/// Bytes that are typed at a console at once.
const TYPED_AT_ONCE: usize = 1 << 14;

/// Takes messages to a plugin. It does not block and cannot fail: a plugin that is gone answers nothing.
pub(super) trait Outlet: fmt::Debug + Send + Sync {
    fn send(&self, message: ToPlugin);
}

/// What waits for a plugin's messages.
#[derive(Debug)]
pub(super) struct Exchange {
    plugin: String,
    state: Mutex<State>,
    /// Answers to calls that nobody had made, or that were answered already.
    strays: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    calls: HashMap<u64, oneshot::Sender<Result<Value, PluginError>>>,
    /// Calls whose answer is wanted no more, by when it has to be there all the same.
    abandoned: HashMap<u64, (Instant, Operation)>,
    consoles: HashMap<u64, Printed>,
    ended: Option<String>,
}

/// Where a console's bytes go. The task that carries the console hears why it ended, and tells its reader.
#[derive(Debug)]
struct Printed {
    output: mpsc::Sender<Result<Bytes, BmcError>>,
    end: oneshot::Sender<Option<PluginError>>,
}

impl Printed {
    fn end(self, reason: Option<PluginError>) {
        // Without a receiver its reader has gone already.
        let _ = self.end.send(reason);
    }
}

impl Exchange {
    pub(super) fn new(plugin: &str) -> Arc<Self> {
        Arc::new(Self { plugin: plugin.to_owned(), state: Mutex::default(), strays: AtomicU64::new(0) })
    }

    /// Takes a message of the plugin to whoever waits for it.
    pub(super) fn handle(&self, message: FromPlugin) {
        let mut state = self.state();
        match message {
            FromPlugin::Reply(id, outcome) => {
                if let Some(call) = state.calls.remove(&id) {
                    let _ = call.send(outcome);
                } else if state.abandoned.remove(&id).is_none() {
                    self.strays.fetch_add(1, Ordering::Relaxed);
                    let plugin = &self.plugin;
                    tracing::warn!(%plugin, call = id, "the plugin answered a call a second time, or one that was never made");
                }
            }
            FromPlugin::Console(id, bytes) => {
                let full = state.consoles.get(&id).is_some_and(|console| {
                    let sent = console.output.try_send(Ok(bytes.into()));
                    matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
                });
                if full && let Some(console) = state.consoles.remove(&id) {
                    console.end(Some(PluginError::failed("nobody read what the console printed")));
                }
            }
            FromPlugin::ConsoleEnd(id, reason) => {
                if let Some(console) = state.consoles.remove(&id) {
                    console.end(reason);
                }
            }
        }
    }

    /// Fails what is under way and whatever is asked from now on.
    pub(super) fn end(&self, reason: String) {
        let mut state = self.state();
        state.abandoned.clear();
        for (_, console) in state.consoles.drain() {
            console.end(Some(PluginError::failed(reason.clone())));
        }
        for (_, call) in state.calls.drain() {
            let _ = call.send(Err(PluginError::failed(reason.clone())));
        }
        state.ended.get_or_insert(reason);
    }

    /// Waits for a cancelled call that was not answered in time, and says so in words.
    pub(super) async fn overdue(&self, period: Duration) -> String {
        let mut ticks = tokio::time::interval(period);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let late = self.state().abandoned.values().find(|(until, _)| *until < now).copied();
            if let Some((_, operation)) = late {
                return format!(
                    "it answered neither {operation} in time nor its cancellation, and was killed"
                );
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A plugin that runs.
#[derive(Debug)]
pub(super) struct Client {
    exchange: Arc<Exchange>,
    carrier: Arc<dyn Outlet>,
    call_limit: Duration,
    grace: Duration,
    next: AtomicU64,
    /// Which start of the plugin this is: BMCs that an earlier one had open are not open here.
    pub(super) generation: u64,
}

impl Client {
    pub(super) fn new(
        exchange: Arc<Exchange>,
        carrier: Arc<dyn Outlet>,
        limits: super::Limits,
        generation: u64,
    ) -> Self {
        let (call_limit, grace) = (limits.call, limits.grace);
        Self { exchange, carrier, call_limit, grace, next: AtomicU64::new(1), generation }
    }

    /// Why the plugin is gone, if it is.
    pub(super) fn ended(&self) -> Option<String> {
        self.exchange.state().ended.clone()
    }

    /// How many answers came that nobody waited for.
    pub(super) fn strays(&self) -> u64 {
        self.exchange.strays.load(Ordering::Relaxed)
    }

    /// A number for a call or a BMC.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks something and waits for the answer.
    pub(super) async fn call<R: Reply>(&self, instance: u64, request: &Request) -> Result<R, PluginError> {
        self.call_as(self.number(), instance, request).await
    }

    /// Asks something whose answer is of no interest.
    pub(super) fn post(&self, instance: u64, request: &Request) {
        let id = self.number();
        let until = Instant::now() + self.call_limit + self.grace;
        self.exchange.state().abandoned.insert(id, (until, request.operation()));
        self.send(id, instance, request);
    }

    /// Opens a console; its bytes are carried by a task that ends with it. `named` makes an error the BMC's.
    pub(super) async fn open_console(
        self: &Arc<Self>,
        instance: u64,
        request: &Request,
        named: impl Fn(PluginError) -> BmcError + Send + 'static,
    ) -> Result<Console, PluginError> {
        let id = self.number();
        let (output, output_receiver) = mpsc::channel(CONSOLE_CHUNKS);
        let (end, ended) = oneshot::channel();
        // Before the call: its first bytes may come right behind the answer.
        self.exchange.state().consoles.insert(id, Printed { output: output.clone(), end });
        if let Err(error) = self.call_as::<Empty>(id, instance, request).await {
            self.exchange.state().consoles.remove(&id);
            return Err(error);
        }
        let (input, typed) = mpsc::channel(16);
        let client = self.clone();
        tokio::spawn(async move {
            let reason = client.carry(id, &output, typed, ended).await;
            client.exchange.state().consoles.remove(&id);
            client.carrier.send(ToPlugin::Cancel(id));
            if let Some(reason) = reason {
                let _ = output.send(Err(named(reason))).await;
            }
        });
        Ok(Console { output: output_receiver, input, session: None })
    }

    /// Takes what is typed to the plugin until the console's reader is gone, or the plugin ends it: why, then.
    async fn carry(
        &self,
        id: u64,
        output: &mpsc::Sender<Result<Bytes, BmcError>>,
        mut typed: mpsc::Receiver<ConsoleInput>,
        mut ended: oneshot::Receiver<Option<PluginError>>,
    ) -> Option<PluginError> {
        let mut is_typing = true;
        loop {
            tokio::select! {
                () = output.closed() => return None,
                reason = &mut ended => return reason.ok().flatten(),
                piece = typed.recv(), if is_typing => match piece {
                    Some(ConsoleInput::Bytes(bytes)) => {
                        for chunk in bytes.chunks(TYPED_AT_ONCE) {
                            self.carrier.send(ToPlugin::Console(id, chunk.to_vec()));
                        }
                    }
                    Some(ConsoleInput::Break) => self.carrier.send(ToPlugin::Break(id)),
                    None => is_typing = false,
                },
            }
        }
    }

    async fn call_as<R: Reply>(&self, id: u64, instance: u64, request: &Request) -> Result<R, PluginError> {
        let operation = request.operation();
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.exchange.state();
            if let Some(reason) = &state.ended {
                return Err(PluginError::failed(reason.clone()));
            }
            state.calls.insert(id, sender);
        }
        let _abandoned_if_dropped = Pending { client: self, id, operation };
        self.send(id, instance, request);
        let Ok(answer) = tokio::time::timeout(self.call_limit, receiver).await else {
            let message = format!("{operation} was not answered in time");
            return Err(PluginError { kind: ErrorKind::Timeout, message });
        };
        let reply = answer.unwrap_or_else(|_| Err(PluginError::failed("it is gone")))?;
        let shown: String = reply.to_string().chars().take(80).collect();
        R::deserialize(reply)
            .map_err(|error| PluginError::failed(format!("it answers {operation} with {shown}: {error}")))
    }

    fn send(&self, id: u64, instance: u64, request: &Request) {
        self.carrier.send(ToPlugin::Call {
            id,
            instance,
            operation: request.operation().name().to_owned(),
            request: request.to_json(),
        });
    }
}

/// A call under way. Dropped before its answer has come, it is cancelled.
struct Pending<'a> {
    client: &'a Client,
    id: u64,
    operation: Operation,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut state = self.client.exchange.state();
        if state.calls.remove(&self.id).is_some() {
            state.consoles.remove(&self.id);
            let until = Instant::now() + self.client.grace;
            state.abandoned.insert(self.id, (until, self.operation));
            drop(state);
            self.client.carrier.send(ToPlugin::Cancel(self.id));
        }
    }
}
