#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use dhcproto::v4::{Architecture, DhcpOption, HType, Message as Wire, MessageType};
use proptest::prelude::*;

use super::*;

#[path = "../../../tests/frames/mod.rs"]
mod frames;

use frames::{frame, reply, request, wrap};

const CLIENT: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ROGUE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 66);
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ROGUE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 66];

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

/// A watch with a clock of its own.
struct Network {
    watch: Watch,
    now: Instant,
}

impl Network {
    fn of(servers: &[Ipv4Addr]) -> Self {
        Self { watch: Watch::new(servers.to_vec()), now: Instant::now() }
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    fn frame(&mut self, frame: &[u8]) -> Vec<Sighting> {
        self.watch.handle_frame("eth0", frame, self.now);
        std::iter::from_fn(|| self.watch.poll_sighting()).collect()
    }

    fn hear(&mut self, message: &Wire, source: [u8; 6]) -> Vec<Heard> {
        self.frame(&frame(message, source)).into_iter().map(|sighting| sighting.what).collect()
    }

    fn discover(&mut self, xid: u32) -> Vec<Heard> {
        self.hear(&request(MessageType::Discover, &CLIENT, xid, vec![]), CLIENT)
    }
}

fn chosen(xid: u32, server: Ipv4Addr, wanted: Ipv4Addr) -> Wire {
    let options = vec![DhcpOption::ServerIdentifier(server), DhcpOption::RequestedIpAddress(wanted)];
    request(MessageType::Request, &CLIENT, xid, options)
}

fn server(id: Ipv4Addr, mac: [u8; 6]) -> SeenServer {
    SeenServer { id, mac: Some(MacAddr(mac)) }
}

#[test]
fn an_exchange_is_told_step_by_step_and_then_no_more() {
    let mut heard = Network::of(&[SERVER]);
    let firmware = request(
        MessageType::Discover,
        &CLIENT,
        7,
        vec![
            DhcpOption::ClientSystemArchitecture(Architecture::X64),
            DhcpOption::ClassIdentifier(b"PXEClient:Arch:00007".to_vec()),
            DhcpOption::Hostname("no\u{7}de".into()),
        ],
    );
    let told = heard.frame(&frame(&firmware, CLIENT));
    let client = told[0].client.clone().unwrap();
    assert_eq!((told[0].what.clone(), told[0].interface.as_str()), (Heard::Asked { discover: true }, "eth0"));
    assert_eq!((client.client_arch, client.hostname.as_deref()), (Some(7), Some("node")));
    assert_eq!((client.vendor_class.as_deref(), client.relay), (Some("PXEClient:Arch:00007"), None));
    assert_eq!(client.to_string(), "52:54:00:00:00:01, firmware of x86-64 UEFI, node");
    let mut offer = reply(MessageType::Offer, &CLIENT, 7, SERVER, address(64));
    offer.opts_mut().insert(DhcpOption::BootfileName(b"bootx64.efi".to_vec()));
    let (of, boot_file) = (server(SERVER, SERVER_MAC), Some("bootx64.efi".to_owned()));
    assert_eq!(
        heard.hear(&offer, SERVER_MAC),
        [Heard::Offered { server: of, address: address(64), boot_file }]
    );
    assert!(heard.hear(&chosen(7, SERVER, address(64)), CLIENT).is_empty(), "the offer was heard");
    let ack = reply(MessageType::Ack, &CLIENT, 7, SERVER, address(64));
    assert_eq!(heard.hear(&ack, SERVER_MAC), [Heard::Gave { server: of, address: address(64) }]);
    // The same boot again, seconds later: a loop tells nothing new.
    for xid in 8..20 {
        heard.after(3);
        assert!(heard.discover(xid).is_empty());
        assert!(heard.hear(&ack, SERVER_MAC).is_empty());
    }
    assert_eq!(heard.watch.counts().messages["discover"], 13);
}

#[test]
fn an_offer_that_a_switch_kept_away_is_known_by_the_clients_choice() {
    let mut heard = Network::of(&[SERVER]);
    heard.discover(1);
    let server = SeenServer { id: SERVER, mac: None };
    assert_eq!(
        heard.hear(&chosen(1, SERVER, address(9)), CLIENT),
        [Heard::Took { server, address: address(9) }]
    );
    let told = heard.after(1).hear(&chosen(2, ROGUE, address(10)), CLIENT);
    let rogue = SeenServer { id: ROGUE, mac: None };
    assert!(told.contains(&Heard::UnknownServer { server: rogue }), "{told:?}");
}

#[test]
fn a_client_that_gets_nowhere_is_told_once() {
    let mut heard = Network::of(&[]);
    assert_eq!(heard.discover(1), [Heard::Asked { discover: true }]);
    assert!(heard.discover(1).is_empty(), "the same packet, by another interface or a relay, is no try");
    assert!(heard.after(4).discover(1).is_empty());
    assert_eq!(heard.after(8).discover(1), [Heard::Unanswered]);
    assert!(heard.after(16).discover(2).is_empty());
    let mut heard = Network::of(&[]);
    for xid in 1..=2 {
        heard.after(4).discover(xid);
        heard.hear(&reply(MessageType::Offer, &CLIENT, xid, SERVER, address(64)), SERVER_MAC);
    }
    assert_eq!(heard.after(4).discover(3), [Heard::OffersIgnored]);
    let nak = reply(MessageType::Nak, &CLIENT, 3, SERVER, Ipv4Addr::UNSPECIFIED);
    let refused = Heard::Refused { server: server(SERVER, SERVER_MAC), address: None, reason: None };
    assert_eq!(heard.hear(&nak, SERVER_MAC), [refused]);
}

#[test]
fn a_client_that_is_served_begins_anew() {
    let mut heard = Network::of(&[]);
    for boot in 0..10 {
        heard.after(5).discover(boot);
        heard.hear(&reply(MessageType::Offer, &CLIENT, boot, SERVER, address(64)), SERVER_MAC);
        let told = heard.hear(&chosen(boot, SERVER, address(64)), CLIENT);
        assert!(!told.iter().any(|what| !what.is_routine()), "{told:?}");
    }
}

#[test]
fn strange_and_second_servers_are_told() {
    let offers = |heard: &mut Network| {
        heard.discover(1);
        let mut told = heard.hear(&reply(MessageType::Offer, &CLIENT, 1, SERVER, address(64)), SERVER_MAC);
        told.extend(heard.hear(&reply(MessageType::Offer, &CLIENT, 1, ROGUE, address(200)), ROGUE_MAC));
        told
    };
    let (good, rogue) = (server(SERVER, SERVER_MAC), server(ROGUE, ROGUE_MAC));
    let told = offers(&mut Network::of(&[SERVER]));
    assert!(told.contains(&Heard::UnknownServer { server: rogue }), "{told:?}");
    assert!(told.contains(&Heard::SeveralOffers { servers: vec![SERVER, ROGUE] }), "{told:?}");
    let told = offers(&mut Network::of(&[]));
    assert!(told.contains(&Heard::SecondServer { servers: [good, rogue] }), "{told:?}");
    let told = offers(&mut Network::of(&[SERVER, ROGUE]));
    assert!(
        !told.iter().any(|what| matches!(what, Heard::UnknownServer { .. } | Heard::SecondServer { .. }))
    );
    // Another host behind the known server's identifier.
    let mut heard = Network::of(&[SERVER]);
    heard.hear(&reply(MessageType::Ack, &CLIENT, 1, SERVER, address(64)), SERVER_MAC);
    let told = heard.hear(&reply(MessageType::Ack, &CLIENT, 1, SERVER, address(64)), ROGUE_MAC);
    assert!(
        told.contains(&Heard::SharedServerId { id: SERVER, macs: [MacAddr(SERVER_MAC), MacAddr(ROGUE_MAC)] })
    );
}

#[test]
fn two_machines_with_one_mac_are_told_apart_by_their_uuids() {
    let with = |uuid: [u8; 16]| {
        let id = [&[0][..], &uuid].concat();
        request(
            MessageType::Discover,
            &CLIENT,
            u32::from(uuid[0]),
            vec![DhcpOption::ClientMachineIdentifier(id)],
        )
    };
    let one: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let mut other_order = one;
    other_order[..4].reverse();
    other_order[4..6].reverse();
    other_order[6..8].reverse();
    let mut other = one;
    other[15] = 99;
    let mut heard = Network::of(&[]);
    heard.hear(&with(one), CLIENT);
    assert!(heard.after(1).hear(&with(other_order), CLIENT).is_empty(), "iPXE's order of bytes");
    let told = heard.after(1).hear(&with([255; 16]), CLIENT);
    assert!(!told.iter().any(|what| matches!(what, Heard::SharedMac { .. })), "no UUID: {told:?}");
    let mut heard = Network::of(&[]);
    heard.hear(&with(one), CLIENT);
    let told = heard.after(1).hear(&with(other), CLIENT);
    assert!(matches!(&told[..], [Heard::SharedMac { machines: [a, b] }] if a != b), "{told:?}");
}

#[test]
fn relays_and_client_identifiers_are_seen_through() {
    let mut heard = Network::of(&[]);
    let mut relayed =
        request(MessageType::Discover, &CLIENT, 1, vec![DhcpOption::ClientIdentifier(b"\xffabc".to_vec())]);
    relayed.set_giaddr([10, 9, 0, 1]).set_hops(1);
    // The relay's own frame: the client is known by chaddr.
    let told = heard.frame(&frame(&relayed, [2, 9, 9, 9, 9, 9]));
    let client = told[0].client.clone().unwrap();
    assert_eq!((client.mac, client.relay), (MacAddr(CLIENT), Some(Ipv4Addr::new(10, 9, 0, 1))));
    assert_eq!(client.client_id.as_deref(), Some(&b"\xffabc"[..]));
    let own = [&[1][..], &CLIENT].concat();
    let message = request(MessageType::Request, &CLIENT, 2, vec![DhcpOption::ClientIdentifier(own)]);
    let told = heard.after(1).frame(&frame(&message, CLIENT));
    assert_eq!(told[0].what, Heard::Asked { discover: false });
    assert_eq!(told[0].client.clone().unwrap().client_id, None, "made of the MAC address");
}

#[test]
fn clients_without_an_ethernet_address_are_named_by_their_identifier() {
    let mut heard = Network::of(&[]);
    let mut message =
        request(MessageType::Discover, &[], 1, vec![DhcpOption::ClientIdentifier(vec![255, 0, 1, 2])]);
    message.set_htype(HType::from(32));
    let told = heard.frame(&frame(&message, CLIENT));
    assert_eq!(told[0].client, None);
    assert_eq!(told[0].what, Heard::NoEthernet { hardware: 32, id: "ff000102".into() });
    assert!(heard.after(1).frame(&frame(&message, CLIENT)).is_empty());
}

#[test]
fn a_flood_of_made_up_clients_is_bounded() {
    let mut heard = Network::of(&[]);
    let mut told = 0;
    for number in 0..20_000_u32 {
        let [_, b, c, d] = number.to_be_bytes();
        let message = request(MessageType::Discover, &[2, 0, 0, b, c, d], number, vec![]);
        told += heard.frame(&frame(&message, CLIENT)).len();
    }
    assert_eq!(told, 2000);
    assert_eq!(heard.watch.counts().passed_over, 18_000);
    let message = request(MessageType::Discover, &[2, 1, 1, 1, 1, 1], 1, vec![]);
    assert_eq!(heard.after(2).frame(&frame(&message, CLIENT)).len(), 1, "new clients come in again");
    for number in 0..10_000_u32 {
        let [_, b, c, d] = number.to_be_bytes();
        heard.after(1).frame(&frame(&request(MessageType::Discover, &[2, 0, 0, b, c, d], 1, vec![]), CLIENT));
    }
    assert!(heard.watch.clients.len() <= MOST_CLIENTS);
}

#[test]
fn what_is_malformed_is_counted() {
    let mut heard = Network::of(&[]);
    let whole = frame(&request(MessageType::Discover, &CLIENT, 1, vec![]), CLIENT);
    let payload = &whole[42..];
    let with = |change: fn(&mut Vec<u8>)| {
        let mut payload = payload.to_vec();
        change(&mut payload);
        wrap(&payload, CLIENT, false)
    };
    let cases: [(&str, Vec<u8>); 6] = [
        ("cut off", wrap(&payload[..100], CLIENT, false)),
        ("no cookie", with(|payload| payload[236] = 0)),
        ("a hardware address of 200 bytes", with(|payload| payload[2] = 200)),
        (
            "an option that overruns",
            with(|payload| payload.splice(240.., [53, 1, 1, 12, 200, b'x']).for_each(drop)),
        ),
        ("half an option", with(|payload| payload.splice(240.., [53, 1, 1, 12]).for_each(drop))),
        ("no type", with(|payload| payload.splice(240.., [255]).for_each(drop))),
    ];
    for (count, (what, frame)) in cases.iter().enumerate() {
        assert!(heard.frame(frame).is_empty(), "{what}");
        assert_eq!(heard.watch.counts().malformed, count as u64 + 1, "{what}");
    }
    // Odd, but understood: options of a wrong length, texts that are none, no end.
    let odd = with(|payload| {
        payload
            .splice(240.., [0, 53, 1, 1, 94, 1, 9, 93, 1, 7, 12, 2, 0xff, b'x', 54, 3, 1, 2, 3])
            .for_each(drop);
    });
    let told = heard.frame(&odd);
    assert_eq!(told[0].client.clone().unwrap().hostname.as_deref(), Some("?x"));
    assert_eq!(heard.watch.counts().malformed, cases.len() as u64);
}

#[test]
fn other_traffic_is_passed_over() {
    let mut heard = Network::of(&[]);
    let mut other = frame(&request(MessageType::Discover, &CLIENT, 1, vec![]), CLIENT);
    other[37] = 69;
    assert!(heard.frame(&other).is_empty());
    other[12] = 0x86;
    assert!(heard.frame(&other).is_empty());
    assert_eq!(heard.watch.counts(), &Counts::default());
}

proptest! {
    #[test]
    fn no_frame_is_too_odd(frame in proptest::collection::vec(any::<u8>(), 0..700)) {
        Network::of(&[SERVER]).frame(&frame);
    }

    #[test]
    fn no_message_is_too_odd(
        fixed in proptest::collection::vec(any::<u8>(), 236),
        options in proptest::collection::vec(any::<u8>(), 0..400),
        reply in any::<bool>(),
    ) {
        let payload = [&fixed[..], &[99, 130, 83, 99, 53, 1, 1 + (fixed[0] % 8)], &options].concat();
        let mut heard = Network::of(&[]);
        for _ in 0..3 {
            heard.frame(&wrap(&payload, SERVER_MAC, reply));
        }
    }

    #[test]
    fn no_option_is_too_odd(code in any::<u8>(), value in proptest::collection::vec(any::<u8>(), 0..255)) {
        let mut payload = frame(&request(MessageType::Discover, &CLIENT, 1, vec![]), CLIENT)[42..].to_vec();
        payload.pop();
        payload.extend([code, u8::try_from(value.len()).unwrap()]);
        payload.extend(&value);
        Network::of(&[]).frame(&wrap(&payload, CLIENT, false));
    }
}
