//! What an answer file was before: every saved content is kept, and an old one can be saved anew.

use serde_json::json;

use super::{AnswerFileView, AnswerFiles};
use crate::actor::{Actor, forbidden};
use crate::answer_file::{AnswerFileId, AnswerFileVersion};
use crate::error::Error;

impl AnswerFiles<'_> {
    /// The versions of an answer file that one may use, newest first.
    pub async fn versions(&self, actor: &Actor, id: AnswerFileId) -> Result<Vec<AnswerFileVersion>, Error> {
        self.get(actor, id).await?;
        Ok(self.0.store().answer_file_versions(id).await?)
    }

    /// One version with its content.
    pub async fn version(
        &self,
        actor: &Actor,
        id: AnswerFileId,
        number: i64,
    ) -> Result<(AnswerFileVersion, Option<String>), Error> {
        self.get(actor, id).await?;
        let found = self.0.store().answer_file_version(id, number).await?;
        found.ok_or_else(|| Error::not_found("version", number))
    }

    /// Saves the content of an old version as a new one: the owner or an admin.
    pub async fn restore(
        &self,
        actor: &Actor,
        id: AnswerFileId,
        number: i64,
    ) -> Result<AnswerFileView, Error> {
        let mut file = self.load(id).await?;
        if !actor.owns(file.owner) {
            return Err(forbidden("only the owner of the answer file and admins may change it"));
        }
        let (_, content) = self.version(actor, id, number).await?;
        if content == file.content {
            let name = &file.name;
            return Err(Error::Refused(format!("version {number} is what answer file {name} has already")));
        }
        (file.content, file.saved, file.saved_by) = (content, self.0.now(), actor.name.clone());
        let changes = json!({"content": "changed", "restored": number});
        let journal = self.0.draft(actor)?.audit("update", "preseed", &file.name, changes).done();
        let file = self.0.store().update_answer_file(&file, &journal).await?;
        self.view(file).await
    }
}
