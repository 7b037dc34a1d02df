//! One side of an established RMCP+ session: seals and opens its packets (section 13.28), and keeps its sequence numbers
//! (section 6.12.13). Console and simulator use the same.

use std::fmt;

use super::crypto::{CipherSuite, Key, decrypt, encrypt};
use super::wire::rmcp::RmcpHeader;
use super::wire::rmcp_plus::{NEXT_HEADER, PayloadType, RmcpPlus};
use super::wire::{DecodeError, Message};

/// Why a packet is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    #[error("it belongs to no session of ours")]
    OtherSession,
    #[error("it is not protected as the session's cipher suite demands")]
    Unprotected,
    #[error("its authentication code is wrong")]
    Integrity,
    #[error("its sequence number was seen before")]
    Replayed,
    #[error("it does not decrypt")]
    Decryption,
    #[error("it answers something else")]
    Stray,
}

/// Keys, ids and sequence numbers of a session.
pub(crate) struct Channel {
    suite: CipherSuite,
    integrity_key: Key,
    confidentiality_key: [u8; 16],
    own_session_id: u32,
    peer_session_id: u32,
    sequence: u32,
    window: Window,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("suite", &self.suite.id()).finish_non_exhaustive()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.confidentiality_key);
    }
}

impl Channel {
    /// A session between the two ids with the keys that follow from its session integrity key.
    pub(crate) fn new(suite: CipherSuite, session_integrity_key: &[u8], own: u32, peer: u32) -> Self {
        let k2 = suite.additional_key(session_integrity_key, 2);
        Self {
            suite,
            integrity_key: suite.additional_key(session_integrity_key, 1),
            confidentiality_key: *k2.first_chunk().expect("every hash has more than 16 bytes"),
            own_session_id: own,
            peer_session_id: peer,
            sequence: 0,
            window: Window::default(),
        }
    }

    /// The peer's id of the session.
    pub(crate) fn peer_session_id(&self) -> u32 {
        self.peer_session_id
    }

    /// The cipher suite.
    pub(crate) fn suite(&self) -> CipherSuite {
        self.suite
    }

    /// Makes the datagram that carries a payload, with the session's next sequence number.
    pub(crate) fn seal(&mut self, payload_type: PayloadType, message: &[u8], iv: [u8; 16]) -> Vec<u8> {
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        let encrypted = self.suite.has_confidentiality();
        let payload =
            if encrypted { encrypt(&self.confidentiality_key, iv, message) } else { message.to_vec() };
        let packet = RmcpPlus {
            encrypted,
            authenticated: self.suite.has_integrity(),
            payload_type,
            session_id: self.peer_session_id,
            session_sequence_number: self.sequence,
            payload,
            trailer: Vec::new(),
        };
        let mut datagram = RmcpHeader.to_bytes();
        packet.encode(&mut datagram);
        if self.suite.has_integrity() {
            let body = datagram.len() - RmcpHeader::LENGTH;
            // Pad length and next header follow the pad; all together is a multiple of four.
            let pad = (4 - (body + 2) % 4) % 4;
            datagram.extend(std::iter::repeat_n(0xff, pad));
            datagram.extend([pad as u8, NEXT_HEADER]);
            let code = self.suite.hmac(&self.integrity_key, &[&datagram[RmcpHeader::LENGTH..]]);
            datagram.extend(&code[..self.suite.truncated_length()]);
        }
        datagram
    }

    /// Opens a packet (without its RMCP header) that the peer sealed, and returns its payload.
    pub(crate) fn open(&mut self, body: &[u8]) -> Result<(PayloadType, Vec<u8>), Rejected> {
        let packet = RmcpPlus::decode(body)?;
        if packet.session_id != self.own_session_id || !packet.payload_type.is_in_session() {
            return Err(Rejected::OtherSession);
        }
        let protected = (packet.authenticated, packet.encrypted);
        if protected != (self.suite.has_integrity(), self.suite.has_confidentiality()) {
            return Err(Rejected::Unprotected);
        }
        if packet.authenticated {
            let length = self.suite.truncated_length();
            let split =
                body.len().checked_sub(length).filter(|split| body.len() - packet.trailer.len() <= *split);
            let (signed, code) = body.split_at(split.ok_or(Rejected::Integrity)?);
            if !self.suite.verify(&self.integrity_key, &[signed], code, length) {
                return Err(Rejected::Integrity);
            }
        }
        if !self.window.accept(packet.session_sequence_number) {
            return Err(Rejected::Replayed);
        }
        if packet.encrypted {
            let payload = decrypt(&self.confidentiality_key, &packet.payload).ok_or(Rejected::Decryption)?;
            return Ok((packet.payload_type, payload));
        }
        Ok((packet.payload_type, packet.payload))
    }
}

