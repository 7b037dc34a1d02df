//! Provision runs: starting, observing, ending, and going on after a restart.

use std::time::Duration;

use serde_json::{Value, json};

use crate::actor::Actor;
use crate::bmc::{Bmc, BmcError, BootDevice, PowerAction};
use crate::error::Error;
use crate::event::{EventKind, Journal, NewEvent};
use crate::machine::{Machine, MachineId, MachineState, Netboot};
use crate::peer::PeerAct;
use crate::run::{Observation, Run, RunFile, RunId, RunPlan, RunStatus};
use crate::service::Provisioner;
use crate::service::cluster::needs_power;
use crate::service::journal::Draft;
use crate::store::{RunFilter, StoreError};

/// How a run is to be started.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartRun {
    /// A person installs at the console: nothing is expected after the kernel.
    pub manual: bool,
    /// Refuse a machine without a BMC, and answer when the power command is through, as mr-provisioner did.
    pub by_bmc: bool,
}

/// How often a write is decided again when somebody else wrote first.
const DECISIONS: usize = 16;

/// Provision runs.
#[derive(Debug)]
pub struct Runs<'a>(&'a Provisioner);

impl Provisioner {
    /// Provision runs.
    pub fn runs(&self) -> Runs<'_> {
        Runs(self)
    }
}

impl Runs<'_> {
    /// Starts to provision a machine; holders and admins. Arms netboot, then powers the machine in the background.
    pub async fn start(&self, actor: &Actor, id: MachineId, start: StartRun) -> Result<Run, Error> {
        let machine = self.0.held_machine(actor, id).await?;
        let plan = self.plan(&machine, start).await?;
        if let Some(run) = self.0.store().active_run(id).await? {
            return Err(busy(&machine, &run));
        }
        let (service, actor) = (self.0.clone(), actor.clone());
        self.0.run_to_end(async move { service.begin(&actor, machine, plan, start).await }).await
    }

    /// Runs, newest first.
    pub async fn list(&self, _actor: &Actor, filter: RunFilter) -> Result<Vec<Run>, Error> {
        Ok(self.0.store().runs(&filter).await?)
    }

    /// One run.
    pub async fn get(&self, _actor: &Actor, id: RunId) -> Result<Run, Error> {
        self.0.store().run(id).await?.ok_or_else(|| Error::not_found("run", id))
    }

    /// Cancels a run: holders of its machine and admins. Netboot is disarmed; the power stays as it is.
    pub async fn cancel(&self, actor: &Actor, id: RunId) -> Result<Run, Error> {
        let run = self.get(actor, id).await?;
        self.0.held_machine(actor, run.machine).await?;
        if !run.is_active() {
            return Err(Error::Conflict(format!("run {id} has ended: {}", run.verdict.unwrap_or_default())));
        }
        let name = self.0.load_machine(run.machine).await?.name;
        let entry = self.0.draft(actor)?.audit("cancel", "machine", &name, json!({"run": id})).done();
        let seen = Observation::Cancelled { how: format!("cancelled by {}", actor.name) };
        if !self.0.observe_with(id, seen, actor, entry).await? {
            return Err(Error::Conflict(format!("run {id} has ended")));
        }
        self.get(actor, id).await
    }

    /// Ends the runs whose deadline has passed. The background work does so every second; tests with a clock of their
    /// own call it.
    pub async fn check_deadlines(&self) -> Result<(), Error> {
        let now = self.0.now();
        for run in self.0.store().runs(&RunFilter { active: true, ..RunFilter::default() }).await? {
            if run.deadline.is_some_and(|deadline| deadline.at <= now) {
                let check = |run: &mut Run, now| run.check_deadline(now).then_some(());
                self.0.change_run(run.id, "mrp", Journal::default(), check).await?;
            }
        }
        Ok(())
    }

    async fn plan(&self, machine: &Machine, start: StartRun) -> Result<RunPlan, Error> {
        let refused = |what: &str| Error::Refused(format!("provisioning requires {what}"));
        if start.by_bmc && machine.bmc.is_none() {
            return Err(refused("a BMC"));
        }
        let kernel = machine.kernel.ok_or_else(|| refused("a kernel"))?;
        let subarch = self.0.subarch_of(machine).await?.ok_or_else(|| refused("a subarch"))?;
        if subarch.bootloader.is_none() {
            return Err(refused("the subarch to have a bootloader"));
        }
        let store = self.0.store();
        let file = async |id| -> Result<RunFile, Error> {
            let image = store.image(id).await?.ok_or_else(|| Error::not_found("image", id))?;
            Ok(RunFile { name: image.name, size: image.size })
        };
        let initrd = match machine.initrd {
            Some(id) => Some(file(id).await?),
            None => None,
        };
        let answer_file = match machine.answer_file {
            Some(id) => store.answer_file(id).await?.map(|answer_file| answer_file.name),
            None => None,
        };
        let (manual, has_bmc) = (start.manual, machine.bmc.is_some());
        Ok(RunPlan { manual, has_bmc, kernel: file(kernel).await?, initrd, answer_file })
    }
}

