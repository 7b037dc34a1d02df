//! Keeps the table current: one stream from mrp, the whole table first, then changes. Whatever mrp does, the last good
//! table stays in force.

use std::time::{Duration, Instant};

use mrp_core::api::kea::TableLine;

use crate::feed::{Feed, FeedError, Step};
use crate::hook::{Level, Shared};
use crate::http::{self, HttpError, Request, Response, Timed};
use crate::table::Table;

/// Silence after which mrp counts as hung; it says something every 5 seconds.
const SILENCE: Duration = Duration::from_secs(15);
/// First and longest pause before another attempt.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Changes are put in force together up to this number.
const GATHERED: usize = 1000;
/// The copy on disk is at most so old; mrp's sign of life is also the time to look.
const COPY_AGE: Duration = Duration::from_secs(2);
/// Contested addresses that are named in the log.
const NAMED: usize = 5;

/// Why the stream ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("it sends no table: {0}")]
    Feed(#[from] FeedError),
    #[error(
        "it gives no table to this host (status {0}): name this host in machine.dhcp_from of mrp, or give the hook the token of machine.token_file in token-file"
    )]
    Refused(u16),
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("it ended the stream")]
    Ended,
}

/// Keeps the table until the hook's end.
pub(crate) fn run(shared: &Shared) {
    let (mut pause, mut told) = (PAUSES.0, String::new());
    while !shared.life.is_over() {
        let mut copy = Copy { written: Instant::now(), dirty: false };
        let mut whole = false;
        let lost = match follow(shared, &mut copy, &mut whole) {
            Ok(never) => match never {},
            Err(lost) => lost.to_string(),
        };
        copy.write(shared);
        if shared.life.is_over() {
            return;
        }
        if whole {
            (pause, told) = (PAUSES.0, String::new());
        }
        if told != lost {
            let (authority, clients) = (&shared.settings.authority, shared.table().len());
            let text = format!("mrp at {authority}: {lost}; going on with the {clients} clients known");
            shared.log(Level::Warning, &text);
            told = lost;
        }
        shared.life.sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
    }
}

fn follow(shared: &Shared, copy: &mut Copy, whole: &mut bool) -> Result<std::convert::Infallible, Lost> {
    let settings = &shared.settings;
    let token = settings.token.as_deref();
    let request = Request { authority: &settings.authority, path: "/dhcp/table", token, body: None };
    let mut response = http::ask(&request, &shared.life, SILENCE, None)?;
    match response.status() {
        200 => {}
        status @ (401 | 403) => return Err(Lost::Refused(status)),
        status => return Err(Lost::Status(status)),
    }
    let mut feed = Feed::default();
    loop {
        match next(&mut response, &mut feed)? {
            Step::Nothing => {}
            Step::Whole(head, clients) => {
                let table = Table::new(head, clients);
                shared.log(Level::Info, &format!("{} clients are known from mrp", table.len()));
                put(shared, table);
                (*whole, copy.dirty) = (true, true);
            }
            Step::Change(first) => {
                let (changes, rest) = gather(first, &mut response, &mut feed);
                put(shared, shared.table().with(changes));
                copy.dirty = true;
                rest?;
            }
        }
        copy.keep(shared);
    }
}

fn next(response: &mut Response<Timed<'_>>, feed: &mut Feed) -> Result<Step, Lost> {
    let line = response.line()?.ok_or(Lost::Ended)?;
    Ok(feed.event(&line)?)
}

/// All changes that are here already, and what came after them.
fn gather(
    first: TableLine,
    response: &mut Response<Timed<'_>>,
    feed: &mut Feed,
) -> (Vec<TableLine>, Result<(), Lost>) {
    let mut changes = vec![first];
    while response.has_more() && changes.len() < GATHERED {
        match next(response, feed) {
            Ok(Step::Change(change)) => changes.push(change),
            Ok(Step::Nothing) => {}
            // mrp sends one whole table a stream.
            Ok(Step::Whole(..)) => return (changes, Err(FeedError::Misplaced("a whole table").into())),
            Err(lost) => return (changes, Err(lost)),
        }
    }
    (changes, Ok(()))
}

fn put(shared: &Shared, table: Table) {
    let before = shared.table().contested();
    let new = table.contested().into_iter().filter(|contested| !before.contains(contested));
    for (mac, address, owner) in new.take(NAMED) {
        let text =
            format!("{address} is reserved for {owner} and for {mac}: {owner} gets it, {mac} one of a pool");
        shared.log(Level::Warning, &text);
    }
    shared.put(table);
}

/// The copy on disk follows the table, not at every change.
struct Copy {
    written: Instant,
    dirty: bool,
}

impl Copy {
    fn keep(&mut self, shared: &Shared) {
        if self.written.elapsed() >= COPY_AGE {
            self.write(shared);
        }
    }

    fn write(&mut self, shared: &Shared) {
        if !self.dirty {
            return;
        }
        (self.dirty, self.written) = (false, Instant::now());
        if let Err(error) = shared.cache.write(&shared.table()) {
            let path = shared.cache.path().display();
            let text = format!(
                "{path} cannot be written ({error}): let Kea's user write in its folder, or set cache to another file"
            );
            shared.log(Level::Error, &text);
        }
    }
}
