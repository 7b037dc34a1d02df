//! `mrp machine` and `mrp state`.

use anyhow::{Result, bail};
use clap::ValueEnum;
use mrp_core::api;
use mrp_core::service::machines::NOT_HELD;
use serde_json::{Map, Value, json};

use crate::client::{Client, ClientError};
use crate::commands::Session;
use crate::commands::interface::Mac;
use crate::output::or_none;
use crate::resolve::{self, find, quoted};

mod tag;

/// Look at machines, add them, change what they boot.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum MachineCommand {
    List(List),
    Show(Show),
    Add(Add),
    Set(Set),
    Tag(tag::Tag),
    ConsoleTicket(tag::ConsoleTicket),
    #[command(visible_alias = "delete")]
    Remove(Remove),
}

impl MachineCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        match self {
            MachineCommand::List(command) => command.run(session).await,
            MachineCommand::Show(command) => command.run(session).await,
            MachineCommand::Add(command) => command.run(session).await,
            MachineCommand::Set(command) => command.run(session).await,
            MachineCommand::Tag(command) => command.run(session).await,
            MachineCommand::ConsoleTicket(command) => command.run(session).await,
            MachineCommand::Remove(command) => command.run(session).await,
        }
    }
}

/// List machines
///
/// Examples:
///   mrp machine list
///   mrp machine list --mine
///   mrp machine list --tag ssd
///   mrp machine list -q '(and (= arch "arm64") (= assignee_count 0))'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// Those that match: (OPERATION VALUE VALUE), with the operations and or = != > >= < <= =~ (the second text
    /// occurs in the first) and the values "text", 12, t, nil, or name, arch, subarch, bmc_type, state, power, free,
    /// reserved_by, tag, interface_count, assignee_count of the machine
    #[arg(short, long)]
    query: Option<String>,
    /// Those that have this tag; may be repeated
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// All machines; the default
    #[arg(long, conflicts_with = "mine")]
    all: bool,
    /// Only those that you hold
    #[arg(long)]
    mine: bool,
}

impl List {
    async fn run(self, session: &Session) -> Result<()> {
        let mut parameters = vec![("show_all", (self.all || !self.mine).to_string())];
        parameters.extend(with_tags(self.query, &self.tag).map(|query| ("q", query)));
        let machines: Vec<api::MachineOverview> =
            session.client.list("/machine/overview", &parameters).await?;
        session.output.list(
            &machines,
            &[
                ("ID", &|found| found.machine.id.to_string()),
                ("NAME", &|found| found.machine.name.clone()),
                ("ARCH", &|found| arch(&found.machine)),
                ("STATE", &|found| found.state.clone()),
                ("POWER", &|found| or_none(found.power.as_ref().map(|seen| &seen.state))),
                ("HELD BY", &|found| found.holders.join(", ")),
                ("TAGS", &|found| found.tags.join(" ")),
            ],
        )
    }
}

/// `arch`, or `arch/subarch`.
fn arch(machine: &api::Machine) -> String {
    match &machine.subarch {
        Some(subarch) => format!("{}/{subarch}", machine.arch),
        None => machine.arch.clone(),
    }
}

/// A query that asks for tags too.
pub(super) fn with_tags(query: Option<String>, tags: &[String]) -> Option<String> {
    if tags.is_empty() {
        return query;
    }
    let tags = tags.iter().map(|tag| format!("(= tag {})", quoted(tag)));
    Some(format!("(and {})", query.into_iter().chain(tags).collect::<Vec<_>>().join(" ")))
}

/// Show a machine: state, power, holder, what it boots, its newest run
///
/// Example:
///   mrp machine show node-01
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// Name or id
    machine: String,
}

impl Show {
    async fn run(self, session: &Session) -> Result<()> {
        let client = &session.client;
        let machine = resolve::machine(client, &self.machine).await?;
        let mut shown: Value = client.get(&format!("/machine/{}/detail", machine.id)).await?;
        let detail: api::MachineDetail = serde_json::from_value(shown.clone())?;
        let power = if detail.has_bmc {
            client.get::<api::State>(&format!("/machine/{}/power", machine.id)).await?.state
        } else {
            "no BMC".to_owned()
        };
        shown["power"] = json!(power);
        let holders = detail.assignees.iter().map(|holder| match holder.reason.as_str() {
            "" => holder.user.clone(),
            reason => format!("{} ({reason})", holder.user),
        });
        let interfaces = detail.interfaces.iter().map(|interface| {
            let address = interface.configured_ipv4.as_ref().or(interface.lease_ipv4.as_ref());
            [Some(&interface.mac), interface.identifier.as_ref(), interface.network_name.as_ref(), address]
                .into_iter()
                .flatten()
                .cloned()
                .collect::<Vec<_>>()
                .join(" ")
        });
        let run = detail.run.as_ref().map(|run| match &run.verdict {
            Some(verdict) if verdict.starts_with(&run.status) => format!("{}, {verdict}", run.id),
            Some(verdict) => format!("{}, {}: {verdict}", run.id, run.status),
            None => format!("{}, {}, waiting for {}", run.id, run.status, or_none(run.waiting_for.as_ref())),
        });
        let facts = [
            ("name", machine.name.clone()),
            ("id", machine.id.to_string()),
            ("state", detail.state.clone()),
            ("power", power),
            ("held by", holders.collect::<Vec<_>>().join(", ")),
            ("arch", arch(&machine)),
            ("tags", detail.tags.join(" ")),
            ("netboot", detail.netboot.clone()),
            ("kernel", image_name(client, machine.kernel_id).await?),
            ("initrd", image_name(client, machine.initrd_id).await?),
            ("preseed", preseed_name(client, machine.preseed_id).await?),
            ("kernel options", or_none(machine.kernel_opts.as_ref())),
            ("interfaces", interfaces.collect::<Vec<_>>().join(", ")),
            ("run", or_none(run)),
        ];
        session.output.object(&shown, &facts)
    }
}

