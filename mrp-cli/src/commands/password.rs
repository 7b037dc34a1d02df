//! Where passwords and yeses come from: a prompt without echo, or standard input. Never an argument, which other users
//! could see. Ctrl-C at a prompt leaves the terminal as it was.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdin};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use mrp_core::secret::Secret;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::task::spawn_blocking;

use crate::exit::{Exit, Usage};
use crate::output::clean;

/// Where a BMC's password comes from; a prompt if neither is named.
#[derive(Debug, clap::Args)]
pub struct Source {
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    password_file: Option<PathBuf>,
}

impl Source {
    /// Whether a source was named.
    pub fn is_given(&self) -> bool {
        self.password_stdin || self.password_file.is_some()
    }

    /// Reads the password, or asks.
    pub async fn read(&self, prompt: &str) -> Result<Secret> {
        let Some(file) = &self.password_file else { return read(self.password_stdin, prompt).await };
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let secret = Secret::new(text.lines().next().unwrap_or_default());
        if secret.expose().is_empty() {
            bail!(Usage(format!("{} holds no password", file.display())));
        }
        Ok(secret)
    }
}

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
        bail!(Usage("there is no terminal to ask for the password at; give it with --password-stdin".into()));
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
