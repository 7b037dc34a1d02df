//! Following a run: each stage with its time since the start, bytes and rate, then the verdict. The run itself is the
//! truth; events say when to look again and carry the warnings.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use mrp_core::api::Run;
use mrp_core::event::{Event, EventKind};
use mrp_core::id::Timestamp;
use mrp_core::run::{Stage, StageKind};
use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientError};
use crate::commands::Session;
use crate::event_stream::EventStream;
use crate::exit::Exit;
use crate::output::{Format, clean, write_line};

/// How often the bytes of a transfer are asked for.
const POLL: Duration = Duration::from_millis(500);
/// How long a server may be away before following it is given up.
const ABSENCE: Duration = Duration::from_secs(300);

/// Follows a run to its end. A server that goes away is waited for.
pub async fn follow_run(client: &Client, id: i64, mut out: &mut (dyn Write + Send)) -> Result<Run> {
    let mut run: Run = client.get(&format!("/run/{id}")).await?;
    let parameters = vec![("machine", run.machine.to_string())];
    let recent = [parameters[0].clone(), ("last", "200".to_owned())];
    let past: Vec<Event> = client.query("/event", &recent).await?;
    let mut events = EventStream::open(client, parameters, past.last());
    let mut timeline = Timeline::default();
    let bar = Bar::new();
    for line in
        past.iter().filter(|event| event.at >= run.started).filter_map(|event| warning(event, run.started))
    {
        bar.above(|| write_line(&mut out, line))?;
    }
    loop {
        for line in timeline.advance(&run) {
            bar.above(|| write_line(&mut out, line))?;
        }
        if run.ended.is_some() {
            return Ok(run);
        }
        bar.show(&run);
        tokio::select! {
            event = events.next() => {
                if let Some(line) = warning(&event?, run.started) {
                    bar.above(|| write_line(&mut out, line))?;
                }
            }
            () = sleep(POLL) => {}
        }
        run = look_again(client, id, &bar).await?;
    }
}

/// Follows a run until it ends or the user has seen enough, for a command: the exit code tells how the run ended.
pub async fn follow_until_interrupted(session: &Session, id: i64) -> Result<()> {
    // A program gets the run and nothing before it.
    let (mut people, mut nobody) = (std::io::stdout(), std::io::sink());
    let out: &mut (dyn Write + Send) = match session.output {
        Format::Table => &mut people,
        Format::Json => &mut nobody,
    };
    tokio::select! {
        // Listens before anything is shown.
        biased;
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\nThe run goes on. See it again: mrp run follow {id}. End it: mrp run cancel {id}");
            Err(Exit::INTERRUPTED.into())
        }
        run = follow_run(&session.client, id, out) => {
            let run = run?;
            if session.output == Format::Json {
                session.output.done(&run, "")?;
            }
            match run.status.as_str() {
                "ready" | "presumed" => Ok(()),
                _ => Err(Exit::FAILED.into()),
            }
        }
    }
}

async fn look_again(client: &Client, id: i64, bar: &Bar) -> Result<Run> {
    let since = Instant::now();
    let mut told = false;
    loop {
        match client.get(&format!("/run/{id}")).await {
            Err(error @ ClientError::Unreachable { .. }) if since.elapsed() < ABSENCE => {
                if !std::mem::replace(&mut told, true) {
                    bar.above(|| eprintln!("{error}; waiting for it"));
                }
                sleep(2 * POLL).await;
            }
            other => return Ok(other?),
        }
    }
}

/// What of an event the stages do not tell.
fn warning(event: &Event, started: Timestamp) -> Option<String> {
    let notable = match event.kind {
        EventKind::Refused => true,
        EventKind::BootDevice => event.text.contains("warning"),
        EventKind::AnswerFile => !event.text.starts_with("fetched"),
        _ => false,
    };
    let text = clean(&event.text, ' ');
    notable.then(|| format!("{}  {:<13}  {text}", since(event.at, started), "note"))
}

/// Tells each stage once: when it is complete, or when the run went past it.
#[derive(Debug, Default)]
struct Timeline {
    told: Vec<StageKind>,
    header: bool,
    end: bool,
}

impl Timeline {
    fn advance(&mut self, run: &Run) -> Vec<String> {
        let mut lines = Vec::new();
        if !std::mem::replace(&mut self.header, true) {
            let initrd = run.plan.initrd.as_ref().map(|file| format!(", {}", file.name)).unwrap_or_default();
            let answers = run.plan.answer_file.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
            lines.push(format!("run {}: {}{initrd}{answers}", run.id, run.plan.kernel.name));
            if !run.plan.has_bmc {
                lines.push("the machine has no BMC: switch it on now, and let it boot the network".into());
            }
        }
        for (at, stage) in run.stages.iter().enumerate() {
            let passed =
                run.ended.is_some() || run.stages[at + 1..].iter().any(|later| later.stage > stage.stage);
            if !self.told.contains(&stage.stage) && (passed || is_settled(stage)) {
                self.told.push(stage.stage);
                lines.push(stage_line(stage, run.started));
            }
        }
        if let Some(ended) = run.ended
            && !std::mem::replace(&mut self.end, true)
        {
            let verdict = run.verdict.as_deref().unwrap_or_default();
            lines.push(format!("{}  {:<13}  {}", since(ended, run.started), run.status, clean(verdict, ' ')));
        }
        lines
    }
}

/// How far a transfer under way is: `61% at 4.8 MB/s`.
pub fn progress(stage: &Stage) -> Option<String> {
    let (Some(bytes), Some(total)) = (stage.bytes, stage.total) else { return None };
    let percent = u128::from(bytes) * 100 / u128::from(total.max(1));
    let rate = stage.transfer.as_ref().map(|facts| format!(" at {}", megabytes(facts.bytes_per_second)));
    (bytes < total).then(|| format!("{percent}%{}", rate.unwrap_or_default()))
}

