//! Packets of TFTP on the wire (RFC 1350, 5; options: RFC 2347).

use std::fmt;

/// Length of the header of DATA, and of ACK as a whole.
pub(super) const HEADER: usize = 4;
/// Longest text that is sent with an error.
const MAX_ERROR_TEXT: usize = 200;

const RRQ: u16 = 1;
const WRQ: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// Error codes (RFC 1350, 5; RFC 2347).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorCode {
    NotDefined = 0,
    FileNotFound = 1,
    AccessViolation = 2,
    IllegalOperation = 4,
}

/// A read or write request. Texts are kept as the client sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestPacket {
    pub(super) write: bool,
    pub(super) filename: String,
    pub(super) mode: String,
    /// Names in lower case, with their values.
    pub(super) options: Vec<(String, String)>,
}

/// Why a packet is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRequest {
    /// Another kind of packet, which this port does not answer.
    Stray,
    /// A request that breaks the format; the text says how.
    Malformed(&'static str),
}

impl RequestPacket {
    /// Decodes RRQ or WRQ.
    pub(super) fn decode(packet: &[u8]) -> Result<Self, NoRequest> {
        let write = match opcode(packet) {
            Some(RRQ) => false,
            Some(WRQ) => true,
            _ => return Err(NoRequest::Stray),
        };
        let Some((0, texts)) = packet[2..].split_last() else {
            return Err(NoRequest::Malformed("the request does not end with a zero byte"));
        };
        let mut texts = texts.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        let filename = texts.next().filter(|name| !name.is_empty());
        let filename = filename.ok_or(NoRequest::Malformed("the request names no file"))?;
        let mode = texts.next().ok_or(NoRequest::Malformed("the request names no mode"))?;
        let mut options = Vec::new();
        // An empty name is padding; a name without a value is no option.
        while let (Some(name), Some(value)) = (texts.next().filter(|name| !name.is_empty()), texts.next()) {
            options.push((name.to_ascii_lowercase(), value));
        }
        Ok(Self { write, filename, mode, options })
    }
}

/// What a client sends during a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Ack(u16),
    Error { code: u16, text: String },
}

impl Reply {
    /// Decodes ACK or ERROR; `None` for anything else.
    pub(super) fn decode(packet: &[u8]) -> Option<Self> {
        let number = u16::from_be_bytes(packet.get(2..HEADER)?.try_into().ok()?);
        match opcode(packet)? {
            ACK => Some(Self::Ack(number)),
            ERROR => Some(Self::Error { code: number, text: printable(&packet[HEADER..]) }),
            _ => None,
        }
    }
}

/// The header of a DATA packet.
pub(super) fn data_header(block: u16) -> [u8; HEADER] {
    let ([a, b], [c, d]) = (DATA.to_be_bytes(), block.to_be_bytes());
    [a, b, c, d]
}

/// An ERROR packet. What cannot be shown in the text is replaced, what is too long is cut off.
pub(super) fn encode_error(code: ErrorCode, text: &str) -> Vec<u8> {
    let mut packet = ERROR.to_be_bytes().to_vec();
    packet.extend((code as u16).to_be_bytes());
    packet.extend(printable(text.as_bytes()).as_bytes());
    packet.push(0);
    packet
}

/// An OACK packet.
pub(super) fn encode_oack<'a>(options: impl IntoIterator<Item = &'a (&'static str, u64)>) -> Vec<u8> {
    let mut packet = OACK.to_be_bytes().to_vec();
    for (name, value) in options {
        packet.extend(name.as_bytes());
        packet.push(0);
        packet.extend(value.to_string().as_bytes());
        packet.push(0);
    }
    packet
}

fn opcode(packet: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(packet.get(..2)?.try_into().ok()?))
}

