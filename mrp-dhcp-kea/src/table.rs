//! What DHCP has to know of the machines: an immutable snapshot, indexed by MAC address and by address.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use mrp_core::api::kea::{TableClient, TableHead, TableLine};
use mrp_core::mac::MacAddr;

/// No text of the shared ones.
const NONE: u32 = u32::MAX;

/// All clients that are machines'. Some 40 bytes each.
#[derive(Debug, Default)]
pub struct Table {
    head: TableHead,
    /// Sorted by MAC address.
    entries: Box<[Entry]>,
    /// Each address with the place of its owner in `entries`; sorted.
    owners: Box<[(u32, u32)]>,
    /// All host names, one after the other.
    names: Box<str>,
    /// Texts that many clients have in common: boot loaders and URLs.
    shared: Box<[Box<str>]>,
}

#[derive(Debug)]
struct Entry {
    mac: [u8; 6],
    netboot: bool,
    name_length: u8,
    name_at: u32,
    /// 0 for none.
    ipv4: u32,
    boot_loader: u32,
    server_url: u32,
}

/// A client as the table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its MAC address.
    pub mac: MacAddr,
    /// The address that is given to nobody else.
    pub ipv4: Option<Ipv4Addr>,
    /// The machine's host name; empty where it would be none in DNS (RFC 1123, 2.1).
    pub hostname: &'a str,
    /// Whether it netboots.
    pub netboot: bool,
    /// Boot file for firmware that no name is known for.
    pub boot_loader: Option<&'a str>,
    /// Base of its URLs.
    pub server_url: Option<&'a str>,
}

impl Table {
    /// A table of these clients. Of two with one MAC address the later one counts.
    pub fn new(head: TableHead, clients: impl IntoIterator<Item = TableClient>) -> Self {
        Self::of(head, clients.into_iter().map(|client| (client.mac, client)).collect())
    }

    /// The same table with these changes.
    #[must_use]
    pub fn with(&self, changes: impl IntoIterator<Item = TableLine>) -> Self {
        let mut clients: BTreeMap<MacAddr, TableClient> =
            self.clients().map(|client| (client.mac, client)).collect();
        for change in changes {
            match change {
                TableLine::Client(client) => drop(clients.insert(client.mac, client)),
                TableLine::Gone(mac) => drop(clients.remove(&mac)),
                TableLine::Begin(_) | TableLine::Complete(_) => {}
            }
        }
        Self::of(self.head.clone(), clients)
    }

    fn of(head: TableHead, clients: BTreeMap<MacAddr, TableClient>) -> Self {
        let (mut names, mut shared) = (String::new(), Shared::default());
        let mut entries = Vec::with_capacity(clients.len());
        for client in clients.into_values() {
            let name = if is_label(&client.hostname) { client.hostname.as_str() } else { "" };
            entries.push(Entry {
                mac: client.mac.0,
                netboot: client.netboot,
                name_length: u8::try_from(name.len()).unwrap_or(0),
                name_at: u32::try_from(names.len()).unwrap_or(0),
                ipv4: client.ipv4.map_or(0, u32::from),
                boot_loader: shared.place(client.boot_loader),
                server_url: shared.place(client.server_url),
            });
            names.push_str(name);
        }
        let places = entries.iter().zip(0..).filter(|(entry, _)| entry.ipv4 != 0);
        let mut owners: Vec<(u32, u32)> = places.map(|(entry, place)| (entry.ipv4, place)).collect();
        owners.sort_unstable();
        // An address that several have is the first one's.
        owners.dedup_by_key(|(address, _)| *address);
        let shared = shared.texts.into_boxed_slice();
        Self { head, entries: entries.into(), owners: owners.into(), names: names.into(), shared }
    }

    /// What holds for all clients.
    pub fn head(&self) -> &TableHead {
        &self.head
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The client with a MAC address.
    pub fn by_mac(&self, mac: MacAddr) -> Option<Client<'_>> {
        let place = self.entries.binary_search_by_key(&mac.0, |entry| entry.mac).ok()?;
        Some(self.client(place))
    }

