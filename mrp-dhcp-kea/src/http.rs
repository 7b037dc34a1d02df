//! As much of HTTP/1.1 (RFC 9112) as the hook speaks: one request a connection, an answer in lines.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::hook::{Held, Life};

/// How long a connection may take to open.
const OPENING: Duration = Duration::from_secs(2);
/// Longest line, of a head or of a body.
const LONGEST_LINE: usize = 64 << 10;
/// Most lines of a head.
const HEAD_LINES: usize = 100;

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `host:port`.
    pub authority: &'a str,
    /// The path.
    pub path: &'a str,
    /// The shared token.
    pub token: Option<&'a str>,
    /// JSON to post; without it, `GET`.
    pub body: Option<&'a str>,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection failed, ended or was silent for too long.
    #[error("{}", words(.0))]
    Io(#[from] io::Error),
    /// It is no HTTP.
    #[error("it does not speak HTTP: {0}")]
    Protocol(&'static str),
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "the connection was cut off".to_owned(),
        _ => error.to_string(),
    }
}

/// A connection with bounds on silence and on the whole time.
#[derive(Debug)]
pub struct Timed<'a> {
    stream: TcpStream,
    silence: Duration,
    until: Option<Instant>,
    /// Lets the hook's end cut the connection.
    _held: Held<'a>,
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        let wait = left.map_or(self.silence, |left| left.min(self.silence));
        if wait.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(wait))?;
        self.stream.read(into)
    }
}

/// Sends a request and reads the head of its answer. The other side may be silent for `silence`; the whole answer may
/// take `whole`.
pub fn ask<'a>(
    request: &Request<'_>,
    life: &'a Life,
    silence: Duration,
    whole: Option<Duration>,
) -> Result<Response<Timed<'a>>, HttpError> {
    let mut stream = open(request.authority)?;
    let held = life.hold(&stream)?;
    stream.set_write_timeout(Some(silence))?;
    stream.set_nodelay(true)?;
    stream.write_all(text(request).as_bytes())?;
    let until = whole.map(|whole| Instant::now() + whole);
    Response::read(Timed { stream, silence, until, _held: held })
}

