//! The serial console of a BMC in memory: it sends back what is typed, and is held by one session.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mrp_core::bmc::{BmcError, Console, ConsoleInput};
use tokio::sync::{mpsc, watch};

type Output = mpsc::Sender<Result<Bytes, BmcError>>;

#[derive(Debug, Clone)]
pub(crate) struct Serial {
    address: String,
    holder: Arc<Mutex<Holder>>,
    opened: Arc<watch::Sender<u32>>,
}

#[derive(Debug, Default)]
enum Holder {
    #[default]
    Nobody,
    /// The number of times that it was opened names the session.
    Ours(Output, u32),
    Elsewhere(Option<String>),
}

impl Serial {
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), holder: Arc::default(), opened: Arc::new(watch::Sender::new(0)) }
    }

    pub(crate) fn open(&self) -> Result<Console, BmcError> {
        let mut holder = self.holder.lock().unwrap();
        match &*holder {
            Holder::Ours(output, number) if !output.is_closed() => {
                return Err(self.taken(Some(name(*number))));
            }
            Holder::Elsewhere(session) => return Err(self.taken(session.clone())),
            _ => {}
        }
        let (output, reader) = mpsc::channel(32);
        let (input, mut typed) = mpsc::channel(32);
        let number = *self.opened.borrow() + 1;
        *holder = Holder::Ours(output.clone(), number);
        let echo = output.downgrade();
        tokio::spawn(async move {
            while let Some(input) = typed.recv().await {
                let Some(output) = echo.upgrade() else { return };
                let bytes = match input {
                    ConsoleInput::Bytes(bytes) => bytes,
                    ConsoleInput::Break => Bytes::from_static(b"<break>"),
                };
                if output.send(Ok(bytes)).await.is_err() {
                    return;
                }
            }
        });
        self.opened.send_modify(|opened| *opened += 1);
        Ok(Console { output: reader, input, session: Some(name(number)) })
    }

    /// Frees the console; whoever has it is told.
    pub(crate) async fn reset(&self) {
        let before = std::mem::take(&mut *self.holder.lock().unwrap());
        if let Holder::Ours(output, _) = before {
            let _ = output.send(Err(self.taken(None))).await;
        }
    }

    /// A session outside of mrp takes it.
    pub(crate) async fn taken_elsewhere(&self) {
        self.reset().await;
        *self.holder.lock().unwrap() = Holder::Elsewhere(Some("somebody's".into()));
    }

    /// The connection is lost; when it is back the BMC gives the console to whom `session` names, or to ours still.
    pub(crate) async fn lost_to(&self, session: Option<&str>) {
        let (output, number) = match std::mem::take(&mut *self.holder.lock().unwrap()) {
            Holder::Ours(output, number) => (output, number),
            other => panic!("{other:?} is not ours to lose"),
        };
        let session = session.map_or_else(|| name(number), str::to_owned);
        *self.holder.lock().unwrap() = Holder::Elsewhere(Some(session));
        let error = BmcError::Timeout { address: self.address.clone(), operation: "the console" };
        let _ = output.send(Err(error)).await;
    }

    /// The BMC restarts.
    pub(crate) async fn restart(&self) {
        let before = std::mem::take(&mut *self.holder.lock().unwrap());
        if let Holder::Ours(output, _) = before {
            let error = BmcError::Timeout { address: self.address.clone(), operation: "the console" };
            let _ = output.send(Err(error)).await;
        }
    }

    /// A server that was killed has closed nothing.
    pub(crate) fn left_by_a_killed_server(&self) {
        *self.holder.lock().unwrap() = Holder::Elsewhere(Some(name(*self.opened.borrow())));
    }

    /// The machine prints.
    pub(crate) async fn print(&self, text: &str) {
        let output = match &*self.holder.lock().unwrap() {
            Holder::Ours(output, _) => output.clone(),
            other => panic!("{text:?} is printed while the console is held by {other:?}"),
        };
        output.send(Ok(Bytes::copy_from_slice(text.as_bytes()))).await.unwrap();
    }

    /// True while one of mrp's servers has it.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(&*self.holder.lock().unwrap(), Holder::Ours(output, _) if !output.is_closed())
    }

    /// Waits until it was opened so often, and is open.
    pub(crate) async fn opened(&self, times: u32) {
        let mut opened = self.opened.subscribe();
        let wait = opened.wait_for(|opened| *opened >= times);
        tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect("opened").unwrap();
    }

    pub(crate) fn times_opened(&self) -> u32 {
        *self.opened.borrow()
    }

    fn taken(&self, session: Option<String>) -> BmcError {
        BmcError::ConsoleTaken { address: self.address.clone(), session }
    }
}

fn name(number: u32) -> String {
    format!("session-{number}")
}
