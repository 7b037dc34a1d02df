//! Images: upload, look, change, remove. Putting one in another's place is in [`replace`].

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::actor::{Actor, forbidden};
use crate::arch::Arch;
use crate::blob::BlobWriter;
use crate::claim::Claim;
use crate::error::Error;
use crate::id::Id;
use crate::image::{Digest, Image, ImageId, ImageKind, ImageUse, safe_file_name};
use crate::machine::check_text;
use crate::secret::random_bytes;
use crate::service::Provisioner;
use crate::service::expected::Expected;
use crate::service::journal::{Draft, between, said};
use crate::store::StoreError;
use crate::user::User;

pub mod replace;

/// An upload whose bytes have all come is an image after this time, or not at all.
pub(crate) const FINISHING: Duration = Duration::from_secs(60 * 60);

/// An image with the names that its ids stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageView {
    /// The image.
    pub image: Image,
    /// Name of its architecture.
    pub arch: String,
    /// Name of its owner.
    pub owner: Option<String>,
}

/// What an uploader says of an image.
#[derive(Debug, Clone)]
pub struct NewImage {
    /// Kernel, initrd or boot loader.
    pub kind: ImageKind,
    /// Name of its architecture.
    pub arch: String,
    /// For people.
    pub description: Option<String>,
    /// Marked as working.
    pub known_good: bool,
    /// Usable by everybody.
    pub public: bool,
}

/// What is to be changed of an image; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct ImageChange {
    /// Kernel, initrd or boot loader.
    pub kind: Option<ImageKind>,
    /// Name of its architecture; an inner `None` is refused.
    pub arch: Option<Option<String>>,
    /// For people.
    pub description: Option<Option<String>>,
    /// Marked as working.
    pub known_good: Option<bool>,
    /// Usable by everybody.
    pub public: Option<bool>,
}

/// An upload under way. Dropped before [`Upload::finish`], it leaves neither row nor file.
#[derive(Debug)]
pub struct Upload {
    service: Provisioner,
    actor: Actor,
    writer: Box<dyn BlobWriter>,
    is_empty: bool,
}

/// Images.
#[derive(Debug)]
pub struct Images<'a>(&'a Provisioner, Expected);

impl Provisioner {
    /// Images.
    pub fn images(&self) -> Images<'_> {
        Images(self, Expected::Any)
    }
}

impl Images<'_> {
    /// The same, for changes of an object as it was seen.
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.1 = expected;
        self
    }

    /// Images sorted by id: one's own, or also those that one may use.
    pub async fn list(&self, actor: &Actor, all: bool) -> Result<Vec<ImageView>, Error> {
        let wanted = |image: &Image| {
            let own = image.owner.is_some() && image.owner == actor.user;
            own || (all && actor.may_use(image.owner, image.public))
        };
        let images = self.0.store().images().await?.into_iter().filter(wanted).collect();
        self.views(images).await
    }

    /// One image that one may use.
    pub async fn get(&self, actor: &Actor, id: ImageId) -> Result<ImageView, Error> {
        let image = self.load(id).await?;
        if actor.may_use(image.owner, image.public) {
            self.view(image).await
        } else {
            Err(forbidden("the image is private: only its owner and admins may use it"))
        }
    }

    /// Checks what is said of an image before its bytes are taken.
    pub async fn check(&self, actor: &Actor, new: &NewImage) -> Result<Arch, Error> {
        check_text("description", new.description.as_deref().unwrap_or(""), 0, 1024)?;
        self.0.archs().by_name(actor, &new.arch).await
    }

    /// Starts an upload.
    pub async fn upload(&self, actor: &Actor) -> Result<Upload, Error> {
        actor.require_write()?;
        let writer = self.0.0.blobs.create().await?;
        Ok(Upload { service: self.0.clone(), actor: actor.clone(), writer, is_empty: true })
    }

    /// Changes an image: its owner or an admin.
    pub async fn update(&self, actor: &Actor, id: ImageId, change: ImageChange) -> Result<ImageView, Error> {
        let mut image = self.load(id).await?;
        if !actor.owns(image.owner) {
            return Err(forbidden("only the owner of the image and admins may change it"));
        }
        self.1.check(image.revision)?;
        let old = self.described(&image).await?;
        if let Some(arch) = change.arch {
            image.arch = self.0.archs().by_name(actor, arch.as_deref().unwrap_or("")).await?.id;
        }
        if let Some(description) = change.description {
            check_text("description", description.as_deref().unwrap_or(""), 0, 1024)?;
            image.description = description;
        }
        image.kind = change.kind.unwrap_or(image.kind);
        image.known_good = change.known_good.unwrap_or(image.known_good);
        image.public = change.public.unwrap_or(image.public);
        let changes = between(&old, &self.described(&image).await?);
        let journal = self.0.draft(actor)?.audit("update", "image", &image.name, changes).done();
        let image = self.1.settle(self.0.store().update_image(&image, &journal).await, image.revision)?;
        self.view(image).await
    }

    /// What the audit log says of an image.
    async fn described(&self, image: &Image) -> Result<Value, Error> {
        Ok(json!({
            "arch": self.0.arch_name(image.arch).await?,
            "type": image.kind,
            "description": image.description,
            "known_good": image.known_good,
            "public": image.public,
            "size": image.size,
            "sha256": image.digest,
        }))
    }

    /// Removes an image that no machine and no subarchitecture uses, and its content with the last image that has it.
    pub async fn delete(&self, actor: &Actor, id: ImageId) -> Result<(), Error> {
        let image = self.load(id).await?;
        if !actor.owns(image.owner) {
            return Err(forbidden("only the owner of the image and admins may change it"));
        }
        self.1.check(image.revision)?;
        let changes = said(self.described(&image).await?);
        let journal = self.0.draft(actor)?.audit("delete", "image", &image.name, changes).done();
        let deleted = self.0.store().delete_image(id, self.1.seen(), &journal).await;
        match self.1.overtaken(deleted, image.revision)? {
            Err(StoreError::InUse { what }) => {
                let users = self.0.store().image_use(id).await?;
                let by = if users.is_empty() { what } else { users.in_words() };
                return Err(Error::Conflict(format!("image {} is still in use by {by}", image.name)));
            }
            other => other?,
        }
        self.remove_unused(&image.digest).await.map(drop)
    }

    /// What uses an image that one may use.
    pub async fn used_by(&self, actor: &Actor, id: ImageId) -> Result<ImageUse, Error> {
        self.get(actor, id).await?;
        Ok(self.0.store().image_use(id).await?)
    }

    /// Removes content that no image has, unless some server puts contents there: then it is collected later.
    pub(crate) async fn remove_unused(&self, digest: &Digest) -> Result<bool, Error> {
        let mut removed = Ok(());
        let removal = async { removed = self.0.0.blobs.remove(digest).await };
        let done = self.0.store().remove_content(digest, self.0.now(), Box::pin(removal)).await?;
        removed?;
        Ok(done)
    }

    /// Removes content without an image: what was being put there when a server was killed, or when the last image that
    /// had it was removed. Where there is no image at all nothing is removed: a new database beside old images is more
    /// likely a mistake than a wish to lose them.
    pub(crate) async fn collect_content(&self) -> Result<(), Error> {
        let images = self.0.store().images().await?;
        if images.is_empty() {
            return Ok(());
        }
        let used: HashSet<Digest> = images.into_iter().map(|image| image.digest).collect();
        let mut removed = 0_u64;
        for digest in self.0.0.blobs.digests().await?.iter().filter(|digest| !used.contains(digest)) {
            removed += u64::from(self.remove_unused(digest).await?);
        }
        if removed > 0 {
            tracing::info!(removed, "image contents without an image were removed");
        }
        Ok(())
    }

    async fn load(&self, id: ImageId) -> Result<Image, Error> {
        self.0.store().image(id).await?.ok_or_else(|| Error::not_found("image", id))
    }

    pub(crate) async fn view(&self, image: Image) -> Result<ImageView, Error> {
        let mut views = self.views(vec![image]).await?;
        Ok(views.remove(0))
    }

    async fn views(&self, images: Vec<Image>) -> Result<Vec<ImageView>, Error> {
        let (archs, users) = (self.0.store().archs().await?, self.0.store().users().await?);
        let arch =
            |image: &Image| archs.iter().find(|arch| arch.id == image.arch).map(|arch| arch.name.clone());
        let owner = |image: &Image| {
            let found = users.iter().find(|user: &&User| Some(user.id) == image.owner);
            found.map(|user| user.name.clone())
        };
        let view =
            |image: Image| ImageView { arch: arch(&image).unwrap_or_default(), owner: owner(&image), image };
        Ok(images.into_iter().map(view).collect())
    }
}

