//! A console between two servers. What crosses it is secret (passwords are typed on consoles), so each message is sealed
//! under the servers' key for its place: this line, this way, this number. None can be read, changed, left out, repeated
//! or moved without that the other end ends the line.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bmc::ConsoleInput;
use crate::peer::Proof;
use crate::secret::ServerKey;
use crate::service::consoles::ConsoleMessage;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedKind {
    /// JSON: the [`PeerAnswer`](crate::peer::PeerAnswer) that comes first, notices, requests.
    Text,
    /// The console's bytes.
    Bytes,
}

/// One way of a line.
#[derive(Debug)]
pub struct SealedWay {
    key: ServerKey,
    place: String,
    count: u64,
}

impl SealedWay {
    /// Both ways of the line that a proof has opened: to the server that holds the console, and back.
    pub fn pair(key: &ServerKey, proof: &Proof) -> (Self, Self) {
        let way = |to: &str| {
            let place = format!("console line {} to {to}", proof.number);
            Self { key: key.clone(), place, count: 0 }
        };
        (way("holder"), way("asker"))
    }

    /// Seals the next message.
    pub fn seal(&mut self, kind: SealedKind, message: &[u8]) -> Vec<u8> {
        let context = self.next();
        let plain = [&[u8::from(kind == SealedKind::Bytes)], message].concat();
        self.key.seal_for(&context, &plain)
    }

    /// Opens the next message; `None` for what is not it.
    pub fn open(&mut self, sealed: &[u8]) -> Option<(SealedKind, Vec<u8>)> {
        let context = self.next();
        let mut plain = self.key.open_for(&context, sealed).ok()?;
        let kind = if *plain.first()? == 0 { SealedKind::Text } else { SealedKind::Bytes };
        plain.remove(0);
        Some((kind, plain))
    }

    fn next(&mut self) -> String {
        self.count += 1;
        format!("{} {}", self.place, self.count)
    }
}

/// What a viewer asks of a console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewerRequest {
    /// Type.
    Type(ConsoleInput),
    /// Take the keyboard.
    TakeKeyboard,
}

/// A console that another server holds.
#[derive(Debug)]
pub struct PeerConsole {
    /// What comes of it. The end of the channel is the end of the line.
    pub messages: mpsc::Receiver<ConsoleMessage>,
    /// What is asked of it; a refusal is a notice among the messages.
    pub requests: mpsc::Sender<ViewerRequest>,
    /// What carries both; ended when this is dropped.
    pub carrier: JoinSet<()>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Timestamp;

    #[test]
    fn a_message_opens_at_its_place_only() {
        let key = ServerKey::generate();
        let proof = Proof::make(&key, Timestamp(1), "body");
        let ((mut to, mut back), (mut reader, _)) =
            (SealedWay::pair(&key, &proof), SealedWay::pair(&key, &proof));
        let (one, two) = (to.seal(SealedKind::Text, b"{}"), to.seal(SealedKind::Bytes, b"secret"));
        assert!(!two.windows(6).any(|window| window == b"secret"));
        assert_eq!(back.open(&one), None, "the other way");
        assert_eq!(reader.open(&one), Some((SealedKind::Text, b"{}".to_vec())));
        assert_eq!(reader.open(&one), None, "a second time");
        let other = Proof::make(&key, Timestamp(1), "body");
        assert_eq!(SealedWay::pair(&key, &other).0.open(&one), None, "another line");
        let (mut reader, _) = SealedWay::pair(&key, &proof);
        assert_eq!(reader.open(&two), None, "one was left out");
        assert_eq!(reader.open(&two), Some((SealedKind::Bytes, b"secret".to_vec())));
    }
}
