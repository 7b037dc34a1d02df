//! Images: upload, look, change, remove. Putting one in another's place is in [`replace`].

use bytes::Bytes;
use serde_json::{Value, json};

use crate::actor::{Actor, forbidden};
use crate::arch::Arch;
use crate::blob::BlobWriter;
use crate::error::Error;
use crate::event::Journal;
use crate::id::{Id, Timestamp};
use crate::image::{Digest, Image, ImageId, ImageKind, ImageUse, safe_file_name};
use crate::machine::check_text;
use crate::secret::random_bytes;
use crate::service::Provisioner;
use crate::service::expected::Expected;
use crate::store::StoreError;
use crate::user::User;

pub mod replace;

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
        if actor.may_use(image.owner, image.public) { self.view(image).await } else { Err(forbidden()) }
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
            return Err(forbidden());
        }
        self.1.check(image.revision)?;
        let old = image.clone();
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
        let changes = json!({
            "arch": [old.arch, image.arch],
            "type": [old.kind, image.kind],
            "description": [old.description, image.description],
            "known_good": [old.known_good, image.known_good],
            "public": [old.public, image.public],
        });
        let journal = self.0.draft(actor)?.audit("update", "image", &image.name, changes).done();
        let image = self.1.settle(self.0.store().update_image(&image, &journal).await, image.revision)?;
        self.view(image).await
    }

    /// Removes an image that no machine and no subarchitecture uses, and its content with the last image that has it.
    pub async fn delete(&self, actor: &Actor, id: ImageId) -> Result<(), Error> {
        let image = self.load(id).await?;
        if !actor.owns(image.owner) {
            return Err(forbidden());
        }
        self.1.check(image.revision)?;
        let journal = self.0.draft(actor)?.audit("delete", "image", &image.name, Value::Null).done();
        let _alone = self.0.0.content_turn.write().await;
        match self.0.store().delete_image(id, &journal).await {
            Err(StoreError::InUse { what }) => {
                let users = self.0.store().image_use(id).await?;
                let by = if users.is_empty() { what } else { users.in_words() };
                return Err(Error::Conflict(format!("image {} is still in use by {by}", image.name)));
            }
            other => other?,
        }
        self.remove_unused(&image.digest).await
    }

    /// What uses an image that one may use.
    pub async fn used_by(&self, actor: &Actor, id: ImageId) -> Result<ImageUse, Error> {
        self.get(actor, id).await?;
        Ok(self.0.store().image_use(id).await?)
    }

    /// Removes content that no image has; nobody else may be between content and row.
    pub(crate) async fn remove_unused(&self, digest: &Digest) -> Result<(), Error> {
        if self.0.store().images_with_digest(digest).await?.is_empty() {
            self.0.0.blobs.remove(digest).await?;
        }
        Ok(())
    }

    /// Removes content that a server which was killed between file and row has left. Where there is no image at all
    /// nothing is removed: a new database beside old images is more likely a mistake than a wish to lose them.
    /// Another server on the same images may be between content and row too, so what was written since `before` stays.
    pub(crate) async fn collect_content(&self, before: Timestamp) -> Result<(), Error> {
        let _alone = self.0.0.content_turn.write().await;
        let images = self.0.store().images().await?;
        if images.is_empty() {
            return Ok(());
        }
        let keep = images.into_iter().map(|image| image.digest).collect();
        match self.0.0.blobs.sweep(&keep, before).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "image contents without an image were removed"),
            Err(error) => tracing::warn!(%error, "image contents without an image could not be removed"),
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
        // Until its row is there, nobody may take the content for unused.
        let _with_others = service.0.content_turn.read().await;
        let content = writer.finish().await?;
        let image = service.new_image(&actor, new, &arch, file_name, content);
        let journal = service.image_made(&actor, &image)?;
        let image = service.store().insert_image(&image, &journal).await?;
        service.images().view(image).await
    }
}

impl Provisioner {
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
    pub(crate) fn image_made(&self, actor: &Actor, image: &Image) -> Result<Journal, Error> {
        let changes = json!({"type": image.kind, "size": image.size, "sha256": image.digest});
        Ok(self.draft(actor)?.audit("create", "image", &image.name, changes).done())
    }
}
