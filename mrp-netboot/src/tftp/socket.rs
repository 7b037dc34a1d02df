//! UDP as the server needs it: the address that was asked, a large receive buffer, a window in one system call.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, getsockopt, recvmsg, sendmmsg, sendmsg,
    setsockopt, sockopt,
};

use super::negotiation::Terms;
use super::packet::{ErrorCode, HEADER, data_header, encode_error};
use super::source::Body;

/// Receive buffer of the listening socket: a rack that is switched on at once asks within a few milliseconds.
pub(super) const RECEIVE_BUFFER: usize = 16 << 20;
/// Longest request. RFC 2347 allows 512 bytes; what is longer than this is refused.
pub(super) const MAX_REQUEST: usize = 2048;
/// Segments and bytes of one send (the kernel's UDP_MAX_SEGMENTS, and the largest datagram).
const MAX_SEGMENTS: u64 = 64;
const MAX_SEND: u64 = 65_000;
/// Headers of IPv4 and UDP, and of IPv6 and UDP.
const IPV4_HEADERS: u16 = 28;
const IPV6_HEADERS: u16 = 48;
/// IPv6 tells the path's MTU through no call of ours: Ethernet's is assumed.
const IPV6_MTU: u16 = 1500;

/// The socket on which requests come in.
#[derive(Debug)]
pub(super) struct ListenSocket {
    socket: UdpSocket,
    /// Bytes of receive buffer that the kernel granted.
    receive_buffer: usize,
}

/// A datagram on the listening socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram {
    pub(super) len: usize,
    pub(super) truncated: bool,
    pub(super) client: SocketAddr,
    /// The address that was asked, with port 0: what to answer from.
    pub(super) local: SocketAddr,
}

impl ListenSocket {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        if address.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        }
        // The kernel doubles what was asked for, for its own bookkeeping.
        let receive_buffer = getsockopt(&socket, sockopt::RcvBuf)? / 2;
        Ok(Self { socket, receive_buffer })
    }

    pub(super) fn as_socket(&self) -> &UdpSocket {
        &self.socket
    }

    pub(super) fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Receives one datagram; `None` if it was not sent to one address of ours alone (RFC 1123, 4.2.3.5).
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        let mut control = nix::cmsg_space!(nix::libc::in6_pktinfo, nix::libc::in_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let message = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), MsgFlags::empty())?;
        let Some(client) = message.address.and_then(|address| to_std(&address)) else { return Ok(None) };
        let local = message.cmsgs()?.find_map(|control| local_address(&control));
        let (len, truncated) = (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC));
        let canonical = SocketAddr::new(client.ip().to_canonical(), client.port());
        // The scope of a link-local address stays with it.
        let client = if canonical.is_ipv4() { canonical } else { client };
        Ok(local.flatten().map(|local| Datagram { len, truncated, client, local }))
    }
}

fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}

/// The address that a datagram was sent to: `Some(None)` for a broadcast or multicast address.
fn local_address(control: &ControlMessageOwned) -> Option<Option<SocketAddr>> {
    match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let (asked, ours) = (info.ipi_addr.s_addr, info.ipi_spec_dst.s_addr);
            Some((asked == ours).then(|| SocketAddr::from((ours.to_ne_bytes(), 0))))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let local = match IpAddr::V6(ip).to_canonical() {
                IpAddr::V4(ip) => SocketAddr::from((ip, 0)),
                IpAddr::V6(_) => {
                    let scope = if ip.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                    SocketAddrV6::new(ip, 0, 0, scope).into()
                }
            };
            Some((!local.ip().is_multicast()).then_some(local))
        }
        _ => None,
    }
}

/// Answers a request by an error, from a port of its own.
pub(super) fn refuse(local: SocketAddr, client: SocketAddr, code: ErrorCode, text: &str) -> io::Result<()> {
    connect(local, client)?.send(&encode_error(code, text)).map(drop)
}

fn connect(local: SocketAddr, client: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(local)?;
    socket.set_nonblocking(true)?;
    socket.connect(client)?;
    Ok(socket)
}

/// A transfer's socket: a port of its own on the address that was asked, connected to the client.
#[derive(Debug)]
pub(super) struct TransferSocket {
    socket: UdpSocket,
    /// Bytes of UDP's payload that fit one packet of the path.
    path_payload: u16,
    /// The kernel cuts a window into datagrams.
    segmented: bool,
}

/// How much of what was to be sent went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Blocks(u64),
    /// The socket's buffer is full.
    WouldBlock,
}

