//! Where passwords come from: a prompt without echo, or standard input. Never an argument, which other users could see.

use std::io::{IsTerminal, stdin};

use anyhow::{Context, Result, bail};
use mrp_core::secret::Secret;

use crate::exit::Usage;

/// Reads the first line of standard input, or asks.
pub fn read(from_stdin: bool, prompt: &str) -> Result<Secret> {
    if from_stdin {
        let mut line = String::new();
        stdin().read_line(&mut line).context("reading the password from standard input")?;
        let secret = Secret::new(line.trim_end_matches(['\r', '\n']));
        if secret.expose().is_empty() {
            bail!(Usage("standard input holds no password".into()));
        }
        return Ok(secret);
    }
    if !stdin().is_terminal() {
        bail!(Usage("there is no terminal to ask for the password; give it with --password-stdin".into()));
    }
    Ok(Secret::new(rpassword::prompt_password(prompt).context("asking for the password")?))
}

/// Asks twice for a password that is new.
pub fn read_new(from_stdin: bool, prompt: &str) -> Result<Secret> {
    let first = read(from_stdin, prompt)?;
    if !from_stdin && read(false, "Once more: ")? != first {
        bail!("the two passwords differ");
    }
    Ok(first)
}