/// The sequence numbers that were seen: the highest, and which of the 32 below it.
#[derive(Debug, Default)]
struct Window {
    highest: u32,
    seen: u32,
}

impl Window {
    fn accept(&mut self, sequence: u32) -> bool {
        if sequence == 0 {
            return false;
        }
        let ahead = sequence.wrapping_sub(self.highest);
        if ahead != 0 && ahead < u32::MAX / 2 {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = sequence;
            return true;
        }
        let behind = self.highest.wrapping_sub(sequence);
        let fresh = behind < 32 && self.seen & (1 << behind) == 0;
        if fresh {
            self.seen |= 1 << behind;
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(id: u8) -> (Channel, Channel) {
        let suite = CipherSuite::from_id(id).unwrap();
        let key = suite.hmac(b"k", &[b"session"]);
        (Channel::new(suite, &key, 0x1111, 0x2222), Channel::new(suite, &key, 0x2222, 0x1111))
    }

    #[test]
    fn what_one_side_seals_the_other_opens_once() {
        for id in CipherSuite::known_ids() {
            let (mut console, mut bmc) = pair(id);
            for message in [b"".as_slice(), b"a message", &[7; 100]] {
                for kind in [PayloadType::Ipmi, PayloadType::Sol] {
                    let datagram = console.seal(kind, message, [9; 16]);
                    assert_eq!(bmc.open(&datagram[4..]), Ok((kind, message.to_vec())), "suite {id}");
                    assert_eq!(bmc.open(&datagram[4..]), Err(Rejected::Replayed));
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for id in [3, 17] {
            let (mut console, mut bmc) = pair(id);
            let datagram = console.seal(PayloadType::Ipmi, b"power on", [9; 16]);
            for bit in 0..(datagram.len() - 4) * 8 {
                let mut forged = datagram[4..].to_vec();
                forged[bit / 8] ^= 1 << (bit % 8);
                assert!(bmc.open(&forged).is_err(), "suite {id}, bit {bit}");
            }
            assert!(bmc.open(&datagram[4..]).is_ok());
        }
    }

    #[test]
    fn an_unprotected_packet_is_not_let_in() {
        let (_, mut bmc) = pair(17);
        let mut bare = RmcpPlus::outside_session(PayloadType::Ipmi, b"power on".to_vec());
        (bare.session_id, bare.session_sequence_number) = (0x2222, 1);
        assert_eq!(bmc.open(&bare.to_bytes()), Err(Rejected::Unprotected));
    }

    #[test]
    fn the_window_takes_each_number_once_and_nothing_old() {
        let mut window = Window::default();
        for (sequence, accepted) in [
            (0, false),
            (1, true),
            (1, false),
            (5, true),
            (3, true),
            (3, false),
            (40, true),
            (8, false),
            (9, true),
        ] {
            assert_eq!(window.accept(sequence), accepted, "{sequence}");
        }
        let mut window = Window { highest: u32::MAX, seen: 1 };
        assert!(window.accept(1), "numbers wrap past 0");
    }

    /// Packets of one direction are numbered up to 2³² and begin again with 1, since 0 is for what belongs to no session.
    #[test]
    fn session_sequence_numbers_wrap_past_zero() {
        let (mut console, mut bmc) = pair(17);
        console.sequence = u32::MAX - 2;
        let mut sealed = Vec::new();
        for _ in 0..4 {
            let datagram = console.seal(PayloadType::Ipmi, b"x", [9; 16]);
            sealed.push(RmcpPlus::decode(&datagram[4..]).unwrap().session_sequence_number);
            assert!(bmc.open(&datagram[4..]).is_ok());
            assert_eq!(bmc.open(&datagram[4..]), Err(Rejected::Replayed));
        }
        assert_eq!(sealed, [u32::MAX - 1, u32::MAX, 1, 2]);
    }

    proptest! {
        #[test]
        fn opening_never_panics(id in 0usize..6, bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let id = CipherSuite::known_ids().nth(id).unwrap();
            let (_, mut bmc) = pair(id);
            let _ = bmc.open(&bytes);
        }
    }
}