/// Why nothing went out.
#[derive(Debug)]
pub(super) enum SendError {
    /// The client's port is closed.
    Vanished,
    Socket(io::Error),
    Read(io::Error),
}

impl TransferSocket {
    pub(super) fn connect(local: SocketAddr, client: SocketAddr) -> io::Result<Self> {
        let socket = connect(local, client)?;
        let path_payload = if local.is_ipv4() {
            let mtu = getsockopt(&socket, sockopt::IpMtu)?;
            u16::try_from(mtu).unwrap_or(u16::MAX).saturating_sub(IPV4_HEADERS)
        } else {
            IPV6_MTU - IPV6_HEADERS
        };
        Ok(Self { socket, path_payload, segmented: false })
    }

    pub(super) fn as_socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The largest block that fits one packet of the path.
    pub(super) fn path_blksize(&self) -> u16 {
        self.path_payload.saturating_sub(HEADER as u16)
    }

    /// Lets the kernel cut windows into datagrams, where it can.
    pub(super) fn segment(&mut self, terms: &Terms) {
        let datagram = terms.blksize.saturating_add(HEADER as u16);
        self.segmented = terms.windowsize > 1
            && datagram <= self.path_payload
            && setsockopt(&self.socket, sockopt::UdpGsoSegment, &i32::from(datagram)).is_ok();
    }

    pub(super) fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let len = self.socket.recv(buffer)?;
        Ok(&buffer[..len])
    }

    pub(super) fn send(&self, packet: &[u8]) -> Result<Sent, SendError> {
        sent(self.socket.send(packet).map(|_| 1))
    }

    /// Sends blocks from `first` on, as many of `count` as one call takes.
    pub(super) fn send_blocks(
        &mut self,
        body: &Body,
        terms: &Terms,
        first: u64,
        count: u64,
        scratch: &mut Vec<u8>,
    ) -> Result<Sent, SendError> {
        let blksize = usize::from(terms.blksize);
        let count = count.min(MAX_SEGMENTS).min(MAX_SEND / (blksize + HEADER) as u64).max(1);
        let offset = (first - 1) * blksize as u64;
        let len = (count * blksize as u64).min(terms.total - offset) as usize;
        let data = read(body, offset, len, scratch).map_err(SendError::Read)?;
        let headers: Vec<_> = (first..first + count).map(|block| data_header(block as u16)).collect();
        let slices: Vec<_> = headers
            .iter()
            .enumerate()
            .map(|(index, header)| {
                let block = &data[(index * blksize).min(len)..((index + 1) * blksize).min(len)];
                [IoSlice::new(header), IoSlice::new(block)]
            })
            .collect();
        if self.segmented || count == 1 {
            let whole =
                sendmsg::<()>(self.socket.as_raw_fd(), slices.as_flattened(), &[], MsgFlags::empty(), None);
            match whole {
                // The device, or a path that got narrower, cannot take segments: one datagram a block from here on.
                Err(Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE | Errno::ENOPROTOOPT) if self.segmented => {
                    self.segmented = false;
                    setsockopt(&self.socket, sockopt::UdpGsoSegment, &0)
                        .map_err(|errno| SendError::Socket(errno.into()))?;
                }
                whole => return sent(whole.map(|_| count).map_err(io::Error::from)),
            }
        }
        self.send_each(&slices)
    }

    fn send_each(&self, slices: &[[IoSlice<'_>; 2]]) -> Result<Sent, SendError> {
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(slices.len(), None);
        let addresses = [None; MAX_SEGMENTS as usize];
        let flags = MsgFlags::empty();
        let results = sendmmsg(self.socket.as_raw_fd(), &mut headers, slices, addresses, [], flags);
        sent(results.map(|results| results.count() as u64).map_err(io::Error::from))
    }
}

fn sent(result: io::Result<u64>) -> Result<Sent, SendError> {
    result.map(Sent::Blocks).or_else(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(Sent::WouldBlock),
        ErrorKind::ConnectionRefused => Err(SendError::Vanished),
        _ => Err(SendError::Socket(error)),
    })
}

fn read<'a>(body: &'a Body, offset: u64, len: usize, scratch: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
    match body {
        Body::Bytes(bytes) => Ok(&bytes[offset as usize..offset as usize + len]),
        Body::File { file, .. } => {
            if scratch.len() < len {
                scratch.resize(len, 0);
            }
            read_file(file, &mut scratch[..len], offset)?;
            Ok(&scratch[..len])
        }
    }
}

fn read_file(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}
