//! Answer files and their versions.

use mrp_core::answer_file::{AnswerFile, AnswerFileId, AnswerFileVersion};
use mrp_core::event::Journal;
use mrp_core::id::Id;
use mrp_core::store::{Seen, StoreResult};

use super::rows::{get, id, maybe_id, time, to_word, word};
use super::{Row, SqlStore, Tx, all, commit, deleted_as_seen, failed, inserted, one, sql, updated};

pub(super) fn answer_file(row: &Row) -> StoreResult<AnswerFile> {
    Ok(AnswerFile {
        id: id(row, "id")?,
        revision: get(row, "revision")?,
        name: get(row, "name")?,
        kind: word(row, "kind")?,
        description: get(row, "description")?,
        content: get(row, "content")?,
        owner: maybe_id(row, "owner_id")?,
        known_good: get(row, "known_good")?,
        public: get(row, "public")?,
        saved: time(row, "saved")?,
        saved_by: get(row, "saved_by")?,
    })
}

fn version(row: &Row) -> StoreResult<AnswerFileVersion> {
    Ok(AnswerFileVersion {
        number: get(row, "number")?,
        saved: time(row, "saved")?,
        saved_by: get(row, "saved_by")?,
        bytes: get::<i64>(row, "bytes")?.cast_unsigned(),
    })
}

impl SqlStore {
    pub(super) async fn every_answer_file(&self) -> StoreResult<Vec<AnswerFile>> {
        all(sql("SELECT * FROM answer_files ORDER BY id").fetch_all(&self.read).await, answer_file)
    }

    pub(super) async fn answer_file_with_id(&self, id: AnswerFileId) -> StoreResult<Option<AnswerFile>> {
        let query = sql("SELECT * FROM answer_files WHERE id = $1").bind(id.get());
        one(query.fetch_optional(&self.read).await, answer_file)
    }

    pub(super) async fn add_answer_file(
        &self,
        file: &AnswerFile,
        journal: &Journal,
    ) -> StoreResult<AnswerFile> {
        let mut tx = self.begin().await?;
        let query = sql(
            "INSERT INTO answer_files (revision, name, kind, description, content, owner_id, known_good, public, saved, saved_by) VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
        );
        let query = query.bind(&file.name).bind(to_word(&file.kind)?).bind(&file.description);
        let query = query.bind(&file.content).bind(file.owner.map(Id::get)).bind(file.known_good);
        let id = inserted(&mut tx, query.bind(file.public).bind(file.saved.0).bind(&file.saved_by)).await?;
        let stored = AnswerFile { id, revision: 1, ..file.clone() };
        keep_version(&mut tx, &stored).await?;
        commit(tx, journal).await?;
        Ok(stored)
    }

    pub(super) async fn change_answer_file(
        &self,
        file: &AnswerFile,
        journal: &Journal,
    ) -> StoreResult<AnswerFile> {
        let mut tx = self.begin().await?;
        let query = sql("SELECT content FROM answer_files WHERE id = $1").bind(file.id.get());
        let before = one(query.fetch_optional(&mut tx).await, |row| get::<Option<String>>(row, "content"))?;
        let query = sql(
            "UPDATE answer_files SET revision = revision + 1, name = $3, kind = $4, description = $5, content = $6, owner_id = $7, known_good = $8, public = $9, saved = $10, saved_by = $11 WHERE id = $1 AND revision = $2",
        );
        let query = query.bind(file.id.get()).bind(file.revision).bind(&file.name).bind(to_word(&file.kind)?);
        let query = query.bind(&file.description).bind(&file.content).bind(file.owner.map(Id::get));
        let query = query.bind(file.known_good).bind(file.public).bind(file.saved.0).bind(&file.saved_by);
        updated(&mut tx, query, "SELECT id FROM answer_files WHERE id = $1", file.id.get()).await?;
        if before.is_some_and(|before| before != file.content) {
            keep_version(&mut tx, file).await?;
        }
        commit(tx, journal).await?;
        Ok(AnswerFile { revision: file.revision + 1, ..file.clone() })
    }

    pub(super) async fn versions_of(&self, id: AnswerFileId) -> StoreResult<Vec<AnswerFileVersion>> {
        let query = sql(
            "SELECT number, saved, saved_by, CAST(COALESCE(octet_length(content), 0) AS BIGINT) AS bytes FROM answer_file_versions WHERE answer_file_id = $1 ORDER BY number DESC",
        );
        all(query.bind(id.get()).fetch_all(&self.read).await, version)
    }

    pub(super) async fn version_of(
        &self,
        id: AnswerFileId,
        number: i64,
    ) -> StoreResult<Option<(AnswerFileVersion, Option<String>)>> {
        let query = sql(
            "SELECT number, saved, saved_by, CAST(COALESCE(octet_length(content), 0) AS BIGINT) AS bytes, content FROM answer_file_versions WHERE answer_file_id = $1 AND number = $2",
        );
        one(query.bind(id.get()).bind(number).fetch_optional(&self.read).await, |row| {
            Ok((version(row)?, get(row, "content")?))
        })
    }

    pub(super) async fn remove_answer_file(
        &self,
        id: AnswerFileId,
        seen: Seen<'_>,
        journal: &Journal,
    ) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        deleted_as_seen(&mut tx, "answer_files", id.get(), seen, "machines").await?;
        commit(tx, journal).await
    }
}

pub(super) async fn keep_version(tx: &mut Tx, file: &AnswerFile) -> StoreResult<()> {
    let query = sql(
        "INSERT INTO answer_file_versions (answer_file_id, number, content, saved, saved_by) VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM answer_file_versions WHERE answer_file_id = $1), $2, $3, $4)",
    );
    let query = query.bind(file.id.get()).bind(&file.content).bind(file.saved.0).bind(&file.saved_by);
    query.execute(&mut *tx).await.map_err(failed).map(drop)
}
