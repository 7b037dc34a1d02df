//! Where passwords and yeses come from: a prompt without echo, or standard input. Never an argument, which other users
//! could see. Ctrl-C at a prompt leaves the terminal as it was.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdin};

use anyhow::{Context, Result, bail};
use mrp_core::secret::Secret;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::task::spawn_blocking;

use crate::exit::{Exit, Usage};
use crate::output::clean;

/// Reads the first line of standard input, or asks.
pub async fn read(from_stdin: bool, prompt: &str) -> Result<Secret> {
    if from_stdin {
        let line = spawn_blocking(|| {
            let mut line = String::new();
            stdin().read_line(&mut line).map(|_| Secret::new(line))
        });
        let line = line.await?.context("reading the password from standard input")?;
        let secret = Secret::new(line.expose().trim_end_matches(['\r', '\n']));
        if secret.expose().is_empty() {
            bail!(Usage("standard input holds no password".into()));
        }
        return Ok(secret);
    }
    if !stdin().is_terminal() {
        bail!(Usage("there is no terminal to ask for the password; give it with --password-stdin".into()));
    }
    let prompt = clean(prompt, ' ') + " ";
    ask(move || rpassword::prompt_password(prompt).map(Secret::new)).await
}

/// Asks twice for a password that is new.
pub async fn read_new(from_stdin: bool, prompt: &str) -> Result<Secret> {
    let first = read(from_stdin, prompt).await?;
    if !from_stdin && read(false, "Once more:").await? != first {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(first)
}

/// Asks a question; whoever has no terminal says no.
pub async fn confirm(question: &str) -> Result<bool> {
    if !stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("{} [y/N] ", clean(question, '\n'));
    stderr().flush()?;
    let answer = ask(|| {
        let mut answer = String::new();
        stdin().read_line(&mut answer).map(|_| answer)
    });
    Ok(answer.await?.trim().eq_ignore_ascii_case("y"))
}

async fn ask<T: Send + 'static>(read: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T> {
    let terminal = Terminal::open();
    tokio::select! {
        answer = spawn_blocking(read) => match answer? {
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(Exit::INTERRUPTED.into()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => bail!("nothing was entered"),
            answer => answer.context("asking at the terminal"),
        },
        _ = tokio::signal::ctrl_c() => {
            terminal.restore();
            eprintln!();
            Err(Exit::INTERRUPTED.into())
        }
    }
}

/// The terminal as it was before a prompt switched its echo off.
struct Terminal(Option<(File, Termios)>);

impl Terminal {
    fn open() -> Self {
        let file = File::options().read(true).write(true).open("/dev/tty").ok();
        Self(file.and_then(|file| tcgetattr(&file).ok().map(|was| (file, was))))
    }

    fn restore(&self) {
        if let Some((file, was)) = &self.0 {
            let _ = tcsetattr(file, OptionalActions::Now, was);
        }
    }
}
