//! A file as a stream for a connection. What is at hand, as nearly always, is sent on the spot; only what has to come from the
//! disk waits on a thread of its own. A chunk is taken when the connection has room for it.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::machine::shared_chunks::SharedFile;

/// A part of a file, from its beginning to its end.
pub(super) struct Chunks {
    file: SharedFile,
    left: Range<u64>,
    sent: Arc<AtomicU64>,
    /// A chunk that comes from the disk.
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// Dropped with the stream: the last byte was handed over, or the client is gone.
    _ended: oneshot::Sender<()>,
}

impl Chunks {
    /// The stream; bytes that are handed to the connection are counted in `sent`.
    pub(super) fn new(
        file: SharedFile,
        part: Range<u64>,
        sent: Arc<AtomicU64>,
        ended: oneshot::Sender<()>,
    ) -> Self {
        Self { file, left: part, sent, reading: None, _ended: ended }
    }

    /// Hands over what is wanted of a chunk.
    fn hand_over(&mut self, chunk: io::Result<Bytes>) -> Poll<Option<io::Result<Bytes>>> {
        let wanted = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
        let chunk = chunk.map(|mut bytes| {
            bytes.truncate(wanted);
            bytes
        });
        match &chunk {
            Ok(bytes) => {
                self.left.start += bytes.len() as u64;
                self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Err(_) => self.left.start = self.left.end,
        }
        Poll::Ready(Some(chunk))
    }
}

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let at = self.left.start;
        if self.reading.is_none() {
            if let Some(chunk) = self.file.at_hand(at) {
                return self.hand_over(chunk);
            }
            let file = self.file.clone();
            self.reading = Some(tokio::task::spawn_blocking(move || file.read(at)));
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        self.hand_over(read.unwrap_or_else(|error| Err(io::Error::other(error))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures_util::StreamExt;

    use super::*;
    use crate::machine::shared_chunks::SharedChunks;

    #[tokio::test]
    async fn a_part_comes_whole_and_a_file_that_ends_too_early_is_an_error() {
        let content: Vec<u8> = (0..200_000_u32).map(|index| (index % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        let all = SharedChunks::default();
        let chunks = |part: Range<u64>| {
            let file = all.of(file.try_clone().unwrap(), part.end.max(200_000)).unwrap();
            let (sent, (ended, end)) = (Arc::new(AtomicU64::new(0)), oneshot::channel());
            (Chunks::new(file, part, sent.clone(), ended), sent, end)
        };
        let (stream, sent, end) = chunks(10..190_000);
        let parts: Vec<Bytes> = stream.map(Result::unwrap).collect().await;
        assert!(parts.concat() == content[10..190_000]);
        assert_eq!(sent.load(Ordering::Relaxed), 189_990);
        assert!(end.await.is_err(), "the end of the stream is told");

        let (stream, sent, _end) = chunks(190_000..210_000);
        let parts: Vec<io::Result<Bytes>> = stream.collect().await;
        let last = parts.last().unwrap().as_ref().unwrap_err();
        assert_eq!(last.kind(), io::ErrorKind::UnexpectedEof);
        assert!(sent.load(Ordering::Relaxed) <= 10_000);
    }
}
