//! The image store on disk: whole files or none, whatever becomes of an upload.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use mrp_core::blob::{BlobError, BlobStore};
use mrp_core::conformance::Failure;
use mrp_core::conformance::blob::{TestBlobs, run};
use mrp_core::image::Digest;
use mrp_core::upload::UploadKey;
use mrp_store::FsBlobs;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

struct Folder(TempDir, FsBlobs);

#[async_trait]
impl TestBlobs for Folder {
    fn blobs(&self) -> &dyn BlobStore {
        &self.1
    }

    async fn another(&self) -> Result<Box<dyn BlobStore>, Failure> {
        Ok(Box::new(FsBlobs::open(self.0.path()).await?))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_conforms() {
    let report = run(|| async {
        let folder = TempDir::new().map_err(|error| Failure(error.to_string()))?;
        let blobs = FsBlobs::open(folder.path()).await?;
        Ok(Folder(folder, blobs))
    })
    .await;
    assert!(report.passed(), "{report}");
}

#[tokio::test]
async fn partial_content_has_one_writer() {
    let folder = TempDir::new().unwrap();
    let blobs = FsBlobs::open(folder.path()).await.unwrap();
    let key = UploadKey::generate();
    let mut writer = blobs.append(&key, 0).await.unwrap();
    writer.write(Bytes::from_static(b"first")).await.unwrap();
    assert!(matches!(blobs.append(&key, 0).await, Err(BlobError::Busy)));
    assert!(matches!(blobs.complete(&key, 0, None).await, Err(BlobError::Busy)));
    writer.sync().await.unwrap();
    drop(writer);
    assert_eq!(blobs.complete(&key, 5, None).await.unwrap(), digest_of(b"first"));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

async fn put(blobs: &FsBlobs, content: &[u8]) -> Digest {
    let mut writer = blobs.create().await.unwrap();
    for piece in content.chunks(300_000) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let (digest, size) = writer.finish().await.unwrap();
    assert_eq!(size, content.len() as u64);
    digest
}

async fn content(blobs: &FsBlobs, digest: &Digest) -> Vec<u8> {
    let mut blob = blobs.open(digest).await.unwrap();
    let mut content = Vec::new();
    blob.file.read_to_end(&mut content).unwrap();
    assert_eq!(blob.len, content.len() as u64);
    content
}

#[tokio::test]
async fn content_comes_back_under_its_digest() {
    let folder = TempDir::new().unwrap();
    let blobs = FsBlobs::open(folder.path()).await.unwrap();
    for size in [0, 1, (1 << 20) - 1, 1 << 20, 3_000_001] {
        let bytes: Vec<u8> = (0..size).map(|n: usize| (n % 251) as u8).collect();
        let digest = put(&blobs, &bytes).await;
        assert_eq!(digest, digest_of(&bytes));
        assert_eq!(content(&blobs, &digest).await, bytes);
        let path = folder.path().join(&digest.as_str()[..2]).join(digest.as_str());
        assert!(path.is_file());
    }
    assert_eq!(files(folder.path()).len(), 5, "nothing but the blobs");
}

#[tokio::test]
async fn the_same_content_is_stored_once() {
    let folder = TempDir::new().unwrap();
    let blobs = FsBlobs::open(folder.path()).await.unwrap();
    let first = put(&blobs, b"kernel").await;
    let mut reader = blobs.open(&first).await.unwrap();
    assert_eq!(put(&blobs, b"kernel").await, first);
    assert_eq!(files(folder.path()).len(), 1);
    blobs.remove(&first).await.unwrap();
    blobs.remove(&first).await.unwrap();
    assert!(matches!(blobs.open(&first).await, Err(BlobError::NotFound)));
    let mut read = String::new();
    reader.file.read_to_string(&mut read).unwrap();
    assert_eq!(read, "kernel", "who has it open goes on reading");
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_content_from_many_at_once_is_stored_once() {
    let folder = TempDir::new().unwrap();
    let blobs = FsBlobs::open(folder.path()).await.unwrap();
    let bytes: Vec<u8> = (0..2_000_000).map(|n: u32| (n % 241) as u8).collect();
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (blobs, bytes) = (blobs.clone(), bytes.clone());
        uploads.spawn(async move { put(&blobs, &bytes).await });
    }
    let digests: HashSet<Digest> = uploads.join_all().await.into_iter().collect();
    assert_eq!(digests, HashSet::from([digest_of(&bytes)]));
    assert_eq!(files(folder.path()).len(), 1);
    assert_eq!(content(&blobs, &digest_of(&bytes)).await, bytes);
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let blobs = FsBlobs::open(folder.path()).await.unwrap();
    let mut writer = blobs.create().await.unwrap();
    writer.write(Bytes::from(vec![1; 5 << 20])).await.unwrap();
    assert_eq!(files(folder.path()).len(), 1, "it is being written");
    drop(writer);
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_write_is_cut_off_is_over() {
    let folder = TempDir::new().unwrap();
    let blobs = FsBlobs::open(folder.path()).await.unwrap();
    let mut writer = blobs.create().await.unwrap();
    {
        let write = writer.write(Bytes::from(vec![1; 64 << 20]));
        tokio::pin!(write);
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx))).await;
        assert!(first.is_pending(), "64 MB are not written at once");
    }
    assert!(matches!(writer.write(Bytes::from(vec![1; 5 << 20])).await, Err(BlobError::Io(_))));
    assert!(writer.finish().await.is_err(), "content with a hole gets no digest");
    while !files(folder.path()).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn another_opening_leaves_a_live_upload_alone() {
    let folder = TempDir::new().unwrap();
    let blobs = FsBlobs::open(folder.path()).await.unwrap();
    std::fs::write(folder.path().join("incoming/left-behind"), "half").unwrap();
    let mut writer = blobs.create().await.unwrap();
    writer.write(Bytes::from_static(b"live")).await.unwrap();
    let again = FsBlobs::open(folder.path()).await.unwrap();
    assert!(!folder.path().join("incoming/left-behind").exists(), "what nobody writes is removed");
    let (digest, _) = writer.finish().await.unwrap();
    assert_eq!(content(&again, &digest).await, b"live");
}

#[tokio::test]
async fn what_is_no_content_is_not_listed() {
    let folder = TempDir::new().unwrap();
    let blobs = FsBlobs::open(folder.path()).await.unwrap();
    let kept = put(&blobs, b"kept").await;
    std::fs::write(folder.path().join("README"), "a person's own file").unwrap();
    let mut live = blobs.create().await.unwrap();
    live.write(Bytes::from_static(b"live")).await.unwrap();
    blobs.identity().await.unwrap();
    assert_eq!(blobs.digests().await.unwrap(), [kept]);
    live.finish().await.unwrap();
    assert_eq!(blobs.digests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn nothing_but_a_digest_becomes_a_path() {
    let folder = TempDir::new().unwrap();
    let blobs = FsBlobs::open(&folder.path().join("images")).await.unwrap();
    let outside = folder.path().join("outside");
    std::fs::write(&outside, "secret").unwrap();
    for text in ["../outside", "/etc/passwd", "", "..", "a", &"A".repeat(64), "é"] {
        let digest: Digest = serde_json::from_value(text.into()).unwrap();
        assert!(matches!(blobs.open(&digest).await, Err(BlobError::NotFound)), "{text}");
        assert!(blobs.remove(&digest).await.is_err(), "{text}");
    }
    assert!(outside.exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    for folder in ["/sys/mrp-images", "/proc/mrp-images"] {
        let error = FsBlobs::open(Path::new(folder)).await.unwrap_err();
        let BlobError::Io(cause) = &error else { panic!("{error:?}") };
        assert!(cause.to_string().contains(folder), "{cause}");
    }
}
