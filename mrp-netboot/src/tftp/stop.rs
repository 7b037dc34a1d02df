//! The end of the server: one flag, and what wakes each thread to see it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Wakes a thread that waits for its sockets.
#[derive(Debug)]
pub(super) struct Waker(pub(super) EventFd);

/// Ends all threads of a server.
#[derive(Debug, Default)]
pub(super) struct Stop {
    told: AtomicBool,
    wakers: Vec<Arc<Waker>>,
}

impl Waker {
    pub(super) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?)))
    }

    pub(super) fn wake(&self) {
        // It fails only if the counter is full, and then the thread wakes anyway.
        let _ = self.0.write(1);
    }

    pub(super) fn clear(&self) {
        // It fails only if the thread was not woken.
        let _ = self.0.read();
    }
}

impl Stop {
    pub(super) fn new(wakers: Vec<Arc<Waker>>) -> Arc<Self> {
        Arc::new(Self { told: AtomicBool::new(false), wakers })
    }

    pub(super) fn tell(&self) {
        self.told.store(true, Relaxed);
        self.wakers.iter().for_each(|waker| waker.wake());
    }

    pub(super) fn is_told(&self) -> bool {
        self.told.load(Relaxed)
    }
}
