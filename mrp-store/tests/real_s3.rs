//! Images in a bucket, against an S3 server that is not ours: moto's, which `.ci/install-packages` puts into
//! `target/lab/moto`.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

mod moto;

use std::io::Read;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use moto::Moto;
use mrp_core::blob::BlobStore;
use mrp_core::conformance::Failure;
use mrp_core::conformance::blob::{TestBlobs, run};
use mrp_core::secret::Secret;
use mrp_store::{S3Blobs, S3Config};
use tempfile::TempDir;

struct Bucket {
    config: S3Config,
    blobs: S3Blobs,
    folders: TempDir,
}

impl Bucket {
    async fn new(moto: &Moto, cache_bytes: u64) -> Result<Self, Failure> {
        let folders = TempDir::new().unwrap();
        let config = S3Config {
            endpoint: Some(moto.url.clone()),
            region: "us-east-1".into(),
            bucket: moto.bucket(),
            credentials: Some(("id".into(), Secret::new("the-secret-of-the-bucket"))),
            cache: folders.path().join("cache"),
            cache_bytes,
        };
        Ok(Self { blobs: S3Blobs::open(&config).await?, config, folders })
    }

    /// Bytes that lie in the cache of the first server.
    fn cached(&self) -> u64 {
        fn sum(folder: &Path) -> u64 {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { sum(&path) } else { path.metadata().unwrap().len() }).sum()
        }
        sum(&self.config.cache)
    }
}

#[async_trait]
impl TestBlobs for Bucket {
    fn blobs(&self) -> &dyn BlobStore {
        &self.blobs
    }

    async fn another(&self) -> Result<Box<dyn BlobStore>, Failure> {
        let cache = TempDir::new_in(self.folders.path()).unwrap().keep();
        Ok(Box::new(S3Blobs::open(&S3Config { cache, ..self.config.clone() }).await?))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_conforms() {
    let moto = Moto::start();
    let report = run(|| Bucket::new(&moto, 1 << 30)).await;
    println!("{report}");
    assert!(report.passed(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_keeps_to_its_size_and_nothing_is_lost_by_that() {
    let moto = Moto::start();
    let bucket = Bucket::new(&moto, 5_000_000).await.unwrap();
    let mut digests = Vec::new();
    for fill in 0..5_u8 {
        let mut writer = bucket.blobs.create().await.unwrap();
        writer.write(Bytes::from(vec![fill; 2_000_000])).await.unwrap();
        digests.push(writer.finish().await.unwrap().0);
        assert!(bucket.cached() <= 5_000_000, "{} bytes are cached", bucket.cached());
    }
    for (fill, digest) in (0..5_u8).zip(&digests) {
        // Many at once are one fetch each.
        let opened = (0..10).map(|_| bucket.blobs.open(digest));
        for blob in futures_util::future::join_all(opened).await {
            let mut content = Vec::new();
            blob.unwrap().file.read_to_end(&mut content).unwrap();
            assert_eq!(content, vec![fill; 2_000_000]);
        }
        assert!(bucket.cached() <= 5_000_000, "{} bytes are cached", bucket.cached());
    }
    assert!(!format!("{:?} {:?}", bucket.config, bucket.blobs).contains("the-secret-of-the-bucket"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_not_there_is_an_error() {
    let moto = Moto::start();
    let bucket = Bucket::new(&moto, 1 << 30).await.unwrap();
    let nowhere = S3Config { bucket: "nowhere".into(), ..bucket.config.clone() };
    let error = S3Blobs::open(&nowhere).await.unwrap().identity().await;
    assert!(error.is_err(), "{error:?}");
}
