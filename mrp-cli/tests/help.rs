//! The help of every command has examples, and every example is understood.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use clap::{Command, CommandFactory};
use mrp_cli::commands::Arguments;

/// Every command that does something, with its whole name.
fn leaves(command: &Command, name: &str, found: &mut Vec<(String, Command)>) {
    let mut inner = command.get_subcommands().filter(|command| command.get_name() != "help").peekable();
    if inner.peek().is_none() {
        found.push((name.to_owned(), command.clone()));
    }
    for command in inner {
        leaves(command, &format!("{name} {}", command.get_name()), found);
    }
}

fn all() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    leaves(&Arguments::command(), "mrp", &mut found);
    found
}

/// The lines of a help text that show the command.
fn examples(name: &str, command: &Command) -> Vec<String> {
    let texts = [command.get_long_about(), command.get_after_help(), command.get_after_long_help()];
    let texts: Vec<String> = texts.into_iter().flatten().map(ToString::to_string).collect();
    let lines = texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("  "));
    lines.filter(|line| line.contains(&format!("{name} ")) || *line == name).map(str::to_owned).collect()
}

/// Splits a command line as a shell does, up to a pipe, a redirection or a remark in brackets.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.split("   ").next().unwrap().chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '|' | '<' | '>') => return words,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_has_an_example_and_every_example_is_understood() {
    let commands = all();
    assert!(commands.len() > 60, "the commands were found: {}", commands.len());
    let hidden = ["mrp render-worker", "mrp plugin host"];
    for (name, command) in commands.iter().filter(|(name, _)| !hidden.contains(&name.as_str())) {
        let examples = examples(name, command);
        assert!(!examples.is_empty(), "{name} --help has no example");
        for example in examples {
            // What stands before it belongs to the shell: `echo … | mrp …`, `VARIABLE=… mrp …`.
            let line = &example[example.find("mrp ").unwrap_or(0)..];
            let parsed = Arguments::command().try_get_matches_from(words(line));
            assert!(
                parsed.is_ok(),
                "{name}: the example {example:?} is not understood: {}",
                parsed.unwrap_err()
            );
        }
    }
}

#[test]
fn every_argument_says_what_it_is() {
    for (name, command) in all() {
        assert!(command.get_about().is_some(), "{name} has no help");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{name}: {} has no help", argument.get_id());
        }
    }
}

#[test]
fn the_command_tree_is_consistent() {
    Arguments::command().debug_assert();
}
