//! Machines: looking, making, changing their provisioning settings.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::actor::{Actor, forbidden};
use crate::answer_file::AnswerFileId;
use crate::arch::{ArchId, Subarch};
use crate::bmc_entry::BmcId;
use crate::error::Error;
use crate::event::EventKind;
use crate::id::Id;
use crate::image::{Image, ImageId, ImageKind};
use crate::mac::MacAddr;
use crate::machine::{
    Assignment, Interface, MAX_TAGS, Machine, MachineId, MachineState, Netboot, SeenPower, check_name,
    check_tag,
};
pub use crate::machine::{MachineOverview, MachineView};
use crate::query::Condition;
use crate::run::Observation;
use crate::service::Provisioner;
use crate::service::discovery::Plug;
use crate::service::expected::Expected;
use crate::service::journal::{between, said};
use crate::store::{MachineCount, MachineFilter, Page, StoreError};

/// What is to be changed of a machine's provisioning settings; `None` leaves it, an inner `None` clears it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Kernel; cannot be cleared.
    pub kernel: Option<Option<ImageId>>,
    /// Initrd.
    pub initrd: Option<Option<ImageId>>,
    /// Kernel options.
    pub kernel_options: Option<String>,
    /// Answer file.
    pub answer_file: Option<Option<AnswerFileId>>,
    /// Name of a subarchitecture of the machine's architecture; cannot be cleared.
    pub subarch: Option<Option<String>>,
    /// Netboot, by hand.
    pub netboot: Option<bool>,
}

/// What an admin says a machine is; `None` leaves it, an inner `None` clears it.
#[derive(Debug, Clone, Default)]
pub struct Definition {
    /// Name.
    pub name: Option<String>,
    /// Architecture; clears a subarchitecture of another one.
    pub arch: Option<ArchId>,
    /// BMC.
    pub bmc: Option<Option<BmcId>>,
    /// Address behind the BMC.
    pub bmc_info: Option<String>,
}

/// Most interfaces that a machine is made with.
const MAX_INTERFACES: usize = 64;

/// How often a change is decided anew because somebody else was faster.
const ATTEMPTS: usize = 8;

/// Machines.
#[derive(Debug)]
pub struct Machines<'a>(&'a Provisioner, Expected);

impl Provisioner {
    /// Machines.
    pub fn machines(&self) -> Machines<'_> {
        Machines(self, Expected::Any)
    }

    /// A machine, for whoever may look at it.
    pub(crate) async fn load_machine(&self, id: MachineId) -> Result<Machine, Error> {
        self.store().machine(id).await?.ok_or_else(|| Error::not_found("machine", id))
    }

    /// A machine, for whoever may change it: its holders and admins.
    pub(crate) async fn held_machine(&self, actor: &Actor, id: MachineId) -> Result<Machine, Error> {
        actor.require_write()?;
        self.machine_of_holder(actor, id).await
    }

    /// A machine, for whoever may see what only its holders and admins may.
    pub(crate) async fn machine_of_holder(&self, actor: &Actor, id: MachineId) -> Result<Machine, Error> {
        let machine = self.load_machine(id).await?;
        if actor.admin || self.holds(actor, id).await? { Ok(machine) } else { Err(not_held()) }
    }

    pub(crate) async fn holds(&self, actor: &Actor, id: MachineId) -> Result<bool, Error> {
        Ok(self.held_by(actor, id).await?.is_some())
    }

    /// What makes an actor a holder of a machine. One whose time is over makes nobody one, even before it is ended.
    pub(crate) async fn held_by(&self, actor: &Actor, id: MachineId) -> Result<Option<Assignment>, Error> {
        let Some(user) = actor.user else { return Ok(None) };
        let now = self.now();
        let held = |held: &Assignment| held.user == user && held.until.is_none_or(|until| until > now);
        Ok(self.store().assignments(id).await?.into_iter().find(held))
    }

    /// What an image is called; nothing for none.
    pub(crate) async fn image_name(&self, id: Option<ImageId>) -> Result<Option<String>, Error> {
        let Some(id) = id else { return Ok(None) };
        Ok(self.store().image(id).await?.map(|image| image.name))
    }

    /// What an answer file is called; nothing for none.
    pub(crate) async fn answer_file_name(&self, id: Option<AnswerFileId>) -> Result<Option<String>, Error> {
        let Some(id) = id else { return Ok(None) };
        Ok(self.store().answer_file(id).await?.map(|file| file.name))
    }

    /// The machine's subarchitecture, if it has one.
    pub(crate) async fn subarch_of(&self, machine: &Machine) -> Result<Option<Subarch>, Error> {
        let Some(id) = machine.subarch else { return Ok(None) };
        Ok(self.store().subarch(id).await?)
    }
}

