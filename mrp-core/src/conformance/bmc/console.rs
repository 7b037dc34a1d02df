//! The serial console. The node's serial port has to send back what is typed, as a login prompt or a shell does.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::{Failure, ensure};
use super::{POLL, patience, reach};
use crate::bmc::{Bmc, BmcError, Console, ConsoleInput, Node, Power, PowerAction};

/// How long an echo may take, after which the word is typed again, and a console that is being closed.
const MOMENT: Duration = Duration::from_secs(5);

pub(super) async fn echoes(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    let mut console = opened(bmc, node).await?;
    for word in ["mrp-conformance-1", "mrp-conformance-2"] {
        echo(&mut console, word).await?;
    }
    Ok(())
}

pub(super) async fn takes_breaks(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    let mut console = opened(bmc, node).await?;
    type_in(&console, ConsoleInput::Break).await?;
    echo(&mut console, "mrp-after-break").await
}

pub(super) async fn second_is_refused(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    let mut first = opened(bmc, node).await?;
    match bmc.open_console(node).await {
        Err(BmcError::ConsoleTaken { .. }) => {}
        Err(error) => return Err(Failure(format!("a second console is refused with: {error}"))),
        Ok(_) => return Err(Failure("a second console opens beside the first".into())),
    }
    echo(&mut first, "mrp-still-first").await
}

pub(super) async fn reset_frees(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    let mut first = opened(bmc, node).await?;
    bmc.reset_console(node).await?;
    let mut second = opened(bmc, node).await?;
    let Some(error) = end(&mut first).await? else {
        return Err(Failure("a console that was taken away ends without a reason".into()));
    };
    ensure(!error.to_string().is_empty(), || "the reason of a console's end is empty".into())?;
    echo(&mut second, "mrp-second-holder").await
}

pub(super) async fn reset_when_closed(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    drop(opened(bmc, node).await?);
    bmc.reset_console(node).await?;
    bmc.reset_console(node).await?;
    Ok(())
}

pub(super) async fn drop_closes(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    for number in 0..3 {
        let mut console = opened(bmc, node).await?;
        echo(&mut console, &format!("mrp-round-{number}")).await?;
    }
    Ok(())
}

pub(super) async fn close_ends(bmc: &dyn Bmc, node: &Node) -> Result<(), Failure> {
    let mut console = opened(bmc, node).await?;
    bmc.close().await;
    if let Some(error) = end(&mut console).await? {
        return Err(Failure(format!("a console that was closed here ends with: {error}")));
    }
    echo(&mut opened(bmc, node).await?, "mrp-after-close").await
}

/// A console of a node that is on. One that was dropped a moment ago may still be closing.
async fn opened(bmc: &dyn Bmc, node: &Node) -> Result<Console, Failure> {
    reach(bmc, node, PowerAction::On, Power::On).await?;
    let deadline = Instant::now() + MOMENT;
    loop {
        match bmc.open_console(node).await {
            Err(BmcError::ConsoleTaken { .. } | BmcError::Busy { .. }) if Instant::now() < deadline => {
                sleep(POLL).await;
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// Types a word until it comes back.
async fn echo(console: &mut Console, word: &str) -> Result<(), Failure> {
    let (end, mut seen) = (Instant::now() + patience(), Vec::new());
    while Instant::now() < end {
        type_in(console, ConsoleInput::Bytes(Bytes::from(format!("{word}\r")))).await?;
        let again = Instant::now() + MOMENT;
        while let Ok(received) = timeout_at(again, console.output.recv()).await {
            let Some(characters) = received else {
                return Err(Failure("the console ends while something is typed".into()));
            };
            seen.extend_from_slice(&characters?);
            if seen.windows(word.len()).any(|window| window == word.as_bytes()) {
                return Ok(());
            }
        }
    }
    let seen = String::from_utf8_lossy(&seen).into_owned();
    Err(Failure(format!("{word:?} was typed and does not come back; the console shows {seen:?}")))
}

async fn type_in(console: &Console, input: ConsoleInput) -> Result<(), Failure> {
    let gone = |_| Failure("the console takes no input".into());
    console.input.send(input).await.map_err(gone)
}

/// Reads to the end of a console; the reason, if there is one.
async fn end(console: &mut Console) -> Result<Option<BmcError>, Failure> {
    let deadline = Instant::now() + patience();
    let mut reason = None;
    loop {
        let late = |_| Failure(format!("the console does not end within {} s", patience().as_secs()));
        match timeout_at(deadline, console.output.recv()).await.map_err(late)? {
            None => return Ok(reason),
            Some(received) => reason = received.err(),
        }
    }
}
