//! Answer files: look and save. What was saved before is in [`versions`], how it would look in [`previews`].

use serde_json::{Value, json};

use crate::actor::{Actor, forbidden};
use crate::answer_file::{AnswerFile, AnswerFileId, AnswerFileKind};
use crate::error::Error;
use crate::id::Id;
use crate::image::Image;
use crate::machine::{Addressing, InterfaceView, check_name, check_text};
use crate::render::{AnswerContext, TemplateImage, TemplateInterface};
use crate::service::Provisioner;
use crate::service::expected::Expected;
use crate::service::journal::{between, said};
use crate::store::{BootFacts, StoreError};

pub mod previews;
pub mod versions;

/// An answer file with its owner's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFileView {
    /// The answer file.
    pub answer_file: AnswerFile,
    /// The owner's name.
    pub owner: Option<String>,
}

/// What is to be changed of an answer file, or what a new one is; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct AnswerFileChange {
    /// Unique name.
    pub name: Option<String>,
    /// Installer.
    pub kind: Option<AnswerFileKind>,
    /// For people.
    pub description: Option<Option<String>>,
    /// Template.
    pub content: Option<Option<String>>,
    /// Marked as working.
    pub known_good: Option<bool>,
    /// Usable by everybody.
    pub public: Option<bool>,
}

/// Answer files.
#[derive(Debug)]
pub struct AnswerFiles<'a>(&'a Provisioner, Expected);

impl Provisioner {
    /// Answer files.
    pub fn answer_files(&self) -> AnswerFiles<'_> {
        AnswerFiles(self, Expected::Any)
    }

    /// The variables of a machine's templates.
    pub(crate) fn answer_context(&self, facts: &BootFacts, base: &str) -> AnswerContext {
        let machine = &facts.machine;
        let keys = facts.holders.iter().flat_map(|user| user.ssh_keys.lines()).map(str::trim);
        let keys: Vec<String> = keys.filter(|key| !key.is_empty()).map(str::to_owned).collect();
        let image = |image: &Image| {
            let (name, description) = (image.name.clone(), image.description.clone());
            TemplateImage { filename: name.clone(), name, description }
        };
        let (kernel, initrd) = (facts.kernel.as_ref().map(image), facts.initrd.as_ref().map(image));
        let interfaces = facts.interfaces.iter().filter_map(template_interface).collect();
        AnswerContext {
            ssh_key: keys.join("\n"),
            ssh_keys: keys,
            hostname: machine.hostname(),
            interfaces,
            kernel,
            initrd,
            kernel_options: machine.kernel_options.clone().unwrap_or_default(),
            phone_home_url: format!("{base}/phone-home/{}", self.boot_token(machine)),
            machine_name: machine.name.clone(),
            server_url: base.to_owned(),
        }
    }
}

/// An interface as templates see it, if it has a static address.
fn template_interface(InterfaceView { interface, network, .. }: &InterfaceView) -> Option<TemplateInterface> {
    let (Addressing::Static(address), Some(network)) = (interface.addressing, network) else { return None };
    Some(TemplateInterface {
        name: interface.identifier.clone(),
        static_ipv4: address.to_string(),
        prefix: network.subnet.prefix_len(),
        netmask: network.subnet.netmask().to_string(),
        mac: interface.mac.to_string(),
    })
}

