//! A plugin in a dynamic library, loaded into this process. Its functions are called from one thread of its own, so that one
//! which blocks holds up its own calls only. It is never unloaded: a thread of it may run on.

#![allow(unsafe_code, reason = "the other side is C's: a symbol, tables of functions and borrowed bytes")]

use std::ffi::c_void;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use libloading::os::unix::{Library as Dynamic, RTLD_LOCAL, RTLD_NOW};
use mrp_core::bmc::OpenBmc;
use mrp_core::plugin::abi::{self, ENTRY, Entry, MrpBytes, MrpDriverV1, MrpHostV1};
use mrp_core::plugin::line::{FromPlugin, ToPlugin};
use mrp_core::plugin::{ErrorKind, MAX_MESSAGE, PluginError, VERSION, export};

use super::client::Outlet;

/// Bytes of a console that are passed on at once.
const CONSOLE_CHUNK: usize = 1 << 16;

/// Takes what a library says. It is called from any thread of the library's and must not block for long.
pub(super) trait Sink: Send + Sync {
    fn message(&self, message: FromPlugin);
    fn log(&self, level: u32, text: &str);
}

/// The entry of a driver that is linked in.
#[derive(Clone, Copy)]
pub struct Linked(Entry);

impl Linked {
    /// A driver in Rust, behind the same C ABI as a library of it.
    pub fn of<B: OpenBmc>() -> Self {
        Self(export::start::<B>)
    }
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Linked")
    }
}

/// Where a library's entry is.
#[derive(Debug, Clone)]
pub(super) enum Source {
    File(PathBuf),
    Linked(Linked),
}

/// A library that was loaded.
#[derive(Debug)]
pub(super) struct Library {
    orders: mpsc::Sender<ToPlugin>,
}

impl Outlet for Library {
    fn send(&self, message: ToPlugin) {
        // Without a receiver the library could not be loaded, and nobody has its Library.
        let _ = self.orders.send(message);
    }
}

