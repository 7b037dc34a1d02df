//! Terminal sessions in documents: their commands are run again, and what they print is compared.

/// The text with the outputs of its commands as they are here.
pub(crate) fn replayed(text: &str, mut run: impl FnMut(&str) -> String) -> String {
    let mut lines = Vec::new();
    let mut in_session = false;
    let mut source = text.lines().peekable();
    while let Some(line) = source.next() {
        match (in_session, line) {
            (false, "```console") => {
                in_session = true;
                lines.push(line.to_owned());
                // What stands before the first command is output of nothing.
                while source.next_if(|line| !line.starts_with("$ ") && *line != "```").is_some() {}
            }
            (true, "```") => {
                in_session = false;
                lines.push(line.to_owned());
            }
            (true, line) => {
                let mut command = line.strip_prefix("$ ").unwrap_or(line).to_owned();
                lines.push(line.to_owned());
                while command.ends_with('\\') {
                    let more = source.next().unwrap();
                    lines.push(more.to_owned());
                    command = format!("{command}\n{more}");
                }
                let output = run(&command);
                lines.extend(output.lines().map(str::to_owned));
                while source.next_if(|line| !line.starts_with("$ ") && *line != "```").is_some() {}
            }
            (false, line) => lines.push(line.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

/// Times, durations, rates and what is drawn by lot, as they are in the text.
pub(crate) fn normal(shown: &str) -> String {
    let lines = shown.lines().map(|line| {
        let (mut words, mut rest) = (String::new(), line);
        while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
            let (blank, from) = rest.split_at(start);
            let (word, after) = from.split_at(from.find(char::is_whitespace).unwrap_or(from.len()));
            match normal_word(word, after) {
                // The first column of a run is as wide as it was.
                Some(normal) if words.is_empty() => {
                    words = format!("{normal:>width$}", width = (blank.len() + word.len()))
                }
                normal => words.extend([blank, normal.as_deref().unwrap_or(word)]),
            }
            rest = after;
        }
        // The run may be over before what the BMC says after the command is looked at, and the machine's first packet may
        // be there before the BMC's answer to the command.
        if let Some(stage) = words.strip_suffix("  power on") {
            return format!("{stage}  the BMC took the power command");
        }
        if words.ends_with(" s  power") {
            return format!("{words}          the BMC took the power command");
        }
        match words.split_once("windowsize 16, ") {
            Some((before, _)) => format!("{before}windowsize 16, no block sent again"),
            None => words,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn normal_word(word: &str, after: &str) -> Option<String> {
    let (bare, comma) = word.strip_suffix(',').map_or((word, ""), |bare| (bare, ","));
    let has_digits_as = |like: &str| {
        bare.len() == like.len()
            && bare.chars().zip(like.chars()).all(|(c, l)| c == l || c.is_ascii_digit() && l.is_ascii_digit())
    };
    for like in ["2026-01-01", "12:00:00Z", "2026-01-01T12:00:00.000Z"] {
        if has_digits_as(like) {
            return Some(format!("{like}{comma}"));
        }
    }
    let is_number = word.chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_number && after.starts_with(" s ") {
        return Some("0.1".into());
    }
    if is_number && [" B/s", " kB/s", " MB/s", " GB/s"].iter().any(|unit| after.starts_with(unit)) {
        return Some("100".into());
    }
    // Names of images end in eight hexadecimal digits that are drawn by lot.
    match bare.rsplit_once('.') {
        Some((name, lot))
            if name.contains('/') && lot.len() == 8 && lot.chars().all(|c| c.is_ascii_hexdigit()) =>
        {
            Some(format!("{name}.1a2b3c4d{comma}"))
        }
        _ => None,
    }
}
