//! `mrp completions`.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::commands::Arguments;
use crate::output::{Format, line};

/// Print what completes mrp's commands and options in a shell
///
/// Examples:
///   mrp completions bash > ~/.local/share/bash-completion/completions/mrp
///   mrp completions zsh > ~/.zfunc/_mrp            (with fpath+=~/.zfunc before compinit in ~/.zshrc)
///   mrp completions fish > ~/.config/fish/completions/mrp.fish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, output: Format) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "mrp", &mut script);
        let script = String::from_utf8(script)?;
        match output {
            Format::Json => output.done(&serde_json::json!({"script": script}), ""),
            Format::Table => line(script.trim_end()),
        }
    }
}