impl Upload {
    /// Appends bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.is_empty &= bytes.is_empty();
        Ok(self.writer.write(bytes).await?)
    }

    /// Stores the image under `<owner>/<file name>.<8 hexadecimal digits>`.
    pub async fn finish(self, new: NewImage, file_name: &str) -> Result<ImageView, Error> {
        let Upload { service, actor, writer, is_empty } = self;
        if is_empty {
            return Err(Error::Refused("the file is empty; send its bytes in the part `file`".into()));
        }
        let arch = service.images().check(&actor, &new).await?;
        let file_name = file_name.to_owned();
        // It goes on when its client does not wait.
        let work = service.clone();
        let stored = service.run_to_end(async move {
            let keep = async |claim: &Claim| {
                let content = writer.finish().await?;
                let image = work.new_image(&actor, new, &arch, &file_name, content);
                let journal = work.image_made(&actor, &image)?.done_under(claim);
                Ok(work.store().insert_image(&image, &journal).await?)
            };
            work.keeping_contents(FINISHING, keep).await
        });
        service.images().view(stored.await?).await
    }
}

impl Provisioner {
    /// Does work that puts contents there, and writes their rows under the claim. No server takes a content for unused
    /// meanwhile, for so long at most.
    pub(crate) async fn keeping_contents<T>(
        &self,
        at_most: Duration,
        work: impl AsyncFnOnce(&Claim) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let now = self.now();
        let claim = self.store().claim(&Claim::of_contents(now, at_most), now).await?;
        let done = work(&claim).await;
        // Where rows were written it has ended with them. A claim that stays only delays removals.
        if let Err(error) = self.store().release_claims(&claim.holder).await {
            tracing::warn!(%error, "a claim of contents stays until it lapses");
        }
        done
    }

    /// The row of an image whose content is there.
    pub(crate) fn new_image(
        &self,
        actor: &Actor,
        new: NewImage,
        arch: &Arch,
        file_name: &str,
        (digest, size): (Digest, u64),
    ) -> Image {
        let file_name = safe_file_name(file_name);
        Image {
            id: Id::NEW,
            revision: 0,
            name: format!("{}/{file_name}.{}", actor.name, hex::encode(random_bytes::<4>())),
            file_name,
            kind: new.kind,
            arch: arch.id,
            owner: actor.user,
            description: new.description,
            known_good: new.known_good,
            public: new.public,
            digest,
            size,
            uploaded: self.now(),
        }
    }

    /// What is written of a new image.
    pub(crate) fn image_made(&self, actor: &Actor, image: &Image) -> Result<Draft, Error> {
        let changes = json!({"type": image.kind, "size": image.size, "sha256": image.digest});
        Ok(self.draft(actor)?.audit("create", "image", &image.name, changes))
    }
}
