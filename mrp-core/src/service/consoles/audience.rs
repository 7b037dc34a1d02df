//! Who is at a console: many watch, one has the keyboard. Without I/O; whoever is slow loses the oldest of what waits
//! for them, and nobody else notices.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::actor::Actor;
use crate::api::ConsoleNotice;
use crate::id::Timestamp;
use crate::service::lock;

/// Output that waits for one viewer; four times what is replayed.
pub(crate) const QUEUE_BYTES: usize = 256 * 1024;
/// Notices that wait for one viewer.
const QUEUE_ITEMS: usize = 4096;

/// What a viewer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleMessage {
    /// What the machine printed.
    Output(Bytes),
    /// What there is to say beside it.
    Notice(ConsoleNotice),
}

/// Why a console is held here no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) reason: String,
    /// It is, or will be, held elsewhere or again.
    pub(crate) again: bool,
}

impl Ending {
    /// There is no such console for whoever asks again.
    pub(crate) fn for_good(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: false }
    }

    /// Whoever asks again finds it elsewhere, or here later.
    pub(crate) fn for_now(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: true }
    }
}

/// A viewer's place.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Who sits there.
    pub(crate) actor: Actor,
    /// They see what is not older.
    pub(crate) since: Timestamp,
    /// They may have the keyboard.
    pub(crate) types: bool,
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<ConsoleMessage>,
    bytes: usize,
    lost: u64,
    ended: bool,
}

impl Seat {
    pub(crate) fn new(actor: Actor, since: Timestamp, types: bool) -> Arc<Self> {
        Arc::new(Self { actor, since, types, queue: Mutex::default(), wake: Notify::new() })
    }

    /// The next message; `None` after the end.
    pub(crate) async fn next(&self) -> Option<ConsoleMessage> {
        loop {
            let waiting = self.wake.notified();
            {
                let mut queue = lock(&self.queue);
                if queue.lost > 0 {
                    let bytes = std::mem::take(&mut queue.lost);
                    return Some(ConsoleMessage::Notice(ConsoleNotice::Lost { bytes }));
                }
                if let Some(message) = queue.messages.pop_front() {
                    if let ConsoleMessage::Output(output) = &message {
                        queue.bytes -= output.len();
                    }
                    return Some(message);
                }
                if queue.ended {
                    return None;
                }
            }
            waiting.await;
        }
    }

    pub(crate) fn output(&self, output: Bytes) {
        if !output.is_empty() {
            self.push(ConsoleMessage::Output(output));
        }
    }

    pub(crate) fn notice(&self, notice: ConsoleNotice) {
        self.push(ConsoleMessage::Notice(notice));
    }

    /// Ends this place at once: nothing of the console comes any more, not even what waits.
    pub(crate) fn cut(&self, reason: &str) {
        {
            let mut queue = lock(&self.queue);
            if !queue.ended {
                *queue = Queue::default();
            }
        }
        self.end(&Ending::for_good(reason));
    }

    /// Ends this place after what waits.
    pub(crate) fn end(&self, ending: &Ending) {
        let Ending { reason, again } = ending.clone();
        self.notice(ConsoleNotice::Cut { reason, again });
        lock(&self.queue).ended = true;
        self.wake.notify_one();
    }

    fn push(&self, message: ConsoleMessage) {
        {
            let mut queue = lock(&self.queue);
            if queue.ended {
                return;
            }
            if let ConsoleMessage::Output(output) = &message {
                queue.bytes += output.len();
            }
            queue.messages.push_back(message);
            while queue.bytes > QUEUE_BYTES || queue.messages.len() > QUEUE_ITEMS {
                let oldest = queue.messages.iter().position(|it| matches!(it, ConsoleMessage::Output(_)));
                let Some(ConsoleMessage::Output(output)) = queue.messages.remove(oldest.unwrap_or(0)) else {
                    continue;
                };
                queue.bytes -= output.len();
                queue.lost += output.len() as u64;
            }
        }
        self.wake.notify_one();
    }
}

/// The viewers of one console.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    /// They will be shown the record first.
    coming: Vec<Arc<Seat>>,
    seats: Vec<Arc<Seat>>,
    keyboard: Option<Arc<Seat>>,
}

impl Audience {
    pub(crate) fn len(&self) -> usize {
        self.coming.len() + self.seats.len()
    }

    /// Everybody, also who is still coming.
    pub(crate) fn seats(&self) -> Vec<Arc<Seat>> {
        self.coming.iter().chain(&self.seats).cloned().collect()
    }

    /// Keeps a place for a viewer.
    pub(crate) fn expect(&mut self, seat: Arc<Seat>) {
        self.coming.push(seat);
    }

    /// Takes an expected viewer in, who gets the keyboard if nobody has it. One that has gone meanwhile stays away.
    pub(crate) fn join(&mut self, seat: Arc<Seat>) {
        let expected = self.coming.len();
        self.coming.retain(|other| !Arc::ptr_eq(other, &seat));
        if self.coming.len() == expected {
            return;
        }
        let free = self.keyboard.is_none() && seat.types;
        self.seats.push(seat.clone());
        if free {
            self.keyboard = Some(seat);
            self.tell_keyboard();
        } else {
            seat.notice(self.keyboard_for(&seat));
        }
    }

