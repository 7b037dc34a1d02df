//! IPMI messages as the LAN carries them (section 13.8): addresses, sequence number, data and two checksums.

use super::{DecodeError, Message, Reader};

/// Slave address of the BMC.
pub(crate) const BMC: u8 = 0x20;
/// Software id of a remote console.
pub(crate) const REMOTE_CONSOLE: u8 = 0x81;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Responder's address: [`BMC`], or a node behind it once a message is bridged.
    pub(crate) rs_addr: u8,
    pub(crate) net_fn: u8,
    pub(crate) rs_lun: u8,
    pub(crate) rq_addr: u8,
    /// Six bits.
    pub(crate) rq_seq: u8,
    pub(crate) rq_lun: u8,
    pub(crate) cmd: u8,
    pub(crate) data: Vec<u8>,
}

impl Request {
    /// A request of a remote console to the BMC itself.
    pub(crate) fn to_bmc(net_fn: u8, cmd: u8, rq_seq: u8, data: Vec<u8>) -> Self {
        Self { rs_addr: BMC, net_fn, rs_lun: 0, rq_addr: REMOTE_CONSOLE, rq_seq, rq_lun: 0, cmd, data }
    }

    /// The answer to this request.
    pub(crate) fn answer(&self, completion_code: u8, data: Vec<u8>) -> Response {
        Response {
            rq_addr: self.rq_addr,
            net_fn: self.net_fn | 1,
            rq_lun: self.rq_lun,
            rs_addr: self.rs_addr,
            rq_seq: self.rq_seq,
            rs_lun: self.rs_lun,
            cmd: self.cmd,
            completion_code,
            data,
        }
    }
}

impl Message for Request {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let frame = Frame::decode("IPMI request", bytes)?;
        let Frame { first, net_fn, first_lun, second, sequence, second_lun, cmd, data } = frame;
        Ok(Self {
            rs_addr: first,
            net_fn,
            rs_lun: first_lun,
            rq_addr: second,
            rq_seq: sequence,
            rq_lun: second_lun,
            cmd,
            data: data.to_vec(),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        Frame {
            first: self.rs_addr,
            net_fn: self.net_fn,
            first_lun: self.rs_lun,
            second: self.rq_addr,
            sequence: self.rq_seq,
            second_lun: self.rq_lun,
            cmd: self.cmd,
            data: &self.data,
        }
        .encode(out);
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) rq_addr: u8,
    pub(crate) net_fn: u8,
    pub(crate) rq_lun: u8,
    pub(crate) rs_addr: u8,
    pub(crate) rq_seq: u8,
    pub(crate) rs_lun: u8,
    pub(crate) cmd: u8,
    pub(crate) completion_code: u8,
    pub(crate) data: Vec<u8>,
}

impl Response {
    /// True if it belongs to a request.
    pub(crate) fn answers(&self, request: &Request) -> bool {
        self.rq_seq == request.rq_seq
            && self.cmd == request.cmd
            && self.net_fn == request.net_fn | 1
            && self.rs_addr == request.rs_addr
    }
}

impl Message for Response {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let frame = Frame::decode("IPMI response", bytes)?;
        let Frame { first, net_fn, first_lun, second, sequence, second_lun, cmd, data } = frame;
        let short = DecodeError::Short { what: "IPMI response", length: bytes.len() };
        let (completion_code, data) = data.split_first().ok_or(short)?;
        Ok(Self {
            rq_addr: first,
            net_fn,
            rq_lun: first_lun,
            rs_addr: second,
            rq_seq: sequence,
            rs_lun: second_lun,
            cmd,
            completion_code: *completion_code,
            data: data.to_vec(),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut data = vec![self.completion_code];
        data.extend(&self.data);
        Frame {
            first: self.rq_addr,
            net_fn: self.net_fn,
            first_lun: self.rq_lun,
            second: self.rs_addr,
            sequence: self.rq_seq,
            second_lun: self.rs_lun,
            cmd: self.cmd,
            data: &data,
        }
        .encode(out);
    }
}

/// What requests and answers have in common: the receiver comes first.
struct Frame<'a> {
    first: u8,
    net_fn: u8,
    first_lun: u8,
    second: u8,
    sequence: u8,
    second_lun: u8,
    cmd: u8,
    data: &'a [u8],
}

impl<'a> Frame<'a> {
    fn decode(what: &'static str, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(what, bytes);
        let head @ [first, net_fn_lun, _] = reader.array()?;
        if sum(&head) != 0 {
            return Err(DecodeError::Checksum("an IPMI message's header"));
        }
        let body = reader.rest();
        let [second, sequence_lun, cmd] = Reader::new(what, body).array()?;
        let short = DecodeError::Short { what, length: bytes.len() };
        let data = body.get(3..body.len() - 1).ok_or(short)?;
        if sum(body) != 0 {
            return Err(DecodeError::Checksum("an IPMI message"));
        }
        Ok(Self {
            first,
            net_fn: net_fn_lun >> 2,
            first_lun: net_fn_lun & 3,
            second,
            sequence: sequence_lun >> 2,
            second_lun: sequence_lun & 3,
            cmd,
            data,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let head = [self.first, self.net_fn << 2 | self.first_lun];
        out.extend(head);
        out.push(sum(&head).wrapping_neg());
        let body = out.len();
        out.extend([self.second, self.sequence << 2 | self.second_lun, self.cmd]);
        out.extend(self.data);
        out.push(sum(&out[body..]).wrapping_neg());
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}
