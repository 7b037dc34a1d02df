//! A thread that moves the data of many transfers: readiness in, state machine, windows out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::metrics::TftpMetrics;
use super::negotiation::{Limits, Terms};
use super::outcome::{Ending, Outcome, Progress};
use super::packet::{ErrorCode, encode_error};
use super::socket::{SendError, Sent, TransferSocket};
use super::source::{Body, Opened, Source};
use super::stop::{Stop, Waker};
use super::table::Ticket;
use super::transfer::{Transfer, Transmit};

const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// Longest datagram of a client that is looked at: an error with its text.
const MAX_REPLY: usize = 516;
/// Token of the mailbox; transfers count from 1.
const MAILBOX: u64 = 0;

/// A request that was answered by a file.
#[derive(Debug)]
pub(super) struct Job<T> {
    pub(super) ticket: Ticket,
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) options: Vec<(String, String)>,
    pub(super) opened: Opened<T>,
}

#[derive(Debug)]
pub(super) enum Message<T> {
    Start(Box<Job<T>>),
    /// The request of a transfer came again.
    Again(u64),
    /// The client uses the transfer's port for another request.
    Cancel(u64),
}

/// The way to a worker.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    /// `None` once the worker has stopped.
    messages: Mutex<Option<Vec<Message<T>>>>,
    waker: Arc<Waker>,
    /// Transfers that the worker has or is about to get.
    pub(super) load: AtomicUsize,
}

impl<T> Mailbox<T> {
    pub(super) fn new(waker: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self { messages: Mutex::new(Some(Vec::new())), waker, load: AtomicUsize::new(0) })
    }

    /// Sends a message; a worker that has stopped gives it back.
    pub(super) fn send(&self, message: Message<T>) -> Result<(), Message<T>> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = messages.as_mut() else { return Err(message) };
        queue.push(message);
        if queue.len() == 1 {
            self.waker.wake();
        }
        Ok(())
    }

    fn take(&self, last: bool) -> Vec<Message<T>> {
        self.waker.clear();
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if last { messages.take() } else { messages.replace(Vec::new()) }.unwrap_or_default()
    }
}

/// What all workers of a server share.
pub(super) struct Shared<S: Source> {
    pub(super) source: S,
    pub(super) metrics: TftpMetrics,
    pub(super) max_windowsize: u16,
    pub(super) max_blksize: Option<u16>,
    pub(super) start: Instant,
    pub(super) stop: Arc<Stop>,
}

impl<S: Source> Shared<S> {
    pub(super) fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Tells the source; its panic is its own.
    pub(super) fn finished(&self, tag: &S::Tag, outcome: &Outcome) {
        self.metrics.ended(outcome);
        if catch_unwind(AssertUnwindSafe(|| self.source.finished(tag, outcome))).is_err() {
            tracing::error!("the TFTP source panicked when a transfer was over");
        }
    }

    fn progress(&self, tag: &S::Tag, progress: &Progress) {
        if catch_unwind(AssertUnwindSafe(|| self.source.progress(tag, progress))).is_err() {
            tracing::error!("the TFTP source panicked when a transfer made progress");
        }
    }
}

struct Running<T> {
    ticket: Ticket,
    client: SocketAddr,
    socket: TransferSocket,
    body: Body,
    tag: T,
    terms: Terms,
    oack: Option<Vec<u8>>,
    transfer: Transfer,
    started: Instant,
    told: Instant,
    told_bytes: u64,
    /// Waits until the socket can be written.
    blocked: bool,
    /// The earliest time for which the transfer stands in the timers.
    wakes: Instant,
}

/// A worker's state, on its own thread.
pub(super) struct Worker<S: Source> {
    shared: Arc<Shared<S>>,
    mailbox: Arc<Mailbox<S::Tag>>,
    epoll: Epoll,
    running: HashMap<u64, Running<S::Tag>>,
    /// A transfer stands in it at its time or earlier, so that an acknowledgement need not move it.
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    scratch: Vec<u8>,
}

