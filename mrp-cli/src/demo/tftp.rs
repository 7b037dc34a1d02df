//! The TFTP client in a simulated machine's firmware and boot loader (RFC 1350, 2347, 2348, 2349, 7440).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

const BLKSIZE: usize = 1428;
const WINDOW: u16 = 16;
const PATIENCE: Duration = Duration::from_millis(500);
const TRIES: u32 = 6;

/// Fetches a file, from the machine's own address.
pub(crate) async fn fetch(from: IpAddr, server: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((from, 0)).await?;
    let mut request = vec![0, 1];
    let (blksize, window) = (BLKSIZE.to_string(), WINDOW.to_string());
    for text in [path, "octet", "tsize", "0", "blksize", &blksize, "windowsize", &window] {
        request.extend_from_slice(text.as_bytes());
        request.push(0);
    }
    Transfer { socket, peer: server, last: request, file: Vec::new(), blksize: 512, window: 1 }.run().await
}

struct Transfer {
    socket: UdpSocket,
    /// The server's address; its port changes with the first answer.
    peer: SocketAddr,
    /// What is sent again when nothing comes.
    last: Vec<u8>,
    file: Vec<u8>,
    blksize: usize,
    window: u16,
}

impl Transfer {
    async fn run(mut self) -> io::Result<Vec<u8>> {
        let mut packet = vec![0; BLKSIZE + 4];
        let (mut tries, mut next, mut in_window, mut first) = (0, 1_u16, 0, true);
        self.send().await?;
        loop {
            let Ok(received) = timeout(PATIENCE, self.socket.recv_from(&mut packet)).await else {
                tries += 1;
                if tries == TRIES {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the TFTP server does not answer"));
                }
                self.send().await?;
                continue;
            };
            let (length, sender) = received?;
            if sender.ip() != self.peer.ip() || (!first && sender.port() != self.peer.port()) || length < 4 {
                continue;
            }
            let (opcode, number) = (packet[1], u16::from_be_bytes([packet[2], packet[3]]));
            match opcode {
                5 => {
                    let text = String::from_utf8_lossy(&packet[4..length]).trim_end_matches('\0').to_owned();
                    return Err(io::Error::other(format!("TFTP error {number}: {text}")));
                }
                6 if first => {
                    self.accept(&packet[2..length]);
                    self.peer = sender;
                    self.acknowledge(0).await?;
                }
                3 if number == next => {
                    self.peer = sender;
                    self.file.extend_from_slice(&packet[4..length]);
                    (next, in_window, tries) = (next.wrapping_add(1), in_window + 1, 0);
                    let last = length - 4 < self.blksize;
                    if last || in_window == self.window {
                        in_window = 0;
                        self.acknowledge(number).await?;
                    }
                    if last {
                        return Ok(self.file);
                    }
                }
                // Out of order: ask for what is missing (RFC 7440, 4).
                3 => {
                    in_window = 0;
                    self.acknowledge(next.wrapping_sub(1)).await?;
                }
                _ => continue,
            }
            first = false;
        }
    }

    fn accept(&mut self, options: &[u8]) {
        let texts: Vec<_> = options.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        for pair in texts.chunks_exact(2) {
            match &*pair[0].to_ascii_lowercase() {
                "blksize" => self.blksize = pair[1].parse().unwrap_or(512),
                "windowsize" => self.window = pair[1].parse().unwrap_or(1),
                _ => {}
            }
        }
    }

    async fn acknowledge(&mut self, number: u16) -> io::Result<()> {
        self.last = vec![0, 4];
        self.last.extend(number.to_be_bytes());
        self.send().await
    }

    async fn send(&self) -> io::Result<()> {
        self.socket.send_to(&self.last, self.peer).await.map(|_| ())
    }
}
