//! What an observer makes of the frames that it hears. Pure: frames and times go in, sightings come out.
//!
//! What is remembered is bounded, whatever is sent: clients, what was told of each, and how fast new clients are taken in.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dhcproto::v4::MessageType;
use mrp_core::mac::MacAddr;
use mrp_core::sighting::{Heard, SeenClient, SeenServer, Sighting};

use super::message::Message;
use super::told::{PROBLEM, ROUTINE, Told};

/// Ethernet's hardware type.
const ETHERNET: u8 = 1;
/// Clients that are remembered; those that were silent for longest make room.
const MOST_CLIENTS: usize = 8192;
/// Servers that are remembered, and hosts behind one server identifier.
const MOST_SERVERS: usize = 64;
/// New clients that are taken in at once, and how long each later one waits: a flood of made-up addresses gets no further.
const NEW_CLIENTS: u32 = 2000;
const NEW_CLIENT_EVERY: Duration = Duration::from_secs(1);
/// DISCOVERs in a row that mean that a client gets nowhere.
const TRIES: u32 = 3;
/// A message that comes again within this time is a copy of a relay's, or of another interface.
const COPY: Duration = Duration::from_millis(500);
/// A client that was silent for so long begins anew.
const EXCHANGE: Duration = Duration::from_secs(120);
/// For so long a machine's UUID, or a server's MAC address, counts.
const MEMORY: Duration = Duration::from_secs(60 * 60);

/// Messages by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// By the name of their type.
    pub(super) messages: BTreeMap<&'static str, u64>,
    /// That could not be read.
    pub(super) malformed: u64,
    /// Of clients that were not taken in: too many new ones at once.
    pub(super) passed_over: u64,
}

/// Watches the exchanges of a network.
#[derive(Debug)]
pub(super) struct Watch {
    known_servers: Vec<Ipv4Addr>,
    clients: HashMap<MacAddr, Client>,
    network: Told<Heard>,
    /// When each host behind a server identifier was last heard.
    servers: HashMap<SeenServer, Instant>,
    /// When the next new client would be taken in if none had been saved up.
    intake: Option<Instant>,
    sightings: VecDeque<Sighting>,
    counts: Counts,
}

/// What is known of a client.
#[derive(Debug)]
struct Client {
    seen: SeenClient,
    heard: Instant,
    told: Told<Heard>,
    /// The last message that it sent.
    last: Option<MessageType>,
    /// DISCOVERs since it last got anywhere.
    tries: u32,
    /// The number of the exchange that it is in, and who made offers in it.
    xid: u32,
    offers: BTreeSet<Ipv4Addr>,
    /// Its UUID.
    machine: Option<(Vec<u8>, Instant)>,
}

