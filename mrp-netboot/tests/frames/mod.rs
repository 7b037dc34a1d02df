//! DHCP messages as Ethernet frames, for tests of the observer.

#![allow(dead_code, reason = "each test uses its part")]

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, HType, Message, MessageType, Opcode};
use dhcproto::{Encodable, Encoder};
use pnet_datalink::MacAddr;
use pnet_packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{self, MutableIpv4Packet};
use pnet_packet::udp::MutableUdpPacket;

/// A client's message.
pub(crate) fn request(kind: MessageType, chaddr: &[u8], xid: u32, options: Vec<DhcpOption>) -> Message {
    let mut message = Message::default();
    message.set_opcode(Opcode::BootRequest).set_htype(HType::Eth).set_xid(xid).set_chaddr(chaddr);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    for option in options {
        message.opts_mut().insert(option);
    }
    message
}

/// A server's answer.
pub(crate) fn reply(
    kind: MessageType,
    chaddr: &[u8],
    xid: u32,
    server: Ipv4Addr,
    yiaddr: Ipv4Addr,
) -> Message {
    let mut message = request(kind, chaddr, xid, vec![DhcpOption::ServerIdentifier(server)]);
    message.set_opcode(Opcode::BootReply).set_yiaddr(yiaddr);
    message
}

/// Puts a message into a frame, as its sender would.
pub(crate) fn frame(message: &Message, source: [u8; 6]) -> Vec<u8> {
    let mut payload = Vec::new();
    message.encode(&mut Encoder::new(&mut payload)).expect("the message can be encoded");
    wrap(&payload, source, message.opcode() == Opcode::BootReply)
}

/// Puts bytes into a frame on DHCP's ports.
pub(crate) fn wrap(payload: &[u8], source: [u8; 6], reply: bool) -> Vec<u8> {
    const ETHERNET: usize = 14;
    const IP: usize = 20;
    const UDP: usize = 8;
    let mut frame = vec![0; ETHERNET + IP + UDP + payload.len()];
    let length = |bytes: usize| u16::try_from(bytes).expect("a frame is short");
    let mut ethernet = MutableEthernetPacket::new(&mut frame).expect("room");
    ethernet.set_source(MacAddr::from(source));
    ethernet.set_destination(MacAddr::broadcast());
    ethernet.set_ethertype(EtherTypes::Ipv4);
    let mut ip = MutableIpv4Packet::new(&mut frame[ETHERNET..]).expect("room");
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_ttl(64);
    ip.set_total_length(length(IP + UDP + payload.len()));
    ip.set_next_level_protocol(IpNextHeaderProtocols::Udp);
    ip.set_source(if reply { Ipv4Addr::new(10, 0, 0, 1) } else { Ipv4Addr::UNSPECIFIED });
    ip.set_destination(Ipv4Addr::BROADCAST);
    let checksum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(checksum);
    let mut udp = MutableUdpPacket::new(&mut frame[ETHERNET + IP..]).expect("room");
    let (from, to) = if reply { (67, 68) } else { (68, 67) };
    udp.set_source(from);
    udp.set_destination(to);
    udp.set_length(length(UDP + payload.len()));
    udp.set_payload(payload);
    frame
}
