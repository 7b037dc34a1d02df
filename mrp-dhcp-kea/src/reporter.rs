//! Sends what Kea saw to mrp, in batches. While mrp is away they wait; when too many do, the oldest are dropped.

use std::time::{Duration, Instant};

use mrp_core::api::kea::{MOST_REPORTS, Report, Reports};
use mrp_core::secret::random_bytes;

use crate::hook::{Level, Shared};
use crate::http::{self, HttpError, Request};
use crate::report::Waiting;

/// How often the queue is emptied; nobody wakes this thread, which would cost each packet a system call.
const TICK: Duration = Duration::from_millis(50);
/// How long mrp may take for a batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// After a batch mrp has peace for so many times as long as it took: reports are no load to speak of.
const PEACE: u32 = 9;
/// Longest peace.
const LONGEST_PEACE: Duration = Duration::from_secs(5);
/// Lost reports are told so often.
const TELL: Duration = Duration::from_secs(60);

/// What became of a batch.
enum Sent {
    Taken,
    /// It would be refused again.
    Refused(u16),
    /// It is to be sent again.
    Failed(String),
}

/// Sends reports until the hook's end.
pub(crate) fn run(shared: &Shared) {
    let source = hex::encode(random_bytes::<8>());
    let (mut waiting, mut lost) = (Waiting::default(), Lost::default());
    let (mut next, mut pause, mut told) = (Instant::now(), PAUSES.0, String::new());
    while !shared.life.is_over() {
        shared.queue.drain(&mut waiting);
        lost.note(waiting.take_dropped(), shared);
        let started = Instant::now();
        if waiting.is_empty() || started < next {
            shared.life.sleep(TICK);
            continue;
        }
        let reports = waiting.oldest(MOST_REPORTS, started);
        let last = reports.last().map_or(0, |report| report.number);
        let sent = send(shared, &source, reports);
        // What came meanwhile stays: it has greater numbers.
        match sent {
            Sent::Taken => {
                waiting.forget(last);
                (pause, told) = (PAUSES.0, String::new());
                next = Instant::now() + (started.elapsed() * PEACE).min(LONGEST_PEACE);
            }
            Sent::Refused(status) => {
                waiting.forget(last);
                let text = format!("mrp refuses reports with status {status}; they are dropped");
                shared.log(Level::Error, &text);
                next = Instant::now() + PAUSES.0;
            }
            Sent::Failed(why) => {
                if told != why && !shared.life.is_over() {
                    let text = format!("mrp takes no reports: {why}; {} wait", waiting.len());
                    shared.log(Level::Warning, &text);
                    told = why;
                }
                next = Instant::now() + pause;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

fn send(shared: &Shared, source: &str, reports: Vec<Report>) -> Sent {
    let body = Reports { source: source.to_owned(), reports };
    let body = serde_json::to_string(&body).expect("a report has text keys only");
    let settings = &shared.settings;
    let token = settings.token.as_deref();
    let request = Request { authority: &settings.authority, path: "/dhcp/report", token, body: Some(&body) };
    match http::ask(&request, &shared.life, PATIENCE, Some(PATIENCE)).map(|response| response.status()) {
        Ok(200..300) => Sent::Taken,
        Ok(401 | 403) => Sent::Failed("this host may not report (machine.dhcp_from, token-file)".into()),
        Ok(status @ 400..500) => Sent::Refused(status),
        Ok(status) => Sent::Failed(format!("it answers with status {status}")),
        Err(HttpError::Protocol(why)) => Sent::Failed(format!("it does not speak HTTP: {why}")),
        Err(error) => Sent::Failed(error.to_string()),
    }
}

/// Counts what was lost, and tells of it now and then.
#[derive(Debug, Default)]
struct Lost {
    count: u64,
    told: Option<Instant>,
}

impl Lost {
    fn note(&mut self, count: u64, shared: &Shared) {
        self.count += count;
        if self.count > 0 && self.told.is_none_or(|told| told.elapsed() >= TELL) {
            let text = format!("{} reports were dropped: too many for mrp, or it is away", self.count);
            shared.log(Level::Warning, &text);
            (self.count, self.told) = (0, Some(Instant::now()));
        }
    }
}
