//! The plugin's side of the C ABI for drivers in Rust: what [`crate::export_bmc!`] starts.
//!
//! The driver runs on a current-thread runtime in a thread of its own; the functions that the host calls only pass orders on.
//! A panic fails the call in which it happens and never crosses to the host.

#![allow(unsafe_code, reason = "the other side is C's: tables of functions and borrowed bytes")]

use std::any::Any;
use std::collections::HashMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError};

use super::abi::{self, MrpBytes, MrpDriverV1, MrpHostV1};
use super::error::{ErrorKind, PluginError};
use super::message::{BootReply, Empty, Hello, OpenReply, Operation, PowerReply, Request, json};
use super::{MAX_MESSAGE, VERSION};
use crate::bmc::{Bmc, BmcConfig, Capabilities, Console, ConsoleInput, Node, OpenBmc};
use crate::plugin::message::NodeRequest;
use crate::service::lock;

/// Bytes that may be typed at a console at once, and pieces that its driver has not taken yet; more are refused.
const MAX_TYPED: usize = 1 << 16;
const TYPED_PIECES: usize = 256;

/// The driver's side of one entry. It lives as long as the process.
struct Exported {
    hello: Vec<u8>,
    orders: mpsc::UnboundedSender<Order>,
    consoles: Consoles,
}

/// What the host wants; the payloads are copies of what it lent.
enum Order {
    Call { id: u64, instance: u64, operation: Option<Operation>, request: Vec<u8> },
    Cancel(u64),
}

/// Where what is typed goes, by the number of the call that opened the console.
type Consoles = Arc<Mutex<HashMap<u64, mpsc::Sender<ConsoleInput>>>>;

/// Starts the driver and answers its table; null if the host speaks another version or no thread is to be had.
///
/// # Safety
/// `host` is null or points to a table that lives as long as the process.
pub unsafe extern "C" fn start<B: OpenBmc>(host: *const MrpHostV1) -> *const MrpDriverV1 {
    // SAFETY: passed on from the caller.
    let Some(host) = (unsafe { abi::read(host) }).filter(|host| host.version == VERSION) else {
        return std::ptr::null();
    };
    match catch_unwind(AssertUnwindSafe(|| exported::<B>(Host(host)))) {
        Ok(Some(exported)) => {
            let table = MrpDriverV1 {
                size: u32::try_from(size_of::<MrpDriverV1>()).expect("a table of a few pointers"),
                version: VERSION,
                driver: std::ptr::from_ref::<Exported>(Box::leak(Box::new(exported))).cast_mut().cast(),
                describe: Some(describe),
                call: Some(call),
                cancel: Some(cancel),
                console_write: Some(console_write),
                console_break: Some(console_break),
            };
            Box::leak(Box::new(table))
        }
        _ => std::ptr::null(),
    }
}

fn exported<B: OpenBmc>(host: Host) -> Option<Exported> {
    let hello = Hello {
        mrp_plugin: VERSION,
        driver: B::DRIVER.to_owned(),
        // Each BMC says at its opening what it can do.
        capabilities: Capabilities::default(),
        node: B::node(),
        options: B::options(),
    };
    let (orders, receiver) = mpsc::unbounded_channel();
    let consoles = Consoles::default();
    let kept = consoles.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let thread = std::thread::Builder::new().name(format!("mrp-{}", B::DRIVER));
    thread.spawn(move || runtime.block_on(serve::<B>(host, receiver, kept))).ok()?;
    Some(Exported { hello: json(&hello).into_bytes(), orders, consoles })
}

unsafe extern "C" fn describe(driver: *mut c_void) -> MrpBytes {
    // SAFETY: the table's own pointer, which is never freed.
    MrpBytes::of(unsafe { &(*driver.cast::<Exported>()).hello })
}

unsafe extern "C" fn call(
    driver: *mut c_void,
    id: u64,
    instance: u64,
    operation: MrpBytes,
    request: MrpBytes,
) {
    // SAFETY: the table's own pointer, which is never freed; the bytes are lent for this call.
    let (exported, operation, request) =
        unsafe { (&*driver.cast::<Exported>(), operation.as_slice(), request.as_slice()) };
    let operation = str::from_utf8(operation).ok().and_then(Operation::parse);
    // Without a receiver the runtime's thread has ended, and with it every call.
    let _ = exported.orders.send(Order::Call { id, instance, operation, request: request.to_vec() });
}

