//! A view that lasts while its BMC changes servers: it is taken along to whichever has the console, and goes on there
//! with what came since.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use super::audience::ConsoleMessage;
use super::viewer::{INPUT_PATIENCE, Seated, not_open};
use crate::actor::Actor;
use crate::api::ConsoleNotice;
use crate::bmc::ConsoleInput;
use crate::error::Error;
use crate::id::Timestamp;
use crate::machine::MachineId;
use crate::peer::{PeerAct, PeerActor, PeerConsole, ViewerRequest};
use crate::service::{Provisioner, lock};

/// Messages on their way to the viewer; what is behind waits where the console is held.
const WAITING: usize = 16;
/// Between two tries to find the console again.
const PAUSE: Duration = Duration::from_secs(1);

/// Who wants to watch what.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) actor: Actor,
    pub(super) machine: MachineId,
    /// Never type.
    pub(super) watch: bool,
    /// What is older was seen.
    pub(super) since: Option<Timestamp>,
}

/// Where a console is watched.
pub(super) enum Place {
    Here(Arc<Seated>),
    At { server: String, console: PeerConsole },
}

/// Where what is typed goes.
#[derive(Debug, Clone)]
enum Keys {
    Here(Arc<Seated>),
    At(mpsc::Sender<ViewerRequest>),
    Nowhere,
}

/// A view that is passed on.
#[derive(Debug)]
pub(super) struct Relay {
    messages: tokio::sync::Mutex<mpsc::Receiver<ConsoleMessage>>,
    keys: Arc<Mutex<Keys>>,
    _task: JoinSet<()>,
}

impl Relay {
    pub(super) fn start(service: Provisioner, wish: Wish, place: Place) -> Self {
        let (sender, messages) = mpsc::channel(WAITING);
        let keys = Arc::new(Mutex::new(place.keys()));
        let task = Task { service, wish, messages: sender, keys: keys.clone(), replayed: false };
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run(place));
        Self { messages: tokio::sync::Mutex::new(messages), keys, _task: tasks }
    }

    pub(super) async fn next(&self) -> Option<ConsoleMessage> {
        self.messages.lock().await.recv().await
    }

    pub(super) async fn send(&self, input: ConsoleInput) -> Result<(), Error> {
        let keys = lock(&self.keys).clone();
        match keys {
            Keys::Here(seated) => seated.send(input).await,
            Keys::At(requests) => pass_on(&requests, ViewerRequest::Type(input)).await,
            Keys::Nowhere => Err(not_open()),
        }
    }

    pub(super) async fn take_keyboard(&self) -> Result<(), Error> {
        let keys = lock(&self.keys).clone();
        match keys {
            Keys::Here(seated) => seated.take_keyboard(),
            Keys::At(requests) => pass_on(&requests, ViewerRequest::TakeKeyboard).await,
            Keys::Nowhere => Err(not_open()),
        }
    }
}

async fn pass_on(requests: &mpsc::Sender<ViewerRequest>, request: ViewerRequest) -> Result<(), Error> {
    match tokio::time::timeout(INPUT_PATIENCE, requests.send(request)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(not_open()),
    }
}

impl Place {
    async fn next(&mut self) -> Option<ConsoleMessage> {
        match self {
            Place::Here(seated) => seated.next().await,
            Place::At { console, .. } => console.messages.recv().await,
        }
    }

    fn keys(&self) -> Keys {
        match self {
            Place::Here(seated) => Keys::Here(seated.clone()),
            Place::At { console, .. } => Keys::At(console.requests.clone()),
        }
    }
}

/// Why a place is left.
enum End {
    /// The viewer has gone.
    Gone,
    /// The viewer was cut.
    Cut(String),
    /// The console is elsewhere, or will be.
    Moved(String),
}

struct Task {
    service: Provisioner,
    wish: Wish,
    messages: mpsc::Sender<ConsoleMessage>,
    keys: Arc<Mutex<Keys>>,
    /// The viewer has been shown what came before.
    replayed: bool,
}

