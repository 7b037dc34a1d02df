//! Fetches a file many times from any TFTP server and tells what it took:
//! `tftp_load <address:port> <file> <clients> <blksize> <windowsize> [fetches [plain]]`.
//!
//! One thread runs all clients. The kernel hands it whole windows where it can (UDP receive offload), so that the server and
//! not the client is measured; `plain` clients take datagram by datagram, as firmware does.

use std::error::Error;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, getsockopt, recvmsg, setsockopt, sockopt,
};

const PATIENCE: Duration = Duration::from_secs(1);
const TRIES: u32 = 10;

struct Client {
    socket: UdpSocket,
    connected: bool,
    request: Vec<u8>,
    last_ack: Option<u16>,
    blksize: usize,
    windowsize: u32,
    next: u16,
    in_window: u32,
    gap: bool,
    bytes: u64,
    begun: Instant,
    heard: Instant,
    tries: u32,
    over: Option<Result<Duration, String>>,
}

impl Client {
    fn begin(server: SocketAddr, request: Vec<u8>, offload: bool) -> io::Result<Self> {
        let socket = UdpSocket::bind((if server.is_ipv4() { "0.0.0.0" } else { "::" }, 0))?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::UdpGroSegment, &offload)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20)).is_err()
            && getsockopt(&socket, sockopt::RcvBuf)? < 1 << 20
        {
            setsockopt(&socket, sockopt::RcvBuf, &(4 << 20))?;
        }
        socket.send_to(&request, server)?;
        let now = Instant::now();
        Ok(Self {
            socket,
            connected: false,
            request,
            last_ack: None,
            blksize: 512,
            windowsize: 1,
            next: 1,
            in_window: 0,
            gap: false,
            bytes: 0,
            begun: now,
            heard: now,
            tries: 0,
            over: None,
        })
    }

    /// Reads until nothing is there.
    fn read(&mut self, buffer: &mut [u8]) -> Result<(), Box<dyn Error>> {
        while self.over.is_none() {
            let mut control = nix::cmsg_space!(i32);
            let mut slices = [IoSliceMut::new(buffer)];
            let fd = self.socket.as_raw_fd();
            let message =
                match recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), MsgFlags::empty()) {
                    Err(nix::errno::Errno::EAGAIN) => return Ok(()),
                    message => message?,
                };
            let segment = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::UdpGroSegments(size) => Some(size as usize),
                _ => None,
            });
            let (len, from) =
                (message.bytes, message.address.and_then(|from| from.as_sockaddr_in().copied()));
            if !self.connected {
                self.socket.connect(SocketAddr::V4(from.ok_or("no sender")?.into()))?;
                self.connected = true;
            }
            self.heard = Instant::now();
            for datagram in buffer[..len].chunks(segment.unwrap_or(len).max(1)) {
                self.take(datagram)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, datagram: &[u8]) -> io::Result<()> {
        let (4.., Some([_, opcode, high, low])) = (datagram.len(), datagram.first_chunk()) else {
            return Ok(());
        };
        let number = u16::from_be_bytes([*high, *low]);
        match opcode {
            6 if self.bytes == 0 => {
                let texts: Vec<_> =
                    datagram[2..].split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
                for pair in texts.chunks_exact(2) {
                    match &*pair[0].to_ascii_lowercase() {
                        "blksize" => self.blksize = pair[1].parse().unwrap_or(512),
                        "windowsize" => self.windowsize = pair[1].parse().unwrap_or(1),
                        _ => {}
                    }
                }
                self.acknowledge(0)
            }
            3 if number == self.next => {
                (self.next, self.gap, self.tries) = (number.wrapping_add(1), false, 0);
                self.in_window += 1;
                self.bytes += datagram.len() as u64 - 4;
                let last = datagram.len() - 4 < self.blksize;
                if last {
                    self.over = Some(Ok(self.begun.elapsed()));
                }
                if last || self.in_window == self.windowsize { self.acknowledge(number) } else { Ok(()) }
            }
            3 if !self.gap && number.wrapping_sub(self.next) < 0x8000 => {
                self.gap = true;
                self.acknowledge(self.next.wrapping_sub(1))
            }
            5 => {
                self.over = Some(Err(String::from_utf8_lossy(&datagram[4..]).into_owned()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn acknowledge(&mut self, number: u16) -> io::Result<()> {
        self.in_window = 0;
        self.last_ack = Some(number);
        let [high, low] = number.to_be_bytes();
        match self.socket.send(&[0, 4, high, low]) {
            // The server was done with the transfer before the last acknowledgement came.
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => Err(error),
            _ => Ok(()),
        }
    }

    fn be_patient(&mut self, server: SocketAddr) -> io::Result<bool> {
        if self.over.is_some() || self.heard.elapsed() < PATIENCE {
            return Ok(false);
        }
        (self.heard, self.tries) = (Instant::now(), self.tries + 1);
        if self.tries == TRIES {
            self.over = Some(Err("the server is silent".into()));
        } else if let Some(number) = self.last_ack {
            self.acknowledge(number)?;
        } else {
            self.socket.send_to(&self.request, server)?;
        }
        Ok(true)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, file, clients, blksize, windowsize, more @ ..] = &arguments[..] else {
        return Err(
            "usage: tftp_load <address:port> <file> <clients> <blksize> <windowsize> [fetches [plain]]"
                .into(),
        );
    };
    let (server, clients): (SocketAddr, usize) = (server.parse()?, clients.parse()?);
    let fetches = more.first().map_or(Ok(clients), |text| text.parse())?;
    let offload = more.get(1).is_none_or(|word| word != "plain");
    let mut request = vec![0, 1];
    for text in [file, "octet", "tsize", "0", "blksize", blksize, "windowsize", windowsize] {
        request.extend(text.as_bytes());
        request.push(0);
    }
    let (epoll, mut buffer) = (Epoll::new(EpollCreateFlags::empty())?, vec![0; 1 << 16]);
    let mut running: Vec<Client> = Vec::new();
    let (mut took, mut bytes, mut timeouts, mut begun, mut active) = (Vec::new(), 0, 0, 0, 0);
    let start = Instant::now();
    let mut looked = start;
    let mut events = vec![EpollEvent::empty(); 256];
    while took.len() < fetches {
        while begun < fetches && active < clients {
            let client = Client::begin(server, request.clone(), offload)?;
            epoll.add(&client.socket, EpollEvent::new(EpollFlags::EPOLLIN, running.len() as u64))?;
            running.push(client);
            (begun, active) = (begun + 1, active + 1);
        }
        let ready = epoll.wait(&mut events, EpollTimeout::from(100_u8))?;
        for event in &events[..ready] {
            let client = &mut running[event.data() as usize];
            client.read(&mut buffer)?;
            if let Some(result) = client.over.clone() {
                epoll.delete(&client.socket)?;
                bytes += client.bytes;
                took.push(result);
                active -= 1;
            }
        }
        if looked.elapsed() > PATIENCE / 10 {
            looked = Instant::now();
            for client in running.iter_mut().filter(|client| client.over.is_none()) {
                timeouts += u32::from(client.be_patient(server)?);
                if let Some(result) = client.over.clone() {
                    took.push(result);
                    active -= 1;
                }
            }
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    let mut times: Vec<_> = took.iter().flatten().collect();
    times.sort();
    let p99 =
        times.get(times.len().saturating_sub(1 + times.len() / 100)).copied().copied().unwrap_or_default();
    let failed = took.len() - times.len();
    println!(
        "{:.1} MB/s, {elapsed:.3} s, {failed} failed, {timeouts} timeouts, p99 {:.3} s",
        bytes as f64 / elapsed / 1e6,
        p99.as_secs_f64()
    );
    Ok(())
}
