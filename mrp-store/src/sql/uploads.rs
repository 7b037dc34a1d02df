//! Uploads that may go on later, and what the servers of a database have in common.

use async_trait::async_trait;
use mrp_core::event::Journal;
use mrp_core::id::{Id, Timestamp};
use mrp_core::image::{Digest, Image};
use mrp_core::store::{StoreError, StoreResult, UploadStore};
use mrp_core::upload::{PendingUpload, UploadKey};
use mrp_core::user::UserId;

use super::rows::{damaged, get, id, maybe_id, time, to_word, word};
use super::{Row, SqlStore, Tx, all, commit, failed, images, one, sql, unreferred};

fn upload(row: &Row) -> StoreResult<PendingUpload> {
    let digest = |text: &str| Digest::from_hex(text).ok_or_else(|| damaged("digest"));
    Ok(PendingUpload {
        key: UploadKey::from_hex(get(row, "id")?).ok_or_else(|| damaged("id"))?,
        user: id(row, "user_id")?,
        file_name: get(row, "file_name")?,
        kind: word(row, "kind")?,
        arch: get(row, "arch")?,
        description: get(row, "description")?,
        known_good: get(row, "known_good")?,
        public: get(row, "public")?,
        digest: get::<Option<&str>>(row, "digest")?.map(digest).transpose()?,
        length: get::<i64>(row, "length")?.cast_unsigned(),
        received: get::<i64>(row, "received")?.cast_unsigned(),
        created: time(row, "created")?,
        advanced: time(row, "advanced")?,
        image: maybe_id(row, "image_id")?,
    })
}

#[async_trait]
impl UploadStore for SqlStore {
    async fn uploads(&self, user: Option<UserId>) -> StoreResult<Vec<PendingUpload>> {
        let query = sql("SELECT * FROM uploads WHERE $1 IS NULL OR user_id = $1 ORDER BY created, id");
        all(query.bind(user.map(Id::get)).fetch_all(&self.read).await, upload)
    }

    async fn upload(&self, key: &UploadKey) -> StoreResult<Option<PendingUpload>> {
        let query = sql("SELECT * FROM uploads WHERE id = $1").bind(key.as_str());
        one(query.fetch_optional(&self.read).await, upload)
    }

    async fn insert_upload(&self, upload: &PendingUpload) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let query = sql(
            "INSERT INTO uploads (id, user_id, file_name, kind, arch, description, known_good, public, digest, length, received, created, advanced, image_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        );
        let query = query.bind(upload.key.as_str()).bind(upload.user.get()).bind(&upload.file_name);
        let query = query.bind(to_word(&upload.kind)?).bind(&upload.arch).bind(&upload.description);
        let query = query.bind(upload.known_good).bind(upload.public);
        let query = query.bind(upload.digest.as_ref().map(Digest::as_str));
        let query = query.bind(upload.length.cast_signed()).bind(upload.received.cast_signed());
        let query = query.bind(upload.created.0).bind(upload.advanced.0).bind(upload.image.map(Id::get));
        query.execute(&mut tx).await.map_err(unreferred)?;
        commit(tx, &Journal::default()).await
    }

    async fn advance_upload(&self, key: &UploadKey, from: u64, to: u64, at: Timestamp) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let query = sql(
            "UPDATE uploads SET received = $3, advanced = $4 WHERE id = $1 AND received = $2 AND image_id IS NULL",
        );
        let query = query.bind(key.as_str()).bind(from.cast_signed()).bind(to.cast_signed()).bind(at.0);
        if query.execute(&mut tx).await.map_err(failed)? != 1 {
            return Err(moved(&mut tx, key).await?);
        }
        commit(tx, &Journal::default()).await
    }

    async fn finish_upload(&self, key: &UploadKey, image: &Image, journal: &Journal) -> StoreResult<Image> {
        let mut tx = self.begin().await?;
        let stored = images::add(&mut tx, image).await?;
        let query = sql(
            "UPDATE uploads SET received = length, advanced = $2, image_id = $3 WHERE id = $1 AND image_id IS NULL",
        );
        let query = query.bind(key.as_str()).bind(image.uploaded.0).bind(stored.id.get());
        if query.execute(&mut tx).await.map_err(failed)? != 1 {
            return Err(moved(&mut tx, key).await?);
        }
        commit(tx, journal).await?;
        Ok(stored)
    }

    async fn delete_upload(&self, key: &UploadKey) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        let query = sql("DELETE FROM uploads WHERE id = $1").bind(key.as_str());
        query.execute(&mut tx).await.map_err(failed)?;
        commit(tx, &Journal::default()).await
    }

    async fn site_value(&self, name: &str, value: &str) -> StoreResult<String> {
        let mut tx = self.begin().await?;
        let insert = "INSERT INTO site (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        sql(insert).bind(name).bind(value).execute(&mut tx).await.map_err(failed)?;
        let query = sql("SELECT value FROM site WHERE name = $1").bind(name);
        let row = query.fetch_one(&mut tx).await.map_err(failed)?;
        let found = get(&row, "value")?;
        commit(tx, &Journal::default()).await?;
        Ok(found)
    }
}

async fn moved(tx: &mut Tx, key: &UploadKey) -> StoreResult<StoreError> {
    let query = sql("SELECT id FROM uploads WHERE id = $1").bind(key.as_str());
    let found = query.fetch_optional(&mut *tx).await.map_err(failed)?;
    Ok(if found.is_some() { StoreError::Stale } else { StoreError::NotFound })
}