impl Watch {
    /// Watches a network whose servers are these; where there are none, it is not known which ones are to be.
    pub(super) fn new(known_servers: Vec<Ipv4Addr>) -> Self {
        Self {
            known_servers,
            clients: HashMap::new(),
            network: Told::default(),
            servers: HashMap::new(),
            intake: None,
            sightings: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes in a frame that was heard on an interface.
    pub(super) fn handle_frame(&mut self, interface: &str, frame: &[u8], now: Instant) {
        match Message::decode(frame) {
            Ok(None) => {}
            Err(_) => self.counts.malformed += 1,
            Ok(Some(message)) => {
                *self.counts.messages.entry(name_of(message.kind)).or_default() += 1;
                self.handle_message(interface, &message, now);
            }
        }
    }

    /// The next sighting.
    pub(super) fn poll_sighting(&mut self) -> Option<Sighting> {
        self.sightings.pop_front()
    }

    /// What was counted.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    fn handle_message(&mut self, interface: &str, message: &Message, now: Instant) {
        let server = message.server.filter(|_| message.reply);
        let server = server.map(|id| SeenServer { id, mac: Some(message.source) });
        if let Some(server) = server {
            self.check_server(interface, server, now);
        }
        let ethernet: Option<[u8; 6]> = message.chaddr.as_slice().try_into().ok();
        let Some(mac) =
            ethernet.map(MacAddr).filter(|mac| message.hardware == ETHERNET && *mac != MacAddr([0; 6]))
        else {
            if !message.reply {
                let id = message.client_id.as_deref().unwrap_or(&message.chaddr);
                let what = Heard::NoEthernet { hardware: message.hardware, id: Hex(id).to_string() };
                self.tell_of_network(interface, what, now);
            }
            return;
        };
        if !self.admits(mac, message, now) {
            self.counts.passed_over += 1;
            return;
        }
        let Some(client) = self.clients.get_mut(&mac) else { return };
        let mut news = Vec::new();
        if message.reply {
            client.hear_server(message, server, &mut news);
        } else {
            client.hear_client(message, now, &mut news);
        }
        // Where the server's answers go to the client alone, the client's words tell of it.
        if let Some(id) = message.server.filter(|id| !message.reply && self.is_foreign(*id))
            && !self.servers.keys().any(|server| server.id == id)
        {
            let server = SeenServer { id, mac: None };
            self.tell_of_network(interface, Heard::UnknownServer { server }, now);
        }
        let Some(client) = self.clients.get_mut(&mac) else { return };
        for what in news {
            let pause = if what.is_routine() { ROUTINE } else { PROBLEM };
            if client.told.heard(what.clone(), pause, now) {
                let (interface, seen) = (interface.to_owned(), client.seen.clone());
                self.sightings.push_back(Sighting { interface, client: Some(seen), what });
            }
        }
    }

    /// Makes room for a client. False where it has to wait, and for answers to a client that was not heard.
    fn admits(&mut self, mac: MacAddr, message: &Message, now: Instant) -> bool {
        if self.clients.contains_key(&mac) {
            return true;
        }
        // A bucket that fills by one each second and holds so many: empty when the time is that far ahead.
        let ahead = NEW_CLIENT_EVERY * NEW_CLIENTS;
        let next = self.intake.filter(|next| *next > now).unwrap_or(now);
        if next.duration_since(now) >= ahead {
            return false;
        }
        self.intake = Some(next + NEW_CLIENT_EVERY);
        if self.clients.len() >= MOST_CLIENTS {
            let mut heard: Vec<Instant> = self.clients.values().map(|client| client.heard).collect();
            let (_, oldest, _) = heard.select_nth_unstable(MOST_CLIENTS / 8);
            let oldest = *oldest;
            self.clients.retain(|_, client| client.heard > oldest);
        }
        let seen = SeenClient {
            mac,
            hostname: None,
            client_arch: None,
            vendor_class: None,
            client_id: None,
            relay: None,
        };
        let (told, offers) = (Told::default(), BTreeSet::new());
        let client =
            Client { seen, heard: now, told, last: None, tries: 0, xid: message.xid, offers, machine: None };
        self.clients.insert(mac, client);
        true
    }

    fn check_server(&mut self, interface: &str, server: SeenServer, now: Instant) {
        self.servers.retain(|_, heard| now.duration_since(*heard) < MEMORY);
        if self.servers.len() < MOST_SERVERS || self.servers.contains_key(&server) {
            self.servers.insert(server, now);
        }
        let other = self.servers.keys().copied().filter(|other| other.id != server.id).min();
        if self.is_foreign(server.id) {
            self.tell_of_network(interface, Heard::UnknownServer { server }, now);
        } else if let Some(other) = other.filter(|_| self.known_servers.is_empty()) {
            let mut servers = [server, other];
            servers.sort();
            self.tell_of_network(interface, Heard::SecondServer { servers }, now);
        }
        let twin = self.servers.keys().filter(|other| other.id == server.id && other.mac != server.mac);
        if let (Some(one), Some(other)) = (server.mac, twin.filter_map(|twin| twin.mac).min()) {
            let mut macs = [one, other];
            macs.sort();
            self.tell_of_network(interface, Heard::SharedServerId { id: server.id, macs }, now);
        }
    }

    fn is_foreign(&self, server: Ipv4Addr) -> bool {
        !self.known_servers.is_empty() && !self.known_servers.contains(&server)
    }

    fn tell_of_network(&mut self, interface: &str, what: Heard, now: Instant) {
        if self.network.heard(what.clone(), PROBLEM, now) {
            self.sightings.push_back(Sighting { interface: interface.to_owned(), client: None, what });
        }
    }
}

impl Client {
    fn hear_client(&mut self, message: &Message, now: Instant, news: &mut Vec<Heard>) {
        let silence = now.duration_since(self.heard);
        if silence > EXCHANGE || (message.xid != self.xid && self.tries == 0) {
            self.tries = 0;
            self.offers.clear();
        }
        let copy = message.xid == self.xid && self.last == Some(message.kind) && silence < COPY;
        (self.heard, self.xid, self.last) = (now, message.xid, Some(message.kind));
        self.describe(message);
        if copy {
            return;
        }
        self.check_machine(message, now, news);
        match message.kind {
            MessageType::Discover => {
                self.tries += 1;
                if self.tries == 1 {
                    news.push(Heard::Asked { discover: true });
                }
                if self.tries >= TRIES {
                    let ignored = !self.offers.is_empty();
                    news.push(if ignored { Heard::OffersIgnored } else { Heard::Unanswered });
                }
            }
            MessageType::Request => match (message.server, message.requested) {
                (Some(id), Some(address)) => {
                    if !self.offers.contains(&id) {
                        news.push(Heard::Took { server: SeenServer { id, mac: None }, address });
                    }
                    self.tries = 0;
                }
                _ => news.push(Heard::Asked { discover: false }),
            },
            MessageType::Decline => news.push(Heard::Declined { address: message.requested }),
            _ => {}
        }
    }

