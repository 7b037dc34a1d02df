//! Requests: they are read as fast as they come, and opened by the source on the runtime.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::FutureExt as _;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::runtime::Handle;

use super::metrics::Refusal;
use super::outcome::Ending;
use super::packet::{ErrorCode, NoRequest, RequestPacket};
use super::socket::{Datagram, ListenSocket, MAX_REQUEST, refuse};
use super::source::{OpenError, Request, Source};
use super::stop::Waker;
use super::table::{Admission, Place, Table, Ticket};
use super::worker::{Job, Mailbox, Message, Shared, unstarted};

/// The thread that reads requests.
pub(super) struct Listener<S: Source> {
    socket: ListenSocket,
    /// Wakes the thread once, to end.
    _waker: Arc<Waker>,
    epoll: Epoll,
    table: Arc<Table>,
    opener: Arc<Opener<S>>,
}

/// Asks the source, and hands the answer to a worker or to the client.
pub(super) struct Opener<S: Source> {
    shared: Arc<Shared<S>>,
    mailboxes: Vec<Arc<Mailbox<S::Tag>>>,
    runtime: Handle,
    timeout: Duration,
}

impl<S: Source> Listener<S> {
    pub(super) fn new(
        socket: ListenSocket,
        waker: Arc<Waker>,
        table: Arc<Table>,
        opener: Arc<Opener<S>>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(socket.as_socket(), EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        epoll.add(&waker.0, EpollEvent::new(EpollFlags::EPOLLIN, 1))?;
        Ok(Self { socket, _waker: waker, epoll, table, opener })
    }

    /// Runs until the server is stopped.
    pub(super) fn run(self) {
        let mut buffer = vec![0; MAX_REQUEST];
        while !self.opener.shared.stop.is_told() {
            if let Err(error) = self.drain(&mut buffer) {
                // An earlier answer's ICMP error, or a kernel short of memory: neither ends the server.
                tracing::debug!(%error, "receiving TFTP requests");
            }
            let mut events = [EpollEvent::empty(); 2];
            match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => {
                    tracing::error!(%error, "TFTP cannot wait for requests and ends");
                    return;
                }
            }
        }
    }

    /// Reads until the socket is empty: its buffer is all that a burst of requests has.
    fn drain(&self, buffer: &mut [u8]) -> io::Result<()> {
        while !self.opener.shared.stop.is_told() {
            match self.socket.receive(buffer) {
                Ok(Some(datagram)) => self.handle(&datagram, &buffer[..datagram.len]),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn handle(&self, datagram: &Datagram, packet: &[u8]) {
        let (metrics, Datagram { client, local, .. }) = (&self.opener.shared.metrics, *datagram);
        // Nobody can be answered there.
        if client.port() == 0 {
            return;
        }
        let decoded = match RequestPacket::decode(packet) {
            Err(NoRequest::Stray) => return,
            _ if datagram.truncated => Err("the request is too long"),
            Err(NoRequest::Malformed(how)) => Err(how),
            Ok(request) => known_mode(request),
        };
        metrics.requested();
        let answer = |refusal, code, text: &str| self.opener.refuse(local, client, refusal, code, text);
        match decoded {
            Err(how) => answer(Refusal::Malformed, ErrorCode::IllegalOperation, how),
            Ok(request) if request.write => {
                answer(Refusal::Write, ErrorCode::AccessViolation, "this server is read-only");
            }
            Ok(request) => match self.table.admit(client, packet, self.opener.shared.now_ms()) {
                Admission::New { ticket, superseded } => {
                    if let Some(place) = superseded {
                        self.opener.tell(&place, Message::Cancel(place.id));
                    }
                    self.opener.open(ticket, client, local, request);
                }
                Admission::Again(place) => {
                    metrics.requested_again();
                    self.opener.tell(&place, Message::Again(place.id));
                }
                Admission::Full => {
                    answer(Refusal::Busy, ErrorCode::NotDefined, "too many transfers, try again later")
                }
                Admission::ClientFull => {
                    answer(Refusal::Busy, ErrorCode::NotDefined, "too many transfers of this client");
                }
            },
        }
    }
}

/// Every known mode is served as octet: what is served are boot files, whose bytes must not change.
fn known_mode(request: RequestPacket) -> Result<RequestPacket, &'static str> {
    let known = ["octet", "netascii"].iter().any(|mode| request.mode.eq_ignore_ascii_case(mode));
    if known { Ok(request) } else { Err("the mode is neither octet nor netascii") }
}

impl<S: Source> Opener<S> {
    pub(super) fn new(
        shared: Arc<Shared<S>>,
        mailboxes: Vec<Arc<Mailbox<S::Tag>>>,
        runtime: Handle,
        timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self { shared, mailboxes, runtime, timeout })
    }

    fn tell(&self, place: &Place, message: Message<S::Tag>) {
        if let Some(worker) = place.worker() {
            // A worker that has stopped has no transfer to be told of.
            let _ = self.mailboxes[worker].send(message);
        }
    }

    fn open(self: &Arc<Self>, ticket: Ticket, client: SocketAddr, local: SocketAddr, packet: RequestPacket) {
        let opener = Arc::clone(self);
        self.runtime.spawn(async move {
            let request = Request { client, local: local.ip(), path: packet.filename };
            let opened = AssertUnwindSafe(opener.shared.source.open(&request)).catch_unwind();
            match tokio::time::timeout(opener.timeout, opened).await {
                Ok(Ok(Ok(opened))) => {
                    opener.begin(Job { ticket, client, local, options: packet.options, opened })
                }
                Ok(Ok(Err(error))) => opener.explain(local, client, &error),
                Ok(Err(_)) => {
                    tracing::error!(%client, path = request.path, "the TFTP source panicked");
                    opener.explain(local, client, &OpenError::Internal("internal error".into()));
                }
                Err(_) => {
                    tracing::warn!(%client, path = request.path, "the TFTP source took too long");
                    opener.explain(local, client, &OpenError::Internal("the server is too slow".into()));
                }
            }
        });
    }

    fn begin(&self, job: Job<S::Tag>) {
        let least = self.mailboxes.iter().enumerate().min_by_key(|(_, mailbox)| mailbox.load.load(Relaxed));
        let Some((index, mailbox)) = least else { return };
        mailbox.load.fetch_add(1, Relaxed);
        job.ticket.place().set_worker(index);
        if let Err(Message::Start(job)) = mailbox.send(Message::Start(Box::new(job))) {
            self.shared.metrics.started();
            self.shared.finished(&job.opened.tag, &unstarted(Ending::Stopped, job.opened.body.len()));
        }
    }

    fn explain(&self, local: SocketAddr, client: SocketAddr, error: &OpenError) {
        let (refusal, code) = match error {
            OpenError::NotFound => (Refusal::NotFound, ErrorCode::FileNotFound),
            OpenError::AccessDenied(_) => (Refusal::AccessDenied, ErrorCode::AccessViolation),
            OpenError::Internal(_) => (Refusal::Internal, ErrorCode::NotDefined),
        };
        self.refuse(local, client, refusal, code, &error.to_string());
    }

    fn refuse(&self, local: SocketAddr, client: SocketAddr, refusal: Refusal, code: ErrorCode, text: &str) {
        self.shared.metrics.refused(refusal);
        if let Err(error) = refuse(local, client, code, text) {
            tracing::debug!(%client, %error, "an error could not be told to a TFTP client");
        }
    }
}
