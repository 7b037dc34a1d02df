//! One machine's console, held open by a task of its own: what it prints goes to its viewers and into the record; a
//! console that is lost is opened again, with a mark.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::audience::{Audience, Ending, Seat};
use crate::api::ConsoleNotice;
use crate::bmc::{Bmc, BmcError, Console, ConsoleInput};
use crate::console::{Frame, FrameContent, REPLAY_BYTES};
use crate::error::Error;
use crate::machine::MachineId;
use crate::secret::random_bytes;
use crate::service::{Provisioner, lock};

/// The pause before a console that was lost is opened again; doubled each time, half of it by chance.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A console that was open for so long was no failure.
const LASTING: Duration = Duration::from_secs(20);
/// How long the console stays open when the last viewer has gone and nothing else wants it: a page that is loaded anew
/// finds it open.
const LINGER: Duration = Duration::from_secs(5);
/// How long whoever joins waits for the record; then they see what comes from then on.
const REPLAY_PATIENCE: Duration = Duration::from_secs(5);

/// A machine's console as others reach it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) machine: MachineId,
    pub(crate) audience: Mutex<Audience>,
    /// Where what is typed goes, while the console is open.
    input: Mutex<Option<mpsc::Sender<ConsoleInput>>>,
    /// It is to be open though nobody watches.
    pub(crate) wanted: AtomicBool,
    requests: mpsc::UnboundedSender<Request>,
}

/// What a session is asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// Take a viewer in.
    Join(Arc<Seat>),
    /// Write down what happened.
    Mark(String),
    /// Open the console at once.
    Retry,
    /// See whether anybody still wants it.
    Look,
    /// End.
    Stop(Ending),
}

/// Why a session goes on to another console, or ends.
enum Turn {
    /// The console was lost.
    Lost(Error),
    /// Opened again at once.
    Retry,
    /// The session ends.
    Stop(Ending),
}

/// The task of a session.
pub(crate) struct Holder {
    service: Provisioner,
    session: Arc<Session>,
    requests: mpsc::UnboundedReceiver<Request>,
    /// What viewers are told of the console.
    link: ConsoleNotice,
    /// Since when nobody wants it.
    idle: Option<Instant>,
}

impl Session {
    pub(crate) fn new(service: Provisioner, machine: MachineId, wanted: bool) -> (Arc<Self>, Holder) {
        let (sender, requests) = mpsc::unbounded_channel();
        let session = Arc::new(Self {
            machine,
            audience: Mutex::default(),
            input: Mutex::default(),
            wanted: AtomicBool::new(wanted),
            requests: sender,
        });
        let holder = Holder {
            service,
            session: session.clone(),
            requests,
            link: ConsoleNotice::Link { connected: false, taken: false, text: String::new() },
            idle: None,
        };
        (session, holder)
    }

    /// Asks the session's task for something; false if it has ended.
    pub(crate) fn ask(&self, request: Request) -> bool {
        self.requests.send(request).is_ok()
    }

    /// Keeps a place for a viewer; false if the session has ended.
    pub(crate) fn join(&self, seat: &Arc<Seat>) -> bool {
        lock(&self.audience).expect(seat.clone());
        let asked = self.ask(Request::Join(seat.clone()));
        if !asked {
            lock(&self.audience).leave(seat);
        }
        asked
    }

    /// Where what is typed goes, while the console is open.
    pub(crate) fn input(&self) -> Option<mpsc::Sender<ConsoleInput>> {
        lock(&self.input).clone()
    }

    /// True while somebody watches, or while it is to be recorded.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) || lock(&self.audience).len() > 0
    }
}

