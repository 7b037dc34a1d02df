//! Who is being served: one transfer for each client's port, and not too many of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A client that was heard less than this ago is not starting anew.
const RESTART_AFTER_MS: u64 = 1000;
const NO_WORKER: usize = usize::MAX;

/// The transfers of a server, by client and port.
#[derive(Debug)]
pub(super) struct Table {
    max: usize,
    max_per_client: usize,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    transfers: HashMap<SocketAddr, Arc<Place>>,
    per_client: HashMap<IpAddr, usize>,
    total: usize,
    last_id: u64,
}

/// What all threads know of a transfer.
#[derive(Debug)]
pub(super) struct Place {
    /// Unique in the server.
    pub(super) id: u64,
    request: Vec<u8>,
    worker: AtomicUsize,
    /// When a datagram of the transfer last came, in milliseconds since the server's start; 0 for never.
    heard_ms: AtomicU64,
    superseded: AtomicBool,
}

/// A place in the table, held until it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    table: Arc<Table>,
    client: SocketAddr,
    place: Arc<Place>,
}

/// What a request means.
#[derive(Debug)]
pub(super) enum Admission {
    /// A new transfer, perhaps instead of an old one of the same port.
    New { ticket: Ticket, superseded: Option<Arc<Place>> },
    /// The request of a transfer under way, sent again.
    Again(Arc<Place>),
    /// The server has as many transfers as it may.
    Full,
    /// The client has as many transfers as it may.
    ClientFull,
}

impl Table {
    pub(super) fn new(max: usize, max_per_client: usize) -> Arc<Self> {
        Arc::new(Self { max, max_per_client, places: Mutex::default() })
    }

    pub(super) fn admit(self: &Arc<Self>, client: SocketAddr, request: &[u8], now_ms: u64) -> Admission {
        let mut places = self.lock();
        let old = places.transfers.get(&client).cloned();
        if let Some(place) = old.as_ref().filter(|place| place.is_same(request, now_ms)) {
            return Admission::Again(Arc::clone(place));
        }
        // An old transfer of the same port leaves its place soon; it does not count.
        let freed = usize::from(old.is_some());
        if places.total - freed >= self.max {
            return Admission::Full;
        }
        if places.per_client.get(&client.ip()).map_or(0, |count| count - freed) >= self.max_per_client {
            return Admission::ClientFull;
        }
        places.last_id += 1;
        let place = Arc::new(Place {
            id: places.last_id,
            request: request.to_vec(),
            worker: AtomicUsize::new(NO_WORKER),
            heard_ms: AtomicU64::new(0),
            superseded: AtomicBool::new(false),
        });
        places.total += 1;
        *places.per_client.entry(client.ip()).or_default() += 1;
        places.transfers.insert(client, Arc::clone(&place));
        if let Some(old) = &old {
            old.superseded.store(true, Relaxed);
        }
        Admission::New { ticket: Ticket { table: Arc::clone(self), client, place }, superseded: old }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn is_same(&self, request: &[u8], now_ms: u64) -> bool {
        let heard = self.heard_ms.load(Relaxed);
        self.request == request && (heard == 0 || now_ms < heard + RESTART_AFTER_MS)
    }

    /// The worker that has the transfer, once it has begun.
    pub(super) fn worker(&self) -> Option<usize> {
        Some(self.worker.load(Relaxed)).filter(|worker| *worker != NO_WORKER)
    }

    pub(super) fn set_worker(&self, worker: usize) {
        self.worker.store(worker, Relaxed);
    }

    pub(super) fn heard(&self, now_ms: u64) {
        self.heard_ms.store(now_ms.max(1), Relaxed);
    }

    pub(super) fn is_superseded(&self) -> bool {
        self.superseded.load(Relaxed)
    }
}

impl Ticket {
    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut places = self.table.lock();
        places.total -= 1;
        if let Some(count) = places.per_client.get_mut(&self.client.ip()) {
            *count -= 1;
            if *count == 0 {
                places.per_client.remove(&self.client.ip());
            }
        }
        if places.transfers.get(&self.client).is_some_and(|place| place.id == self.place.id) {
            places.transfers.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], port))
    }

    fn admitted(admission: Admission) -> Ticket {
        match admission {
            Admission::New { ticket, .. } => ticket,
            other => panic!("not admitted: {other:?}"),
        }
    }

    #[test]
    fn one_transfer_for_each_port() {
        let table = Table::new(10, 10);
        let first = admitted(table.admit(client(1, 1000), b"a", 0));
        assert!(matches!(table.admit(client(1, 1000), b"a", 5000), Admission::Again(place) if place.id == 1));
        let other_port = admitted(table.admit(client(1, 1001), b"a", 0));
        let Admission::New { ticket: second, superseded: Some(old) } = table.admit(client(1, 1000), b"b", 0)
        else {
            panic!("another request takes the place");
        };
        assert!(old.id == first.place().id && old.is_superseded() && !second.place().is_superseded());
        drop(first);
        assert!(
            matches!(table.admit(client(1, 1000), b"b", 0), Admission::Again(_)),
            "the new one keeps the place"
        );
        drop((second, other_port));
        let places = table.lock();
        assert_eq!((places.total, places.transfers.len(), places.per_client.len()), (0, 0, 0));
    }

    #[test]
    fn a_silent_client_that_asks_again_starts_anew() {
        let table = Table::new(10, 10);
        let first = admitted(table.admit(client(1, 1000), b"a", 0));
        first.place().heard(10);
        assert!(matches!(table.admit(client(1, 1000), b"a", 500), Admission::Again(_)));
        assert!(matches!(
            table.admit(client(1, 1000), b"a", 1500),
            Admission::New { superseded: Some(_), .. }
        ));
    }

    #[test]
    fn limits() {
        let table = Table::new(3, 2);
        let mut tickets: Vec<_> =
            (0..2).map(|port| admitted(table.admit(client(1, port), b"a", 0))).collect();
        assert!(matches!(table.admit(client(1, 9), b"a", 0), Admission::ClientFull));
        tickets.push(admitted(table.admit(client(2, 1), b"a", 0)));
        assert!(matches!(table.admit(client(3, 1), b"a", 0), Admission::Full));
        tickets.push(admitted(table.admit(client(1, 0), b"other", 0)));
        tickets.clear();
        admitted(table.admit(client(3, 1), b"a", 0));
    }
}