fn open(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, OPENING) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn text(request: &Request<'_>) -> String {
    let Request { authority, path, token, body } = request;
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    if let Some(token) = token {
        text += &format!("X-MRP-Token: {token}\r\n");
    }
    if let Some(body) = body {
        text += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    text + "\r\n" + body.unwrap_or_default()
}

/// An answer whose head was read.
#[derive(Debug)]
pub struct Response<R> {
    status: u16,
    reader: BufReader<R>,
    framing: Framing,
    /// Bytes of the body that were read and not yet given out.
    pending: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    /// So many bytes are left.
    Length(u64),
    /// So many bytes are left of a chunk; 0 before the next one.
    Chunked(u64),
    /// Until the connection ends.
    ToEnd,
    /// Nothing is left.
    Over,
}

impl<R: Read> Response<R> {
    fn read(from: R) -> Result<Self, HttpError> {
        let mut reader = BufReader::new(from);
        let first = head_line(&mut reader)?;
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let status = status.ok_or(HttpError::Protocol("its first line has no status"))?;
        let mut framing = Framing::ToEnd;
        for _ in 0..HEAD_LINES {
            let line = head_line(&mut reader)?;
            if line.is_empty() {
                return Ok(Self { status, reader, framing, pending: Vec::new() });
            }
            let (name, value) =
                line.split_once(':').ok_or(HttpError::Protocol("a line of its head has no name"))?;
            if name.eq_ignore_ascii_case("transfer-encoding") {
                if !value.trim().eq_ignore_ascii_case("chunked") {
                    return Err(HttpError::Protocol("its encoding is unknown"));
                }
                framing = Framing::Chunked(0);
            } else if name.eq_ignore_ascii_case("content-length") && matches!(framing, Framing::ToEnd) {
                let length = value.trim().parse().map_err(|_| HttpError::Protocol("its length is none"))?;
                framing = Framing::Length(length);
            }
        }
        Err(HttpError::Protocol("its head does not end"))
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The next line of the body, without its end; `None` at the end of the body. A last line without an end is cut off.
    pub fn line(&mut self) -> Result<Option<String>, HttpError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.pending[searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.pending.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.pending, rest);
                line.pop();
                return match String::from_utf8(line) {
                    Ok(line) => Ok(Some(line)),
                    Err(_) => Err(HttpError::Protocol("a line is no text")),
                };
            }
            searched = self.pending.len();
            if searched > LONGEST_LINE {
                return Err(HttpError::Protocol("a line does not end"));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// True if more of the body is here already, so that the next line comes without a long wait.
    pub fn has_more(&self) -> bool {
        self.pending.contains(&b'\n') || !self.reader.buffer().is_empty()
    }

    /// Reads some bytes of the body; false at its end.
    fn fill(&mut self) -> Result<bool, HttpError> {
        let most = match self.framing {
            Framing::Over | Framing::Length(0) => return Ok(false),
            Framing::Chunked(0) => {
                let size = self.chunk_size()?;
                if size == 0 {
                    self.framing = Framing::Over;
                    return Ok(false);
                }
                size
            }
            Framing::Length(left) | Framing::Chunked(left) => left,
            Framing::ToEnd => u64::MAX,
        };
        let buffer = self.reader.fill_buf()?;
        if buffer.is_empty() {
            return match self.framing {
                Framing::ToEnd => Ok(false),
                _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            };
        }
        let taken = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        self.pending.extend_from_slice(&buffer[..taken]);
        self.reader.consume(taken);
        let left = most - taken as u64;
        self.framing = match self.framing {
            Framing::Length(_) => Framing::Length(left),
            Framing::Chunked(_) => {
                if left == 0 && !head_line(&mut self.reader)?.is_empty() {
                    return Err(HttpError::Protocol("a chunk is longer than it says"));
                }
                Framing::Chunked(left)
            }
            other => other,
        };
        Ok(true)
    }

    fn chunk_size(&mut self) -> Result<u64, HttpError> {
        let line = head_line(&mut self.reader)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(size, 16).map_err(|_| HttpError::Protocol("a chunk has no size"))
    }
}

/// A line of bounded length that ends with CR LF or LF, without that.
fn head_line(reader: &mut impl BufRead) -> Result<String, HttpError> {
    let mut line = Vec::new();
    reader.take(LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(match line.len() < LONGEST_LINE - 1 {
            true => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
            false => HttpError::Protocol("a line does not end"),
        });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| HttpError::Protocol("its head is no text"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes out in pieces of `size`.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = self.1.min(into.len()).min(self.0.len());
            let (now, rest) = self.0.split_at(size);
            into[..size].copy_from_slice(now);
            self.0 = rest;
            Ok(size)
        }
    }

    fn read(text: &[u8], piece: usize) -> Result<(u16, Vec<String>), HttpError> {
        let mut response = Response::read(Pieces(text, piece))?;
        let mut lines = Vec::new();
        while let Some(line) = response.line()? {
            lines.push(line);
        }
        Ok((response.status(), lines))
    }

    #[test]
    fn bodies_of_each_framing_are_read() {
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\none\nt\r\n3;x=y\r\nwo\n\r\n0\r\n\r\n";
        let length = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\none\ntwo\nleft over";
        let to_end = "HTTP/1.0 200 OK\nServer: x\n\none\ntwo\n";
        for text in [chunked, length, to_end] {
            for piece in [1, 2, 3, 1000] {
                let (status, lines) = read(text.as_bytes(), piece).unwrap();
                assert_eq!(
                    (status, lines),
                    (200, vec!["one".to_owned(), "two".to_owned()]),
                    "{text:?} {piece}"
                );
            }
        }
        assert_eq!(read(b"HTTP/1.1 500 Oh\r\n\r\n", 9).unwrap(), (500, vec![]));
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2 * LONGEST_LINE));
        let headers = format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(HEAD_LINES + 1));
        for (text, says) in [
            ("SSH-2.0-OpenSSH\r\n", "no status"),
            ("", "cut off"),
            ("HTTP/1.1 200", "cut off"),
            ("HTTP/1.1 2\u{e9}0 OK\r\n\r\n", "no status"),
            ("HTTP/1.1 200 OK\r\nno name\r\n\r\n", "has no name"),
            ("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "length is none"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "encoding is unknown"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no size"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "longer than it says"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "cut off"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", "cut off"),
            (&endless, "does not end"),
            (&headers, "does not end"),
        ] {
            let error = read(text.as_bytes(), 1000).unwrap_err().to_string();
            assert!(error.contains(says), "{text:.60?}: {error}");
        }
    }

    #[test]
    fn requests_are_written() {
        let request = Request { authority: "h:1", path: "/p", token: Some("t"), body: None };
        let expected = "GET /p HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\nX-MRP-Token: t\r\n\r\n";
        assert_eq!(text(&request), expected);
        let posted = text(&Request { token: None, body: Some("{}"), ..request });
        assert!(posted.starts_with("POST /p") && posted.ends_with("Content-Length: 2\r\n\r\n{}"), "{posted}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), piece in 1..20_usize) {
            let _ = read(&bytes, piece);
            let _ = read(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &bytes[..]].concat(), piece);
        }
    }
}