impl Holder {
    /// Holds the console until nobody wants it any more, or until it must not be held here.
    pub(crate) async fn run(mut self) {
        let (mut pause, mut was_open) = (FIRST_PAUSE, false);
        let ending = loop {
            let turn = match self.opened().await {
                Ok((console, left_by)) => {
                    let text = match left_by {
                        _ if was_open => "the console is open again".to_owned(),
                        Some(server) if self.service.is_clustered() => {
                            format!("the console is open; server {server} had it and has not closed it")
                        }
                        Some(_) => "the console is open; a killed mrp had not closed it".to_owned(),
                        None => "the console is open".to_owned(),
                    };
                    self.mark(text).await;
                    self.tell_link(ConsoleNotice::Link {
                        connected: true,
                        taken: false,
                        text: String::new(),
                    });
                    let since = Instant::now();
                    was_open = true;
                    let turn = self.carry(console).await;
                    *lock(&self.session.input) = None;
                    if since.elapsed() >= LASTING {
                        pause = FIRST_PAUSE;
                    }
                    if let Turn::Lost(error) = &turn {
                        self.mark(format!("the console was lost: {error}")).await;
                    }
                    turn
                }
                Err(turn) => turn,
            };
            match turn {
                Turn::Stop(ending) => break ending,
                Turn::Retry => pause = FIRST_PAUSE,
                Turn::Lost(error) => {
                    self.note_loss(&error).await;
                    let half = pause / 2;
                    let chance = f64::from(u16::from_le_bytes(random_bytes())) / f64::from(u16::MAX);
                    let until = Instant::now() + half + half.mul_f64(chance);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    if let Some(ending) = self.wait(until, &error).await {
                        break ending;
                    }
                }
            }
        };
        if was_open {
            self.service.note_console_closed(self.session.machine).await;
            self.mark(format!("the console is closed: {}", ending.reason)).await;
        }
        lock(&self.session.audience).end(&ending);
        // Who came in the last moment is not left waiting.
        self.requests.close();
        while let Some(request) = self.requests.recv().await {
            if let Request::Join(seat) = request {
                seat.end(&ending);
            }
        }
    }

    /// Opens the console while requests are answered.
    async fn opened(&mut self) -> Result<(Console, Option<String>), Turn> {
        let service = self.service.clone();
        let mut opening = Box::pin(open(service, self.session.machine));
        let turn = loop {
            let due = self.due();
            tokio::select! {
                opened = &mut opening => return opened.map_err(|error| match error {
                    Error::Bmc(BmcError::Unsupported(_))
                    | Error::NotFound { .. }
                    | Error::Refused(_) => Turn::Stop(Ending::for_good(error.to_string())),
                    Error::Conflict(reason) => Turn::Stop(Ending::for_now(reason)),
                    error => Turn::Lost(error),
                }),
                Some(request) = self.requests.recv() => match self.handle(request).await {
                    None | Some(Turn::Retry) => {}
                    Some(turn) => break turn,
                },
                () = until(due) => if let Some(turn) = self.check_idle() { break turn },
            }
        };
        // Cut off in the middle, it would stay open in the BMC.
        if opening.await.is_ok() {
            self.service.note_console_closed(self.session.machine).await;
        }
        Err(turn)
    }

    /// Carries what the console prints until it ends.
    async fn carry(&mut self, mut console: Console) -> Turn {
        *lock(&self.session.input) = Some(console.input.clone());
        loop {
            let due = self.due();
            tokio::select! {
                received = console.output.recv() => match received {
                    Some(Ok(output)) => self.output(output).await,
                    Some(Err(error)) => return Turn::Lost(error.into()),
                    None => return Turn::Lost(Error::Conflict("its BMC was changed or closed".into())),
                },
                Some(request) = self.requests.recv() => match self.handle(request).await {
                    // It is open: there is nothing to be done at once.
                    None | Some(Turn::Retry) => {}
                    Some(turn) => return turn,
                },
                () = until(due) => if let Some(turn) = self.check_idle() { return turn },
            }
        }
    }

    /// Waits before the next try; tells if the session ends instead.
    async fn wait(&mut self, pause: Instant, error: &Error) -> Option<Ending> {
        // A password that is wrong stays so: trying it again would lock the account.
        let hopeless = matches!(error, Error::Bmc(BmcError::Unauthorized { .. } | BmcError::Config(_)));
        let revision = self.bmc_revision().await;
        let mut pause = pause;
        loop {
            let due = self.due();
            tokio::select! {
                () = sleep_until(pause) => {
                    if !hopeless || self.bmc_revision().await != revision {
                        return None;
                    }
                    pause = Instant::now() + LONGEST_PAUSE;
                }
                Some(request) = self.requests.recv() => match self.handle(request).await {
                    None => {}
                    Some(Turn::Stop(ending)) => return Some(ending),
                    Some(_) => return None,
                },
                () = until(due) => if let Some(Turn::Stop(ending)) = self.check_idle() { return Some(ending) },
            }
        }
    }

    async fn bmc_revision(&self) -> Option<i64> {
        let machine = self.service.load_machine(self.session.machine).await.ok()?;
        let entry = self.service.store().bmc(machine.bmc?).await.ok()??;
        Some(entry.revision)
    }