fn megabytes(bytes_per_second: u64) -> String {
    let tenths = (bytes_per_second + 50_000) / 100_000;
    format!("{}.{} MB/s", tenths / 10, tenths % 10)
}

fn is_settled(stage: &Stage) -> bool {
    match stage.stage {
        StageKind::Power | StageKind::Dhcp => stage.detail.is_some(),
        _ => stage.is_complete(),
    }
}

fn stage_line(stage: &Stage, started: Timestamp) -> String {
    let bytes = match (stage.bytes, stage.total) {
        (Some(bytes), Some(total)) if bytes < total => {
            format!("{} of {}", HumanBytes(bytes), HumanBytes(total))
        }
        (Some(bytes), _) => HumanBytes(bytes).to_string(),
        _ => String::new(),
    };
    let detail = stage.detail.as_deref().map(|detail| clean(detail, ' ')).unwrap_or_default();
    let facts: Vec<String> = [bytes, detail].into_iter().filter(|fact| !fact.is_empty()).collect();
    let line = format!("{}  {:<13}  {}", since(stage.at, started), stage.stage.as_str(), facts.join(", "));
    line.trim_end().to_owned()
}

fn since(at: Timestamp, started: Timestamp) -> String {
    let passed = at.since(started);
    let (seconds, tenths) = (passed.as_secs(), passed.subsec_millis() / 100);
    match seconds {
        0..60 => format!("{:>8}", format!("{seconds}.{tenths} s")),
        _ => format!("{:>8}", format!("{}:{:02} min", seconds / 60, seconds % 60)),
    }
}

/// The transfer under way, or what is waited for, on a terminal.
#[derive(Debug)]
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new() -> Self {
        let terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self(terminal.then(ProgressBar::no_length))
    }

    fn show(&self, run: &Run) {
        let Some(bar) = &self.0 else { return };
        let under_way = run.stages.iter().find(|stage| !stage.is_complete());
        let template = match under_way {
            Some(Stage { stage, bytes: Some(bytes), total: Some(total), .. }) => {
                bar.set_length(*total);
                bar.set_position(*bytes);
                bar.set_message(under_way.and_then(progress).unwrap_or_default());
                format!("          {:<13}  {{bar:30}} {{msg}}, {{bytes}} of {{total_bytes}}", stage.as_str())
            }
            _ => {
                let waiting = clean(run.waiting_for.as_deref().unwrap_or("a person at the console"), ' ');
                bar.set_message(waiting);
                "          {spinner} waiting for {msg}".to_owned()
            }
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.tick();
    }

    fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mrp_core::run::{RunFile, RunPlan};

    fn run(stages: Vec<Stage>) -> Run {
        let kernel = RunFile { name: "alice/vmlinuz.11223344".into(), size: 8 << 20 };
        let plan = RunPlan {
            manual: false,
            has_bmc: true,
            kernel,
            initrd: None,
            answer_file: Some("debian".into()),
        };
        Run {
            id: 7,
            machine: 1,
            started_by: "alice".into(),
            status: "active".into(),
            verdict: None,
            started: Timestamp(1000),
            ended: None,
            waiting_for: None,
            deadline: None,
            plan,
            stages,
        }
    }

    fn stage(stage: StageKind, at: i64, bytes: Option<(u64, u64)>, detail: Option<&str>) -> Stage {
        let (bytes, total) = bytes.unzip();
        let (at, detail) = (Timestamp(at), detail.map(Into::into));
        Stage { stage, at, last: at, count: 1, bytes, total, detail, transfer: None }
    }

    #[test]
    fn a_transfer_under_way_has_a_share_and_a_rate() {
        let mut initrd = stage(StageKind::Initrd, 1100, Some((61_999_999, 100_000_000)), None);
        assert_eq!(progress(&initrd).as_deref(), Some("61%"));
        let (protocol, bytes_per_second) = (mrp_core::boot::Transport::Http, 4_760_000);
        initrd.transfer = Some(mrp_core::run::TransferFacts { protocol, bytes_per_second, tftp: None });
        assert_eq!(progress(&initrd).as_deref(), Some("61% at 4.8 MB/s"));
        initrd.bytes = initrd.total;
        assert_eq!(progress(&initrd), None, "it is over");
        assert_eq!(progress(&stage(StageKind::Power, 1100, None, None)), None);
    }

    #[test]
    fn each_stage_is_told_once_and_the_verdict_last() {
        let mut timeline = Timeline::default();
        let power = stage(StageKind::Power, 1100, None, None);
        assert_eq!(timeline.advance(&run(vec![power.clone()])), ["run 7: alice/vmlinuz.11223344, debian"]);
        let dhcp = stage(StageKind::Dhcp, 2500, None, Some("10.0.0.7"));
        let told = timeline.advance(&run(vec![power.clone(), dhcp.clone()]));
        assert_eq!(told, ["   0.1 s  power", "   1.5 s  DHCP           10.0.0.7"]);
        let half = stage(StageKind::Kernel, 62_000, Some((4 << 20, 8 << 20)), Some("TFTP, 40 MB/s"));
        let mut running = run(vec![power, dhcp, half]);
        assert!(timeline.advance(&running).is_empty(), "a transfer under way is no line");
        running.status = "failed".into();
        (running.ended, running.verdict) = (Some(Timestamp(400_000)), Some("kernel stopped".into()));
        let told = timeline.advance(&running);
        assert_eq!(told[0], "1:01 min  kernel         4.00 MiB of 8.00 MiB, TFTP, 40 MB/s");
        assert_eq!(told[1], "6:39 min  failed         kernel stopped");
        assert!(timeline.advance(&running).is_empty());
    }
}