unsafe extern "C" fn cancel(driver: *mut c_void, id: u64) {
    // SAFETY: the table's own pointer, which is never freed.
    let exported = unsafe { &*driver.cast::<Exported>() };
    lock(&exported.consoles).remove(&id);
    let _ = exported.orders.send(Order::Cancel(id));
}

unsafe extern "C" fn console_write(driver: *mut c_void, id: u64, bytes: MrpBytes) -> i32 {
    // SAFETY: the table's own pointer, which is never freed; the bytes are lent for this call.
    let (exported, bytes) = unsafe { (&*driver.cast::<Exported>(), bytes.as_slice()) };
    if bytes.len() > MAX_TYPED {
        -1
    } else {
        exported.type_in(id, ConsoleInput::Bytes(bytes.to_vec().into()))
    }
}

unsafe extern "C" fn console_break(driver: *mut c_void, id: u64) -> i32 {
    // SAFETY: the table's own pointer, which is never freed.
    unsafe { &*driver.cast::<Exported>() }.type_in(id, ConsoleInput::Break)
}

impl Exported {
    /// 0 if there is such a console and it has room.
    fn type_in(&self, id: u64, input: ConsoleInput) -> i32 {
        let console = lock(&self.consoles).get(&id).cloned();
        if console.is_some_and(|console| console.try_send(input).is_ok()) { 0 } else { -1 }
    }
}

/// The host's table. Its functions may be called from any thread.
#[derive(Clone, Copy)]
struct Host(MrpHostV1);

// SAFETY: the ABI allows its functions to be called from any thread, and the pointer is only handed back.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    fn done(&self, id: u64, outcome: Result<String, PluginError>) {
        let (status, payload) = status_of(outcome);
        if let Some(done) = self.0.done {
            // SAFETY: the host's function with the host's pointer; the bytes live until it returns.
            unsafe { done(self.0.host, id, status, MrpBytes::of(payload.as_bytes())) }
        }
    }

    fn console(&self, id: u64, bytes: &[u8]) {
        if let Some(console) = self.0.console {
            // SAFETY: the host's function with the host's pointer; the bytes live until it returns.
            unsafe { console(self.0.host, id, MrpBytes::of(bytes)) }
        }
    }

    fn console_end(&self, id: u64, reason: Result<(), PluginError>) {
        let (status, payload) = status_of(reason.map(|()| String::new()));
        if let Some(console_end) = self.0.console_end {
            // SAFETY: the host's function with the host's pointer; the bytes live until it returns.
            unsafe { console_end(self.0.host, id, status, MrpBytes::of(payload.as_bytes())) }
        }
    }
}

fn status_of(outcome: Result<String, PluginError>) -> (i32, String) {
    match outcome {
        Ok(reply) => (0, reply),
        Err(error) => (error.kind as i32, error.message),
    }
}

/// What the calls share.
struct Shared<B> {
    host: Host,
    bmcs: Mutex<HashMap<u64, Arc<B>>>,
    running: Mutex<HashMap<u64, AbortHandle>>,
    consoles: Consoles,
}

async fn serve<B: OpenBmc>(host: Host, mut orders: mpsc::UnboundedReceiver<Order>, consoles: Consoles) {
    let shared = Arc::new(Shared::<B> { host, bmcs: Mutex::default(), running: Mutex::default(), consoles });
    while let Some(order) = orders.recv().await {
        match order {
            Order::Call { id, operation: None, .. } => {
                let message = "this plugin does not know the operation".into();
                host.done(id, Err(PluginError { kind: ErrorKind::Unsupported, message }));
            }
            Order::Call { id, instance, operation: Some(operation), request } => {
                let call = perform(shared.clone(), id, instance, operation, request);
                let call = tokio::spawn(call);
                lock(&shared.running).insert(id, call.abort_handle());
                tokio::spawn(answer(shared.clone(), id, call));
            }
            Order::Cancel(id) => {
                if let Some(call) = lock(&shared.running).get(&id) {
                    call.abort();
                }
            }
        }
    }
}