    fn hear_server(&mut self, message: &Message, server: Option<SeenServer>, news: &mut Vec<Heard>) {
        let Some(server) = server else { return };
        match (message.kind, message.yiaddr) {
            (MessageType::Offer, Some(address)) => {
                if message.xid == self.xid && self.offers.len() < MOST_SERVERS {
                    self.offers.insert(server.id);
                }
                news.push(Heard::Offered { server, address, boot_file: message.boot_file.clone() });
                if self.offers.len() > 1 {
                    news.push(Heard::SeveralOffers { servers: self.offers.iter().copied().collect() });
                }
            }
            (MessageType::Ack, Some(address)) => {
                self.tries = 0;
                self.offers.clear();
                news.push(Heard::Gave { server, address });
            }
            (MessageType::Nak, _) => {
                news.push(Heard::Refused {
                    server,
                    address: message.requested,
                    reason: message.text.clone(),
                });
            }
            _ => {}
        }
    }

    /// Takes over what the client says of itself. An operating system sends no architecture: it is the message's, not the
    /// machine's.
    fn describe(&mut self, message: &Message) {
        let own = [&[ETHERNET][..], &self.seen.mac.0].concat();
        self.seen.client_id = message.client_id.clone().filter(|id| *id != own);
        self.seen.hostname.clone_from(&message.hostname);
        self.seen.client_arch = message.client_arch;
        self.seen.vendor_class.clone_from(&message.vendor_class);
        self.seen.relay = message.giaddr;
    }

    fn check_machine(&mut self, message: &Message, now: Instant, news: &mut Vec<Heard>) {
        let Some(id) = message.machine_id.as_ref().filter(|id| is_uuid(id)) else { return };
        if let Some((known, heard)) = &self.machine
            && now.duration_since(*heard) < MEMORY
            && known != id
            && *known != swapped(id)
        {
            let mut machines = [Hex(&known[1..]).to_string(), Hex(&id[1..]).to_string()];
            machines.sort();
            news.push(Heard::SharedMac { machines });
        }
        self.machine = Some((id.clone(), now));
    }
}

/// Type 0 and 16 bytes (RFC 4578, 2.3), of which some differ.
fn is_uuid(id: &[u8]) -> bool {
    id.len() == 17 && id[0] == 0 && id[1..].iter().any(|byte| *byte != id[1])
}

/// The same UUID with its first three fields in the other byte order: firmware and iPXE differ in that.
fn swapped(id: &[u8]) -> Vec<u8> {
    let mut id = id.to_vec();
    for field in [1..5, 5..7, 7..9] {
        if let Some(field) = id.get_mut(field) {
            field.reverse();
        }
    }
    id
}

fn name_of(kind: MessageType) -> &'static str {
    match kind {
        MessageType::Discover => "discover",
        MessageType::Offer => "offer",
        MessageType::Request => "request",
        MessageType::Decline => "decline",
        MessageType::Ack => "ack",
        MessageType::Nak => "nak",
        MessageType::Release => "release",
        MessageType::Inform => "inform",
        _ => "other",
    }
}

/// Bytes in hexadecimal digits, at most 64 of them.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(64).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests;