    /// Lets a viewer go, who may be gone already.
    pub(crate) fn leave(&mut self, seat: &Arc<Seat>) {
        self.coming.retain(|other| !Arc::ptr_eq(other, seat));
        self.seats.retain(|other| !Arc::ptr_eq(other, seat));
        if self.has_keyboard(seat) {
            self.keyboard = None;
            self.tell_keyboard();
        }
    }

    /// True if what this viewer types goes to the machine. A keyboard that nobody has is theirs with the first key.
    pub(crate) fn may_type(&mut self, seat: &Arc<Seat>) -> bool {
        let is_here = self.seats.iter().any(|other| Arc::ptr_eq(other, seat));
        if self.keyboard.is_none() && is_here && seat.types {
            self.keyboard = Some(seat.clone());
            self.tell_keyboard();
        }
        self.has_keyboard(seat)
    }

    /// Gives a viewer the keyboard; tells from whom, if somebody had it.
    pub(crate) fn take_keyboard(&mut self, seat: &Arc<Seat>) -> Option<String> {
        if self.has_keyboard(seat) || !self.seats.iter().any(|other| Arc::ptr_eq(other, seat)) {
            return None;
        }
        let before = self.keyboard.replace(seat.clone());
        self.tell_keyboard();
        before.map(|before| before.actor.name.clone())
    }

    pub(crate) fn output(&self, output: &Bytes) {
        for seat in &self.seats {
            seat.output(output.clone());
        }
    }

    pub(crate) fn notice(&self, notice: &ConsoleNotice) {
        for seat in &self.seats {
            seat.notice(notice.clone());
        }
    }

    /// Ends everybody's view.
    pub(crate) fn end(&mut self, ending: &Ending) {
        for seat in self.seats() {
            seat.end(ending);
        }
        (self.coming, self.seats) = (Vec::new(), Vec::new());
        self.keyboard = None;
    }

    fn has_keyboard(&self, seat: &Arc<Seat>) -> bool {
        self.keyboard.as_ref().is_some_and(|holder| Arc::ptr_eq(holder, seat))
    }

    fn keyboard_for(&self, seat: &Arc<Seat>) -> ConsoleNotice {
        let holder = self.keyboard.as_ref().map(|holder| holder.actor.name.clone());
        ConsoleNotice::Keyboard { holder, yours: self.has_keyboard(seat) }
    }

    fn tell_keyboard(&self) {
        for seat in &self.seats {
            seat.notice(self.keyboard_for(seat));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(types: bool) -> Arc<Seat> {
        Seat::new(Actor::system(), Timestamp(0), types)
    }

    fn enter(audience: &mut Audience, seat: &Arc<Seat>) {
        audience.expect(seat.clone());
        audience.join(seat.clone());
    }

    async fn drained(seat: &Seat) -> (usize, u64) {
        let (mut bytes, mut lost) = (0, 0);
        while !lock(&seat.queue).messages.is_empty() || lock(&seat.queue).lost > 0 {
            match seat.next().await {
                Some(ConsoleMessage::Output(output)) => bytes += output.len(),
                Some(ConsoleMessage::Notice(ConsoleNotice::Lost { bytes })) => lost += bytes,
                _ => {}
            }
        }
        (bytes, lost)
    }

    #[tokio::test]
    async fn who_is_slow_loses_the_oldest_and_is_told_and_others_lose_nothing() {
        let (mut audience, slow, quick) = (Audience::default(), seat(false), seat(false));
        enter(&mut audience, &slow);
        enter(&mut audience, &quick);
        let chunk = Bytes::from(vec![b'x'; 1000]);
        let mut read = 0;
        for _ in 0..1000 {
            audience.output(&chunk);
            read += drained(&quick).await.0;
        }
        assert_eq!(read, 1_000_000);
        let (kept, lost) = drained(&slow).await;
        assert_eq!(kept as u64 + lost, 1_000_000);
        assert!(kept <= QUEUE_BYTES && kept > QUEUE_BYTES - 1000, "{kept}");
    }

    #[tokio::test]
    async fn one_has_the_keyboard_and_taking_it_is_seen() {
        let (mut audience, one, two, watcher) = (Audience::default(), seat(true), seat(true), seat(false));
        for seat in [&one, &two, &watcher] {
            enter(&mut audience, seat);
        }
        assert!(audience.may_type(&one) && !audience.may_type(&two) && !audience.may_type(&watcher));
        assert_eq!(audience.take_keyboard(&two).as_deref(), Some("mrp"));
        assert!(!audience.may_type(&one) && audience.may_type(&two));
        audience.leave(&two);
        assert!(!audience.may_type(&watcher), "who only watches never types");
        assert!(audience.may_type(&one), "a keyboard that nobody has goes to whoever types");
        audience.join(two.clone());
        assert!(!audience.may_type(&two), "who has left types no more");
        let mut last = None;
        while !lock(&watcher.queue).messages.is_empty() {
            last = watcher.next().await;
        }
        let yours = ConsoleNotice::Keyboard { holder: Some("mrp".into()), yours: false };
        assert_eq!(last, Some(ConsoleMessage::Notice(yours)));
    }

    #[tokio::test]
    async fn nothing_of_a_console_comes_after_its_cut() {
        let seat = seat(false);
        seat.output(Bytes::from_static(b"before"));
        seat.cut("given back");
        seat.output(Bytes::from_static(b"after"));
        let cut = ConsoleNotice::Cut { reason: "given back".into(), again: false };
        assert_eq!(seat.next().await, Some(ConsoleMessage::Notice(cut)));
        assert_eq!(seat.next().await, None);
    }
}
