//! Uploads that go on after a cut: what has come is kept, by whichever server, until it is whole and becomes an image.

use std::time::Duration;

use bytes::Bytes;

use crate::actor::{Actor, forbidden, nobody};
use crate::blob::{BlobError, PartialWriter};
use crate::claim::Claim;
use crate::error::Error;
use crate::id::Timestamp;
use crate::image::{Digest, Image, safe_file_name};
use crate::service::Provisioner;
use crate::service::images::{FINISHING, NewImage};
use crate::store::StoreError;
use crate::upload::{PendingUpload, UploadKey};

/// Bytes after which what has come is made durable and noted.
const STEP: u64 = 8 << 20;
/// How often uploads without progress and content without images are looked for.
const LOOK: Duration = Duration::from_secs(10 * 60);
/// Partial content without a row is another server's upload that begins, if it is younger than this.
const YOUNG: Duration = Duration::from_secs(60 * 60);

/// What an uploader says at the start.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// The image.
    pub image: NewImage,
    /// The file's name.
    pub file_name: String,
    /// Bytes.
    pub length: u64,
    /// What the content has to be.
    pub digest: Option<Digest>,
}

/// Uploads.
#[derive(Debug)]
pub struct Uploads<'a>(&'a Provisioner);

/// Bytes of an upload on their way in. Ends with [`Receiving::end`]; dropped, it keeps what was noted last.
#[derive(Debug)]
pub struct Receiving {
    service: Provisioner,
    actor: Actor,
    upload: PendingUpload,
    writer: Box<dyn PartialWriter>,
    /// Bytes that were written and are not noted yet.
    pending: u64,
}

impl Provisioner {
    /// Uploads that may go on later.
    pub fn uploads(&self) -> Uploads<'_> {
        Uploads(self)
    }

    /// Refuses images that are not those of the database: another server's folder, or one that was put in its place.
    pub(crate) async fn claim_images(&self) -> Result<(), Error> {
        let found = self.0.blobs.identity().await?;
        let wanted = self.store().site_value("image_store", &found).await?;
        if found == wanted {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "the images of this database are in another store: it goes with {wanted}, and this one is {found}. All servers on \
             a database need the same images: give this one the same folder (images.dir) or bucket (images.bucket). If these are the right images, write \
             {wanted} into the file \"identity\" among them"
        )))
    }

    /// Removes what killed servers left behind, and does so again from time to time.
    pub(crate) async fn tend_content(&self) -> Result<(), Error> {
        self.images().collect_content().await?;
        self.uploads().expire().await?;
        let service = self.clone();
        self.start_loop(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let done = async {
                    service.uploads().expire().await?;
                    service.images().collect_content().await
                };
                if let Err(error) = done.await {
                    tracing::warn!(%error, "old uploads could not be removed");
                }
            }
        });
        Ok(())
    }
}

