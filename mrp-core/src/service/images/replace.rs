//! Putting a newer image in the place of an older one, wherever that is used and one may change it.

use serde_json::{Value, json};

use super::{ImageView, Images};
use crate::actor::{Actor, forbidden};
use crate::error::Error;
use crate::event::EventKind;
use crate::image::{Image, ImageId, ImageUse};
use crate::service::journal::Draft;
use crate::store::StoreError;

/// How often it is decided again when somebody else changed a machine first.
const DECISIONS: usize = 16;

/// What became of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The newer image.
    pub by: ImageView,
    /// What uses it from here on.
    pub changed: ImageUse,
    /// What uses the older one still, each with the reason in words.
    pub kept: Vec<Kept>,
}

/// Something that was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// `machine` or `subarch`.
    pub noun: &'static str,
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Why it was not changed.
    pub reason: String,
}

impl Images<'_> {
    /// Every machine and subarchitecture that uses the one image uses the other, in one transaction. Machines that the
    /// actor neither holds nor administers stay as they are, and so do machines whose run is under way: their kernel is
    /// not changed between two files. Subarchitectures are admins'. Both images have to be usable by the actor.
    pub async fn replace(&self, actor: &Actor, old: ImageId, new: ImageId) -> Result<Replaced, Error> {
        let (old, new) = (self.load(old).await?, self.load(new).await?);
        for image in [&old, &new] {
            if !actor.may_use(image.owner, image.public) {
                return Err(forbidden("the image is private: only its owner and admins may use it"));
            }
        }
        self.check_alike(&old, &new)?;
        for _ in 0..DECISIONS {
            let all = self.0.store().image_use(old.id).await?;
            let (changed, kept) = self.decide(actor, all).await?;
            if !changed.is_empty() {
                let journal = journal(self.0.draft(actor)?, &old, &new, &changed).done();
                match self.0.store().replace_image(old.id, new.id, &changed, &journal).await {
                    Err(StoreError::Stale | StoreError::NotFound) => continue,
                    done => done?,
                }
                self.0.announce();
            }
            return Ok(Replaced { by: self.view(new).await?, changed, kept });
        }
        Err(StoreError::Stale.into())
    }

    fn check_alike(&self, old: &Image, new: &Image) -> Result<(), Error> {
        let differ = if old.id == new.id {
            "they are the same"
        } else if old.kind != new.kind {
            "they are of different types"
        } else if old.arch != new.arch {
            "they are for different architectures"
        } else {
            return Ok(());
        };
        Err(Error::Refused(format!("{} cannot take the place of {}: {differ}", new.name, old.name)))
    }

    async fn decide(&self, actor: &Actor, all: ImageUse) -> Result<(ImageUse, Vec<Kept>), Error> {
        let (mut changed, mut kept) = (ImageUse::default(), Vec::new());
        for machine in all.machines {
            let reason = if !actor.admin && !self.0.holds(actor, machine.id).await? {
                "you do not hold it".to_owned()
            } else if let Some(run) = self.0.store().active_run(machine.id).await? {
                format!("run {} of {} is under way", run.id, run.started_by)
            } else {
                changed.machines.push(machine);
                continue;
            };
            kept.push(Kept { noun: "machine", id: machine.id.get(), name: machine.name, reason });
        }
        for subarch in all.subarchs {
            if actor.admin {
                changed.subarchs.push(subarch);
            } else {
                let (id, reason) = (subarch.id.get(), "boot loaders of subarchitectures are admins'".into());
                kept.push(Kept { noun: "subarch", id, name: subarch.name, reason });
            }
        }
        Ok((changed, kept))
    }
}

/// One entry of the audit log, and an event for each machine.
fn journal(draft: Draft, old: &Image, new: &Image, changed: &ImageUse) -> Draft {
    let machines: Vec<&str> = changed.machines.iter().map(|machine| &*machine.name).collect();
    let subarchs: Vec<&str> = changed.subarchs.iter().map(|subarch| &*subarch.name).collect();
    let changes = json!({"by": new.name, "machines": machines, "subarchs": subarchs});
    let draft = draft.audit("replace", "image", &old.name, changes);
    changed.machines.iter().fold(draft, |draft, machine| {
        let noun = match (machine.kernel, machine.initrd) {
            (true, true) => "kernel and initrd",
            (true, false) => "kernel",
            _ => "initrd",
        };
        let text = format!("{noun} replaced: {} by {}", old.name, new.name);
        let data: Value = json!({"old": old.name, "new": new.name});
        draft.event(Some(machine.id), None, EventKind::Image, text, data)
    })
}
