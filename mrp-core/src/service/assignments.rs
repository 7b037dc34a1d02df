//! Who holds which machine: reserving, assigning, giving back.

use std::time::Duration;

use serde_json::json;

use crate::actor::{Actor, forbidden, nobody};
use crate::error::Error;
use crate::event::EventKind;
use crate::id::{Id, Timestamp};
use crate::machine::{Assignment, AssignmentId, MachineId, Netboot, check_text};
use crate::query::Condition;
use crate::run::Observation;
use crate::service::Provisioner;
use crate::service::expected::Expected;
use crate::service::journal::between;
use crate::service::machines::MachineView;
use crate::store::{Held, StoreError};
use crate::user::UserId;

/// An assignment with its holder's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentView {
    /// The assignment.
    pub assignment: Assignment,
    /// The holder's name.
    pub user: String,
}

/// Which assignment of a machine is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The actor's own.
    Own,
    /// The one with this id.
    Id(AssignmentId),
}

impl From<AssignmentId> for Whose {
    fn from(id: AssignmentId) -> Self {
        Whose::Id(id)
    }
}

impl Whose {
    fn find(self, actor: &Actor, assignments: &[Assignment]) -> Result<Assignment, Error> {
        let is_meant = |assignment: &&Assignment| match self {
            Whose::Own => Some(assignment.user) == actor.user,
            Whose::Id(id) => assignment.id == id,
        };
        let missing = || match self {
            Whose::Own => Error::not_found("assignee", "self"),
            Whose::Id(id) => Error::not_found("assignee", id),
        };
        assignments.iter().find(is_meant).cloned().ok_or_else(missing)
    }
}

/// How often the ends of assignments are looked at.
const WATCH: Duration = Duration::from_secs(5);
/// How many are ended at once.
const OVERDUE: u32 = 100;

/// Why an assignment ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Somebody gave the machine back.
    GivenBack,
    /// The time that was said is over.
    Over,
}

/// Assignments of machines to users.
#[derive(Debug)]
pub struct Assignments<'a>(&'a Provisioner, Expected);

impl Provisioner {
    /// Assignments of machines to users.
    pub fn assignments(&self) -> Assignments<'_> {
        Assignments(self, Expected::Any)
    }
}

