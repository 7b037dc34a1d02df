//! The last image of a content is removed at one server while another puts the same content there.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mrp_core::blob::{Blob, BlobError, BlobStore, BlobWriter, PartialWriter};
use mrp_core::id::Timestamp;
use mrp_core::image::{Digest, Image, ImageKind};
use mrp_core::service::images::NewImage;
use mrp_core::upload::UploadKey;
use mrp_core::{Actor, Provisioner};
use mrp_store::FsBlobs;
use tokio::sync::Notify;

use crate::lab::Lab;

/// Where work waits, once it is closed.
#[derive(Debug, Default)]
struct Gate {
    closed: AtomicBool,
    reached: Notify,
    opened: Notify,
}

impl Gate {
    async fn pass(&self) {
        if self.closed.load(Ordering::SeqCst) {
            self.reached.notify_one();
            self.opened.notified().await;
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.opened.notify_one();
    }
}

/// Behind the content of an upload, and before a removal.
#[derive(Debug, Clone)]
struct GatedBlobs {
    inner: FsBlobs,
    put: Arc<Gate>,
    removal: Arc<Gate>,
}

#[derive(Debug)]
struct GatedWriter(Box<dyn BlobWriter>, Arc<Gate>);

#[async_trait]
impl BlobWriter for GatedWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.0.write(bytes).await
    }

    async fn finish(self: Box<Self>) -> Result<(Digest, u64), BlobError> {
        let put = self.0.finish().await?;
        self.1.pass().await;
        Ok(put)
    }
}

#[async_trait]
impl BlobStore for GatedBlobs {
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(GatedWriter(self.inner.create().await?, self.put.clone())))
    }

    async fn open(&self, digest: &Digest) -> Result<Blob, BlobError> {
        self.inner.open(digest).await
    }

    async fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        self.removal.pass().await;
        self.inner.remove(digest).await
    }

    async fn digests(&self) -> Result<Vec<Digest>, BlobError> {
        self.inner.digests().await
    }

    async fn append(&self, key: &UploadKey, offset: u64) -> Result<Box<dyn PartialWriter>, BlobError> {
        self.inner.append(key, offset).await
    }

    async fn complete(
        &self,
        key: &UploadKey,
        length: u64,
        digest: Option<&Digest>,
    ) -> Result<Digest, BlobError> {
        let put = self.inner.complete(key, length, digest).await?;
        self.put.pass().await;
        Ok(put)
    }

    async fn discard(&self, key: &UploadKey) -> Result<(), BlobError> {
        self.inner.discard(key).await
    }

    async fn sweep_partial(&self, keep: &HashSet<UploadKey>, before: Timestamp) -> Result<u64, BlobError> {
        self.inner.sweep_partial(keep, before).await
    }

    async fn identity(&self) -> Result<String, BlobError> {
        self.inner.identity().await
    }
}

async fn server(lab: &Lab) -> (Provisioner, GatedBlobs) {
    let blobs = GatedBlobs { inner: lab.blobs().await, put: Arc::default(), removal: Arc::default() };
    let (builder, _) = lab.builder().await;
    (builder.shared_blobs(Arc::new(blobs.clone())).quiet().build().await.unwrap(), blobs)
}

async fn put(at: Provisioner, actor: Actor, content: &'static str) -> Image {
    let mut upload = at.images().upload(&actor).await.unwrap();
    upload.write(Bytes::from_static(content.as_bytes())).await.unwrap();
    let (description, known_good, public) = (None, false, false);
    let new = NewImage { kind: ImageKind::Kernel, arch: "x86_64".into(), description, known_good, public };
    upload.finish(new, "vmlinuz").await.unwrap().image
}

async fn is_there(lab: &Lab, image: &Image) -> bool {
    lab.blobs().await.open(&image.digest).await.is_ok()
}

pub(crate) async fn content_is_kept_that_another_server_puts_there(lab: Lab) {
    let (one, _) = server(&lab).await;
    let (two, blobs) = server(&lab).await;
    let old = put(one.clone(), lab.alice.clone(), "the same").await;
    let other = put(one.clone(), lab.alice.clone(), "another").await;
    // Its content is there, its row is not.
    blobs.put.close();
    let uploading = tokio::spawn(put(two.clone(), lab.bob.clone(), "the same"));
    blobs.put.reached.notified().await;
    one.images().delete(&lab.alice, old.id).await.unwrap();
    one.images().delete(&lab.alice, other.id).await.unwrap();
    blobs.put.open();
    let new = uploading.await.unwrap();
    assert_eq!(new.digest, old.digest);
    assert!(is_there(&lab, &new).await, "an image has lost its content");
    // What was left for its sake goes later, and so does the last one.
    assert!(is_there(&lab, &other).await);
    let (builder, _) = lab.builder().await;
    let next = builder.build().await.unwrap();
    assert!(!is_there(&lab, &other).await);
    next.images().delete(&lab.bob, new.id).await.unwrap();
    assert!(!is_there(&lab, &new).await);
    next.shutdown().await;
    lab.mrp.shutdown().await;
}

pub(crate) async fn content_that_is_being_removed_is_put_there_again(lab: Lab) {
    let (one, blobs) = server(&lab).await;
    let (two, theirs) = server(&lab).await;
    let old = put(one.clone(), lab.alice.clone(), "the same").await;
    blobs.removal.close();
    let (server, alice, id) = (one.clone(), lab.alice.clone(), old.id);
    let removing = tokio::spawn(async move { server.images().delete(&alice, id).await });
    blobs.removal.reached.notified().await;
    theirs.put.close();
    let uploading = tokio::spawn(put(two.clone(), lab.bob.clone(), "the same"));
    // It would be lost now: until the removal has ended, nobody gets so far.
    let early = tokio::time::timeout(Duration::from_millis(300), theirs.put.reached.notified()).await;
    assert!(early.is_err(), "a content was put there while it was removed");
    blobs.removal.open();
    removing.await.unwrap().unwrap();
    theirs.put.reached.notified().await;
    theirs.put.open();
    assert!(is_there(&lab, &uploading.await.unwrap()).await, "an image has lost its content");
    lab.mrp.shutdown().await;
}