/// Answers a call once it has ended, however it ends, and then carries its console.
async fn answer<B: OpenBmc>(
    shared: Arc<Shared<B>>,
    id: u64,
    call: tokio::task::JoinHandle<Result<Performed, PluginError>>,
) {
    let outcome = call.await.unwrap_or_else(|error| Err(unfinished(error)));
    lock(&shared.running).remove(&id);
    let (outcome, console) = match outcome {
        Ok(Performed::Reply(reply)) if reply.len() > MAX_MESSAGE => {
            (Err(PluginError::failed(format!("the reply has {} bytes", reply.len()))), None)
        }
        Ok(Performed::Reply(reply)) => (Ok(reply), None),
        Ok(Performed::Console(console, typed)) => (Ok(json(&Empty {})), Some((console, typed))),
        Err(error) => (Err(error), None),
    };
    shared.host.done(id, outcome);
    if let Some((console, typed)) = console {
        let reason = carry(shared.host, id, console, typed).await;
        lock(&shared.consoles).remove(&id);
        shared.host.console_end(id, reason);
    }
}

fn unfinished(error: JoinError) -> PluginError {
    match error.try_into_panic() {
        Ok(panic) => PluginError::failed(format!("it panicked: {}", words_of(&*panic))),
        Err(_) => PluginError { kind: ErrorKind::Timeout, message: "the call was cancelled".into() },
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

/// What a call led to.
enum Performed {
    Reply(String),
    Console(Console, mpsc::Receiver<ConsoleInput>),
}

async fn perform<B: OpenBmc>(
    shared: Arc<Shared<B>>,
    id: u64,
    instance: u64,
    operation: Operation,
    request: Vec<u8>,
) -> Result<Performed, PluginError> {
    let request = Request::parse(operation, &request).map_err(|error| {
        PluginError::failed(format!("the request of {operation} is not understood: {error}"))
    })?;
    let bmc = lock(&shared.bmcs).get(&instance).cloned();
    match (request, bmc) {
        (Request::Open(config), _) => {
            let bmc = B::open(BmcConfig::from(config)).await?;
            let reply = OpenReply { capabilities: Some(bmc.capabilities()) };
            lock(&shared.bmcs).insert(instance, Arc::new(bmc));
            Ok(Performed::Reply(json(&reply)))
        }
        (Request::Close, bmc) => {
            lock(&shared.bmcs).remove(&instance);
            if let Some(bmc) = bmc {
                bmc.close().await;
            }
            Ok(Performed::Reply(json(&Empty {})))
        }
        (_, None) => Err(PluginError::failed(format!("no BMC is open under the number {instance}"))),
        (Request::OpenConsole(NodeRequest { node }), Some(bmc)) => {
            let console = bmc.open_console(&Node(node)).await?;
            let (sender, typed) = mpsc::channel(TYPED_PIECES);
            lock(&shared.consoles).insert(id, sender);
            Ok(Performed::Console(console, typed))
        }
        (request, Some(bmc)) => ask(&*bmc, request).await.map(Performed::Reply),
    }
}

/// The calls that only pass on.
async fn ask(bmc: &dyn Bmc, request: Request) -> Result<String, PluginError> {
    Ok(match request {
        Request::Power(NodeRequest { node }) => json(&PowerReply { power: bmc.power(&Node(node)).await? }),
        Request::SetPower(request) => {
            bmc.set_power(&Node(request.node), request.action).await?;
            json(&Empty {})
        }
        Request::SetBoot(request) => {
            bmc.set_boot(&Node(request.node), request.boot).await?;
            json(&Empty {})
        }
        Request::Boot(NodeRequest { node }) => json(&BootReply { boot: bmc.boot(&Node(node)).await? }),
        Request::ResetConsole(NodeRequest { node }) => {
            bmc.reset_console(&Node(node)).await?;
            json(&Empty {})
        }
        Request::CloseSessions | Request::Close | Request::Open(_) | Request::OpenConsole(_) => {
            bmc.close().await;
            json(&Empty {})
        }
    })
}

/// Carries a console's bytes both ways until either side ends it. Answers why, where it was not wanted here.
async fn carry(
    host: Host,
    id: u64,
    console: Console,
    mut typed: mpsc::Receiver<ConsoleInput>,
) -> Result<(), PluginError> {
    let Console { mut output, input, .. } = console;
    let printed = async {
        let mut reason = Ok(());
        while let Some(received) = output.recv().await {
            match received {
                Ok(bytes) => host.console(id, &bytes),
                Err(error) => reason = Err(error.into()),
            }
        }
        reason
    };
    let wanted_no_more = async {
        while let Some(piece) = typed.recv().await {
            // A driver that takes no input any more may still print.
            let _ = input.send(piece).await;
        }
    };
    tokio::select! {
        reason = printed => reason,
        () = wanted_no_more => Ok(()),
    }
}