impl Library {
    /// Loads it and reads its hello, in JSON.
    pub(super) fn load(
        source: Source,
        sink: Box<dyn Sink>,
        patience: Duration,
    ) -> Result<(Self, Vec<u8>), String> {
        let (orders, receiver) = mpsc::channel();
        let (ready, loaded) = mpsc::channel();
        let thread = std::thread::Builder::new().name("mrp-plugin".into());
        let run = move || match enter(&source, sink) {
            Ok((driver, hello)) => {
                let _ = ready.send(Ok(hello));
                while let Ok(order) = receiver.recv() {
                    driver.take(&order);
                }
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        };
        thread.spawn(run).map_err(|error| format!("no thread for it: {error}"))?;
        match loaded.recv_timeout(patience) {
            Ok(hello) => Ok((Self { orders }, hello?)),
            Err(_) => Err(format!("it did not load within {} s", patience.as_secs())),
        }
    }
}

/// Finds the entry, shakes hands, and keeps the library for good.
fn enter(source: &Source, sink: Box<dyn Sink>) -> Result<(Driver, Vec<u8>), String> {
    let entry = match source {
        Source::Linked(linked) => linked.0,
        Source::File(path) => find_entry(path)?,
    };
    let sink: *mut Box<dyn Sink> = Box::leak(Box::new(sink));
    let host = Box::leak(Box::new(MrpHostV1 {
        size: u32::try_from(size_of::<MrpHostV1>()).expect("a table of a few pointers"),
        version: VERSION,
        host: sink.cast(),
        done: Some(done),
        console: Some(console),
        console_end: Some(console_end),
        log: Some(log),
    }));
    // SAFETY: the entry is a plugin's, by its name; the table is never freed.
    let table = unsafe { abi::read(entry(host)) };
    let table = table.ok_or("it cannot work with this mrp: its entry answers nothing")?;
    if table.version != VERSION {
        return Err(format!("it speaks version {} of the ABI, this mrp speaks {VERSION}", table.version));
    }
    let (Some(describe), Some(_)) = (table.describe, table.call) else {
        return Err("its table of functions lacks describe or call".into());
    };
    // SAFETY: the plugin's function with the plugin's pointer; the bytes live as long as the process.
    let hello = unsafe { describe(table.driver).as_slice() }.to_vec();
    Ok((Driver(table), hello))
}

fn find_entry(path: &Path) -> Result<Entry, String> {
    let path = path.canonicalize().map_err(|error| error.to_string())?;
    // SAFETY: the library's constructors run. Whoever may put a file there may run code as the server's user.
    let library = unsafe { Dynamic::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| format!("it is no library that can be loaded: {error}"))?;
    // SAFETY: by its name the symbol has this type.
    let entry = unsafe { library.get::<Entry>(ENTRY.as_bytes()) };
    let entry = *entry.map_err(|_| format!("it has no symbol {ENTRY}: it is no plugin of mrp"))?;
    std::mem::forget(library);
    Ok(entry)
}

/// The plugin's table. Only the library's thread has it.
struct Driver(MrpDriverV1);

impl Driver {
    fn take(&self, order: &ToPlugin) {
        let table = &self.0;
        // SAFETY: the plugin's functions with the plugin's pointer, one after the other; what is lent lives until they return.
        unsafe {
            match order {
                ToPlugin::Call { id, instance, operation, request } => {
                    if let Some(call) = table.call {
                        let lend = |text: &str| MrpBytes::of(text.as_bytes());
                        call(table.driver, *id, *instance, lend(operation), lend(request));
                    }
                }
                ToPlugin::Cancel(id) => {
                    if let Some(cancel) = table.cancel {
                        cancel(table.driver, *id);
                    }
                }
                ToPlugin::Console(id, bytes) => {
                    taken(
                        *id,
                        table.console_write.map(|write| write(table.driver, *id, MrpBytes::of(bytes))),
                    );
                }
                ToPlugin::Break(id) => taken(*id, table.console_break.map(|send| send(table.driver, *id))),
            }
        }
    }
}

fn taken(call: u64, status: Option<i32>) {
    if status != Some(0) {
        tracing::warn!(call, "the plugin did not take what was typed at the console");
    }
}

unsafe extern "C" fn done(host: *mut c_void, call: u64, status: i32, payload: MrpBytes) {
    // SAFETY: the pointer is the leaked sink's; the bytes are lent for this call.
    let (sink, payload) = unsafe { (&*host.cast::<Box<dyn Sink>>(), payload.as_slice()) };
    sink.message(FromPlugin::Reply(call, outcome(status, payload)));
}

fn outcome(status: i32, payload: &[u8]) -> Result<serde_json::Value, PluginError> {
    if payload.len() > MAX_MESSAGE {
        let words = format!("its answer has {} bytes, where {MAX_MESSAGE} are allowed", payload.len());
        return Err(PluginError::failed(words));
    }
    if status != 0 {
        let message = String::from_utf8_lossy(payload).into_owned();
        let unknown =
            || PluginError::failed(format!("it answered with the unknown status {status}: {message}"));
        let kind = ErrorKind::from_status(status).ok_or_else(unknown)?;
        return Err(PluginError { kind, message });
    }
    let payload = if payload.is_empty() { b"{}" } else { payload };
    serde_json::from_slice(payload)
        .map_err(|error| PluginError::failed(format!("its answer is broken JSON: {error}")))
}

unsafe extern "C" fn console(host: *mut c_void, call: u64, bytes: MrpBytes) {
    // SAFETY: the pointer is the leaked sink's; the bytes are lent for this call.
    let (sink, bytes) = unsafe { (&*host.cast::<Box<dyn Sink>>(), bytes.as_slice()) };
    for chunk in bytes.chunks(CONSOLE_CHUNK) {
        sink.message(FromPlugin::Console(call, chunk.to_vec()));
    }
}

unsafe extern "C" fn console_end(host: *mut c_void, call: u64, status: i32, payload: MrpBytes) {
    // SAFETY: the pointer is the leaked sink's; the bytes are lent for this call.
    let (sink, payload) = unsafe { (&*host.cast::<Box<dyn Sink>>(), payload.as_slice()) };
    let reason = if status == 0 { None } else { outcome(status, payload).err() };
    sink.message(FromPlugin::ConsoleEnd(call, reason));
}

unsafe extern "C" fn log(host: *mut c_void, level: u32, message: MrpBytes) {
    // SAFETY: the pointer is the leaked sink's; the bytes are lent for this call.
    let (sink, message) = unsafe { (&*host.cast::<Box<dyn Sink>>(), message.as_slice()) };
    sink.log(level, &String::from_utf8_lossy(&message[..message.len().min(4096)]));
}
