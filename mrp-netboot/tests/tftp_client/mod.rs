//! A TFTP client that a test moves step by step, or lets run.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a client waits for a packet, and how often.
const WAIT: Duration = Duration::from_secs(3);
const TRIES: usize = 5;

/// What the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    Oack(Vec<(String, String)>),
    Data(u16, Vec<u8>),
    Error(u16, String),
}

/// A file and the options that the server granted.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) file: Vec<u8>,
    pub(crate) options: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    peer: Option<SocketAddr>,
    last: Vec<u8>,
}

impl Received {
    pub(crate) fn block(&self) -> Option<u16> {
        match self {
            Self::Data(block, _) => Some(*block),
            _ => None,
        }
    }
}

impl Client {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let any = if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        Self::bound(any, server)
    }

    pub(crate) fn bound(from: IpAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        Self { socket, server, peer: None, last: Vec::new() }
    }

    /// The server's address and port of the transfer.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Forgets the transfer, keeps the port.
    pub(crate) fn restart(&mut self) {
        self.peer = None;
    }

    /// Sends a packet to where requests go.
    pub(crate) fn send(&self, packet: &[u8]) {
        self.socket.send_to(packet, self.server).unwrap();
    }

    pub(crate) fn ask(&mut self, name: &str, options: &[(&str, &str)]) {
        self.last = vec![0, 1];
        let options = options.iter().flat_map(|(name, value)| [*name, *value]);
        for text in [name, "octet"].into_iter().chain(options) {
            self.last.extend(text.as_bytes());
            self.last.push(0);
        }
        self.send(&self.last);
    }

    pub(crate) fn acknowledge(&mut self, block: u16) {
        let [high, low] = block.to_be_bytes();
        self.last = vec![0, 4, high, low];
        self.socket.send_to(&self.last, self.peer.expect("the server answered")).unwrap();
    }

    pub(crate) fn fail(&self, code: u8, text: &str) {
        let packet = [&[0, 5, 0, code], text.as_bytes(), &[0]].concat();
        self.socket.send_to(&packet, self.peer.expect("the server answered")).unwrap();
    }

    /// The next packet of the transfer, or nothing in time.
    pub(crate) fn receive(&mut self) -> Option<Received> {
        let mut packet = vec![0; 65536];
        loop {
            let (length, from) = match self.socket.recv_from(&mut packet) {
                Ok(received) => received,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(error) => panic!("{error}"),
            };
            if *self.peer.get_or_insert(from) == from {
                return Some(decode(&packet[..length]));
            }
        }
    }

    pub(crate) fn skip(&mut self, packets: usize) {
        for _ in 0..packets {
            self.receive().expect("a packet to skip");
        }
    }

    /// Drops copies of a block that are waiting.
    pub(crate) fn forget_repeats(&mut self, block: u16) {
        self.socket.set_nonblocking(true).unwrap();
        let mut packet = [0; 4];
        while let Ok((_, from)) = self.socket.peek_from(&mut packet) {
            if Some(from) == self.peer && packet[2..] != block.to_be_bytes() {
                break;
            }
            let _ = self.socket.recv(&mut packet);
        }
        self.socket.set_nonblocking(false).unwrap();
    }

    /// Fetches a file; the error is the server's.
    pub(crate) fn fetch(mut self, name: &str, options: &[(&str, &str)]) -> Result<File, (u16, String)> {
        self.ask(name, options);
        self.finish()
    }

    /// Goes on with a transfer that was asked for, to its end.
    pub(crate) fn finish(mut self) -> Result<File, (u16, String)> {
        let (mut result, mut next, mut in_window, mut tries) = (File::default(), 1_u16, 0, 0);
        let (mut blksize, mut window) = (512, 1);
        loop {
            match self.receive() {
                Some(Received::Error(code, text)) => return Err((code, text)),
                Some(Received::Oack(options)) => {
                    let value =
                        |name| options.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.parse().ok());
                    (blksize, window) = (value("blksize").unwrap_or(512), value("windowsize").unwrap_or(1));
                    result.options = options;
                    self.acknowledge(0);
                }
                Some(Received::Data(block, data)) if block == next => {
                    result.file.extend(&data);
                    (next, in_window, tries) = (next.wrapping_add(1), in_window + 1, 0);
                    if data.len() < blksize || in_window == window {
                        in_window = 0;
                        self.acknowledge(block);
                    }
                    if data.len() < blksize {
                        return Ok(result);
                    }
                }
                Some(Received::Data(..)) => {
                    if in_window > 0 {
                        in_window = 0;
                        self.acknowledge(next.wrapping_sub(1));
                    }
                }
                None => {
                    tries += 1;
                    assert!(tries < TRIES, "the server is silent");
                    self.socket.send_to(&self.last, self.peer.unwrap_or(self.server)).unwrap();
                }
            }
        }
    }
}

fn decode(packet: &[u8]) -> Received {
    let number = u16::from_be_bytes([packet[2], packet[3]]);
    match packet[1] {
        3 => Received::Data(number, packet[4..].to_vec()),
        5 => {
            let (0, text) = packet[4..].split_last().unwrap() else {
                panic!("an error text without its zero byte")
            };
            Received::Error(number, String::from_utf8(text.to_vec()).unwrap())
        }
        6 => {
            let texts: Vec<_> = packet[2..]
                .split(|byte| *byte == 0)
                .map(|t| String::from_utf8(t.to_vec()).unwrap())
                .collect();
            Received::Oack(texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
        }
        other => panic!("opcode {other}"),
    }
}