/// The text up to its zero byte, for logs and people: no control characters, of bounded length.
fn printable(text: &[u8]) -> String {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(&text[..text.len().min(MAX_ERROR_TEXT)]);
    text.trim_end_matches(char::REPLACEMENT_CHARACTER)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

impl fmt::Display for NoRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stray => "not a request",
            Self::Malformed(how) => how,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(filename: &str, mode: &str, options: &[(&str, &str)]) -> RequestPacket {
        let options = options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        RequestPacket { write: false, filename: filename.into(), mode: mode.into(), options }
    }

    /// Requests as clients send them.
    #[test]
    fn captured_requests() {
        let table: [(&[u8], RequestPacket); 6] = [
            // tftp-hpa 5.2, `tftp -m binary 10.0.0.1 -c get pxelinux.0`
            (b"\0\x01pxelinux.0\0octet\0", request("pxelinux.0", "octet", &[])),
            // GRUB 2.06
            (
                b"\0\x01/grub/grub.cfg\0octet\0blksize\x001024\0tsize\x000\0",
                request("/grub/grub.cfg", "octet", &[("blksize", "1024"), ("tsize", "0")]),
            ),
            // EDK2's PXE client
            (
                b"\0\x01bootx64.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0",
                request("bootx64.efi", "octet", &[("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")]),
            ),
            // curl 7.88, `--tftp-blksize 1468`
            (
                b"\0\x01file\0octet\0tsize\x000\0blksize\x001468\0timeout\x006\0",
                request("file", "octet", &[("tsize", "0"), ("blksize", "1468"), ("timeout", "6")]),
            ),
            // Names in any case, and padding
            (b"\0\x01f\0OcTeT\0BLKSIZE\x00512\0\0\0\0", request("f", "OcTeT", &[("blksize", "512")])),
            // An option without a value
            (b"\0\x01f\0octet\0tsize\0", request("f", "octet", &[])),
        ];
        for (bytes, expected) in table {
            assert_eq!(RequestPacket::decode(bytes), Ok(expected), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert!(RequestPacket::decode(b"\0\x02f\0octet\0").unwrap().write);
    }

    #[test]
    fn malformed_requests() {
        for bytes in
            [&b"\0\x01"[..], b"\0\x01f", b"\0\x01f\0", b"\0\x01f\0octet", b"\0\x01\0octet\0", b"\0\x02\0"]
        {
            assert!(matches!(RequestPacket::decode(bytes), Err(NoRequest::Malformed(_))), "{bytes:?}");
        }
        for bytes in [&b""[..], b"\0", b"\0\x04\0\x01", b"\0\x05\0\0x\0", b"\x01\0f\0octet\0"] {
            assert_eq!(RequestPacket::decode(bytes), Err(NoRequest::Stray), "{bytes:?}");
        }
    }

    #[test]
    fn captured_replies() {
        assert_eq!(Reply::decode(b"\0\x04\xff\xff"), Some(Reply::Ack(65535)));
        assert_eq!(Reply::decode(b"\0\x04\x00\x01padding"), Some(Reply::Ack(1)));
        let aborted = Reply::Error { code: 0, text: "User aborted the transfer".into() };
        assert_eq!(Reply::decode(b"\0\x05\0\0User aborted the transfer\0"), Some(aborted));
        let odd = Reply::Error { code: 8, text: "a b".into() };
        assert_eq!(Reply::decode(b"\0\x05\0\x08a\nb"), Some(odd), "unterminated, with a control character");
        for bytes in [&b""[..], b"\0\x04\0", b"\0\x03\0\x01x", b"\0\x01f\0octet\0"] {
            assert_eq!(Reply::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn encoded_packets() {
        assert_eq!(data_header(0x1234), [0, 3, 0x12, 0x34]);
        assert_eq!(encode_error(ErrorCode::FileNotFound, "file not found"), b"\0\x05\0\x01file not found\0");
        assert_eq!(encode_error(ErrorCode::AccessViolation, &"ä".repeat(500)).len(), 5 + MAX_ERROR_TEXT);
        let oack = encode_oack(&[("blksize", 1468), ("tsize", 4_294_967_296)]);
        assert_eq!(oack, b"\0\x06blksize\x001468\0tsize\x004294967296\0");
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = (RequestPacket::decode(&bytes), Reply::decode(&bytes));
            let mut framed = vec![0, 1];
            framed.extend(&bytes);
            let _ = RequestPacket::decode(&framed);
        }

        #[test]
        fn a_request_is_read_back(
            filename in "[^\0]{1,40}", mode in "[^\0]{0,9}",
            options in proptest::collection::vec(("[a-z]{1,9}", "[^\0]{0,9}"), 0..6),
        ) {
            let mut packet = vec![0, 1];
            let pairs = options.iter().flat_map(|(name, value)| [name, value]);
            for text in [&filename, &mode].into_iter().chain(pairs) {
                packet.extend(text.as_bytes());
                packet.push(0);
            }
            prop_assert_eq!(RequestPacket::decode(&packet), Ok(RequestPacket { write: false, filename, mode, options }));
        }
    }
}
