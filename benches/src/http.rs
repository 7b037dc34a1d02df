//! HTTP/1.1 clients as a load: connections that are kept, on one thread, the same for every server.
//!
//! A client sends its next request when it has the whole of the last answer. Only what such a client needs is understood:
//! answers say how long they are.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A request in the bytes that are sent, and the status that is right.
#[derive(Debug, Clone)]
pub struct Request {
    bytes: Vec<u8>,
    expected: u16,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, path: &str, token: Option<&str>, expected: u16) -> Self {
        Self::with_body(method, path, token, "", expected)
    }

    /// A request with a body of JSON.
    pub fn json(method: &str, path: &str, token: Option<&str>, body: &Value, expected: u16) -> Self {
        Self::with_body(method, path, token, &body.to_string(), expected)
    }

    fn with_body(method: &str, path: &str, token: Option<&str>, body: &str, expected: u16) -> Self {
        let token = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: mrp\r\nAccept: */*\r\n{token}{length}\r\n");
        Self { bytes: (head + body).into_bytes(), expected }
    }
}

/// Connections to one server.
#[derive(Debug)]
pub struct Client(Vec<Connection>);

impl Client {
    /// Opens connections.
    pub async fn connect(server: SocketAddr, connections: usize) -> io::Result<Self> {
        let mut open = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            open.push(Connection { stream, received: Vec::with_capacity(64 << 10) });
        }
        Ok(Self(open))
    }

    /// Opens one connection from an address of this machine.
    pub async fn connect_from(source: Ipv4Addr, server: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self(vec![Connection { stream, received: Vec::new() }]))
    }

    /// Sends a request and reads its answer into a buffer again and again, so that nothing of it is kept. Its length in bytes.
    pub async fn length(&mut self, request: &Request, buffer: &RefCell<Vec<u8>>) -> io::Result<u64> {
        self.0[0].length(request, buffer).await
    }

    /// Sends all requests, as many at once as there are connections; tells of each how long it took, and its body.
    pub async fn run(
        &mut self,
        requests: &[Request],
        answered: impl FnMut(Duration, &[u8]),
    ) -> io::Result<()> {
        let (next, answered) = (Cell::new(0), RefCell::new(answered));
        let (next, answered) = (&next, &answered);
        let clients = self.0.iter_mut().map(|connection| async move {
            while let Some(request) = requests.get(next.replace(next.get() + 1)) {
                let started = Instant::now();
                let body = connection.exchange(request).await?;
                (answered.borrow_mut())(started.elapsed(), body);
            }
            io::Result::Ok(())
        });
        try_join_all(clients).await.map(drop)
    }

    /// One request and the JSON of its answer.
    pub async fn ask(&mut self, request: &Request) -> io::Result<Value> {
        serde_json::from_slice(self.0[0].exchange(request).await?).map_err(io::Error::other)
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Sends a request and reads its answer's body.
    async fn exchange(&mut self, request: &Request) -> io::Result<&[u8]> {
        self.stream.write_all(&request.bytes).await?;
        self.received.clear();
        let (status, body, end) = loop {
            if let Some((status, body, length)) = head(&self.received)? {
                break (status, body, body + length);
            }
            self.read().await?;
        };
        self.received.reserve(end.saturating_sub(self.received.len()));
        while self.received.len() < end {
            self.read().await?;
        }
        if status == request.expected {
            return Ok(&self.received[body..end]);
        }
        let asked = String::from_utf8_lossy(&request.bytes);
        let asked = asked.lines().next().unwrap_or_default();
        let said = String::from_utf8_lossy(&self.received[body..end]);
        Err(io::Error::other(format!("{asked}: {status} came, {} was expected: {said}", request.expected)))
    }

    async fn length(&mut self, request: &Request, buffer: &RefCell<Vec<u8>>) -> io::Result<u64> {
        self.stream.write_all(&request.bytes).await?;
        self.received.clear();
        let (status, body, length) = loop {
            if let Some(head) = head(&self.received)? {
                break head;
            }
            self.read().await?;
        };
        if status != request.expected {
            let asked = String::from_utf8_lossy(&request.bytes);
            let asked = asked.lines().next().unwrap_or_default();
            return Err(io::Error::other(format!(
                "{asked}: {status} came, {} was expected",
                request.expected
            )));
        }
        let mut left = length - (self.received.len() - body);
        while left > 0 {
            self.stream.readable().await?;
            match self.stream.try_read(&mut buffer.borrow_mut()) {
                Ok(0) => return Err(closed()),
                Ok(bytes) => left -= bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(length as u64)
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(closed()),
            _ => Ok(()),
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}

/// Status, where the body begins, and its length; `None` until the whole head is there.
fn head(received: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "the server does not speak HTTP/1.1");
    let text = std::str::from_utf8(&received[..end]).map_err(|_| strange())?;
    let status = text.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(strange)?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = match lengths.next() {
        Some((_, value)) => value.trim().parse().map_err(|_| strange())?,
        None if status == 204 => 0,
        None => return Err(io::Error::other("the answer does not say how long it is")),
    };
    Ok(Some((status, end + 4, length)))
}