impl Task {
    async fn run(mut self, mut place: Place) {
        loop {
            let began = Instant::now();
            let moved = match self.carry(&mut place).await {
                End::Gone => return,
                End::Cut(reason) => return self.cut(reason).await,
                End::Moved(text) => text,
            };
            *lock(&self.keys) = Keys::Nowhere;
            drop(place);
            if !self.tell(ConsoleNotice::Link { connected: false, taken: false, text: moved }).await {
                return;
            }
            // A console that ends as soon as it is found is looked for slowly.
            let pause = PAUSE.saturating_sub(began.elapsed());
            place = tokio::select! {
                found = async { sleep(pause).await; self.find().await } => match found {
                    Ok(place) => place,
                    Err(reason) => return self.cut(reason).await,
                },
                () = self.messages.closed() => return,
            };
            *lock(&self.keys) = place.keys();
        }
    }

    /// Carries what comes to the viewer, until it comes from elsewhere.
    async fn carry(&mut self, place: &mut Place) -> End {
        let mut look = interval(self.service.0.cluster.as_ref().map_or(PAUSE, |cluster| cluster.lease / 3));
        loop {
            let message = tokio::select! {
                message = place.next() => match (message, &*place) {
                    (Some(message), _) => message,
                    (None, Place::Here(_)) => return End::Moved("the console has ended".into()),
                    (None, Place::At { server, .. }) => {
                        return End::Moved(format!("server {server}, which had the console, is gone"));
                    }
                },
                _ = look.tick() => match self.moved(place).await {
                    Some(text) => return End::Moved(text),
                    None => continue,
                },
                () = self.messages.closed() => return End::Gone,
            };
            match &message {
                ConsoleMessage::Notice(ConsoleNotice::Cut { reason, again: true }) => {
                    return End::Moved(reason.clone());
                }
                ConsoleMessage::Notice(ConsoleNotice::Cut { reason, .. }) => {
                    return End::Cut(reason.clone());
                }
                ConsoleMessage::Notice(ConsoleNotice::ReplayEnd)
                    if std::mem::replace(&mut self.replayed, true) =>
                {
                    continue;
                }
                _ => {}
            }
            if self.replayed {
                self.wish.since = Some(Timestamp(self.service.now().0.saturating_add(1)));
            }
            if self.messages.send(message).await.is_err() {
                return End::Gone;
            }
        }
    }

    /// Tells if the console is not there any more where another server was seen to have it: that one may hang.
    async fn moved(&self, place: &Place) -> Option<String> {
        let Place::At { server, .. } = place else { return None };
        let machine = self.service.load_machine(self.wish.machine).await.ok()?;
        // Who cannot tell does not know better.
        let owner = self.service.way_to(machine.bmc)?.owner().await.ok()?;
        let stays = owner.is_some_and(|other| other.id == *server);
        (!stays).then(|| format!("server {server} drives the BMC no more"))
    }

    /// Looks for the console until it is found, or the viewer may not see it.
    async fn find(&self) -> Result<Place, String> {
        loop {
            match self.service.console_place(&self.wish).await {
                Ok(place) => return Ok(place),
                Err(
                    error @ (Error::NotFound { .. }
                    | Error::Forbidden(_)
                    | Error::Unauthenticated(_)
                    | Error::Refused(_)
                    | Error::TooMany(_)),
                ) => return Err(error.to_string()),
                Err(error) => {
                    tracing::debug!(machine = %self.wish.machine, %error, "a console is looked for");
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn tell(&self, notice: ConsoleNotice) -> bool {
        self.messages.send(ConsoleMessage::Notice(notice)).await.is_ok()
    }

    async fn cut(self, reason: String) {
        *lock(&self.keys) = Keys::Nowhere;
        self.tell(ConsoleNotice::Cut { reason, again: false }).await;
    }
}

impl Provisioner {
    /// Where a console can be watched: a place at its session, here or at the server that drives its BMC.
    pub(super) async fn console_place(&self, wish: &Wish) -> Result<Place, Error> {
        let machine = self.load_machine(wish.machine).await?;
        self.console_since(&wish.actor, wish.machine).await?;
        if let Some(way) = self.way_to(machine.bmc) {
            let actor = PeerActor::from(&wish.actor);
            let act =
                PeerAct::WatchConsole { actor, machine: wish.machine, watch: wish.watch, since: wish.since };
            while let Some(other) = way.owner().await? {
                let asked = way.cluster.peers.console(&other.url, &act).await;
                if let Some((_, Some(console))) = way.judge(&other, asked).await? {
                    return Ok(Place::At { server: other.id, console });
                }
            }
        }
        Ok(Place::Here(Arc::new(self.sit_down(wish).await?)))
    }
}
