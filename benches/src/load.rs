//! TFTP clients as a load (RFC 1350, 2347, 2348, 2349, 7440): any number of them on one thread, the same for every server.
//!
//! They receive with UDP GRO where the kernel has it, so that the client is not what is measured.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

/// How long a client waits before it repeats its last packet.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it repeats before it gives up.
const TRIES: u32 = 8;

/// What the clients do.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server's well-known address.
    pub server: SocketAddr,
    /// The file that each client fetches.
    pub file: String,
    /// Clients at once.
    pub clients: usize,
    /// `blksize` that is asked for.
    pub blksize: u16,
    /// `windowsize` that is asked for; none is asked for with 1.
    pub windowsize: u16,
    /// The address of this machine that a client, by its number, asks from.
    pub from: fn(usize) -> Ipv4Addr,
}

/// What became of them.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// From the first request to the last byte.
    pub seconds: f64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Times that a client waited in vain and repeated itself.
    pub timeouts: u64,
    /// Clients that did not get their file.
    pub failed: usize,
    /// Seconds within which 99 of 100 clients had their file.
    pub p99: f64,
}

impl Outcome {
    /// Megabytes (10^6) a second.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }
}

struct Client {
    socket: UdpSocket,
    state: UdpSocketState,
    /// The server's address for this transfer; known with its first answer.
    peer: Option<SocketAddr>,
    last: Vec<u8>,
    expected: u16,
    in_window: u16,
    blksize: usize,
    windowsize: u16,
    bytes: u64,
    tries: u32,
    done: Option<Result<Duration, String>>,
}

/// Runs all clients to their end.
pub fn run(load: &Load) -> io::Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut clients = Vec::with_capacity(load.clients);
    for index in 0..load.clients {
        let mut client = Client::new(load, (load.from)(index))?;
        poll.registry().register(&mut client.socket, Token(index), Interest::READABLE)?;
        clients.push(client);
    }
    let mut events = Events::with_capacity(1024);
    let mut storage = vec![0_u8; BATCH_SIZE * 65_536];
    let start = Instant::now();
    for client in &mut clients {
        client.send(load.server)?;
    }
    // All waits are equally long, so that they end in the order in which they began.
    let mut waits: VecDeque<(Instant, usize, u64)> =
        (0..clients.len()).map(|index| (start, index, 0)).collect();
    let (mut outcome, mut open) = (Outcome::default(), clients.len());
    while open > 0 {
        poll.poll(&mut events, Some(Duration::from_millis(50)))?;
        let now = Instant::now();
        for event in &events {
            let client = &mut clients[event.token().0];
            if client.done.is_none() && client.receive(load, &mut storage, start)? {
                open -= 1;
            }
        }
        while waits.front().is_some_and(|(since, _, _)| now.duration_since(*since) >= PATIENCE) {
            let Some((_, index, bytes)) = waits.pop_front() else { break };
            let client = &mut clients[index];
            if client.done.is_some() {
                continue;
            }
            if client.bytes == bytes {
                outcome.timeouts += 1;
                client.tries += 1;
                if client.tries > TRIES {
                    client.done = Some(Err("the server does not answer".into()));
                    open -= 1;
                    continue;
                }
                client.send(load.server)?;
            }
            waits.push_back((now, index, client.bytes));
        }
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    outcome.bytes = clients.iter().map(|client| client.bytes).sum();
    let mut times: Vec<f64> = clients
        .iter()
        .filter_map(|client| Some(client.done.as_ref()?.as_ref().ok()?.as_secs_f64()))
        .collect();
    outcome.failed = clients.len() - times.len();
    times.sort_by(f64::total_cmp);
    outcome.p99 = times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN);
    Ok(outcome)
}

impl Client {
    fn new(load: &Load, from: Ipv4Addr) -> io::Result<Self> {
        let socket = UdpSocket::bind((from, 0).into())?;
        let state = UdpSocketState::new((&socket).into())?;
        let mut last = vec![0, 1];
        let (blksize, windowsize) = (load.blksize.to_string(), load.windowsize.to_string());
        let mut texts = vec![load.file.as_str(), "octet", "blksize", &blksize];
        if load.windowsize > 1 {
            texts.extend(["windowsize", &windowsize]);
        }
        for text in texts {
            last.extend_from_slice(text.as_bytes());
            last.push(0);
        }
        let (peer, expected, in_window, bytes, tries, done) = (None, 1, 0, 0, 0, None);
        Ok(Self {
            socket,
            state,
            peer,
            last,
            expected,
            in_window,
            blksize: 512,
            windowsize: 1,
            bytes,
            tries,
            done,
        })
    }

    /// Repeats the last packet: to the transfer's address once that is known.
    fn send(&self, server: SocketAddr) -> io::Result<()> {
        match self.socket.send_to(&self.last, self.peer.unwrap_or(server)) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes all that has come. True once the client is at its end.
    fn receive(&mut self, load: &Load, storage: &mut [u8], start: Instant) -> io::Result<bool> {
        loop {
            let mut meta = [RecvMeta::default(); BATCH_SIZE];
            let mut buffers: Vec<IoSliceMut<'_>> = storage.chunks_mut(65_536).map(IoSliceMut::new).collect();
            let count = match self.state.recv((&self.socket).into(), &mut buffers, &mut meta) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                other => other?,
            };
            for (meta, buffer) in meta[..count].iter().zip(storage.chunks(65_536)) {
                for packet in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    self.take(packet, meta.addr, load)?;
                    match &mut self.done {
                        Some(Ok(time)) => {
                            *time = start.elapsed();
                            return Ok(true);
                        }
                        Some(Err(_)) => return Ok(true),
                        None => {}
                    }
                }
            }
        }
    }

    fn take(&mut self, packet: &[u8], from: SocketAddr, load: &Load) -> io::Result<()> {
        if packet.len() < 4 || self.peer.is_some_and(|peer| peer != from) {
            return Ok(());
        }
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        match packet[1] {
            6 if self.peer.is_none() => {
                self.peer = Some(from);
                self.accept(&packet[2..]);
                self.acknowledge(0, load.server)
            }
            3 if number == self.expected => {
                self.peer = Some(from);
                let length = packet.len() - 4;
                (self.bytes, self.expected) = (self.bytes + length as u64, number.wrapping_add(1));
                (self.in_window, self.tries) = (self.in_window + 1, 0);
                let last = length < self.blksize;
                if last {
                    self.done = Some(Ok(Duration::ZERO));
                }
                if last || self.in_window == self.windowsize {
                    self.in_window = 0;
                    return self.acknowledge(number, load.server);
                }
                Ok(())
            }
            // A block ahead: what lies between is lost, so ask for it (RFC 7440, 4). A block of before is a repetition.
            3 if self.peer.is_some() && number.wrapping_sub(self.expected) < 0x8000 => {
                self.in_window = 0;
                self.acknowledge(self.expected.wrapping_sub(1), load.server)
            }
            5 => {
                self.done = Some(Err(String::from_utf8_lossy(&packet[4..]).into_owned()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn accept(&mut self, options: &[u8]) {
        let texts: Vec<_> = options.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        for pair in texts.chunks_exact(2) {
            match &*pair[0].to_ascii_lowercase() {
                "blksize" => self.blksize = pair[1].parse().unwrap_or(512),
                "windowsize" => self.windowsize = pair[1].parse().unwrap_or(1),
                _ => {}
            }
        }
    }

    fn acknowledge(&mut self, number: u16, server: SocketAddr) -> io::Result<()> {
        self.last = vec![0, 4];
        self.last.extend(number.to_be_bytes());
        self.send(server)
    }
}
