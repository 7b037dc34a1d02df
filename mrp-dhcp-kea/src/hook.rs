//! The hook as a whole: what callouts share with the two threads, and their life.

use std::fmt;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::report::Queue;
use crate::settings::Settings;
use crate::table::Table;
use crate::{keeper, reporter};

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Somebody has to do something.
    Error,
    /// Something is not as it should be; the hook helps itself.
    Warning,
    /// What happened.
    Info,
}

/// Where lines of the log go.
pub type Log = Box<dyn Fn(Level, &str) + Send + Sync>;

/// What callouts and threads share.
pub struct Shared {
    /// What the site says of mrp.
    pub settings: Settings,
    /// The copy on disk.
    pub cache: Cache,
    /// What Kea saw.
    pub queue: Queue,
    /// Until when the threads work.
    pub life: Life,
    table: RwLock<Arc<Table>>,
    log: Log,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Shared {
    /// The table in force.
    pub fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another table in force.
    pub fn put(&self, table: Table) {
        let table = Arc::new(table);
        // The old one is given up outside the lock.
        let old = std::mem::replace(&mut *self.table.write().unwrap_or_else(PoisonError::into_inner), table);
        drop(old);
    }

    /// Writes a line to the log.
    pub fn log(&self, level: Level, text: &str) {
        (self.log)(level, text);
    }
}

/// The running hook.
#[derive(Debug)]
pub struct Hook {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Hook {
    /// Reads the copy on disk and starts both threads. Whatever is wrong with mrp or the copy is logged, and no error.
    pub fn start(settings: Settings, log: Log) -> io::Result<Self> {
        let cache = Cache::at(&settings.cache);
        let (life, queue, table) = (Life::default(), Queue::default(), RwLock::default());
        let shared = Arc::new(Shared { settings, cache, queue, life, table, log });
        let path = shared.cache.path().display();
        match shared.cache.read() {
            Ok(Some(table)) => {
                shared.log(Level::Info, &format!("{} clients are known from {path}", table.len()));
                shared.put(table);
            }
            Ok(None) => shared.log(Level::Info, &format!("there is no copy of the table at {path} yet")),
            Err(error) => {
                shared
                    .log(Level::Warning, &format!("{path}: {error}; going on without it, until mrp answers"));
            }
        }
        let mut hook = Self { shared, threads: Vec::new() };
        hook.spawn("mrp-table", keeper::run)?;
        hook.spawn("mrp-report", reporter::run)?;
        Ok(hook)
    }

    fn spawn(&mut self, name: &str, run: fn(&Shared)) -> io::Result<()> {
        let shared = self.shared.clone();
        self.threads.push(thread::Builder::new().name(name.into()).spawn(move || run(&shared))?);
        Ok(())
    }

    /// What callouts need.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Hook {
    /// Ends both threads; connections are cut off.
    fn drop(&mut self) {
        self.shared.life.end();
        for thread in self.threads.drain(..) {
            // A panic of a thread was told by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Until when threads work. Its end wakes who sleeps, and cuts connections.
#[derive(Debug, Default)]
pub struct Life {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    next: u64,
    open: Vec<(u64, TcpStream)>,
}

impl Life {
    /// True after its end.
    pub fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Sleeps, at the longest until the end.
    pub fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets the end cut this connection.
    pub(crate) fn hold(&self, stream: &TcpStream) -> io::Result<Held<'_>> {
        let stream = stream.try_clone()?;
        let mut state = self.lock();
        if state.over {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let number = state.next;
        state.next += 1;
        state.open.push((number, stream));
        Ok(Held { life: self, number })
    }

    /// Ends it.
    pub fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        for (_, stream) in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is cut at the end of a life.
#[derive(Debug)]
pub struct Held<'a> {
    life: &'a Life,
    number: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.life.lock().open.retain(|(number, _)| *number != self.number);
    }
}
