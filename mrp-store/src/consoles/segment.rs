//! A segment: frames one after the other, each with a checksum, so that the end of what was written is known.
//!
//! A frame is the length of its content (`u32`), the CRC-32 of all that follows (`u32`), its time in milliseconds (`i64`),
//! its kind (`u8`) and the content; numbers are little-endian.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mrp_core::console::{Frame, FrameContent};
use mrp_core::id::Timestamp;

const HEADER: usize = 17;
/// The largest content; longer ones are split.
const CONTENT: usize = 64 << 10;

const OUTPUT: u8 = 0;
const TYPED: u8 = 1;
const MARK: u8 = 2;

/// Appends a frame to a buffer.
pub(super) fn encode(frame: &Frame, into: &mut Vec<u8>) {
    let (kind, content): (u8, &[u8]) = match &frame.content {
        FrameContent::Output(bytes) => (OUTPUT, bytes),
        FrameContent::Typed(bytes) => (TYPED, bytes),
        FrameContent::Mark(text) => (MARK, text.as_bytes()),
    };
    for part in content.chunks(CONTENT) {
        let length = u32::try_from(part.len()).expect("a part is below 64 KiB");
        into.extend_from_slice(&length.to_le_bytes());
        let checksum_at = into.len();
        into.extend_from_slice(&[0; 4]);
        into.extend_from_slice(&frame.at.0.to_le_bytes());
        into.push(kind);
        into.extend_from_slice(part);
        let checksum = crc32fast::hash(&into[checksum_at + 4..]);
        into[checksum_at..checksum_at + 4].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The first frame, and how many bytes it takes; `None` where no whole frame begins.
pub(super) fn decode(bytes: &[u8]) -> Option<(Frame, usize)> {
    let header = bytes.get(..HEADER)?;
    let length = usize::try_from(u32::from_le_bytes(header[..4].try_into().ok()?)).ok()?;
    if length > CONTENT {
        return None;
    }
    let end = HEADER + length;
    let content = bytes.get(HEADER..end)?;
    if crc32fast::hash(&bytes[8..end]).to_le_bytes() != header[4..8] {
        return None;
    }
    let at = Timestamp(i64::from_le_bytes(header[8..16].try_into().ok()?));
    let content = match header[16] {
        OUTPUT => FrameContent::Output(Bytes::copy_from_slice(content)),
        TYPED => FrameContent::Typed(Bytes::copy_from_slice(content)),
        MARK => FrameContent::Mark(String::from_utf8_lossy(content).into_owned()),
        _ => return None,
    };
    Some((Frame { at, content }, end))
}

/// All frames from the beginning, and how many bytes they take.
pub(super) fn decode_all(bytes: &[u8]) -> (Vec<Frame>, usize) {
    let (mut frames, mut at) = (Vec::new(), 0);
    while let Some((frame, length)) = decode(&bytes[at..]) {
        frames.push(frame);
        at += length;
    }
    (frames, at)
}

/// The segments of a folder by the time of their first frame, the oldest first; none where there is no folder.
pub(super) fn list(folder: &Path) -> io::Result<Vec<i64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut segments = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let time = name.to_str().and_then(|name| name.strip_suffix(".rec"));
        segments.extend(time.and_then(|time| time.parse::<i64>().ok()));
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Where a segment lies.
pub(super) fn path(folder: &Path, segment: i64) -> PathBuf {
    folder.join(format!("{segment}.rec"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_torn_ones_do_not() {
        let frames = [
            Frame {
                at: Timestamp(1),
                content: FrameContent::Output(Bytes::from_static(b"\x00\xff login: ")),
            },
            Frame { at: Timestamp(2), content: FrameContent::Typed(Bytes::from_static(b"root\r")) },
            Frame { at: Timestamp(3), content: FrameContent::Mark("the console is open".into()) },
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            encode(frame, &mut bytes);
        }
        assert_eq!(decode_all(&bytes), (frames.to_vec(), bytes.len()));
        let last = bytes.len() - HEADER - "the console is open".len();
        for cut in last..bytes.len() {
            assert_eq!(decode_all(&bytes[..cut]), (frames[..2].to_vec(), last), "cut at {cut}");
        }
        for wrong in last..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[wrong] ^= 0x10;
            assert_eq!(decode_all(&bytes).0, frames[..2], "a flipped bit at {wrong}");
        }
    }

    #[test]
    fn long_output_is_split() {
        let content = FrameContent::Output(Bytes::from(vec![b'x'; CONTENT + 1]));
        let mut bytes = Vec::new();
        encode(&Frame { at: Timestamp(1), content }, &mut bytes);
        let lengths = decode_all(&bytes).0.into_iter().map(|frame| match frame.content {
            FrameContent::Output(bytes) => bytes.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(lengths.collect::<Vec<_>>(), [CONTENT, 1]);
    }
}