    async fn handle(&mut self, request: Request) -> Option<Turn> {
        match request {
            Request::Join(seat) => self.take_in(seat).await,
            Request::Mark(text) => self.mark(text).await,
            Request::Retry => return Some(Turn::Retry),
            Request::Look => {}
            Request::Stop(ending) => return Some(Turn::Stop(ending)),
        }
        None
    }

    /// Shows a viewer the last of the record, and then what comes: between the two nothing is lost and nothing comes
    /// twice, since this task writes the record.
    async fn take_in(&mut self, seat: Arc<Seat>) {
        let tail = self.service.0.console_record.tail(self.session.machine, seat.since, REPLAY_BYTES);
        match tokio::time::timeout(REPLAY_PATIENCE, tail).await {
            Ok(Ok(frames)) => replay(&seat, frames),
            Ok(Err(error)) => {
                tracing::warn!(machine = %self.session.machine, %error, cause = %error.0, "no replay");
            }
            Err(_) => tracing::warn!(machine = %self.session.machine, "the record was not read in time"),
        }
        seat.notice(ConsoleNotice::ReplayEnd);
        seat.notice(self.link.clone());
        lock(&self.session.audience).join(seat);
        self.idle = None;
    }

    async fn output(&self, output: Bytes) {
        lock(&self.session.audience).output(&output);
        let frame = Frame { at: self.service.now(), content: FrameContent::Output(output) };
        self.service.0.console_record.append(self.session.machine, frame).await;
    }

    async fn mark(&self, text: String) {
        let at = self.service.now();
        lock(&self.session.audience).notice(&ConsoleNotice::Mark { at, text: text.clone() });
        let frame = Frame { at, content: FrameContent::Mark(text) };
        self.service.0.console_record.append(self.session.machine, frame).await;
    }

    async fn note_loss(&mut self, error: &Error) {
        let taken = matches!(error, Error::Bmc(BmcError::ConsoleTaken { .. }));
        if taken {
            // Whoever has it now is not to be thrown out as what a killed server left.
            self.service.note_console_closed(self.session.machine).await;
        }
        tracing::debug!(machine = %self.session.machine, %error, "a console is not open");
        self.tell_link(ConsoleNotice::Link { connected: false, taken, text: error.to_string() });
    }

    fn tell_link(&mut self, link: ConsoleNotice) {
        if self.link != link {
            lock(&self.session.audience).notice(&link);
            self.link = link;
        }
    }

    /// When to look whether nobody wants it any more.
    fn due(&mut self) -> Option<Instant> {
        if self.session.is_wanted() {
            self.idle = None;
            return None;
        }
        Some(*self.idle.get_or_insert_with(|| Instant::now() + LINGER))
    }

    fn check_idle(&mut self) -> Option<Turn> {
        let over = self.due().is_some_and(|due| due <= Instant::now());
        let ended = over && self.service.end_console(&self.session);
        ended.then(|| Turn::Stop(Ending::for_now("nobody watches")))
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Shows frames as one run of output between marks.
fn replay(seat: &Seat, frames: Vec<Frame>) {
    let mut output = Vec::new();
    for frame in frames {
        match frame.content {
            FrameContent::Output(bytes) => output.extend_from_slice(&bytes),
            FrameContent::Typed(_) => {}
            FrameContent::Mark(text) => {
                seat.output(std::mem::take(&mut output).into());
                seat.notice(ConsoleNotice::Mark { at: frame.at, text });
            }
        }
    }
    seat.output(output.into());
}

/// Opens a machine's console. One that a killed server of ours has left open is taken from it; tells which.
async fn open(service: Provisioner, machine: MachineId) -> Result<(Console, Option<String>), Error> {
    let _turn = service.0.consoles.opening.acquire().await;
    let machine = service.load_machine(machine).await?;
    service.require_owned(&machine).await?;
    let bmc = service.bmc_of(&machine).await?;
    let (bmc, node) = bmc.ok_or_else(|| Error::Refused("console requires a BMC".into()))?;
    let left = service.left_console_open(machine.id).await?;
    let console = match bmc.open_console(&node).await {
        Err(BmcError::ConsoleTaken { session, .. })
            if left.as_ref().is_some_and(|left| left.has_it(session.as_ref())) =>
        {
            bmc.reset_console(&node).await?;
            bmc.open_console(&node).await?
        }
        outcome => outcome?,
    };
    service.note_console_open(machine.id, console.session.as_deref()).await?;
    Ok((console, left.map(|left| left.server)))
}
