//! A frame's DHCP message (RFC 2131, 2132), if it has one.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Message as Wire, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder};
use mrp_core::mac::MacAddr;
use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::udp::UdpPacket;

/// The servers' port.
pub(super) const SERVER_PORT: u16 = 67;
/// The clients' port.
pub(super) const CLIENT_PORT: u16 = 68;

/// Bytes before the options, with the magic cookie.
const FIXED: usize = 240;
/// Where the length of the hardware address is.
const HLEN: usize = 2;
/// Where the magic cookie is.
const COOKIE: usize = 236;
/// The magic cookie (RFC 2132, 2).
const MAGIC: [u8; 4] = [99, 130, 83, 99];
/// Longest hardware address.
const MAX_HLEN: u8 = 16;
/// Most characters that are kept of a text.
const MAX_TEXT: usize = 128;

/// A DHCP message, as far as it is of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// What it is.
    pub(super) kind: MessageType,
    /// A server sent it.
    pub(super) reply: bool,
    /// The number that an exchange has.
    pub(super) xid: u32,
    /// Type of the client's hardware; 1 is Ethernet.
    pub(super) hardware: u8,
    /// The client's hardware address.
    pub(super) chaddr: Vec<u8>,
    /// The address that is given or offered.
    pub(super) yiaddr: Option<Ipv4Addr>,
    /// The relay.
    pub(super) giaddr: Option<Ipv4Addr>,
    /// Option 54.
    pub(super) server: Option<Ipv4Addr>,
    /// Option 50.
    pub(super) requested: Option<Ipv4Addr>,
    /// Option 61.
    pub(super) client_id: Option<Vec<u8>>,
    /// Option 12.
    pub(super) hostname: Option<String>,
    /// Option 60.
    pub(super) vendor_class: Option<String>,
    /// Option 93, its first entry.
    pub(super) client_arch: Option<u16>,
    /// Option 97.
    pub(super) machine_id: Option<Vec<u8>>,
    /// Option 67, else the field.
    pub(super) boot_file: Option<String>,
    /// Option 56.
    pub(super) text: Option<String>,
    /// Who sent the frame.
    pub(super) source: MacAddr,
}

/// A frame on DHCP's ports that is no DHCP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no DHCP message")]
pub(super) struct Malformed;

impl Message {
    /// Reads an Ethernet frame. `None` for what is not of DHCP.
    pub(super) fn decode(frame: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(ethernet) = EthernetPacket::new(frame) else { return Err(Malformed) };
        if ethernet.get_ethertype() != EtherTypes::Ipv4 {
            return Ok(None);
        }
        let ip = Ipv4Packet::new(ethernet.payload()).ok_or(Malformed)?;
        if ip.get_next_level_protocol() != IpNextHeaderProtocols::Udp || ip.get_fragment_offset() != 0 {
            return Ok(None);
        }
        let udp = UdpPacket::new(ip.payload()).ok_or(Malformed)?;
        let ports = [udp.get_source(), udp.get_destination()];
        if !ports.iter().all(|port| [SERVER_PORT, CLIENT_PORT].contains(port)) {
            return Ok(None);
        }
        let source = MacAddr(ethernet.get_source().octets());
        Self::of(udp.payload(), source).map(Some)
    }

    fn of(payload: &[u8], source: MacAddr) -> Result<Self, Malformed> {
        let wire = Wire::decode(&mut Decoder::new(&readable(payload)?)).map_err(|_| Malformed)?;
        let options = wire.opts();
        let bytes = |code: OptionCode| match options.get(code) {
            Some(
                DhcpOption::ClientIdentifier(bytes)
                | DhcpOption::ClassIdentifier(bytes)
                | DhcpOption::ClientMachineIdentifier(bytes)
                | DhcpOption::BootfileName(bytes),
            ) => Some(bytes.as_slice()),
            _ => None,
        };
        let address = |code: OptionCode| match options.get(code) {
            Some(DhcpOption::RequestedIpAddress(address) | DhcpOption::ServerIdentifier(address)) => {
                set(*address)
            }
            _ => None,
        };
        let string = |code: OptionCode| match options.get(code) {
            Some(DhcpOption::Hostname(text) | DhcpOption::Message(text)) => text_of(text.as_bytes()),
            _ => None,
        };
        let client_arch = match options.get(OptionCode::ClientSystemArchitecture) {
            Some(DhcpOption::ClientSystemArchitecture(arch)) => Some(u16::from(*arch)),
            _ => None,
        };
        Ok(Self {
            kind: options.msg_type().ok_or(Malformed)?,
            reply: wire.opcode() == dhcproto::v4::Opcode::BootReply,
            xid: wire.xid(),
            hardware: wire.htype().into(),
            chaddr: wire.chaddr().to_vec(),
            yiaddr: set(wire.yiaddr()),
            giaddr: set(wire.giaddr()),
            server: address(OptionCode::ServerIdentifier),
            requested: address(OptionCode::RequestedIpAddress),
            client_id: bytes(OptionCode::ClientIdentifier).map(<[u8]>::to_vec),
            hostname: string(OptionCode::Hostname),
            vendor_class: bytes(OptionCode::ClassIdentifier).and_then(text_of),
            client_arch,
            machine_id: bytes(OptionCode::ClientMachineIdentifier).map(<[u8]>::to_vec),
            boot_file: bytes(OptionCode::BootfileName).or(wire.fname()).and_then(text_of),
            text: string(OptionCode::Message),
            source,
        })
    }
}

/// The message with the options alone that are read here, each of which the decoder understands: it gives up all options after
/// one that it does not.
fn readable(payload: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (fixed, mut rest) = payload.split_at_checked(FIXED).ok_or(Malformed)?;
    if fixed[COOKIE..] != MAGIC || fixed[HLEN] > MAX_HLEN {
        return Err(Malformed);
    }
    let mut readable = fixed.to_vec();
    loop {
        match rest {
            // Some firmware leaves the end out.
            [] | [255, ..] => break,
            [0, after @ ..] => rest = after,
            [code, length, after @ ..] => {
                let (value, after) = after.split_at_checked(usize::from(*length)).ok_or(Malformed)?;
                keep(*code, value, &mut readable);
                rest = after;
            }
            [_] => return Err(Malformed),
        }
    }
    readable.push(255);
    Ok(readable)
}

fn keep(code: u8, value: &[u8], readable: &mut Vec<u8>) {
    let value: Vec<u8> = match (code, value.len()) {
        // Texts, which are to be ASCII (RFC 2132, 2).
        (12 | 56, 1..) => value.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' }).collect(),
        // Addresses, and the message's type.
        (50 | 54, 4) | (53, 1) | (60 | 61 | 67 | 97, 1..) => value.to_vec(),
        // Of several architectures the first.
        (93, 2..) => value[..2].to_vec(),
        _ => return,
    };
    readable.push(code);
    // Not longer than it was.
    readable.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
    readable.extend(value);
}

fn set(address: Ipv4Addr) -> Option<Ipv4Addr> {
    (!address.is_unspecified()).then_some(address)
}

/// What can be printed of a text; `None` where nothing can.
fn text_of(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}
