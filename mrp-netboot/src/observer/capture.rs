//! Takes in the frames of one interface on a thread of its own. The kernel passes on DHCP's alone, so that boot files, which
//! go through the same interface, cost nothing.

use std::io::{self, ErrorKind};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pnet_datalink::{Channel, Config, NetworkInterface};
use socket2::{Domain, SockFilter, Socket, Type};

use super::Shared;
use super::message::{CLIENT_PORT, SERVER_PORT};

/// Longest time until a thread notices that it is to end.
const NOTICE: Duration = Duration::from_millis(500);
/// Receive buffer: a thousand clients that ask at once.
const BUFFER: usize = 4 << 20;
/// Largest frame that is of interest.
const MAX_FRAME: u32 = 9216;

/// A thread at an interface.
#[derive(Debug)]
pub(super) struct Capture {
    interface: String,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

impl Capture {
    /// Listens at an interface until it goes away, or until this is dropped.
    pub(super) fn start(interface: &NetworkInterface, shared: Arc<Shared>) -> io::Result<Self> {
        let socket = filtered()?;
        // It is the channel's from here on, which closes it also where it fails.
        let config = Config {
            socket_fd: Some(socket.into_raw_fd()),
            read_timeout: Some(NOTICE),
            read_buffer_size: MAX_FRAME as usize,
            promiscuous: false,
            ..Config::default()
        };
        let Channel::Ethernet(_, mut frames) = pnet_datalink::channel(interface, config)? else {
            return Err(io::Error::new(ErrorKind::Unsupported, "no Ethernet interface"));
        };
        let (name, stop) = (interface.name.clone(), Arc::new(AtomicBool::new(false)));
        let (of_thread, stopped) = (name.clone(), Arc::clone(&stop));
        let thread = thread::Builder::new().name(format!("dhcp-{name}")).spawn(move || {
            while !stopped.load(Relaxed) {
                match frames.next() {
                    Ok(frame) => shared.take(&of_thread, frame),
                    Err(error) if goes_on(&error) => {}
                    Err(error) => {
                        tracing::info!(interface = of_thread, %error, "listening to DHCP ended; it goes on when the interface does");
                        return;
                    }
                }
            }
        })?;
        Ok(Self { interface: name, stop, thread })
    }

    /// The interface's name.
    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// The interface went away.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

fn goes_on(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Fails with `PermissionDenied` where this process may not listen.
pub(super) fn check_permission() -> io::Result<()> {
    packet_socket().map(drop)
}

/// A socket that hears nothing yet.
fn packet_socket() -> io::Result<Socket> {
    Socket::new(Domain::PACKET, Type::RAW, None)
}

/// A socket that will hear DHCP alone.
fn filtered() -> io::Result<Socket> {
    let socket = packet_socket()?;
    socket.attach_filter(&filter())?;
    // What the kernel does not grant is no reason to hear nothing.
    let _ = socket.set_recv_buffer_size(BUFFER);
    Ok(socket)
}

/// Whole IPv4 packets over UDP, of one of DHCP's ports to one of them (Linux, networking/filter). The kernel has taken VLAN tags
/// away before.
fn filter() -> [SockFilter; 15] {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF_AT_X: u16 = 0x48;
    const LOAD_X_HEADER_LENGTH: u16 = 0xb1;
    const IF_EQUAL: u16 = 0x15;
    const IF_BITS: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let (server, client) = (u32::from(SERVER_PORT), u32::from(CLIENT_PORT));
    // Where a test fails, the program goes on at its last line.
    [
        SockFilter::new(LOAD_HALF, 0, 0, 12),
        SockFilter::new(IF_EQUAL, 0, 12, 0x0800),
        SockFilter::new(LOAD_BYTE, 0, 0, 23),
        SockFilter::new(IF_EQUAL, 0, 10, 17),
        SockFilter::new(LOAD_HALF, 0, 0, 20),
        SockFilter::new(IF_BITS, 8, 0, 0x1fff),
        SockFilter::new(LOAD_X_HEADER_LENGTH, 0, 0, 14),
        SockFilter::new(LOAD_HALF_AT_X, 0, 0, 14),
        SockFilter::new(IF_EQUAL, 1, 0, server),
        SockFilter::new(IF_EQUAL, 0, 4, client),
        SockFilter::new(LOAD_HALF_AT_X, 0, 0, 16),
        SockFilter::new(IF_EQUAL, 1, 0, server),
        SockFilter::new(IF_EQUAL, 0, 1, client),
        SockFilter::new(RETURN, 0, 0, MAX_FRAME),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}
