//! The lines that an executable reads and writes: one JSON message each.

use mrp_core::plugin::MAX_MESSAGE;
use mrp_core::plugin::line::{FromPlugin, ToPlugin};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// The longest line: a message with its number around it.
const MAX_LINE: usize = MAX_MESSAGE + 1024;

pub(super) fn encode(message: &ToPlugin) -> Vec<u8> {
    let mut line = message.to_line().into_bytes();
    line.push(b'\n');
    line
}

/// Reads a line without its end; `None` where there are no more.
pub(super) async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> Result<Option<()>, String> {
    line.clear();
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    let read = reader.take(limit).read_until(b'\n', line).await;
    match read.map_err(|error| format!("its output cannot be read: {error}"))? {
        0 => Ok(None),
        _ if line.last() != Some(&b'\n') && line.len() >= MAX_LINE => {
            Err(format!("it wrote a line of more than {MAX_LINE} bytes, and was killed"))
        }
        _ => {
            line.pop_if(|byte| *byte == b'\n');
            Ok(Some(()))
        }
    }
}

/// Reads a message; `None` where there are no more.
pub(super) async fn read(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> Result<Option<FromPlugin>, String> {
    let Some(()) = read_line(reader, line).await? else { return Ok(None) };
    FromPlugin::parse(line).map(Some).map_err(|error| {
        let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
        format!("it wrote a line that is no message, {shown:?} ({error}), and was killed")
    })
}
