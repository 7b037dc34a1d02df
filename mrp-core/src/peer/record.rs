//! A page of a console's record between two servers: JSON, sealed for its machine.

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::api::ConsoleLineKind;
use crate::console::{Frame, FrameContent, RecordPage, RecordPlace};
use crate::id::Timestamp;
use crate::machine::MachineId;
use crate::secret::ServerKey;

#[derive(Serialize, Deserialize)]
struct Page {
    frames: Vec<(i64, ConsoleLineKind, String)>,
    next: Option<(i64, u64)>,
}

/// Seals a page; answers it in base64.
pub(crate) fn seal(key: &ServerKey, machine: MachineId, page: &RecordPage) -> String {
    let frames = page.frames.iter().map(|frame| {
        let (kind, bytes) = frame.content.parts();
        (frame.at.0, kind, Base64::encode_string(bytes))
    });
    let next = page.next.map(|place| (place.segment, place.offset));
    let page = Page { frames: frames.collect(), next };
    let text = serde_json::to_vec(&page).expect("a page has string keys only");
    Base64::encode_string(&key.seal_for(&context(machine), &text))
}

/// Opens a page; `None` for what is none of this machine.
pub(crate) fn open(key: &ServerKey, machine: MachineId, sealed: &str) -> Option<RecordPage> {
    let text = key.open_for(&context(machine), &Base64::decode_vec(sealed).ok()?).ok()?;
    let page: Page = serde_json::from_slice(&text).ok()?;
    let frames = page.frames.into_iter().map(|(at, kind, base64)| {
        let bytes = Base64::decode_vec(&base64).ok()?;
        let content = match kind {
            ConsoleLineKind::Output => FrameContent::Output(Bytes::from(bytes)),
            ConsoleLineKind::Typed => FrameContent::Typed(Bytes::from(bytes)),
            ConsoleLineKind::Mark => FrameContent::Mark(String::from_utf8(bytes).ok()?),
        };
        Some(Frame { at: Timestamp(at), content })
    });
    let next = page.next.map(|(segment, offset)| RecordPlace { segment, offset });
    Some(RecordPage { frames: frames.collect::<Option<_>>()?, next })
}

fn context(machine: MachineId) -> String {
    format!("console record {machine}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_comes_back_as_it_was_for_its_machine_only() {
        let frame = |at, content| Frame { at: Timestamp(at), content };
        let page = RecordPage {
            frames: vec![
                frame(1, FrameContent::Output(Bytes::from_static(b"\xff\x00"))),
                frame(2, FrameContent::Typed(Bytes::from_static(b"secret"))),
                frame(3, FrameContent::Mark("a mark".into())),
            ],
            next: Some(RecordPlace { segment: 5, offset: 6 }),
        };
        let key = ServerKey::generate();
        let sealed = seal(&key, MachineId::new(7), &page);
        assert_eq!(open(&key, MachineId::new(7), &sealed), Some(page));
        assert_eq!(open(&key, MachineId::new(8), &sealed), None);
        assert_eq!(open(&ServerKey::generate(), MachineId::new(7), &sealed), None);
    }
}