impl Machines<'_> {
    /// The same, for changes of an object as it was seen.
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.1 = expected;
        self
    }

    /// Machines, sorted by id: the actor's own or all, narrowed by a query, and a page of them.
    pub async fn list(
        &self,
        actor: &Actor,
        all: bool,
        query: Option<&str>,
        page: Page,
    ) -> Result<Vec<MachineView>, Error> {
        Ok(self.0.store().machine_views(&filter(actor, all, query, page)?).await?)
    }

    /// The same, with who holds them, their tags and their power as last seen.
    pub async fn overview(
        &self,
        actor: &Actor,
        all: bool,
        query: Option<&str>,
        page: Page,
    ) -> Result<Vec<MachineOverview>, Error> {
        Ok(self.0.store().machine_overviews(&filter(actor, all, query, page)?).await?)
    }

    /// How many machines there are, by state and whether they netboot.
    pub async fn count(&self, _actor: &Actor) -> Result<Vec<MachineCount>, Error> {
        Ok(self.0.store().count_machines().await?)
    }

    /// One machine.
    pub async fn get(&self, _actor: &Actor, id: MachineId) -> Result<MachineView, Error> {
        let found = self.0.store().machine_view(id).await?;
        found.ok_or_else(|| Error::not_found("machine", id))
    }

    /// One machine by name.
    pub async fn by_name(&self, _actor: &Actor, name: &str) -> Result<Machine, Error> {
        self.0.store().machine_by_name(name).await?.ok_or_else(|| Error::not_found("machine", name))
    }

    /// Makes a machine; admins only.
    pub async fn create(
        &self,
        actor: &Actor,
        machine: Machine,
        subarch: Option<&str>,
    ) -> Result<MachineView, Error> {
        self.create_with(actor, machine, subarch, Vec::new()).await
    }

    /// The same with its interfaces, in one transaction: all or nothing is made.
    pub async fn create_with(
        &self,
        actor: &Actor,
        machine: Machine,
        subarch: Option<&str>,
        plugs: Vec<(MacAddr, Plug)>,
    ) -> Result<MachineView, Error> {
        actor.require_admin()?;
        let machine = self.checked(machine, subarch).await?;
        let interfaces = self.plugged(plugs).await?;
        let changes = self.made(&machine, &interfaces).await?;
        let journal = self.0.draft(actor)?.audit("create", "machine", &machine.name, changes).done();
        let machine = self.0.store().insert_machine_with(&machine, &interfaces, &journal).await?;
        self.0.announce();
        self.view(machine).await
    }

    /// Changes what a machine is; admins only.
    pub async fn define(&self, actor: &Actor, id: MachineId, new: Definition) -> Result<MachineView, Error> {
        let mut machine = self.0.load_machine(id).await?;
        actor.require_admin()?;
        self.1.check(machine.revision)?;
        let old = self.described(&machine).await?;
        if let Some(name) = new.name.filter(|name| *name != machine.name) {
            check_name(&name, 1, 256)?;
            machine.name = name;
        }
        if let Some(arch) = new.arch
            && arch != machine.arch
        {
            (machine.arch, machine.subarch) = (arch, None);
        }
        machine.bmc = new.bmc.unwrap_or(machine.bmc);
        machine.bmc_info = new.bmc_info.unwrap_or(machine.bmc_info);
        machine.validate()?;
        self.check_references(&machine).await?;
        let changes = between(&old, &self.described(&machine).await?);
        let journal = self.0.draft(actor)?.audit("update", "machine", &machine.name, changes).done();
        let written = self.0.store().update_machine(&machine, &journal).await;
        let machine = self.1.settle(written, machine.revision)?;
        self.0.sync_dhcp();
        self.view(machine).await
    }

    /// Changes a machine's provisioning settings; holders and admins. A refused change changes nothing.
    pub async fn set(&self, actor: &Actor, id: MachineId, new: Settings) -> Result<MachineView, Error> {
        let mut machine = self.0.held_machine(actor, id).await?;
        self.1.check(machine.revision)?;
        let mut changes = Map::new();
        if let Some(kernel) = new.kernel {
            let image = self.usable_image(actor, kernel, ImageKind::Kernel).await?;
            let image = image.ok_or_else(|| Error::Refused("no such kernel".into()))?;
            let old = self.0.image_name(machine.kernel).await?;
            changes.insert("kernel".into(), json!([old, image.name]));
            machine.kernel = Some(image.id);
        }
        if let Some(initrd) = new.initrd {
            let image = self.usable_image(actor, initrd, ImageKind::Initrd).await?;
            let old = self.0.image_name(machine.initrd).await?;
            changes.insert("initrd".into(), json!([old, image.as_ref().map(|image| &image.name)]));
            machine.initrd = image.map(|image| image.id);
        }
        if let Some(answer_file) = new.answer_file {
            let new = self.usable_answer_file(actor, answer_file).await?;
            let names =
                [self.0.answer_file_name(machine.answer_file).await?, self.0.answer_file_name(new).await?];
            changes.insert("answer_file".into(), json!(names));
            machine.answer_file = new;
        }
        if let Some(name) = new.subarch {
            let old = self.0.subarch_of(&machine).await?.map(|subarch| subarch.name);
            machine.subarch = Some(self.subarch_named(machine.arch, name.as_deref().unwrap_or("")).await?.id);
            changes.insert("subarch".into(), json!([old, name]));
        }
        if let Some(options) = new.kernel_options {
            changes.insert("kernel_options".into(), json!([machine.kernel_options, options]));
            machine.kernel_options = Some(options);
        }
        let mut draft = self.0.draft(actor)?;
        if let Some(netboot) = new.netboot {
            changes.insert("netboot".into(), json!([machine.netboot.is_on(), netboot]));
        }
        match new.netboot {
            Some(true) if !machine.netboot.is_on() => {
                machine.netboot = Netboot::ByHand;
                machine.boot_epoch += 1;
                draft = draft.event(
                    Some(id),
                    None,
                    EventKind::Netboot,
                    "netboot switched on by hand",
                    Value::Null,
                );
            }
            Some(false) if machine.netboot.is_on() => {
                machine.netboot = Netboot::Off;
                draft = draft.event(
                    Some(id),
                    None,
                    EventKind::Netboot,
                    "netboot switched off by hand",
                    Value::Null,
                );
            }
            _ => {}
        }
        machine.validate()?;
        if machine.netboot.is_on() && self.0.subarch_of(&machine).await?.and_then(|s| s.bootloader).is_none()
        {
            return Err(Error::Refused("Enabled netboot requires a subarch with a valid bootloader".into()));
        }
        changes.retain(|_, change| change[0] != change[1]);
        if changes.is_empty() {
            return self.view(machine).await;
        }
        let draft = draft.audit("update", "machine", &machine.name, Value::Object(changes));
        let written = self.0.store().update_machine(&machine, &draft.done()).await;
        let machine = self.1.settle(written, machine.revision)?;
        self.0.announce();
        self.view(machine).await
    }

    /// Says how a machine stands; holders and admins. Ends its run, if one is under way.
    pub async fn set_state(&self, actor: &Actor, id: MachineId, state: MachineState) -> Result<(), Error> {
        let machine = self.0.held_machine(actor, id).await?;
        let entry = |machine: &Machine| {
            let changes = json!({"state": [machine.state, state]});
            Ok::<_, Error>(self.0.draft(actor)?.audit("state", "machine", &machine.name, changes))
        };
        let ends_run = matches!(state, MachineState::Ready | MachineState::Error);
        if ends_run && let Some(run) = self.0.store().active_run(id).await? {
            let seen = Observation::StateSet { ok: state == MachineState::Ready, by: actor.name.clone() };
            if self.0.observe_with(run.id, seen, actor, entry(&machine)?.done()).await? {
                return Ok(());
            }
        }
        let mut machine = if ends_run { self.0.load_machine(id).await? } else { machine };
        let draft = entry(&machine)?;
        if machine.state == state {
            return Ok(self.0.store().record(&draft.done()).await?);
        }
        let text = format!("state set from {} to {state}", machine.state);
        machine.state = state;
        let draft = draft.event(Some(id), None, EventKind::State, text, json!({"state": state}));
        self.0.store().update_machine(&machine, &draft.done()).await?;
        self.0.announce();
        Ok(())
    }

    /// Removes a machine that no run is at; admins only.
    pub async fn delete(&self, actor: &Actor, id: MachineId) -> Result<(), Error> {
        let machine = self.0.load_machine(id).await?;
        actor.require_admin()?;
        self.1.check(machine.revision)?;
        let macs = self.0.store().interface_views(id).await?.into_iter().map(|view| view.interface.mac);
        let mut changes = self.described(&machine).await?;
        changes["interfaces"] = macs.collect::<Vec<_>>().into_iter().map(|mac| json!(mac)).collect();
        let journal = self.0.draft(actor)?.audit("delete", "machine", &machine.name, said(changes)).done();
        self.1.settle(self.0.store().delete_machine(&machine, &journal).await, machine.revision)?;
        self.0.sync_dhcp();
        Ok(())
    }

    /// The tags of a machine, sorted.
    pub async fn tags(&self, _actor: &Actor, id: MachineId) -> Result<Vec<String>, Error> {
        self.0.load_machine(id).await?;
        Ok(self.0.store().tags(id).await?)
    }

    /// Adds and removes tags of a machine, and leaves the others; admins only. Answers all of them, sorted.
    pub async fn change_tags(
        &self,
        actor: &Actor,
        id: MachineId,
        add: &[String],
        remove: &[String],
    ) -> Result<Vec<String>, Error> {
        self.0.load_machine(id).await?;
        actor.require_admin()?;
        add.iter().try_for_each(|tag| check_tag(tag))?;
        if add.len() > MAX_TAGS {
            return Err(Error::invalid("add", format!("{} tags; {MAX_TAGS} are allowed", add.len())));
        }
        if let Some(tag) = add.iter().find(|tag| remove.contains(tag)) {
            return Err(Error::invalid("remove", format!("{tag} is to be added too")));
        }
        for _ in 0..ATTEMPTS {
            let machine = self.0.load_machine(id).await?;
            let old = self.0.store().tags(id).await?;
            let mut new: Vec<String> = old.iter().filter(|tag| !remove.contains(tag)).cloned().collect();
            new.extend(add.iter().cloned());
            new.sort();
            new.dedup();
            if new == old {
                return Ok(old);
            }
            if new.len() > MAX_TAGS {
                let count = new.len();
                return Err(Error::invalid("add", format!("{count} tags; {MAX_TAGS} are allowed")));
            }
            let changes = json!({"tags": [old, new]});
            let journal = self.0.draft(actor)?.audit("update", "machine", &machine.name, changes).done();
            match self.0.store().set_tags(&machine, &new, &journal).await {
                Err(StoreError::Stale) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(new),
            }
        }
        Err(StoreError::Stale.into())
    }

    /// A machine's power as last seen, without asking its BMC.
    pub async fn seen_power(&self, _actor: &Actor, id: MachineId) -> Result<Option<SeenPower>, Error> {
        Ok(self.0.store().seen_power(id).await?)
    }

    pub(crate) async fn view(&self, machine: Machine) -> Result<MachineView, Error> {
        let found = self.0.store().machine_view(machine.id).await?;
        found.ok_or_else(|| Error::not_found("machine", machine.id))
    }

    /// A machine that may be stored, in a subarchitecture of that name.
    pub(crate) async fn checked(
        &self,
        mut machine: Machine,
        subarch: Option<&str>,
    ) -> Result<Machine, Error> {
        machine.validate()?;
        check_name(&machine.name, 1, 256)?;
        self.check_references(&machine).await?;
        if let Some(name) = subarch {
            machine.subarch = Some(self.subarch_named(machine.arch, name).await?.id);
        }
        Ok(machine)
    }

    /// Interfaces that a new machine may have.
    async fn plugged(&self, plugs: Vec<(MacAddr, Plug)>) -> Result<Vec<Interface>, Error> {
        if plugs.len() > MAX_INTERFACES {
            let count = plugs.len();
            return Err(Error::invalid("interfaces", format!("{count}; {MAX_INTERFACES} are allowed")));
        }
        let mut names = HashSet::new();
        let twice = |name: &&str| !name.is_empty() && !names.insert(name.to_string());
        if let Some(name) = plugs.iter().filter_map(|(_, plug)| plug.identifier.as_deref()).find(twice) {
            return Err(Error::Conflict(format!("two interfaces are called {name}")));
        }
        let mut interfaces = Vec::new();
        for (mac, plug) in plugs {
            let interface = self.0.interfaces().fresh(Id::NEW, mac, plug.identifier, plug.network).await?;
            interfaces.push(interface);
        }
        Ok(interfaces)
    }

    /// What the audit log says of what a machine is; not of what it boots.
    async fn described(&self, machine: &Machine) -> Result<Value, Error> {
        let bmc = match machine.bmc {
            Some(id) => self.0.store().bmc(id).await?.map(|bmc| bmc.name),
            None => None,
        };
        Ok(json!({
            "name": machine.name,
            "arch": self.0.arch_name(machine.arch).await?,
            "subarch": self.0.subarch_of(machine).await?.map(|subarch| subarch.name),
            "bmc": bmc,
            "bmc_info": machine.bmc_info,
        }))
    }

    /// What it says of a new one.
    pub(crate) async fn made(&self, machine: &Machine, interfaces: &[Interface]) -> Result<Value, Error> {
        let mut changes = self.described(machine).await?;
        if !interfaces.is_empty() {
            changes["interfaces"] = interfaces.iter().map(|interface| json!(interface.mac)).collect();
        }
        Ok(said(changes))
    }

    async fn check_references(&self, machine: &Machine) -> Result<(), Error> {
        if !self.0.store().archs().await?.iter().any(|arch| arch.id == machine.arch) {
            return Err(Error::Refused("no such architecture".into()));
        }
        self.0.check_node(machine).await
    }

    async fn subarch_named(&self, arch: ArchId, name: &str) -> Result<Subarch, Error> {
        if let Some(found) = self.0.store().subarch_by_name(arch, name).await? {
            return Ok(found);
        }
        let archs = self.0.store().archs().await?;
        let arch = archs.iter().find(|a| a.id == arch).map_or("", |arch| &arch.name);
        Err(Error::Refused(format!("no such subarch for architecture {arch}")))
    }

    async fn usable_image(
        &self,
        actor: &Actor,
        id: Option<ImageId>,
        kind: ImageKind,
    ) -> Result<Option<Image>, Error> {
        let Some(id) = id else { return Ok(None) };
        let (noun, article) = match kind {
            ImageKind::Kernel => ("kernel", "a"),
            ImageKind::Initrd => ("initrd", "an"),
            ImageKind::BootLoader => ("bootloader", "a"),
        };
        let image =
            self.0.store().image(id).await?.ok_or_else(|| Error::Refused(format!("no such {noun}")))?;
        if !actor.may_use(image.owner, image.public) {
            return Err(Error::Forbidden(format!("not allowed to use {noun}")));
        }
        if image.kind != kind {
            return Err(Error::Refused(format!("{noun} is not {article} {noun}")));
        }
        Ok(Some(image))
    }

    async fn usable_answer_file(
        &self,
        actor: &Actor,
        id: Option<AnswerFileId>,
    ) -> Result<Option<AnswerFileId>, Error> {
        let Some(id) = id else { return Ok(None) };
        let found = self.0.store().answer_file(id).await?;
        let found = found.ok_or_else(|| Error::Refused("no such preseed".into()))?;
        if actor.may_use(found.owner, found.public) {
            Ok(Some(id))
        } else {
            Err(Error::Forbidden("not allowed to use preseed".into()))
        }
    }
}

/// What is said to who neither holds a machine nor is an admin.
pub const NOT_HELD: &str = "you do not hold this machine: only its holders and admins may do this";

/// The refusal of who neither holds a machine nor is an admin.
pub(crate) fn not_held() -> Error {
    forbidden(NOT_HELD)
}

/// Machines that match: one's own, or all. Who is no user has none.
fn filter(actor: &Actor, all: bool, query: Option<&str>, page: Page) -> Result<MachineFilter, Error> {
    let condition = Condition::parse(query.unwrap_or(""))?;
    let held_by = if all { None } else { Some(actor.user.unwrap_or(Id::NEW)) };
    Ok(MachineFilter { held_by, condition, page })
}