impl Uploads<'_> {
    /// One's own uploads, the oldest first; everybody's for admins.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<PendingUpload>, Error> {
        match (actor.admin, actor.user) {
            (true, _) => Ok(self.0.store().uploads(None).await?),
            (false, Some(user)) => Ok(self.0.store().uploads(Some(user)).await?),
            (false, None) => Ok(Vec::new()),
        }
    }

    /// One upload: its owner's and admins'.
    pub async fn get(&self, actor: &Actor, key: &UploadKey) -> Result<PendingUpload, Error> {
        let upload = self.0.store().upload(key).await?;
        let upload = upload.ok_or_else(|| Error::not_found("upload", key))?;
        if actor.owns(Some(upload.user)) {
            Ok(upload)
        } else {
            Err(forbidden("only its owner and admins may see an upload"))
        }
    }

    /// Begins an upload. Where an image that the actor may use has the content already, it becomes an image at once.
    pub async fn begin(&self, actor: &Actor, new: NewUpload) -> Result<PendingUpload, Error> {
        actor.require_write()?;
        let user = actor.user.ok_or_else(nobody)?;
        let arch = self.0.images().check(actor, &new.image).await?;
        if new.length == 0 {
            return Err(Error::invalid("Upload-Length", "the file is empty"));
        }
        if new.length > PendingUpload::MAX_BYTES {
            let most = PendingUpload::MAX_BYTES;
            return Err(Error::invalid(
                "Upload-Length",
                format!("{}; at most {most} bytes are taken", new.length),
            ));
        }
        let open = self.0.store().uploads(Some(user)).await?;
        if open.iter().filter(|upload| upload.image.is_none()).count() >= PendingUpload::AT_ONCE {
            let most = PendingUpload::AT_ONCE;
            return Err(Error::TooMany(format!(
                "{most} uploads of yours are under way; end or remove some first"
            )));
        }
        let now = self.0.now();
        let upload = PendingUpload {
            key: UploadKey::generate(),
            user,
            file_name: safe_file_name(&new.file_name),
            kind: new.image.kind,
            arch: arch.name,
            description: new.image.description,
            known_good: new.image.known_good,
            public: new.image.public,
            digest: new.digest,
            length: new.length,
            received: 0,
            created: now,
            advanced: now,
            image: None,
        };
        self.0.store().insert_upload(&upload).await?;
        match self.take_what_is_there(actor, &upload).await {
            Ok(true) => {}
            Ok(false) => return Ok(upload),
            Err(error) => {
                self.0.store().delete_upload(&upload.key).await?;
                return Err(error);
            }
        }
        self.get(actor, &upload.key).await
    }

    /// Receives bytes from an offset on, which has to be where the upload is; for its owner alone.
    pub async fn receive(&self, actor: &Actor, key: &UploadKey, offset: u64) -> Result<Receiving, Error> {
        actor.require_write()?;
        let upload = self.own(actor, key).await?;
        upload.check_offset(offset)?;
        let begun = match upload.image {
            Some(_) => Err(Error::Conflict(format!("upload {key} is complete"))),
            None => Ok(self.0.0.blobs.append(key, offset).await),
        }?;
        let writer = match begun {
            Err(BlobError::NotFound) => {
                self.0.store().delete_upload(key).await?;
                return Err(Error::not_found("upload", key));
            }
            begun => begun?,
        };
        // The one before may have gone on until its writer was closed.
        let upload = self.own(actor, key).await?;
        upload.check_offset(offset)?;
        Ok(Receiving { service: self.0.clone(), actor: actor.clone(), upload, writer, pending: 0 })
    }

    /// Ends an upload and forgets its bytes: its owner or an admin. An image that it became stays.
    pub async fn cancel(&self, actor: &Actor, key: &UploadKey) -> Result<(), Error> {
        actor.require_write()?;
        self.get(actor, key).await?;
        self.forget(key).await
    }

    /// Removes the uploads that have not gone on for too long, and bytes that belong to none.
    pub async fn expire(&self) -> Result<(), Error> {
        let (now, patience) = (self.0.now(), self.0.settings().upload_expiry);
        let mut keep = std::collections::HashSet::new();
        for upload in self.0.store().uploads(None).await? {
            if now.since(upload.advanced) >= patience {
                tracing::info!(key = %upload.key, file = %upload.file_name, "an upload without progress was removed");
                self.forget(&upload.key).await?;
            } else if upload.image.is_none() {
                keep.insert(upload.key);
            }
        }
        if let Err(error) = self.0.0.blobs.sweep_partial(&keep, young(self.0)).await {
            tracing::warn!(%error, "bytes of forgotten uploads could not be removed");
        }
        Ok(())
    }

    async fn own(&self, actor: &Actor, key: &UploadKey) -> Result<PendingUpload, Error> {
        let upload = self.get(actor, key).await?;
        if actor.user == Some(upload.user) {
            Ok(upload)
        } else {
            Err(forbidden("only its owner may go on with an upload"))
        }
    }

    async fn forget(&self, key: &UploadKey) -> Result<(), Error> {
        self.0.store().delete_upload(key).await?;
        Ok(self.0.0.blobs.discard(key).await?)
    }

    /// The content of an image that one may use is not sent again. Others' private content is not told of.
    async fn take_what_is_there(&self, actor: &Actor, upload: &PendingUpload) -> Result<bool, Error> {
        let Some(digest) = &upload.digest else { return Ok(false) };
        let keep = async |claim: &Claim| self.take_kept(actor, upload, digest, claim).await;
        self.0.keeping_contents(FINISHING, keep).await
    }

    async fn take_kept(
        &self,
        actor: &Actor,
        upload: &PendingUpload,
        digest: &Digest,
        claim: &Claim,
    ) -> Result<bool, Error> {
        let there = self.0.store().images_with_digest(digest).await?;
        let usable = |image: &&Image| actor.user == image.owner || image.public;
        let Some(size) = there.iter().find(usable).map(|image| image.size) else { return Ok(false) };
        if size != upload.length {
            let message = format!("the content of this sha256 has {size} bytes, not {}", upload.length);
            return Err(Error::invalid("Upload-Length", message));
        }
        match self.0.0.blobs.open(digest).await {
            Err(BlobError::NotFound) => return Ok(false),
            opened => drop(opened?),
        }
        self.0.become_image(actor, upload, digest.clone(), claim).await.map(|_| true)
    }
}