/// What is not for everyone goes by its id.
pub(super) async fn image_name(client: &Client, id: Option<i64>) -> Result<String> {
    let Some(id) = id else { return Ok(String::new()) };
    named(client.get::<api::Image>(&format!("/image/{id}")).await.map(|image| image.name), id)
}

async fn preseed_name(client: &Client, id: Option<i64>) -> Result<String> {
    let Some(id) = id else { return Ok(String::new()) };
    named(client.get::<api::Preseed>(&format!("/preseed/{id}")).await.map(|preseed| preseed.name), id)
}

fn named(name: Result<String, ClientError>, id: i64) -> Result<String> {
    match name {
        Err(error) if error.status() == Some(403) => Ok(format!("{id} (not public)")),
        other => Ok(other?),
    }
}

/// Add a machine (admins)
///
/// Examples:
///   mrp machine add node-01 --arch x86_64 --subarch efi --bmc bmc-01 --mac 52:54:00:12:34:56,eth0,lab
///   mrp machine add node-02 --arch arm64/efi     (no BMC: somebody switches it on)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// Unique name
    name: String,
    /// Architecture, or `arch/subarch`
    #[arg(long)]
    arch: String,
    /// Subarchitecture: which boot loader it gets
    #[arg(long)]
    subarch: Option<String>,
    /// The BMC in front of it
    #[arg(long)]
    bmc: Option<String>,
    /// Its address behind the BMC, where the BMC serves several
    #[arg(long, default_value = "")]
    bmc_info: String,
    /// An interface: MAC address, then its name and network if they are known; may be repeated
    #[arg(long, value_name = "MAC[,IDENTIFIER[,NETWORK]]")]
    mac: Vec<Mac>,
}

impl Add {
    async fn run(self, session: &Session) -> Result<()> {
        let client = &session.client;
        let (arch, subarch) = resolve::arch_and_subarch(client, &self.arch, self.subarch.as_deref()).await?;
        let bmc = match &self.bmc {
            Some(bmc) => Some(find::<api::Bmc>(client, bmc).await?.name),
            None => None,
        };
        let mut interfaces = Vec::new();
        for mac in &self.mac {
            interfaces.push(mac.resolve(client).await?);
        }
        let Self { name, bmc_info, .. } = self;
        let machine = api::NewMachine { name, arch, subarch, bmc, bmc_info, interfaces };
        let machine: api::Machine = client.post("/machine", &machine).await?;
        session.output.done(&machine, format!("machine {} was added", machine.name))
    }
}

/// Change what a machine boots (its holders), or what it is (admins). What is not named stays.
///
/// Examples:
///   mrp machine set node-01 --kernel vmlinuz --initrd initrd.gz --preseed debian
///   mrp machine set node-01 --preseed none --kernel-opts 'console=ttyS0 quiet'
///   mrp machine set node-01 --netboot on
///   mrp machine set node-1 --name node-01 --bmc bmc-01        (admins)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Set {
    /// Name or id
    machine: String,
    #[command(flatten)]
    boot: Boot,
    /// Subarchitecture: which boot loader it gets; or `none`
    #[arg(long)]
    subarch: Option<String>,
    /// Whether it netboots at its next starts, until you say otherwise
    #[arg(long, value_enum, value_name = "on|off")]
    netboot: Option<Switch>,
    /// New name (admins)
    #[arg(long)]
    name: Option<String>,
    /// Architecture (admins)
    #[arg(long)]
    arch: Option<String>,
    /// The BMC in front of it, or `none` (admins)
    #[arg(long)]
    bmc: Option<String>,
    /// Its address behind the BMC (admins)
    #[arg(long)]
    bmc_info: Option<String>,
}

