//! The way over from mr-provisioner: its rows become mrp's, under the same ids, in one transaction.
//!
//! What a second import finds decides itself by the marks that the first one left: a row that mr-provisioner has changed
//! and mrp has not is brought again; one that was changed or removed in mrp stays as mrp has it. A row that mrp has made
//! itself under the same unique name stands for mr-provisioner's. Nothing is dropped without a note.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::actor::Actor;
use crate::claim::Claim;
use crate::error::Error;
use crate::image::Digest;
use crate::import::{ImportReport, Legacy, LegacyFiles, Noun};
use crate::service::Provisioner;
use crate::store::StoreError;

mod files;
mod machines;
mod object;
mod observed;
mod people;
mod plan;
mod state;

use plan::Plan;
use state::State;

/// How often an import decides again because others have changed what it decided on.
const ATTEMPTS: u32 = 5;
/// An import that takes longer is refused: others may have removed the contents that it brought first.
const AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// Digest and size of an image's file, or why it cannot be brought.
type Content = Result<(Digest, u64), String>;
/// By mr-provisioner's id of the image.
type Contents = HashMap<i64, Content>;

/// Imports.
#[derive(Debug)]
pub struct Imports<'a>(&'a Provisioner);

impl Provisioner {
    /// Imports.
    pub fn imports(&self) -> Imports<'_> {
        Imports(self)
    }
}

impl Imports<'_> {
    /// Brings over what mr-provisioner has, or only tells what would be done; admins only.
    ///
    /// The contents of images are stored first, the rows then in one transaction: a killed import leaves contents that
    /// the next start of a server removes, and nothing else.
    pub async fn mr_provisioner(
        &self,
        actor: &Actor,
        legacy: &Legacy,
        files: &dyn LegacyFiles,
        dry_run: bool,
    ) -> Result<ImportReport, Error> {
        actor.require_admin()?;
        let keep = async |claim: &Claim| self.import(actor, legacy, files, dry_run, claim).await;
        self.0.keeping_contents(AT_MOST, keep).await
    }

    async fn import(
        &self,
        actor: &Actor,
        legacy: &Legacy,
        files: &dyn LegacyFiles,
        dry_run: bool,
        claim: &Claim,
    ) -> Result<ImportReport, Error> {
        let mut contents = Contents::new();
        for _ in 0..ATTEMPTS {
            let state = State::load(self.0.store(), legacy).await?;
            self.read_contents(legacy, &state, files, dry_run, &mut contents).await?;
            let plan = Plan::make(self.0, legacy, &state, &contents);
            let (batch, events) = (plan.batch.clone(), plan.events.clone());
            let report = plan.report(dry_run);
            if dry_run || (batch.marks.is_empty() && events.is_empty()) {
                return Ok(report);
            }
            let counts =
                report.tables.iter().filter(|table| table.brought + table.updated > 0).map(|table| {
                    (table.table.clone(), json!({"brought": table.brought, "updated": table.updated}))
                });
            let changes = Value::Object(counts.collect::<Map<_, _>>());
            let mut journal =
                self.0.draft(actor)?.audit("import", "database", "mr-provisioner", changes).done_under(claim);
            journal.events = events;
            match self.0.store().import(&batch, &journal).await {
                Ok(()) => {
                    self.0.announce();
                    return Ok(report);
                }
                Err(StoreError::Stale | StoreError::Conflict { .. } | StoreError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict(
            "others kept changing what the import decided on; stop the servers, then again".into(),
        ))
    }

    /// Reads the files of images that mrp does not have, and stores them.
    async fn read_contents(
        &self,
        legacy: &Legacy,
        state: &State,
        files: &dyn LegacyFiles,
        dry_run: bool,
        contents: &mut Contents,
    ) -> Result<(), Error> {
        for image in &legacy.images {
            let is_here = state.mark(Noun::Image, image.id).is_some()
                || state.holder(Noun::Image, std::slice::from_ref(&image.name)).is_some();
            if is_here || contents.contains_key(&image.id) {
                continue;
            }
            let content = match files::bad_path(&image.name) {
                Some(reason) => Err(reason.to_owned()),
                None => self.read_content(&image.name, files, dry_run).await?,
            };
            contents.insert(image.id, content);
        }
        Ok(())
    }

    async fn read_content(
        &self,
        name: &str,
        files: &dyn LegacyFiles,
        dry_run: bool,
    ) -> Result<Content, Error> {
        let unreadable = |error: std::io::Error| Err(format!("its file cannot be read: {error}"));
        let mut file = match files.open(name).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Err("its file is missing".into()));
            }
            Err(error) => return Ok(unreadable(error)),
        };
        let mut writer = if dry_run { None } else { Some(self.0.0.blobs.create().await?) };
        let (mut hash, mut size) = (Sha256::new(), 0);
        loop {
            let bytes = match file.read().await {
                Ok(bytes) => bytes,
                Err(error) => return Ok(unreadable(error)),
            };
            if bytes.is_empty() {
                break;
            }
            hash.update(&bytes);
            size += bytes.len() as u64;
            if let Some(writer) = &mut writer {
                writer.write(bytes).await?;
            }
        }
        if size == 0 {
            return Ok(Err("its file is empty".into()));
        }
        Ok(Ok(match writer {
            Some(writer) => writer.finish().await?,
            None => (Digest::from_bytes(hash.finalize().into()), size),
        }))
    }
}
