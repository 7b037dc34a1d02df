//! `mrp events`.

use anyhow::Result;
use mrp_core::api;
use mrp_core::event::{Event, EventKind};

use crate::commands::Session;
use crate::event_stream::EventStream;
use crate::output::{Format, clean, json_line, line, when};
use crate::resolve;

/// What happened to machines
///
/// Examples:
///   mrp events --machine node-01
///   mrp events --kind power --last 10
///   mrp events --follow -o json | jq .text
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Events {
    /// Those of one machine
    #[arg(long)]
    machine: Option<String>,
    /// Those of one run
    #[arg(long)]
    run: Option<i64>,
    /// Those of one kind
    #[arg(long, value_parser = kind_of)]
    kind: Option<EventKind>,
    /// How many of the last ones
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    last: u32,
    /// Go on as they happen; in JSON one a line
    #[arg(short, long)]
    follow: bool,
}

/// Which events are shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) machine: Option<String>,
    pub(super) run: Option<i64>,
    pub(super) kind: Option<EventKind>,
    pub(super) last: u32,
    pub(super) follow: bool,
}

fn kind_of(name: &str) -> Result<EventKind, String> {
    EventKind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
        let known: Vec<&str> = EventKind::ALL.into_iter().map(EventKind::as_str).collect();
        format!("one of {}", known.join(", "))
    })
}

impl Events {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let Self { machine, run, kind, last, follow } = self;
        Shown { machine, run, kind, last, follow }.run(session).await
    }
}

impl Shown {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let mut parameters = Vec::new();
        if let Some(machine) = &self.machine {
            parameters.push(("machine", resolve::machine(&session.client, machine).await?.id.to_string()));
        }
        parameters.extend(self.run.map(|run| ("run", run.to_string())));
        parameters.extend(self.kind.map(|kind| ("kind", kind.as_str().to_owned())));
        let mut past = parameters.clone();
        // One at least: a stream begins after the last one.
        past.push(("last", self.last.max(1).to_string()));
        let events: Vec<Event> = session.client.query("/event", &past).await?;
        let past = if self.last == 0 { &[] } else { &*events };
        if session.output == Format::Json && !self.follow {
            return session.output.list(past, &[]);
        }
        let machines: Vec<api::Machine> = session.client.list("/machine?show_all=true", &[]).await?;
        let words = |event: &Event| words(event, &machines);
        if !self.follow {
            return past.iter().try_for_each(|event| line(words(event)));
        }
        let show = |event: &Event| match session.output {
            Format::Json => json_line(event),
            Format::Table => line(words(event)),
        };
        past.iter().try_for_each(show)?;
        let mut stream = EventStream::open(&session.client, parameters, events.last());
        loop {
            show(&stream.next().await?)?;
        }
    }
}

fn words(event: &Event, machines: &[api::Machine]) -> String {
    let name = |id: i64| machines.iter().find(|machine| machine.id == id).map(|machine| machine.name.clone());
    let machine = event.machine.map(|id| name(id.get()).unwrap_or_else(|| format!("machine {id}")));
    let (machine, actor) = (clean(&machine.unwrap_or_default(), ' '), clean(&event.actor, ' '));
    format!(
        "{}  {machine:<12} {:<11} {actor:<10} {}",
        when(event.at),
        event.kind.as_str(),
        clean(&event.text, ' ')
    )
}