/// What a machine boots.
#[derive(Debug, Default, clap::Args)]
pub struct Boot {
    /// Kernel
    #[arg(long)]
    kernel: Option<String>,
    /// Initrd, or `none`
    #[arg(long)]
    initrd: Option<String>,
    /// Answer file, or `none`
    #[arg(long)]
    preseed: Option<String>,
    /// Kernel options; may use {{ phone_home_url }}
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    kernel_opts: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl Boot {
    /// The settings as the API takes them.
    pub(super) async fn settings(&self, client: &Client, arch: &str) -> Result<Map<String, Value>> {
        let mut settings = Map::new();
        if let Some(kernel) = &self.kernel {
            settings.insert(
                "kernel_id".into(),
                json!(resolve::image(client, kernel, "Kernel", Some(arch)).await?.id),
            );
        }
        if let Some(initrd) = &self.initrd {
            let id = match initrd.as_str() {
                "none" => Value::Null,
                initrd => json!(resolve::image(client, initrd, "Initrd", Some(arch)).await?.id),
            };
            settings.insert("initrd_id".into(), id);
        }
        if let Some(preseed) = &self.preseed {
            let id = match preseed.as_str() {
                "none" => Value::Null,
                preseed => json!(find::<api::Preseed>(client, preseed).await?.id),
            };
            settings.insert("preseed_id".into(), id);
        }
        settings.extend(self.kernel_opts.as_ref().map(|options| ("kernel_opts".into(), json!(options))));
        Ok(settings)
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<()> {
        let client = &session.client;
        let mut machine = resolve::machine(client, &self.machine).await?;
        let path = format!("/machine/{}", machine.id);
        let arch = match &self.arch {
            Some(arch) => Some(find::<api::Arch>(client, arch).await?.name),
            None => None,
        };
        let of_arch = arch.as_deref().unwrap_or(&machine.arch);
        let mut settings = self.boot.settings(client, of_arch).await?;
        match self.subarch.as_deref() {
            None => {}
            Some("none") => drop(settings.insert("subarch".into(), Value::Null)),
            Some(subarch) => {
                let subarch = resolve::subarch(client, Some(of_arch), subarch).await?.name;
                settings.insert("subarch".into(), json!(subarch));
            }
        }
        settings.extend(self.netboot.map(|netboot| ("netboot_enabled".into(), json!(netboot == Switch::On))));
        let bmc = match self.bmc.as_deref() {
            None => None,
            Some("none") => Some(None),
            Some(bmc) => Some(Some(find::<api::Bmc>(client, bmc).await?.name)),
        };
        let definition = api::MachineDefinition { name: self.name, arch, bmc, bmc_info: self.bmc_info };
        if definition != api::MachineDefinition::default() {
            machine = client.patch(&path, &definition).await?;
        } else if settings.is_empty() {
            bail!(crate::exit::Usage("nothing to change was named; see mrp machine set --help".into()));
        }
        if !settings.is_empty() {
            machine = client.put(&path, &settings).await.map_err(|error| not_held(error, &machine.name))?;
        }
        session.output.done(&machine, format!("machine {} was changed", machine.name))
    }
}

/// Tells whoever does not hold a machine how to get it.
pub(super) fn not_held(error: ClientError, machine: &str) -> anyhow::Error {
    let hint = format!("you do not hold {machine}; get it first: mrp reserve {machine}");
    match &error {
        ClientError::Refused { message, .. } if message == NOT_HELD => anyhow::Error::msg(hint),
        _ => error.into(),
    }
}

/// Remove a machine (admins)
///
/// Example:
///   mrp machine remove node-01
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Name or id
    machine: String,
}

impl Remove {
    async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        session.client.delete(&format!("/machine/{}", machine.id)).await?;
        session.output.done(&machine, format!("machine {} was removed", machine.name))
    }
}

/// Say how a machine stands; ends its run as ready or failed
///
/// Example:
///   mrp state node-01 ready
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct StateCommand {
    /// Name or id
    machine: String,
    /// How it stands
    #[arg(value_enum)]
    state: MachineState,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MachineState {
    Ready,
    Error,
    Unknown,
}

impl StateCommand {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let state = match self.state {
            MachineState::Ready => "ready",
            MachineState::Error => "error",
            MachineState::Unknown => "unknown",
        };
        let path = format!("/machine/{}/state", machine.id);
        let answer = session.client.put(&path, &api::State { state: state.into() }).await;
        let answer: api::State = answer.map_err(|error| not_held(error, &machine.name))?;
        session.output.done(&answer, format!("machine {} is {}", machine.name, answer.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_narrow_a_query() {
        let tags = ["ssd".to_owned(), "a\"b".to_owned()];
        assert_eq!(with_tags(None, &tags[..1]).unwrap(), "(and (= tag \"ssd\"))");
        let both = with_tags(Some("(= arch \"arm64\")".into()), &tags).unwrap();
        assert_eq!(both, "(and (= arch \"arm64\") (= tag \"ssd\") (= tag \"a\\\"b\"))");
        assert_eq!(with_tags(None, &[]), None);
    }
}
