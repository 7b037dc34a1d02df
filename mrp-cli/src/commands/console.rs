//! `mrp console`.

use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::time::Duration;

use anyhow::{Context, Result};
use mrp_core::api::ConsoleNotice;
use reqwest::Method;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::client::ClientError;
use crate::commands::Session;
use crate::commands::machine::not_held;
use crate::commands::time::{Time, past};
use crate::console::{Connection, HELP, Key, Keys, Printed, RawTerminal, Said, typed};
use crate::exit::{Exit, Usage};
use crate::output::{Format, clean};
use crate::resolve;

/// What Ctrl-C types.
const CTRL_C: u8 = 3;
/// How long after the connection was lost another one is tried.
const PAUSE: Duration = Duration::from_secs(1);

/// Type at a machine's serial console, watch it, or read what it showed
///
/// After Enter, ~. leaves and ~? shows what else there is. One has the keyboard and the others watch; ~t takes it, which all
/// see. Ctrl-C goes to the machine.
///
/// Examples:
///   mrp console node-01
///   mrp console node-01 --watch
///   mrp console node-01 --log --since 2h
///   mrp console node-01 --log --run 7 --text panic
///   mrp console node-01 --take               (another session has it)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Console {
    /// Name or id
    machine: String,
    /// Watch, and never type; Ctrl-C ends it
    #[arg(long, conflicts_with = "log")]
    watch: bool,
    /// Print what the console showed, and end; with -o json an object a line
    #[arg(long)]
    log: bool,
    /// Take the console from a session outside of mrp first
    #[arg(long, conflicts_with = "log")]
    take: bool,
    /// What came then or later: 2026-01-31, 2026-01-31T12:00:00Z or 2h
    #[arg(long, value_name = "TIME", value_parser = past, requires = "log")]
    since: Option<Time>,
    /// What came before
    #[arg(long, value_name = "TIME", value_parser = past, requires = "log")]
    until: Option<Time>,
    /// What came during this run
    #[arg(long, value_name = "ID", requires = "log")]
    run: Option<i64>,
    /// Lines that have this text, whatever its case
    #[arg(long, requires = "log")]
    text: Option<String>,
}

impl Console {
    pub(super) async fn run(self, session: &Session) -> Result<()> {
        let machine = resolve::machine(&session.client, &self.machine).await?;
        let outcome = if self.log {
            self.print_log(session, machine.id).await
        } else {
            self.attach(session, machine.id).await
        };
        outcome.map_err(|error| match error.downcast::<ClientError>() {
            Ok(refusal) => not_held(refusal, &machine.name),
            Err(error) => error,
        })
    }

    async fn print_log(self, session: &Session, machine: i64) -> Result<()> {
        let time = |time: Option<Time>| time.map(|time| time.to_string());
        let format = if session.output == Format::Json { "ndjson" } else { "text" };
        let parameters = [
            ("since", time(self.since)),
            ("until", time(self.until)),
            ("run", self.run.map(|run| run.to_string())),
            ("text", self.text),
            ("format", Some(format.to_owned())),
        ];
        let parameters: Vec<_> =
            parameters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let request = session.client.request(Method::GET, &format!("/machine/{machine}/console/log"));
        let mut response = session.client.send(request.query(&parameters)).await?;
        while let Some(chunk) = response.chunk().await.map_err(|error| session.client.failed(&error))? {
            print(&chunk)?;
        }
        Ok(())
    }

    async fn attach(self, session: &Session, machine: i64) -> Result<()> {
        if !self.watch && !io::stdin().is_terminal() {
            let words =
                "typing at a console needs a terminal; --watch only watches, --log prints what it showed";
            return Err(Usage(words.into()).into());
        }
        if self.take {
            session.client.delete(&format!("/machine/{machine}/console")).await?;
        }
        let connection = Connection::open(&session.client, machine, self.watch).await?;
        let terminal = if self.watch { None } else { Some(RawTerminal::enter().context("the terminal")?) };
        let screen = Screen { raw: terminal.is_some(), may_type: false, printed: Printed::default() };
        let outcome = carry(session, machine, connection, screen).await;
        drop(terminal);
        outcome
    }
}