fn busy(machine: &Machine, run: &Run) -> Error {
    let (name, who, since, id) = (&machine.name, &run.started_by, run.started, run.id);
    Error::Conflict(format!(
        "machine {name} is being provisioned by {who} since {since} (run {id}); cancel that run first"
    ))
}

impl Provisioner {
    async fn begin(
        &self,
        actor: &Actor,
        machine: Machine,
        plan: RunPlan,
        start: StartRun,
    ) -> Result<Run, Error> {
        let text = match (&plan.has_bmc, plan.manual) {
            (true, false) => "provisioning started".to_owned(),
            (true, true) => "manual provisioning started".to_owned(),
            (false, _) => "provisioning started; the machine has no BMC: switch it on now".to_owned(),
        };
        let data = json!({"kernel": plan.kernel, "initrd": plan.initrd, "answer_file": plan.answer_file});
        let draft = self.draft(actor)?.event(Some(machine.id), None, EventKind::Run, text, data);
        let draft = draft.audit("provision", "machine", &machine.name, Value::Null).done();
        let mut machine = machine;
        let mut decided = None;
        for _ in 0..DECISIONS {
            let run =
                Run::new(machine.id, actor.user, &actor.name, plan.clone(), &self.settings().run, self.now());
            let mut armed = machine.clone();
            (armed.netboot, armed.state) = (Netboot::ByRun(RunId::NEW), MachineState::Provisioning);
            armed.boot_epoch += 1;
            match self.store().insert_run(&run, &armed, &draft).await {
                Ok(stored) => {
                    decided = Some(stored);
                    break;
                }
                Err(StoreError::Stale) => machine = self.held_machine(actor, machine.id).await?,
                Err(StoreError::Conflict { what }) => {
                    return Err(match self.store().active_run(machine.id).await? {
                        Some(run) => busy(&machine, &run),
                        None => Error::Conflict(what),
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (run, machine) = decided.ok_or(StoreError::Stale)?;
        self.announce();
        if !run.plan.has_bmc {
            return Ok(run);
        }
        if start.by_bmc {
            self.power_run(run.id, &machine).await?;
        } else {
            let (service, id) = (self.clone(), run.id);
            self.start_task(async move {
                if let Err(error) = service.power_run(id, &machine).await {
                    tracing::info!(run = %id, %error, "the run could not power its machine");
                }
            });
        }
        Ok(run)
    }

    /// Boot device, then power, by the server that drives the BMC; the run learns what came of it. The error is the
    /// BMC's.
    async fn power_run(&self, run: RunId, machine: &Machine) -> Result<(), Error> {
        match self.pass_on(machine.bmc, &PeerAct::PowerRun { run }).await {
            Ok(None) => self.power_run_here(run, machine).await,
            Ok(Some(_)) => Ok(()),
            Err(error) => {
                // Nobody has done anything; what a peer has done or tried, it has written into the run itself.
                if matches!(error, Error::Bmc(BmcError::Busy { .. })) {
                    let message = error.to_string();
                    self.observe(run, Observation::PowerFailed { message }, &Actor::system(), None).await?;
                }
                Err(error)
            }
        }
    }

    /// The same by this server, which drives the BMC. Asked twice, it powers the machine once.
    pub(crate) async fn power_run_here(&self, run: RunId, machine: &Machine) -> Result<(), Error> {
        let _powering = loop {
            match self.start_powering(run) {
                Some(powering) => break powering,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        match self.store().run(run).await? {
            Some(run) if needs_power(&run) => {}
            Some(run) if run.is_active() => return Ok(()),
            Some(run) => return Err(Error::Conflict(run.verdict.unwrap_or_default())),
            None => return Err(Error::not_found("run", run)),
        }
        let actor = Actor::system();
        self.observe(run, Observation::PowerStarted, &actor, None).await?;
        match self.power_for_netboot(run, machine).await {
            Ok(detail) => self.observe(run, Observation::PowerDone { detail }, &actor, None).await,
            Err(error) => {
                // A server that has taken over the BMC powers the run's machine itself.
                if self.require_owned(machine).await.is_ok() {
                    let message = error.to_string();
                    self.observe(run, Observation::PowerFailed { message }, &actor, None).await?;
                }
                Err(error)
            }
        }
    }

    async fn power_for_netboot(&self, run: RunId, machine: &Machine) -> Result<String, Error> {
        let (bmc, node) = self
            .bmc_of(machine)
            .await?
            .ok_or_else(|| Error::Refused("provisioning requires a BMC".into()))?;
        let _guard = self.claim_bmc(machine, "mrp", &format!("run {run}"))?;
        let what = "on, booting the network";
        let command = async {
            self.require_active(run).await?;
            self.require_owned(machine).await?;
            self.set_boot(machine, "mrp", &bmc, &node, BootDevice::Pxe).await?;
            if let Err(ended) = self.require_active(run).await {
                bmc.set_boot(&node, None).await?;
                return Err(ended);
            }
            self.require_owned(machine).await?;
            Ok(bmc.set_power(&node, PowerAction::Reset).await?)
        };
        if let Err(error) = command.await {
            let outcome = Err(error);
            self.note_power(machine.id, "mrp", what, &outcome).await?;
            return outcome.map(|_| String::new());
        }
        // Written before the state is read: a server that is killed from here on does not power the machine again.
        let (at, actor, text) = (self.now(), "mrp".to_owned(), format!("power {what}"));
        let (kind, data, id) = (EventKind::Power, json!({"power": what}), Some(machine.id));
        let event = NewEvent { at, machine: id, run: Some(run), kind, actor, text, data };
        let detail = "the BMC took the power command".to_owned();
        self.observe(run, Observation::PowerDone { detail }, &Actor::system(), Some(event)).await?;
        Ok(match bmc.power(&node).await {
            Ok(power) => format!("power {power}"),
            Err(error) => format!("the BMC took the power command, but does not tell the state: {error}"),
        })
    }

    /// Refuses to go on with a run that was cancelled meanwhile.
    async fn require_active(&self, run: RunId) -> Result<(), Error> {
        match self.store().run(run).await? {
            Some(found) if found.is_active() => Ok(()),
            _ => Err(Error::Conflict(format!("run {run} has ended meanwhile"))),
        }
    }

    /// Gives an observation to a run and writes what comes of it, with an event if one is given.
    pub(crate) async fn observe(
        &self,
        run: RunId,
        seen: Observation,
        actor: &Actor,
        event: Option<NewEvent>,
    ) -> Result<(), Error> {
        let journal = Journal { events: event.into_iter().collect(), ..Journal::default() };
        let changed = self.observe_with(run, seen, actor, journal.clone()).await?;
        if !changed && !journal.events.is_empty() {
            self.store().record(&journal).await?;
            self.announce();
        }
        Ok(())
    }

    /// Lets a run take an observation, written with the journal. False, and nothing is written, if it changes nothing: the
    /// run had ended.
    pub(crate) async fn observe_with(
        &self,
        run: RunId,
        seen: Observation,
        actor: &Actor,
        with: Journal,
    ) -> Result<bool, Error> {
        let limits = self.settings().run;
        let take = |run: &mut Run, now| run.observe(seen.clone(), &limits, now).then_some(());
        Ok(self.change_run(run, &actor.name, with, take).await?.is_some())
    }

    /// Reads a run, lets `decide` change it, and writes it with the journal and what its end means for the machine; decides
    /// again when somebody else wrote first. `None` if there was nothing to change.
    pub(crate) async fn change_run<T>(
        &self,
        id: RunId,
        actor: &str,
        with: Journal,
        decide: impl Fn(&mut Run, crate::id::Timestamp) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        for _ in 0..DECISIONS {
            let Some(mut run) = self.store().run(id).await?.filter(Run::is_active) else { return Ok(None) };
            let Some(decided) = decide(&mut run, self.now()) else { return Ok(None) };
            let mut draft = self.draft_by(actor);
            let machine = if run.is_active() { None } else { Some(self.after(&run).await?) };
            if machine.is_some() {
                draft = end_events(draft, &run);
            }
            let mut journal = draft.done();
            journal.events.splice(0..0, with.events.clone());
            journal.audit.extend(with.audit.clone());
            match self.store().update_run(&run, machine.as_ref(), &journal).await {
                Err(StoreError::Stale) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    self.announce();
                    return Ok(Some(decided));
                }
            }
        }
        Err(StoreError::Stale.into())
    }

    /// The machine as a run leaves it: its state, and netboot off if the run had armed it.
    async fn after(&self, run: &Run) -> Result<Machine, Error> {
        let mut machine = self.load_machine(run.machine).await?;
        if machine.netboot == Netboot::ByRun(run.id) {
            machine.netboot = Netboot::Off;
        }
        machine.state = match run.status {
            RunStatus::Active => machine.state,
            RunStatus::Ready | RunStatus::Presumed => MachineState::Ready,
            RunStatus::Failed => MachineState::Error,
            RunStatus::Cancelled => MachineState::Unknown,
        };
        Ok(machine)
    }

    /// Picks up the runs in flight and starts to watch deadlines.
    pub(crate) async fn resume(&self) -> Result<(), Error> {
        self.adopt_runs().await?;
        self.sync_dhcp();
        self.tend_dhcp();
        self.assignments().watch_ends();
        let service = self.clone();
        self.start_loop(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if let Err(error) = service.runs().check_deadlines().await {
                    tracing::warn!(%error, "the deadlines of runs could not be checked");
                }
            }
        });
        Ok(())
    }
}

fn end_events(draft: Draft, run: &Run) -> Draft {
    let (machine, id) = (Some(run.machine), Some(run.id));
    let verdict = run.verdict.clone().unwrap_or_default();
    let data = json!({"status": run.status, "verdict": verdict});
    draft.event(machine, id, EventKind::Run, format!("run {}: {verdict}", run.status.as_str()), data)
}
