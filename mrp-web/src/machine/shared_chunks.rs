//! Chunks of files that are on their way, each in memory once however many connections send it: when a whole lab boots, its
//! machines are at the same files. Nothing is kept: a chunk goes with the last connection that sends it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// Bytes of a chunk. A thousand machines that boot a thousand different files have a thousand of them in memory.
pub(super) const CHUNK: u64 = 64 << 10;

/// The chunks that are on their way.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedChunks(Arc<Mutex<HashMap<Place, Weak<Chunk>>>>);

/// A file whose content never changes, while it is being sent.
#[derive(Debug, Clone)]
pub(super) struct SharedFile {
    file: Arc<File>,
    /// Device and inode: nobody else's while the file is open.
    identity: (u64, u64),
    len: u64,
    all: SharedChunks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    identity: (u64, u64),
    /// A multiple of [`CHUNK`].
    at: u64,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    place: Place,
    /// Is open as long as its chunk is there, so that no other file gets its inode.
    file: SharedFile,
}

/// What [`Bytes`] hold on to.
struct Held(Arc<Chunk>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut chunks = self.file.all.lock();
        // Another one may have taken the place meanwhile.
        if chunks.get(&self.place).is_some_and(|chunk| chunk.strong_count() == 0) {
            chunks.remove(&self.place);
        }
    }
}

impl SharedChunks {
    /// A file of `len` bytes.
    pub(super) fn of(&self, file: File, len: u64) -> io::Result<SharedFile> {
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(SharedFile { file: Arc::new(file), identity, len, all: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Weak<Chunk>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedFile {
    /// The file's bytes from here to the end of the chunk, if another connection sends it or the kernel has it in its cache.
    pub(super) fn at_hand(&self, at: u64) -> Option<io::Result<Bytes>> {
        let place = self.place(at);
        let chunk = match self.under_way(place) {
            Some(chunk) => Ok(chunk),
            None => self.cached(place)?,
        };
        Some(chunk.map(|chunk| tail(chunk, at)))
    }

    /// The same from the disk. Blocks.
    pub(super) fn read(&self, at: u64) -> io::Result<Bytes> {
        let place = self.place(at);
        // Another connection may have had the same wish.
        if let Some(chunk) = self.under_way(place) {
            return Ok(tail(chunk, at));
        }
        let mut bytes = vec![0; self.length(place)];
        self.file.read_exact_at(&mut bytes, place.at)?;
        Ok(tail(self.share(place, bytes), at))
    }

    /// What the kernel's cache has; `None` if it has not all of the chunk, or cannot tell (some file systems).
    fn cached(&self, place: Place) -> Option<io::Result<Arc<Chunk>>> {
        let mut bytes = vec![0; self.length(place)];
        match preadv2(&self.file, &mut [IoSliceMut::new(&mut bytes)], place.at, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == bytes.len() => Some(Ok(self.share(place, bytes))),
            // Where the file ends before it should, the way by the disk says so.
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR | Errno::NOSYS) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    fn under_way(&self, place: Place) -> Option<Arc<Chunk>> {
        self.all.lock().get(&place).and_then(Weak::upgrade)
    }

    /// The chunk of these bytes, or the one that is there meanwhile.
    fn share(&self, place: Place, bytes: Vec<u8>) -> Arc<Chunk> {
        let chunk = Arc::new(Chunk { bytes, place, file: self.clone() });
        let mut chunks = self.all.lock();
        let found = chunks.get(&place).and_then(Weak::upgrade);
        if found.is_none() {
            chunks.insert(place, Arc::downgrade(&chunk));
        }
        // A chunk that is not wanted locks too when it goes.
        drop(chunks);
        found.unwrap_or(chunk)
    }

    fn place(&self, at: u64) -> Place {
        Place { identity: self.identity, at: at - at % CHUNK }
    }

    fn length(&self, place: Place) -> usize {
        usize::try_from(CHUNK.min(self.len.saturating_sub(place.at))).unwrap_or(0)
    }
}

fn tail(chunk: Arc<Chunk>, at: u64) -> Bytes {
    let skipped = usize::try_from(at - chunk.place.at).unwrap_or(usize::MAX);
    let mut bytes = Bytes::from_owner(Held(chunk));
    bytes.split_off(skipped.min(bytes.len()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn connections_at_one_place_share_a_chunk_while_one_of_them_has_it() {
        let all = SharedChunks::default();
        let content: Vec<u8> = (0..150_000_u32).map(|index| (index % 251) as u8).collect();
        let file = file(&content);
        let [one, two] = [0; 2].map(|_| all.of(file.try_clone().unwrap(), 150_000).unwrap());
        let first = one.at_hand(70_000).unwrap().unwrap();
        assert!(first == content[70_000..131_072]);
        let second = two.at_hand(65_536).unwrap().unwrap();
        assert!(second == content[65_536..131_072]);
        assert_eq!(second[70_000 - 65_536..].as_ptr(), first.as_ptr());
        assert_eq!(two.read(65_536).unwrap().as_ptr(), second.as_ptr());
        assert_eq!(two.share(two.place(65_536), vec![0; 65_536]).bytes.as_ptr(), second.as_ptr());
        assert!(two.read(140_000).unwrap() == content[140_000..]);
        assert_eq!(all.lock().len(), 1, "what nobody sends is gone");
        drop((first, one));
        assert_eq!(all.lock().len(), 1);
        drop(second);
        assert!(all.lock().is_empty());
    }

    #[test]
    fn files_share_nothing_with_each_other() {
        let all = SharedChunks::default();
        let of = |byte| all.of(file(&[byte; 10]), 10).unwrap().at_hand(0).unwrap().unwrap();
        // The first file is closed and has no name, but its chunk is still on its way.
        let (first, second) = (of(1), of(2));
        assert_eq!((&first[..], &second[..]), (&[1; 10][..], &[2; 10][..]));
    }
}
