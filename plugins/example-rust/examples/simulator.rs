//! The BMC that the plugin is tried on: `cargo run --example simulator [PORT]`. It knows one account, admin with the password
//! admin.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(7700);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("a BMC listens on {}", listener.local_addr()?);
    let mut state =
        HashMap::from([("power".to_owned(), "off".to_owned()), ("boot".to_owned(), "none".to_owned())]);
    loop {
        let (mut client, _) = listener.accept()?;
        let mut line = String::new();
        BufReader::new(&client).read_line(&mut line)?;
        let answer = match line.trim_end().split(' ').collect::<Vec<_>>().as_slice() {
            ["admin", "admin", name, words @ ..] if state.contains_key(*name) => {
                if !words.is_empty() {
                    state.insert((*name).to_owned(), becomes(&words.join(" ")));
                }
                format!("ok {}", state[*name])
            }
            ["admin", "admin", ..] => "error there is no such command".to_owned(),
            _ => "denied wrong user name or password".to_owned(),
        };
        // A client that has gone away does not want the answer.
        let _ = writeln!(client, "{answer}");
    }
}

/// What a power action leads to; a boot device stays what it is.
fn becomes(words: &str) -> String {
    match words {
        "cycle" | "reset" => "on",
        "soft" => "off",
        other => other,
    }
    .to_owned()
}