    /// The client that an address belongs to.
    pub fn by_address(&self, address: Ipv4Addr) -> Option<Client<'_>> {
        Some(self.client(self.owner(address.into())?))
    }

    /// All clients as they were told, sorted by MAC address.
    pub fn clients(&self) -> impl Iterator<Item = TableClient> {
        (0..self.entries.len()).map(|place| {
            let client = self.client(place);
            TableClient {
                mac: client.mac,
                ipv4: Some(self.entries[place].ipv4).filter(|address| *address != 0).map(Ipv4Addr::from),
                hostname: client.hostname.to_owned(),
                netboot: client.netboot,
                boot_loader: client.boot_loader.map(str::to_owned),
                server_url: client.server_url.map(str::to_owned),
            }
        })
    }

    /// Clients whose address is another one's, with that one.
    pub fn contested(&self) -> Vec<(MacAddr, Ipv4Addr, MacAddr)> {
        let places = self.entries.iter().enumerate().filter(|(_, entry)| entry.ipv4 != 0);
        let contested = places.filter_map(|(place, entry)| {
            let owner = self.owner(entry.ipv4).filter(|owner| *owner != place)?;
            Some((MacAddr(entry.mac), entry.ipv4.into(), MacAddr(self.entries[owner].mac)))
        });
        contested.collect()
    }

    /// Bytes that the table takes.
    pub fn size(&self) -> usize {
        let shared: usize = self.shared.iter().map(|text| text.len() + size_of::<Box<str>>()).sum();
        size_of_val(&*self.entries) + size_of_val(&*self.owners) + self.names.len() + shared
    }

    fn owner(&self, address: u32) -> Option<usize> {
        let found = self.owners.binary_search_by_key(&address, |(address, _)| *address).ok()?;
        usize::try_from(self.owners[found].1).ok()
    }

    fn client(&self, place: usize) -> Client<'_> {
        let entry = &self.entries[place];
        let name_at = entry.name_at as usize;
        let own = entry.ipv4 != 0 && self.owner(entry.ipv4) == Some(place);
        Client {
            mac: MacAddr(entry.mac),
            ipv4: own.then(|| entry.ipv4.into()),
            hostname: &self.names[name_at..name_at + usize::from(entry.name_length)],
            netboot: entry.netboot,
            boot_loader: self.text(entry.boot_loader),
            server_url: self.text(entry.server_url),
        }
    }

    fn text(&self, place: u32) -> Option<&str> {
        self.shared.get(place as usize).map(|text| &**text)
    }
}

/// Texts that are stored once.
#[derive(Default)]
struct Shared {
    texts: Vec<Box<str>>,
    places: HashMap<Box<str>, u32>,
}

impl Shared {
    fn place(&mut self, text: Option<String>) -> u32 {
        let Some(text) = text.map(String::into_boxed_str) else { return NONE };
        if let Some(place) = self.places.get(&text) {
            return *place;
        }
        let place = u32::try_from(self.texts.len()).unwrap_or(NONE);
        self.texts.push(text.clone());
        self.places.insert(text, place);
        place
    }
}