impl<S: Source> Worker<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, mailbox: Arc<Mailbox<S::Tag>>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&mailbox.waker.0, EpollEvent::new(EpollFlags::EPOLLIN, MAILBOX))?;
        let (running, timers) = (HashMap::new(), BinaryHeap::new());
        Ok(Self { shared, mailbox, epoll, running, timers, scratch: Vec::new() })
    }

    /// Runs until the server is stopped.
    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); 256];
        while !self.shared.stop.is_told() {
            let ready = match self.epoll.wait(&mut events, self.patience()) {
                Ok(ready) => ready,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(error) => {
                    tracing::error!(%error, "a TFTP thread cannot wait for its sockets and ends");
                    break;
                }
            };
            for event in &events[..ready] {
                match event.data() {
                    MAILBOX => self.read_mailbox(),
                    id => self.ready(id, event.events()),
                }
            }
            self.expire();
        }
        self.stop();
    }

    fn patience(&self) -> EpollTimeout {
        let Some(Reverse((at, _))) = self.timers.peek() else { return EpollTimeout::NONE };
        let millis = at.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(EpollTimeout::MAX)
    }

    fn read_mailbox(&mut self) {
        for message in self.mailbox.take(false) {
            match message {
                Message::Start(job) => self.start(*job),
                Message::Again(id) => {
                    if let Some(running) = self.running.get_mut(&id) {
                        running.transfer.handle_request_again(Instant::now());
                        self.pump(id);
                    }
                }
                Message::Cancel(id) => {
                    if let Some(running) = self.running.get_mut(&id) {
                        running.transfer.abort(Ending::Superseded);
                        self.pump(id);
                    }
                }
            }
        }
    }

    fn start(&mut self, job: Job<S::Tag>) {
        let Job { ticket, client, local, options, opened: Opened { body, tag } } = job;
        self.shared.metrics.started();
        let (id, now) = (ticket.place().id, Instant::now());
        let socket = TransferSocket::connect(local, client).and_then(|socket| {
            self.epoll.add(socket.as_socket(), EpollEvent::new(EpollFlags::EPOLLIN, id))?;
            Ok(socket)
        });
        let mut socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%client, %error, "no socket for a TFTP transfer");
                self.shared
                    .finished(&tag, &unstarted(Ending::Failed(format!("no socket: {error}")), body.len()));
                self.mailbox.load.fetch_sub(1, Relaxed);
                return;
            }
        };
        let blksize = self.shared.max_blksize.unwrap_or_else(|| socket.path_blksize());
        let limits = Limits { blksize, windowsize: self.shared.max_windowsize };
        let terms = Terms::negotiate(&options, limits, body.len());
        socket.segment(&terms);
        let oack = terms.oack();
        let mut transfer = Transfer::new(&terms, oack.is_some(), now);
        if ticket.place().is_superseded() {
            transfer.abort(Ending::Superseded);
        }
        let (told_bytes, blocked) = (0, false);
        let running = Running {
            ticket,
            client,
            socket,
            body,
            tag,
            terms,
            oack,
            transfer,
            started: now,
            told: now,
            told_bytes,
            blocked,
            wakes: now + Duration::from_secs(3600),
        };
        self.running.insert(id, running);
        self.pump(id);
    }

    /// A transfer's socket can be read, or written again, or has an error to tell.
    fn ready(&mut self, id: u64, events: EpollFlags) {
        let Some(running) = self.running.get_mut(&id) else { return };
        if events.contains(EpollFlags::EPOLLOUT) {
            running.blocked = false;
            self.watch(id);
        }
        let Some(running) = self.running.get_mut(&id) else { return };
        let mut buffer = [0; MAX_REPLY];
        match running.socket.receive(&mut buffer) {
            Ok(packet) => {
                running.ticket.place().heard(self.shared.now_ms());
                running.transfer.handle_input(packet, Instant::now());
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                running.transfer.abort(Ending::Vanished)
            }
            // Nothing to read, or an error that the next send or the timeout finds as well.
            Err(_) => {}
        }
        self.pump(id);
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            if let Some(running) = self.running.get_mut(&id).filter(|running| running.wakes == at) {
                running.wakes = at + Duration::from_secs(3600);
                running.transfer.handle_timeout(now);
                self.pump(id);
            }
        }
    }

    /// Sends what is due, then sees to timer, progress and end.
    fn pump(&mut self, id: u64) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let was_blocked = running.blocked;
        while let Some(transmit) = running.transfer.poll_transmit().filter(|_| !running.blocked) {
            let sent = match transmit {
                Transmit::Oack => running.socket.send(running.oack.as_deref().unwrap_or_default()),
                Transmit::Data { first, count } => {
                    let Running { socket, body, terms, .. } = running;
                    socket.send_blocks(body, terms, first, count, &mut self.scratch)
                }
            };
            match (sent, transmit) {
                (Ok(Sent::WouldBlock), _) => running.blocked = true,
                (Ok(Sent::Blocks(count)), Transmit::Data { first, .. }) => {
                    running.transfer.transmitted(Transmit::Data { first, count }, Instant::now());
                }
                (Ok(Sent::Blocks(_)), Transmit::Oack) => {
                    running.transfer.transmitted(transmit, Instant::now())
                }
                (Err(error), _) => running.fail(error),
            }
        }
        if let Some(at) = running.transfer.poll_timeout().filter(|at| *at < running.wakes) {
            running.wakes = at;
            self.timers.push(Reverse((at, id)));
        }
        let blocked = running.blocked;
        if running.transfer.ending().is_some() {
            self.finish(id);
        } else {
            running.tell_progress(&self.shared);
            if blocked && !was_blocked {
                self.watch(id);
            }
        }
    }

    /// Waits for what the transfer waits for.
    fn watch(&mut self, id: u64) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, running.blocked);
        if let Err(error) = self.epoll.modify(running.socket.as_socket(), &mut EpollEvent::new(flags, id)) {
            running.transfer.abort(Ending::Failed(error.to_string()));
        }
    }

    fn finish(&mut self, id: u64) {
        let Some(running) = self.running.remove(&id) else { return };
        let outcome = running.outcome();
        tracing::debug!(client = %running.client, %outcome, "a TFTP transfer is over");
        self.mailbox.load.fetch_sub(1, Relaxed);
        // The socket first: a client that sees its transfer end may use its port again at once.
        let Running { socket, tag, ticket, .. } = running;
        drop((socket, ticket));
        self.shared.finished(&tag, &outcome);
    }

    fn stop(&mut self) {
        for message in self.mailbox.take(true) {
            if let Message::Start(job) = message {
                self.shared.metrics.started();
                self.shared.finished(&job.opened.tag, &unstarted(Ending::Stopped, job.opened.body.len()));
            }
        }
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            if let Some(running) = self.running.get_mut(&id) {
                running.transfer.abort(Ending::Stopped);
                running.say("the server is being stopped");
            }
            self.finish(id);
        }
    }
}

