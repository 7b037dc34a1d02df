//! What every [`BlobStore`] has to pass, each case on an empty store of its own.

use std::collections::HashSet;
use std::io::Read;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};

use super::{Failure, Report, Verdict, ensure};
use crate::blob::{BlobError, BlobStore};
use crate::id::Timestamp;
use crate::image::Digest;
use crate::upload::UploadKey;

/// One place of the implementation under test.
#[async_trait]
pub trait TestBlobs: Send + Sync {
    /// The store on it.
    fn blobs(&self) -> &dyn BlobStore;

    /// The store as another server on the same place sees it, after a restart or beside the first.
    async fn another(&self) -> Result<Box<dyn BlobStore>, Failure>;
}

type CaseFn = for<'a> fn(&'a dyn TestBlobs) -> BoxFuture<'a, Outcome>;
type Outcome = Result<(), Failure>;

/// One case of the suite.
pub struct Case {
    /// What holds, in a few words.
    pub name: &'static str,
    run: CaseFn,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The suite.
pub const BLOBS: &[Case] = &[
    Case { name: "content comes back whole under its digest", run: |place| Box::pin(content(place)) },
    Case { name: "the same content twice is no error", run: |place| Box::pin(twice(place)) },
    Case { name: "a dropped upload leaves nothing", run: |place| Box::pin(dropped(place)) },
    Case { name: "a removed blob is gone, and who reads it goes on", run: |place| Box::pin(removed(place)) },
    Case { name: "all digests are listed", run: |place| Box::pin(listed(place)) },
    Case { name: "partial content goes on where it was", run: |place| Box::pin(resumed(place)) },
    Case { name: "partial content goes on from an earlier byte", run: |place| Box::pin(rewound(place)) },
    Case {
        name: "partial content of another digest or length is no blob",
        run: |place| Box::pin(wrong(place)),
    },
    Case { name: "discarded partial content is gone", run: |place| Box::pin(discarded(place)) },
    Case { name: "the store has one name", run: |place| Box::pin(named(place)) },
];

/// Runs all cases, each on a place that `make` makes.
pub async fn run<P, F>(make: impl Fn() -> F) -> Report
where
    P: TestBlobs,
    F: Future<Output = Result<P, Failure>>,
{
    let mut report = Report::default();
    for case in BLOBS {
        let outcome = match make().await {
            Ok(place) => (case.run)(&place).await,
            Err(failure) => Err(Failure(format!("no place: {failure}"))),
        };
        report.0.push((case.name, outcome.map_or_else(Verdict::Failed, |()| Verdict::Passed)));
    }
    report
}

/// Later than anything that was written.
const LATER: Timestamp = Timestamp(i64::MAX);

fn bytes(size: usize) -> Bytes {
    (0..size).map(|n| (n % 251) as u8).collect()
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

async fn put(blobs: &dyn BlobStore, content: &Bytes) -> Result<Digest, Failure> {
    let mut writer = blobs.create().await?;
    for start in (0..content.len()).step_by(300_000) {
        writer.write(content.slice(start..content.len().min(start + 300_000))).await?;
    }
    let (digest, size) = writer.finish().await?;
    ensure(size == content.len() as u64, || {
        format!("{} bytes were written, {size} are told", content.len())
    })?;
    Ok(digest)
}

/// Fails unless the blob has this content.
async fn holds(blobs: &dyn BlobStore, content: &[u8]) -> Outcome {
    let mut blob = blobs.open(&digest_of(content)).await?;
    let mut found = Vec::new();
    blob.file.read_to_end(&mut found).map_err(|error| Failure(error.to_string()))?;
    ensure(blob.len == content.len() as u64, || format!("{} bytes, not {}", blob.len, content.len()))?;
    ensure(found == content, || format!("{} other bytes came back", found.len()))
}

async fn is_gone(blobs: &dyn BlobStore, digest: &Digest) -> Outcome {
    let opened = blobs.open(digest).await;
    ensure(matches!(opened, Err(BlobError::NotFound)), || format!("NotFound was expected, {opened:?} came"))
}

async fn content(place: &dyn TestBlobs) -> Outcome {
    for size in [0, 1, (1 << 20) - 1, 1 << 20, 11_000_001] {
        let content = bytes(size);
        let digest = put(place.blobs(), &content).await?;
        ensure(digest == digest_of(&content), || format!("{size} bytes have the digest {digest}"))?;
        holds(place.blobs(), &content).await?;
        holds(&*place.another().await?, &content).await?;
    }
    is_gone(place.blobs(), &digest_of(b"something else")).await
}

async fn twice(place: &dyn TestBlobs) -> Outcome {
    let content = bytes(2_000_000);
    let puts = (0..4).map(|_| put(place.blobs(), &content));
    for digest in futures_util::future::join_all(puts).await {
        ensure(digest? == digest_of(&content), || "another digest".into())?;
    }
    holds(place.blobs(), &content).await
}

async fn dropped(place: &dyn TestBlobs) -> Outcome {
    let content = bytes(6 << 20);
    let mut writer = place.blobs().create().await?;
    writer.write(content.clone()).await?;
    drop(writer);
    is_gone(place.blobs(), &digest_of(&content)).await?;
    let left = place.blobs().digests().await?;
    ensure(left.is_empty(), || format!("{left:?} were left behind"))
}

async fn removed(place: &dyn TestBlobs) -> Outcome {
    let content = bytes(2_000_000);
    let digest = put(place.blobs(), &content).await?;
    let mut reader = place.blobs().open(&digest).await?;
    place.blobs().remove(&digest).await?;
    place.blobs().remove(&digest).await?;
    is_gone(place.blobs(), &digest).await?;
    let mut found = Vec::new();
    reader.file.read_to_end(&mut found).map_err(|error| Failure(error.to_string()))?;
    ensure(found == content, || "the reader did not get the rest".into())
}

async fn listed(place: &dyn TestBlobs) -> Outcome {
    let (first, second) =
        (put(place.blobs(), &bytes(10)).await?, put(&*place.another().await?, &bytes(11)).await?);
    let mut found = place.blobs().digests().await?;
    found.sort();
    let mut wanted = vec![first.clone(), second.clone()];
    wanted.sort();
    ensure(found == wanted, || format!("{wanted:?} are there, {found:?} are listed"))?;
    place.blobs().remove(&first).await?;
    let found = place.another().await?.digests().await?;
    ensure(found == [second], || format!("after a removal {found:?} are listed"))
}

async fn append(blobs: &dyn BlobStore, key: &UploadKey, offset: usize, bytes: Bytes) -> Outcome {
    let mut writer = blobs.append(key, offset as u64).await?;
    writer.write(bytes).await?;
    Ok(writer.sync().await?)
}

async fn resumed(place: &dyn TestBlobs) -> Outcome {
    let (content, key) = (bytes(3_000_000), UploadKey::generate());
    append(place.blobs(), &key, 0, content.slice(..1_000_000)).await?;
    // A server that is killed has perhaps written more than it noted.
    let another = place.another().await?;
    append(&*another, &key, 1_000_000, content.slice(1_000_000..1_500_000)).await?;
    append(place.blobs(), &key, 1_500_000, Bytes::new()).await?;
    append(place.blobs(), &key, 1_500_000, content.slice(1_500_000..)).await?;
    let kept = place.blobs().sweep_partial(&HashSet::from([key.clone()]), LATER).await?;
    ensure(kept == 0, || "partial content that is to be kept was removed".into())?;
    let digest = another.complete(&key, 3_000_000, Some(&digest_of(&content))).await?;
    ensure(digest == digest_of(&content), || format!("another digest: {digest}"))?;
    holds(place.blobs(), &content).await?;
    let again = place.blobs().complete(&key, 3_000_000, None).await;
    ensure(matches!(again, Err(BlobError::NotFound)), || format!("completed twice: {again:?}"))?;
    let more = place.blobs().append(&key, 3_000_000).await.map(drop);
    ensure(matches!(more, Err(BlobError::NotFound)), || format!("a blob was opened for writing: {more:?}"))
}

async fn rewound(place: &dyn TestBlobs) -> Outcome {
    let (content, key) = (bytes(1000), UploadKey::generate());
    append(place.blobs(), &key, 0, content.slice(..400)).await?;
    append(place.blobs(), &key, 400, Bytes::from_static(b"never noted")).await?;
    append(place.blobs(), &key, 400, content.slice(400..900)).await?;
    append(place.blobs(), &key, 0, content.slice(..)).await?;
    place.blobs().complete(&key, 1000, None).await?;
    holds(place.blobs(), &content).await?;
    let empty = UploadKey::generate();
    append(place.blobs(), &empty, 0, Bytes::new()).await?;
    place.blobs().complete(&empty, 0, Some(&digest_of(b""))).await?;
    holds(place.blobs(), b"").await
}

async fn wrong(place: &dyn TestBlobs) -> Outcome {
    let (content, key) = (bytes(1000), UploadKey::generate());
    append(place.blobs(), &key, 0, content.clone()).await?;
    let other = place.blobs().complete(&key, 1000, Some(&digest_of(b"other"))).await;
    let told = matches!(&other, Err(BlobError::Digest(found)) if *found == digest_of(&content));
    ensure(told, || format!("another digest was not told: {other:?}"))?;
    let longer = place.blobs().complete(&key, 1001, None).await;
    ensure(longer.is_err(), || "another length was taken".into())?;
    is_gone(place.blobs(), &digest_of(&content)).await?;
    let beyond = place.blobs().append(&key, 1001).await.map(drop);
    ensure(beyond.is_err(), || "a hole was begun behind the content".into())?;
    place.blobs().complete(&key, 1000, None).await?;
    holds(place.blobs(), &content).await
}

async fn discarded(place: &dyn TestBlobs) -> Outcome {
    let (first, second) = (UploadKey::generate(), UploadKey::generate());
    for key in [&first, &second] {
        append(place.blobs(), key, 0, bytes(1000)).await?;
    }
    place.blobs().discard(&first).await?;
    place.blobs().discard(&first).await?;
    let swept = place.blobs().sweep_partial(&HashSet::new(), Timestamp(0)).await?;
    ensure(swept == 0, || "young partial content was removed".into())?;
    let swept = place.blobs().sweep_partial(&HashSet::new(), LATER).await?;
    ensure(swept == 1, || format!("one upload was to go, {swept} went"))?;
    for key in [&first, &second] {
        let gone = place.blobs().complete(key, 1000, None).await;
        ensure(matches!(gone, Err(BlobError::NotFound)), || format!("NotFound was expected, {gone:?} came"))?;
    }
    Ok(())
}

async fn named(place: &dyn TestBlobs) -> Outcome {
    let another = place.another().await?;
    let (first, second) = futures_util::future::join(place.blobs().identity(), another.identity()).await;
    let (first, second) = (first?, second?);
    ensure(!first.is_empty() && first == second, || format!("two names: {first:?} and {second:?}"))
}
