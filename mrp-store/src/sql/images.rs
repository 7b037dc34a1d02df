//! Images. The trait has answer files with them; their queries are in a file of their own.

use async_trait::async_trait;
use mrp_core::answer_file::{AnswerFile, AnswerFileId, AnswerFileVersion};
use mrp_core::claim::Claim;
use mrp_core::event::Journal;
use mrp_core::id::{Id, Timestamp};
use mrp_core::image::{Digest, Image, ImageId, ImageUse};
use mrp_core::store::{ImageStore, Removal, Seen, StoreResult};

use super::rows::{damaged, get, id, maybe_id, time, to_word, word};
use super::{Row, SqlStore, Tx, all, claims, commit, deleted_as_seen, failed, inserted, one, sql, updated};

pub(super) fn image(row: &Row) -> StoreResult<Image> {
    Ok(Image {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        name: get(row, "name")?,
        file_name: get(row, "file_name")?,
        kind: word(row, "kind")?,
        arch: id(row, "arch_id")?,
        owner: maybe_id(row, "owner_id")?,
        description: get(row, "description")?,
        known_good: get(row, "known_good")?,
        public: get(row, "public")?,
        digest: Digest::from_hex(get::<&str>(row, "digest")?).ok_or_else(|| damaged("digest"))?,
        // A column has 64 bits with a sign; the bits are kept.
        size: get::<i64>(row, "size")?.cast_unsigned(),
        uploaded: time(row, "uploaded")?,
    })
}

/// Adds the row of an image.
pub(super) async fn add(tx: &mut Tx, image: &Image) -> StoreResult<Image> {
    let query = sql(
        "INSERT INTO images (revision, name, file_name, kind, arch_id, owner_id, description, known_good, public, digest, size, uploaded) VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
    );
    let query = query.bind(&image.name).bind(&image.file_name).bind(to_word(&image.kind)?);
    let query = query.bind(image.arch.get()).bind(image.owner.map(Id::get)).bind(&image.description);
    let query = query.bind(image.known_good).bind(image.public).bind(image.digest.as_str());
    let query = query.bind(image.size.cast_signed()).bind(image.uploaded.0);
    let id = inserted(tx, query).await?;
    Ok(Image { id, revision: 1, ..image.clone() })
}

#[async_trait]
impl ImageStore for SqlStore {
    async fn images(&self) -> StoreResult<Vec<Image>> {
        all(sql("SELECT * FROM images ORDER BY id").fetch_all(&self.read).await, image)
    }

    async fn image(&self, id: ImageId) -> StoreResult<Option<Image>> {
        let query = sql("SELECT * FROM images WHERE id = $1").bind(id.get());
        one(query.fetch_optional(&self.read).await, image)
    }

    async fn image_by_name(&self, name: &str) -> StoreResult<Option<Image>> {
        let query = sql("SELECT * FROM images WHERE name = $1").bind(name);
        one(query.fetch_optional(&self.read).await, image)
    }

    async fn boot_loader_by_file_name(&self, file_name: &str) -> StoreResult<Option<Image>> {
        let query = sql(
            "SELECT * FROM images WHERE file_name = $1 AND kind = 'bootloader' AND public AND owner_id IN (SELECT id FROM users WHERE admin) ORDER BY uploaded DESC, id DESC LIMIT 1",
        );
        one(query.bind(file_name).fetch_optional(&self.read).await, image)
    }

    async fn images_with_digest(&self, digest: &Digest) -> StoreResult<Vec<Image>> {
        let query = sql("SELECT * FROM images WHERE digest = $1 ORDER BY id").bind(digest.as_str());
        all(query.fetch_all(&self.read).await, image)
    }

    async fn image_use(&self, id: ImageId) -> StoreResult<ImageUse> {
        self.users_of(id).await
    }

    async fn replace_image(
        &self,
        old: ImageId,
        new: ImageId,
        users: &ImageUse,
        journal: &Journal,
    ) -> StoreResult<()> {
        self.put_in_place(old, new, users, journal).await
    }

    async fn insert_image(&self, image: &Image, journal: &Journal) -> StoreResult<Image> {
        let mut tx = self.begin().await?;
        let stored = add(&mut tx, image).await?;
        commit(tx, journal).await?;
        Ok(stored)
    }

    async fn update_image(&self, image: &Image, journal: &Journal) -> StoreResult<Image> {
        let mut tx = self.begin().await?;
        let query = sql(
            "UPDATE images SET revision = revision + 1, name = $3, file_name = $4, kind = $5, arch_id = $6, owner_id = $7, description = $8, known_good = $9, public = $10, digest = $11, size = $12, uploaded = $13 WHERE id = $1 AND revision = $2",
        );
        let query = query.bind(image.id.get()).bind(image.revision).bind(&image.name).bind(&image.file_name);
        let query = query.bind(to_word(&image.kind)?).bind(image.arch.get()).bind(image.owner.map(Id::get));
        let query = query.bind(&image.description).bind(image.known_good).bind(image.public);
        let query = query.bind(image.digest.as_str()).bind(image.size.cast_signed()).bind(image.uploaded.0);
        updated(&mut tx, query, "SELECT id FROM images WHERE id = $1", image.id.get()).await?;
        commit(tx, journal).await?;
        Ok(Image { revision: image.revision + 1, ..image.clone() })
    }

    async fn delete_image(&self, id: ImageId, seen: Seen<'_>, journal: &Journal) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        deleted_as_seen(&mut tx, "images", id.get(), seen, "machines or subarchitectures").await?;
        commit(tx, journal).await
    }

    async fn remove_content(
        &self,
        digest: &Digest,
        now: Timestamp,
        removal: Removal<'_>,
    ) -> StoreResult<bool> {
        let mut tx = self.begin().await?;
        claims::end_lapsed(&mut tx, Claim::CONTENT, now).await?;
        let query = sql("SELECT id FROM images WHERE digest = $1 LIMIT 1").bind(digest.as_str());
        let is_used = query.fetch_optional(&mut tx).await.map_err(failed)?.is_some();
        let may_go = !is_used && claims::any_holder(&mut tx, Claim::CONTENT).await?.is_none();
        if may_go {
            removal.await;
        }
        tx.commit().await.map_err(failed)?;
        Ok(may_go)
    }

    async fn answer_files(&self) -> StoreResult<Vec<AnswerFile>> {
        self.every_answer_file().await
    }

    async fn answer_file(&self, id: AnswerFileId) -> StoreResult<Option<AnswerFile>> {
        self.answer_file_with_id(id).await
    }

    async fn insert_answer_file(
        &self,
        answer_file: &AnswerFile,
        journal: &Journal,
    ) -> StoreResult<AnswerFile> {
        self.add_answer_file(answer_file, journal).await
    }

    async fn update_answer_file(
        &self,
        answer_file: &AnswerFile,
        journal: &Journal,
    ) -> StoreResult<AnswerFile> {
        self.change_answer_file(answer_file, journal).await
    }

    async fn delete_answer_file(
        &self,
        id: AnswerFileId,
        seen: Seen<'_>,
        journal: &Journal,
    ) -> StoreResult<()> {
        self.remove_answer_file(id, seen, journal).await
    }

    async fn answer_file_versions(&self, id: AnswerFileId) -> StoreResult<Vec<AnswerFileVersion>> {
        self.versions_of(id).await
    }

    async fn answer_file_version(
        &self,
        id: AnswerFileId,
        number: i64,
    ) -> StoreResult<Option<(AnswerFileVersion, Option<String>)>> {
        self.version_of(id, number).await
    }
}