impl<T> Running<T> {
    fn fail(&mut self, error: SendError) {
        let ending = match error {
            SendError::Vanished => Ending::Vanished,
            SendError::Socket(error) => Ending::Failed(format!("sending: {error}")),
            SendError::Read(error) => Ending::Failed(format!("reading the file: {error}")),
        };
        if let Ending::Failed(why) = &ending {
            tracing::warn!(client = %self.client, why, "a TFTP transfer failed");
            self.say("the server could not read the file");
        }
        self.transfer.abort(ending);
    }

    /// Sends an error, once: a lost one is the client's timeout.
    fn say(&self, text: &str) {
        let _ = self.socket.send(&encode_error(ErrorCode::NotDefined, text));
    }

    fn tell_progress<S: Source<Tag = T>>(&mut self, shared: &Shared<S>) {
        let bytes = self.transfer.bytes_acked();
        // A transfer that does not move has no progress to tell.
        if bytes == self.told_bytes || self.told.elapsed() < PROGRESS_EVERY {
            return;
        }
        (self.told, self.told_bytes) = (Instant::now(), bytes);
        let progress = Progress {
            bytes,
            total: self.terms.total,
            blksize: self.terms.blksize,
            windowsize: self.terms.windowsize,
            tsize: self.terms.tsize(),
            retransmissions: self.transfer.resent(),
            elapsed: self.started.elapsed(),
        };
        shared.progress(&self.tag, &progress);
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            ending: self.transfer.ending().cloned().unwrap_or(Ending::Stopped),
            bytes_acked: self.transfer.bytes_acked(),
            total: self.terms.total,
            blksize: self.terms.blksize,
            windowsize: self.terms.windowsize,
            tsize: self.terms.tsize(),
            retransmissions: self.transfer.resent(),
            duration: self.started.elapsed(),
        }
    }
}

/// The outcome of a transfer that sent nothing.
pub(super) fn unstarted(ending: Ending, total: u64) -> Outcome {
    let (blksize, windowsize, duration) = (512, 1, Duration::ZERO);
    Outcome { ending, bytes_acked: 0, total, blksize, windowsize, tsize: false, retransmissions: 0, duration }
}