impl AnswerFiles<'_> {
    /// The same, for changes of an object as it was seen.
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.1 = expected;
        self
    }

    /// Answer files sorted by id: one's own, or also those that one may use.
    pub async fn list(&self, actor: &Actor, all: bool) -> Result<Vec<AnswerFileView>, Error> {
        let wanted = |file: &AnswerFile| {
            let own = file.owner.is_some() && file.owner == actor.user;
            own || (all && actor.may_use(file.owner, file.public))
        };
        let mut views = Vec::new();
        for file in self.0.store().answer_files().await?.into_iter().filter(wanted) {
            views.push(self.view(file).await?);
        }
        Ok(views)
    }

    /// One answer file that one may use.
    pub async fn get(&self, actor: &Actor, id: AnswerFileId) -> Result<AnswerFileView, Error> {
        let file = self.load(id).await?;
        if actor.may_use(file.owner, file.public) {
            self.view(file).await
        } else {
            Err(forbidden("the answer file is private: only its owner and admins may use it"))
        }
    }

    /// Makes an answer file.
    pub async fn create(
        &self,
        actor: &Actor,
        name: String,
        kind: AnswerFileKind,
        change: AnswerFileChange,
    ) -> Result<AnswerFileView, Error> {
        let empty = AnswerFile {
            id: Id::NEW,
            revision: 0,
            name,
            kind,
            description: None,
            content: Some(String::new()),
            owner: actor.user,
            known_good: false,
            public: false,
            saved: self.0.now(),
            saved_by: actor.name.clone(),
        };
        check_name(&empty.name, 2, 256)?;
        let file = self.changed(actor, empty, change)?;
        let journal =
            self.0.draft(actor)?.audit("create", "preseed", &file.name, said(described(&file))).done();
        let file = self.0.store().insert_answer_file(&file, &journal).await?;
        self.view(file).await
    }

    /// Changes an answer file: its owner or an admin.
    pub async fn update(
        &self,
        actor: &Actor,
        id: AnswerFileId,
        change: AnswerFileChange,
    ) -> Result<AnswerFileView, Error> {
        let file = self.load(id).await?;
        if !actor.owns(file.owner) {
            return Err(forbidden("only the owner of the answer file and admins may change it"));
        }
        self.1.check(file.revision)?;
        let old = file.clone();
        let file = self.changed(actor, file, change)?;
        // The versions have the contents; here they might show a secret to whoever may not read the file.
        let mut changes = between(&described(&old), &described(&file));
        if old.content != file.content {
            changes["content"] = json!("changed");
        }
        let journal = self.0.draft(actor)?.audit("update", "preseed", &file.name, changes).done();
        let file = self.1.settle(self.0.store().update_answer_file(&file, &journal).await, file.revision)?;
        self.view(file).await
    }

    /// Removes an answer file that no machine uses.
    pub async fn delete(&self, actor: &Actor, id: AnswerFileId) -> Result<(), Error> {
        let file = self.load(id).await?;
        if !actor.owns(file.owner) {
            return Err(forbidden("only the owner of the answer file and admins may change it"));
        }
        self.1.check(file.revision)?;
        let journal =
            self.0.draft(actor)?.audit("delete", "preseed", &file.name, said(described(&file))).done();
        let deleted = self.0.store().delete_answer_file(id, self.1.seen(), &journal).await;
        match self.1.overtaken(deleted, file.revision)? {
            Err(StoreError::InUse { .. }) => {
                let machines = self.0.store().machines_using_answer_file(id).await?.join(", ");
                Err(Error::Conflict(format!(
                    "answer file {} is still in use by machines {machines}",
                    file.name
                )))
            }
            other => Ok(other?),
        }
    }

    fn changed(
        &self,
        actor: &Actor,
        mut file: AnswerFile,
        change: AnswerFileChange,
    ) -> Result<AnswerFile, Error> {
        if let Some(name) = change.name.filter(|name| *name != file.name) {
            check_name(&name, 2, 256)?;
            file.name = name;
        }
        file.kind = change.kind.unwrap_or(file.kind);
        file.description = change.description.unwrap_or(file.description);
        if let Some(content) = change.content
            && content != file.content
        {
            (file.content, file.saved, file.saved_by) = (content, self.0.now(), actor.name.clone());
        }
        file.known_good = change.known_good.unwrap_or(file.known_good);
        file.public = change.public.unwrap_or(file.public);
        check_text("description", file.description.as_deref().unwrap_or(""), 0, 1024)?;
        check_content(file.content.as_deref().unwrap_or(""))?;
        Ok(file)
    }

    async fn load(&self, id: AnswerFileId) -> Result<AnswerFile, Error> {
        self.0.store().answer_file(id).await?.ok_or_else(|| Error::not_found("preseed", id))
    }

    async fn view(&self, answer_file: AnswerFile) -> Result<AnswerFileView, Error> {
        let owner = match answer_file.owner {
            Some(id) => self.0.store().user(id).await?.map(|user| user.name),
            None => None,
        };
        Ok(AnswerFileView { answer_file, owner })
    }
}

/// What the audit log says of an answer file, its content apart.
fn described(file: &AnswerFile) -> Value {
    json!({
        "name": file.name,
        "type": file.kind,
        "description": file.description,
        "known_good": file.known_good,
        "public": file.public,
    })
}

fn check_content(content: &str) -> Result<(), Error> {
    if content.len() > AnswerFile::MAX_BYTES {
        let most = AnswerFile::MAX_BYTES;
        return Err(Error::invalid("content", format!("{} bytes; {most} are allowed", content.len())));
    }
    if content.contains('\0') {
        return Err(Error::invalid("content", "a NUL character is not allowed"));
    }
    Ok(())
}
