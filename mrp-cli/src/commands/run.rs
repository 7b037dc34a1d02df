//! `mrp provision` and `mrp run`.

use anyhow::Result;
use mrp_core::api::{self, Run};

use crate::client::ClientError;
use crate::commands::Session;
use crate::commands::machine::{Boot, not_held};
use crate::follow::{follow_until_interrupted, progress};
use crate::output::{or_none, when};
use crate::resolve;

/// Provision a machine: netboot it with its kernel and initrd, and watch the installation
///
/// Examples:
///   mrp provision node-01 --kernel vmlinuz --initrd initrd.gz --preseed debian --follow
///   mrp provision node-01 --follow           (again, as it was)
///   mrp provision node-01 --manual           (a person installs at the console)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Provision {
    /// Name or id
    machine: String,
    #[command(flatten)]
    boot: Boot,
    /// Nothing is expected after the kernel: a person does the rest
    #[arg(long)]
    manual: bool,
    /// Show what happens until the run ends; the exit code tells how
    #[arg(short, long)]
    follow: bool,
}

impl Provision {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let client = &session.client;
        let machine = resolve::machine(client, &self.machine).await?;
        let settings = self.boot.settings(client, &machine.arch).await?;
        if !settings.is_empty() {
            let changed = client.put::<api::Machine>(&format!("/machine/{}", machine.id), &settings).await;
            changed.map_err(|error| not_held(error, &machine.name))?;
        }
        let start = api::NewRun { machine: machine.id, manual: self.manual };
        let run = client.post("/run", &start).await;
        let run: Run = run.map_err(|error| not_held(error, &machine.name))?;
        if self.follow {
            return follow_until_interrupted(session, run.id).await;
        }
        let id = run.id;
        session
            .output
            .done(&run, format!("run {id} of {} has started; follow it: mrp run follow {id}", machine.name))
    }
}

/// Runs: attempts to provision a machine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum RunCommand {
    List(List),
    Show(Show),
    Follow(Follow),
    Cancel(Cancel),
}

/// List runs, the newest first
///
/// Examples:
///   mrp run list --active
///   mrp run list --machine node-01 --limit 5
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// Those of one machine
    #[arg(long)]
    machine: Option<String>,
    /// Those under way
    #[arg(long)]
    active: bool,
    /// How many at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

/// Show a run: what was observed, when, and how it ended
///
/// Example:
///   mrp run show 7
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// The run's number
    run: i64,
}

/// Show what happens until the run ends; the exit code tells how: 0 ready, 1 failed or cancelled
///
/// Ctrl-C ends the display, not the run. With -o json the run is printed when it has ended.
///
/// Example:
///   mrp run follow 7
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Follow {
    /// The run's number
    run: i64,
}

/// End a run; netboot is switched off, the power stays as it is
///
/// Example:
///   mrp run cancel 7
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Cancel {
    /// The run's number
    run: i64,
}

impl RunCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            RunCommand::List(command) => command.run(session).await,
            RunCommand::Show(Show { run }) => {
                let found = session.client.get(&format!("/run/{run}")).await;
                show(session, &found.map_err(|error| unknown(error, run))?).await
            }
            RunCommand::Follow(Follow { run }) => {
                let found = session.client.get::<Run>(&format!("/run/{run}")).await;
                let found = found.map_err(|error| unknown(error, run))?;
                follow_until_interrupted(session, found.id).await
            }
            RunCommand::Cancel(Cancel { run }) => {
                let ended = session.client.post(&format!("/run/{run}/cancel"), &serde_json::json!({})).await;
                let run: Run = ended.map_err(|error| unknown(error, run))?;
                session.output.done(&run, format!("run {}: {}", run.id, or_none(run.verdict.as_ref())))
            }
        }
    }
}

fn unknown(error: ClientError, run: i64) -> anyhow::Error {
    let is_unknown = error.status() == Some(404);
    let error = anyhow::Error::new(error);
    if is_unknown { error.context(format!("there is no run {run}; see mrp run list")) } else { error }
}

impl List {
    async fn run(self, session: &Session) -> Result<()> {
        let mut parameters = vec![("limit", self.limit.to_string())];
        if let Some(machine) = &self.machine {
            parameters.push(("machine", resolve::machine(&session.client, machine).await?.id.to_string()));
        }
        if self.active {
            parameters.push(("active", "true".into()));
        }
        let runs: Vec<Run> = session.client.query("/run", &parameters).await?;
        let machines: Vec<api::Machine> = session.client.list("/machine?show_all=true", &[]).await?;
        let name =
            |run: &Run| machines.iter().find(|machine| machine.id == run.machine).map(|m| m.name.clone());
        session.output.list(
            &runs,
            &[
                ("ID", &|run| run.id.to_string()),
                ("MACHINE", &|run| name(run).unwrap_or_else(|| run.machine.to_string())),
                ("BY", &|run| run.started_by.clone()),
                ("STARTED", &|run| when(run.started)),
                ("STATUS", &|run| run.status.clone()),
                ("VERDICT", &|run| run.verdict.clone().unwrap_or_else(|| waiting(run))),
            ],
        )
    }
}

fn waiting(run: &Run) -> String {
    run.waiting_for.as_ref().map(|stage| format!("waiting for {stage}")).unwrap_or_default()
}

async fn show(session: &Session, run: &Run) -> Result<()> {
    let path = format!("/machine/{}", run.machine);
    let machine = match session.client.get::<api::Machine>(&path).await {
        Err(error) if error.status() == Some(404) => format!("{} (removed)", run.machine),
        machine => machine?.name,
    };
    let mut facts = vec![
        ("run", run.id.to_string()),
        ("machine", machine),
        ("started", format!("{} by {}", when(run.started), run.started_by)),
        ("ended", or_none(run.ended.map(when))),
        ("status", run.status.clone()),
        ("verdict", or_none(run.verdict.as_ref())),
        ("waiting for", or_none(run.waiting_for.as_ref())),
        ("until", or_none(run.deadline.map(when))),
        ("kernel", run.plan.kernel.name.clone()),
        ("initrd", or_none(run.plan.initrd.as_ref().map(|initrd| &initrd.name))),
        ("answer file", or_none(run.plan.answer_file.as_ref())),
    ];
    facts.extend(run.stages.iter().map(|stage| {
        let bytes = stage.bytes.zip(stage.total).map(|(bytes, total)| format!("{bytes} of {total} bytes"));
        let told = [Some(when(stage.at)), progress(stage), bytes, stage.detail.clone()];
        (stage.stage.as_str(), told.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }));
    session.output.object(run, &facts)
}