/// Carries a console until the user leaves or it is cut; one whose connection is lost is opened again.
async fn carry(
    session: &Session,
    machine: i64,
    mut connection: Connection,
    mut screen: Screen,
) -> Result<()> {
    let mut keyboard = if screen.raw { Some(typed()) } else { None };
    let (mut keys, mut replay) = (Keys::default(), Some(Vec::new()));
    let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    loop {
        let alive = tokio::select! {
            said = connection.next() => match said {
                None => false,
                Some(Said::Output(bytes)) => {
                    match &mut replay {
                        Some(replay) => replay.extend_from_slice(&bytes),
                        None => screen.output(&bytes)?,
                    }
                    true
                }
                Some(Said::Notice(ConsoleNotice::ReplayEnd)) => {
                    screen.replay(&replay.take().unwrap_or_default())?;
                    true
                }
                // It goes on at another server, or at this one when it has started again.
                Some(Said::Notice(ConsoleNotice::Cut { reason, again: true })) => {
                    screen.say(&reason);
                    false
                }
                Some(Said::Notice(ConsoleNotice::Cut { reason, again: false })) => {
                    screen.say(&format!("the console was cut: {reason}"));
                    return Err(Exit::FAILED.into());
                }
                // What happened before is in the log.
                Some(Said::Notice(ConsoleNotice::Mark { .. })) if replay.is_some() => true,
                Some(Said::Notice(notice)) => {
                    screen.notice(notice);
                    true
                }
            },
            pressed = next_key(&mut keyboard) => match pressed {
                None => return leave(connection).await,
                Some(bytes) => {
                    let mut alive = true;
                    for key in keys.push(&bytes) {
                        alive &= match key {
                            Key::Leave => return leave(connection).await,
                            Key::Help => {
                                screen.say(HELP);
                                true
                            }
                            Key::Ask(request) => connection.ask(&request).await,
                            Key::Typed(bytes) => connection.send(bytes).await,
                            // Whoever has the keyboard has a terminal that answers.
                            Key::Answer(_) if !screen.may_type => true,
                            Key::Answer(bytes) => connection.send(bytes).await,
                        };
                    }
                    alive
                }
            },
            _ = tokio::signal::ctrl_c(), if !screen.raw => return leave(connection).await,
            _ = terminate.recv() => return Err(Exit::FAILED.into()),
            _ = hang_up.recv() => return Err(Exit::FAILED.into()),
        };
        if !alive {
            // Half a line that was typed is nobody's any more.
            keys = Keys::default();
            screen.say("the connection to the server is lost; trying again (~. or Ctrl-C leaves)");
            let again = tokio::select! {
                again = reconnect(session, machine, !screen.raw) => again?,
                () = until_leave(&mut keyboard, &mut keys) => return Ok(()),
                _ = tokio::signal::ctrl_c(), if !screen.raw => return Ok(()),
                _ = terminate.recv() => return Err(Exit::FAILED.into()),
                _ = hang_up.recv() => return Err(Exit::FAILED.into()),
            };
            (connection, replay) = (again, Some(Vec::new()));
        }
    }
}

async fn leave(mut connection: Connection) -> Result<()> {
    connection.close().await;
    Ok(())
}

async fn reconnect(session: &Session, machine: i64, watch: bool) -> Result<Connection, ClientError> {
    loop {
        sleep(PAUSE).await;
        match Connection::open(&session.client, machine, watch).await {
            // Down, or about to end, or another server takes the BMC over.
            Err(ClientError::Unreachable { .. }) => {}
            Err(error) if matches!(error.status(), Some(409 | 502..=504)) => {}
            outcome => return outcome,
        }
    }
}

async fn next_key(keyboard: &mut Option<tokio::sync::mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match keyboard {
        Some(keyboard) => keyboard.recv().await,
        None => std::future::pending().await,
    }
}

async fn until_leave(keyboard: &mut Option<tokio::sync::mpsc::Receiver<Vec<u8>>>, keys: &mut Keys) {
    while let Some(bytes) = next_key(keyboard).await {
        // There is no machine that Ctrl-C could be for.
        if bytes.contains(&CTRL_C) || keys.push(&bytes).contains(&Key::Leave) {
            return;
        }
    }
}

/// Where the console is shown.
struct Screen {
    /// Lines need their carriage return.
    raw: bool,
    /// Nobody else has the keyboard.
    may_type: bool,
    printed: Printed,
}

impl Screen {
    fn output(&mut self, bytes: &[u8]) -> Result<()> {
        self.printed.note(bytes);
        print(bytes)
    }

    fn replay(&mut self, replay: &[u8]) -> Result<()> {
        let rest = self.printed.rest(replay).to_vec();
        self.output(&rest)
    }

    fn notice(&mut self, notice: ConsoleNotice) {
        if let ConsoleNotice::Keyboard { holder, yours } = &notice {
            self.may_type = *yours || holder.is_none();
        }
        match notice {
            ConsoleNotice::Keyboard { yours: true, .. } if self.raw => {
                self.say("you have the keyboard; Enter ~. leaves, Enter ~? helps");
            }
            ConsoleNotice::Keyboard { holder: Some(holder), .. } if self.raw => {
                self.say(&format!("{holder} has the keyboard; Enter ~t takes it"));
            }
            ConsoleNotice::Keyboard { .. } | ConsoleNotice::ReplayEnd | ConsoleNotice::Cut { .. } => {}
            ConsoleNotice::Link { connected: true, .. } => {}
            ConsoleNotice::Link { taken: true, text, .. } if self.raw => {
                self.say(&format!("{text}; Enter ~T takes it"));
            }
            ConsoleNotice::Link { text, .. } if text.is_empty() => self.say("connecting to the BMC"),
            ConsoleNotice::Link { text, .. } => self.say(&text),
            ConsoleNotice::Mark { text, .. } => self.say(&text),
            ConsoleNotice::Lost { bytes } => {
                self.say(&format!(
                    "{bytes} bytes came faster than they were read; mrp console --log has them"
                ));
            }
            ConsoleNotice::Refused { reason } => self.say(&reason),
        }
    }

    /// Says something beside the console.
    fn say(&self, words: &str) {
        let (before, end) = if self.raw { ("\r\n", "\r\n") } else { ("", "\n") };
        let words = clean(words, '\n').replace('\n', end);
        let _ = write!(stderr(), "{before}[mrp: {words}]{end}");
    }
}

/// Prints what the machine printed, as it is.
fn print(bytes: &[u8]) -> Result<()> {
    let mut out = stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Exit::READER_GONE.into()),
        outcome => Ok(outcome?),
    }
}