impl Provisioner {
    async fn become_image(
        &self,
        actor: &Actor,
        upload: &PendingUpload,
        digest: Digest,
        claim: &Claim,
    ) -> Result<Image, Error> {
        let new = described(upload);
        let arch = self.images().check(actor, &new).await?;
        let image = self.new_image(actor, new, &arch, &upload.file_name, (digest, upload.length));
        let journal = self.image_made(actor, &image)?.done_under(claim);
        Ok(self.store().finish_upload(&upload.key, &image, &journal).await?)
    }
}

/// What is older than this is nobody's who has just begun.
fn young(service: &Provisioner) -> Timestamp {
    let hour = i64::try_from(YOUNG.as_millis()).unwrap_or(i64::MAX);
    Timestamp(service.now().0.saturating_sub(hour))
}

fn described(upload: &PendingUpload) -> NewImage {
    NewImage {
        kind: upload.kind,
        arch: upload.arch.clone(),
        description: upload.description.clone(),
        known_good: upload.known_good,
        public: upload.public,
    }
}

impl Receiving {
    /// Appends bytes. More than the upload was to have is refused.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let length = self.upload.length;
        let sum = self.upload.received + self.pending + bytes.len() as u64;
        if sum > length {
            return Err(Error::Refused(format!("more came than the {length} bytes that were announced")));
        }
        self.pending += bytes.len() as u64;
        self.writer.write(bytes).await?;
        if self.pending >= STEP { self.note().await } else { Ok(()) }
    }

    /// Keeps what has come, for a client that will go on later.
    pub async fn pause(mut self) -> Result<PendingUpload, Error> {
        self.note().await?;
        Ok(self.upload)
    }

    /// Keeps what has come; when that is all, the upload becomes an image.
    pub async fn end(mut self) -> Result<PendingUpload, Error> {
        self.note().await?;
        let Receiving { service, actor, upload, writer, .. } = self;
        drop(writer);
        if upload.received < upload.length {
            return Ok(upload);
        }
        // It goes on when its client does not wait.
        let work = service.clone();
        service.run_to_end(async move { work.complete(&actor, upload).await }).await
    }

    async fn note(&mut self) -> Result<(), Error> {
        self.writer.sync().await?;
        let (from, to) = (self.upload.received, self.upload.received + self.pending);
        if from != to {
            let now = self.service.now();
            match self.service.store().advance_upload(&self.upload.key, from, to, now).await {
                Err(StoreError::NotFound) => return Err(Error::not_found("upload", &self.upload.key)),
                Err(StoreError::Stale) => return Err(BlobError::Busy.into()),
                noted => noted?,
            }
            (self.upload.received, self.upload.advanced, self.pending) = (to, now, 0);
        }
        Ok(())
    }
}

impl Provisioner {
    async fn complete(&self, actor: &Actor, upload: PendingUpload) -> Result<PendingUpload, Error> {
        self.images().check(actor, &described(&upload)).await?;
        let keep = async |claim: &Claim| self.complete_kept(actor, upload, claim).await;
        self.keeping_contents(FINISHING, keep).await
    }

    async fn complete_kept(
        &self,
        actor: &Actor,
        mut upload: PendingUpload,
        claim: &Claim,
    ) -> Result<PendingUpload, Error> {
        let digest = match self.0.blobs.complete(&upload.key, upload.length, upload.digest.as_ref()).await {
            Err(BlobError::Digest(found)) => {
                self.uploads().forget(&upload.key).await?;
                let said = upload.digest.as_ref().map(ToString::to_string).unwrap_or_default();
                return Err(Error::Refused(format!(
                    "the content has the SHA-256 {found}, not {said}; nothing was stored, send it again"
                )));
            }
            Err(BlobError::NotFound) => {
                // Either another request has completed it, or its bytes are gone.
                let now = self.uploads().get(actor, &upload.key).await?;
                if now.image.is_none() {
                    self.store().delete_upload(&upload.key).await?;
                    return Err(Error::not_found("upload", &upload.key));
                }
                return Ok(now);
            }
            completed => completed?,
        };
        upload.image = Some(self.become_image(actor, &upload, digest, claim).await?.id);
        Ok(upload)
    }
}
