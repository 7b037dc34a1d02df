//! Reading segments.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use mrp_core::console::{Frame, FrameContent, RecordPage, RecordPlace};
use mrp_core::id::Timestamp;

use super::segment;

/// Bytes of one page: several of the largest frames.
const PAGE: u64 = 256 << 10;

/// The last frames that are not older than `since`, with at most `bytes` of output.
pub(super) fn tail(folder: &Path, since: Timestamp, bytes: usize) -> io::Result<Vec<Frame>> {
    let (mut newest_first, mut left) = (Vec::new(), bytes);
    'segments: for name in segment::list(folder)?.into_iter().rev() {
        let content = match fs::read(segment::path(folder, name)) {
            // Removed meanwhile, as the older ones are.
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            content => content?,
        };
        for mut frame in segment::decode_all(&content).0.into_iter().rev() {
            if frame.at < since || left == 0 {
                break 'segments;
            }
            if let FrameContent::Output(output) = &mut frame.content {
                if output.len() > left {
                    *output = output.slice(output.len() - left..);
                }
                left -= output.len();
            }
            newest_first.push(frame);
        }
    }
    newest_first.reverse();
    Ok(newest_first)
}

/// The frames at a place.
pub(super) fn page(folder: &Path, from: RecordPlace) -> io::Result<RecordPage> {
    let segments = segment::list(folder)?;
    // The segment that has the time in it: the last that begins at or before it.
    let mut index = segments.partition_point(|name| *name <= from.segment).saturating_sub(1);
    let mut offset = 0;
    if from.offset > 0 {
        match segments.get(index) {
            Some(name) if *name == from.segment => offset = from.offset,
            // It was removed meanwhile.
            _ => index = segments.partition_point(|name| *name <= from.segment),
        }
    }
    while let Some(&name) = segments.get(index) {
        let (frames, end, is_over) = piece(&segment::path(folder, name), offset)?;
        let next = if is_over {
            segments.get(index + 1).map(|next| RecordPlace { segment: *next, offset: 0 })
        } else {
            Some(RecordPlace { segment: name, offset: end })
        };
        if !frames.is_empty() || next.is_none() {
            return Ok(RecordPage { frames, next });
        }
        (index, offset) = (index + 1, 0);
    }
    Ok(RecordPage::default())
}

/// Some frames of a segment, where they end, and whether the segment ends there.
fn piece(path: &Path, offset: u64) -> io::Result<(Vec<Frame>, u64, bool)> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0, true)),
        file => file?,
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    let length = file.take(PAGE).read_to_end(&mut bytes)? as u64;
    let (frames, end) = segment::decode_all(&bytes);
    let is_over = length < PAGE || end == 0;
    Ok((frames, offset + end as u64, is_over))
}