impl Assignments<'_> {
    /// The same, for changes of an object as it was seen.
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.1 = expected;
        self
    }

    /// Who holds a machine.
    pub async fn list(&self, actor: &Actor, machine: MachineId) -> Result<Vec<AssignmentView>, Error> {
        self.0.load_machine(machine).await?;
        let mut views = Vec::new();
        for assignment in self.0.store().assignments(machine).await? {
            views.push(self.view(actor, assignment).await?);
        }
        Ok(views)
    }

    /// One assignment of a machine.
    pub async fn get(
        &self,
        actor: &Actor,
        machine: MachineId,
        whose: impl Into<Whose>,
    ) -> Result<AssignmentView, Error> {
        let assignments = self.0.store().assignments(machine).await?;
        if assignments.is_empty() {
            self.0.load_machine(machine).await?;
        }
        self.view(actor, whose.into().find(actor, &assignments)?).await
    }

    /// One's own assignment of a machine.
    pub async fn own(&self, actor: &Actor, machine: MachineId) -> Result<AssignmentView, Error> {
        self.get(actor, machine, Whose::Own).await
    }

    /// Takes the first free machine that matches the query, sorted by id, for as long as is said. Exactly one of several
    /// who ask at once gets it.
    pub async fn reserve(
        &self,
        actor: &Actor,
        query: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<MachineView, Error> {
        let user = actor.user.ok_or_else(nobody)?;
        let assignment = self.fresh(Id::NEW, user, reason, until)?;
        let condition = Condition::parse(query)?;
        let data = json!({"user": actor.name, "reason": reason, "until": until});
        let text = format!("reserved by {}", actor.name);
        let draft = self.0.draft(actor)?.audit("reserve", "machine", "", data.clone());
        let journal = draft.event(None, None, EventKind::Assignment, text, data).done();
        let claimed = self.0.store().claim_machine(&condition, &assignment, &journal).await?;
        let (_, machine) = claimed.ok_or(Error::NoMatch)?;
        self.0.announce();
        Ok(machine)
    }

    /// Gives a machine to a user; admins only.
    pub async fn assign(
        &self,
        actor: &Actor,
        machine: MachineId,
        user: &str,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<AssignmentView, Error> {
        let row = self.0.load_machine(machine).await?;
        actor.require_admin()?;
        let holder = self.0.store().user_by_name(user).await?;
        let holder = holder.ok_or_else(|| Error::Refused("no such user".into()))?;
        let assignment = self.fresh(machine, holder.id, reason, until)?;
        let data = json!({"user": user, "reason": reason, "until": until});
        let text = format!("assigned to {user}");
        let draft = self.0.draft(actor)?.audit("assign", "machine", &row.name, data.clone());
        let draft = draft.event(Some(machine), None, EventKind::Assignment, text, data);
        let stored = self.0.store().insert_assignment(&assignment, &draft.done()).await;
        let stored = stored.map_err(|error| match error {
            StoreError::Conflict { .. } => Error::Conflict(format!("{user} holds this machine already")),
            other => other.into(),
        })?;
        self.0.announce();
        self.view(actor, stored).await
    }

    /// Changes the reason of an assignment, and where it is said when it ends: its holder or an admin.
    pub async fn explain(
        &self,
        actor: &Actor,
        machine: MachineId,
        whose: impl Into<Whose>,
        reason: &str,
        until: Option<Option<Timestamp>>,
    ) -> Result<AssignmentView, Error> {
        let mut found = self.get(actor, machine, whose).await?.assignment;
        if !actor.owns(Some(found.user)) {
            return Err(forbidden("only its holder and admins may change an assignment"));
        }
        self.1.check(found.revision)?;
        let name = self.0.load_machine(machine).await?.name;
        let until = until.unwrap_or(found.until);
        let wanted = self.fresh(machine, found.user, reason, until.filter(|_| until != found.until))?;
        let text = if until == found.until { "reason changed" } else { "end changed" };
        let before = json!({"reason": found.reason, "until": found.until});
        let changes = between(&before, &json!({"reason": reason, "until": until}));
        let draft = self.0.draft(actor)?.audit("explain", "machine", &name, changes);
        (found.reason, found.until) = (wanted.reason, until);
        let data = json!({"reason": reason, "until": until});
        let draft = draft.event(Some(machine), None, EventKind::Assignment, text, data);
        let written = self.0.store().update_assignment(&found, &draft.done()).await;
        let stored = self.1.settle(written, found.revision)?;
        self.0.announce();
        self.view(actor, stored).await
    }

    /// Gives a machine back: its holder, or an admin. What the holder had ends at once: their run is cancelled; with the
    /// last holder netboot and the boot device are reset, and no boot token of before is valid any more.
    pub async fn give_back(
        &self,
        actor: &Actor,
        machine: MachineId,
        whose: impl Into<Whose>,
    ) -> Result<(), Error> {
        actor.require_write()?;
        let held = self.held(machine).await?;
        let found = whose.into().find(actor, &held.assignments)?;
        if !actor.owns(Some(found.user)) {
            return Err(forbidden("only its holder and admins may end an assignment"));
        }
        self.1.check(found.revision)?;
        let found = self.view(actor, found).await?;
        let (service, actor) = (self.0.clone(), actor.clone());
        let give_back = async move {
            Assignments(&service, Expected::Any).end(&actor, &found, held, End::GivenBack).await
        };
        self.0.run_to_end(give_back).await
    }

    /// Gives back what is held for longer than was said. One that cannot be given back now is tried again with the next.
    pub(crate) async fn end_overdue(&self) -> Result<(), Error> {
        for assignment in self.0.store().overdue_assignments(self.0.now(), OVERDUE).await? {
            let found = self.view(&Actor::system(), assignment).await?;
            let (service, machine) = (self.0.clone(), found.assignment.machine);
            let end = async move {
                let assignments = Assignments(&service, Expected::Any);
                let held = assignments.held(machine).await?;
                assignments.end(&Actor::system(), &found, held, End::Over).await
            };
            match self.0.run_to_end(end).await {
                // Somebody gave it back in the same moment.
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%machine, %error, "a machine whose time is over is still held"),
            }
        }
        Ok(())
    }

    /// Watches for assignments whose time is over.
    pub(crate) fn watch_ends(&self) {
        let service = self.0.clone();
        self.0.start_loop(async move {
            loop {
                tokio::time::sleep(WATCH).await;
                if let Err(error) = service.assignments().end_overdue().await {
                    tracing::warn!(%error, "the ends of assignments could not be checked");
                }
            }
        });
    }

    async fn held(&self, machine: MachineId) -> Result<Held, Error> {
        let held = self.0.store().held(machine).await?;
        held.ok_or_else(|| Error::not_found("machine", machine))
    }

    /// Ends an assignment of a machine that was seen so a moment ago.
    async fn end(
        &self,
        actor: &Actor,
        found: &AssignmentView,
        mut held: Held,
        end: End,
    ) -> Result<(), Error> {
        let (id, machine, holder) = (found.assignment.id, found.assignment.machine, found.assignment.user);
        let (how, text) = match end {
            End::GivenBack => ("gave the machine back", format!("given back by {}", found.user)),
            End::Over => {
                ("had the machine until now", format!("given back: the time of {} is over", found.user))
            }
        };
        for _ in 0..8 {
            let last = held.assignments.iter().all(|other| other.user == holder);
            let mut row = held.machine;
            if let Some(run) = held.run
                && (last || run.user == Some(holder))
            {
                let how = format!("cancelled: {} {how}", found.user);
                self.0.observe(run.id, Observation::Cancelled { how }, actor, None).await?;
                row = self.0.load_machine(machine).await?;
            }
            if last {
                self.0.reset_boot_device(&row).await;
                row.netboot = Netboot::Off;
                row.boot_epoch += 1;
            }
            let data = json!({"user": found.user});
            let draft = self.0.draft(actor)?.audit("release", "machine", &row.name, data.clone());
            let draft = draft.event(Some(machine), None, EventKind::Assignment, text.clone(), data);
            match self.0.store().end_assignment(id, &row, &draft.done()).await {
                Err(StoreError::Stale) => held = self.held(machine).await?,
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    self.0.announce();
                    return Ok(());
                }
            }
        }
        Err(StoreError::Stale.into())
    }

    /// An assignment from now on; a reason that is too long or an end that is not to come is refused.
    fn fresh(
        &self,
        machine: MachineId,
        user: UserId,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<Assignment, Error> {
        check_text("reason", reason, 0, 128)?;
        let since = self.0.now();
        if until.is_some_and(|until| until <= since) {
            return Err(Error::invalid("until", "lies in the past"));
        }
        Ok(Assignment { id: Id::NEW, revision: 0, machine, user, reason: reason.to_owned(), since, until })
    }

    async fn view(&self, actor: &Actor, assignment: Assignment) -> Result<AssignmentView, Error> {
        let user = match actor.user == Some(assignment.user) {
            true => actor.name.clone(),
            false => self.0.store().user(assignment.user).await?.map_or_else(String::new, |user| user.name),
        };
        Ok(AssignmentView { assignment, user })
    }
}