/// True for a name that may stand in DNS: 1 to 63 letters, digits and dashes, no dash at either end.
fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(last: u8, address: u8) -> TableClient {
        TableClient {
            mac: MacAddr([2, 0, 0, 0, 0, last]),
            ipv4: (address != 0).then(|| Ipv4Addr::new(10, 0, 0, address)),
            hostname: format!("node-{last}"),
            netboot: last % 2 == 1,
            boot_loader: Some("admin/grub.1".into()),
            server_url: None,
        }
    }

    fn table(clients: &[TableClient]) -> Table {
        Table::new(TableHead::default(), clients.iter().cloned())
    }

    #[test]
    fn clients_are_found_by_mac_and_by_address() {
        let table = table(&[client(3, 30), client(1, 10), client(2, 0)]);
        let found = table.by_mac(MacAddr([2, 0, 0, 0, 0, 3])).unwrap();
        assert_eq!((found.hostname, found.netboot), ("node-3", true));
        assert_eq!(found.ipv4, Some(Ipv4Addr::new(10, 0, 0, 30)));
        assert_eq!(found.boot_loader, Some("admin/grub.1"));
        assert_eq!(table.by_address(Ipv4Addr::new(10, 0, 0, 10)).unwrap().hostname, "node-1");
        assert_eq!(table.by_mac(MacAddr([2, 0, 0, 0, 0, 2])).unwrap().ipv4, None);
        for nobody in [0, 9, 11, 31] {
            assert_eq!(table.by_address(Ipv4Addr::new(10, 0, 0, nobody)), None);
        }
        assert_eq!(table.by_mac(MacAddr([2, 0, 0, 0, 0, 4])), None);
        assert_eq!(Table::default().by_address(Ipv4Addr::UNSPECIFIED), None);
    }

    #[test]
    fn an_address_of_two_is_the_first_ones_until_it_goes() {
        let table = table(&[client(1, 10), client(2, 10)]);
        let (one, two) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        assert_eq!(table.contested(), [(two, Ipv4Addr::new(10, 0, 0, 10), one)]);
        assert_eq!(table.by_mac(two).unwrap().ipv4, None);
        assert_eq!(table.by_address(Ipv4Addr::new(10, 0, 0, 10)).unwrap().mac, one);
        let table = table.with([TableLine::Gone(one)]);
        assert_eq!(table.by_mac(two).unwrap().ipv4, Some(Ipv4Addr::new(10, 0, 0, 10)));
        assert_eq!(table.contested(), []);
    }

    #[test]
    fn changes_make_another_table() {
        let old = table(&[client(1, 10), client(2, 20)]);
        let changed = TableClient { hostname: "renamed".into(), ..client(2, 21) };
        let new = old.with([
            TableLine::Gone(client(1, 0).mac),
            TableLine::Client(changed.clone()),
            TableLine::Client(client(5, 0)),
        ]);
        assert_eq!(new.clients().collect::<Vec<_>>(), [changed, client(5, 0)]);
        assert_eq!(old.clients().collect::<Vec<_>>(), [client(1, 10), client(2, 20)]);
    }

    #[test]
    fn names_that_are_none_in_dns_are_not_told() {
        for (name, told) in [("node-1", true), ("-x", false), ("x-", false), ("", false), ("a.b", false)] {
            let table = table(&[TableClient { hostname: name.into(), ..client(1, 10) }]);
            let expected = if told { name } else { "" };
            assert_eq!(table.by_mac(client(1, 0).mac).unwrap().hostname, expected, "{name:?}");
        }
        assert!(is_label(&"x".repeat(63)) && !is_label(&"x".repeat(64)));
    }

    #[test]
    fn a_machine_takes_less_than_100_bytes() {
        let clients = (0..10_000_u32).map(|number| {
            let [_, b, c, d] = number.to_be_bytes();
            let mac = MacAddr([2, 0, 0, b, c, d]);
            let ipv4 = Some(Ipv4Addr::from(0x0a00_0000 | number));
            TableClient { mac, ipv4, hostname: format!("rack-b-node-{number:05}"), ..client(1, 0) }
        });
        let table = Table::new(TableHead::default(), clients);
        assert!(table.size() / table.len() < 100, "{} bytes", table.size());
    }

    proptest! {
        #[test]
        fn what_was_told_comes_out(macs in proptest::collection::btree_map(any::<u8>(), any::<u8>(), 0..40)) {
            let clients: Vec<TableClient> = macs.iter().map(|(mac, address)| client(*mac, *address)).collect();
            let table = table(&clients);
            prop_assert_eq!(table.clients().collect::<Vec<_>>(), clients.clone());
            for client in &clients {
                let found = table.by_mac(client.mac).unwrap();
                let owner = found.ipv4.and_then(|address| table.by_address(address));
                prop_assert!(found.ipv4.is_none() || owner == Some(found));
            }
        }
    }
}
