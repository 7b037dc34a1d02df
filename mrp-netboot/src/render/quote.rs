//! Puts values into the languages of boot loaders, so that a user's kernel options are arguments and never commands.
//!
//! What each loader does to a kernel command line:
//!
//! - **GRUB**: the script language leaves single-quoted text alone. The `linux` command then joins its words by single spaces
//!   (`grub_create_loader_cmdline` in `grub-core/lib/cmdline.c`): a word with a space in it gets double quotes around
//!   it, and each `"`, `'` and `\` gets a backslash in front, which the kernel does not take away again. (Some builds pass
//!   `\xHH` as it is, Debian's 2.06 does not.) So a command line is split at its spaces, each word is single-quoted, and an
//!   argument with double quotes, `name="a b"`, becomes the word `name=a b`, which arrives as `"name=a b"`: the kernel
//!   reads both as the same. What would arrive changed in meaning is refused.
//! - **PXELINUX** passes the rest of the `APPEND` line as it is.
//! - **iPXE** splits at white space, ends a command at a word that is `;`, `&&` or `||` or begins with `#`, and only then
//!   expands `${setting}`, again and again. So those words and repeated spaces are written as settings, and `${…}` is
//!   refused.

use mrp_core::boot::{Linux, Transport};
use mrp_core::render::RenderError;

/// The name of a control character in a text, if there is one.
pub(super) fn control_character(text: &str) -> Option<String> {
    let found = text.chars().find(|c| c.is_control())?;
    Some(match found {
        '\n' => "a newline".to_owned(),
        '\r' => "a carriage return".to_owned(),
        '\t' => "a tab".to_owned(),
        '\0' => "a NUL character".to_owned(),
        c => format!("the control character U+{:04X}", u32::from(c)),
    })
}

fn refuse(message: String) -> RenderError {
    RenderError { message, line: None }
}

/// Refuses what no boot loader can take in one line.
fn one_line<'a>(what: &str, text: &'a str) -> Result<&'a str, RenderError> {
    match control_character(text) {
        Some(name) => {
            Err(refuse(format!("{what} {text:?} contain {name}, which no boot loader can pass on")))
        }
        None => Ok(text),
    }
}

/// Text for the console: one line without anything that moves the cursor.
fn console(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn grub_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A message as an argument of GRUB's `echo`.
pub(super) fn grub_text(text: &str) -> String {
    grub_quoted(&console(text))
}

/// One word of GRUB's script language.
pub(super) fn grub_word(text: &str) -> Result<String, RenderError> {
    let text = one_line("the file name", text)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./,:=@%+()".contains(c);
    Ok(if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { grub_quoted(text) })
}

/// A file as GRUB names it: `(http,10.0.0.1:8081)/boot/linux` where GRUB itself came by HTTP, `(tftp)/linux` where not.
///
/// Without a server's name in it, `(tftp)` is the server that DHCP named, wherever GRUB itself came from. GRUB's HTTP has
/// no TLS and takes no IPv6 address with a port: it is left for TFTP there.
pub(super) fn grub_file(linux: &Linux, path: &str) -> Result<String, RenderError> {
    let url = url(&linux.http_base, path)?;
    let by_http = url.strip_prefix("http://").and_then(|rest| rest.split_once('/'));
    let by_http = by_http.filter(|(server, _)| !server.is_empty() && !server.contains(['[', '@', ',', ')']));
    match (linux.transport, by_http) {
        (Transport::Http, Some((server, path))) => grub_word(&format!("(http,{server})/{path}")),
        _ => grub_word(&format!("(tftp)/{}", path.trim_start_matches('/'))),
    }
}

/// A kernel command line as arguments of GRUB's `linux`.
pub(super) fn grub_arguments(text: &str) -> Result<String, RenderError> {
    let text = one_line("the kernel options", text)?;
    let words: Result<Vec<_>, _> = kernel_arguments(text).map(grub_argument).collect();
    Ok(words?.join(" "))
}

/// Splits as the kernel does: at spaces outside of double quotes.
fn kernel_arguments(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    })
}

fn grub_argument(argument: &str) -> Result<String, RenderError> {
    let unquoted = unquoted(argument);
    let word = unquoted.as_deref().unwrap_or(argument);
    for (c, change) in
        [('"', "puts a backslash before it"), ('\'', "puts a backslash before it"), ('\\', "doubles it")]
    {
        if word.contains(c) {
            return Err(refuse(format!(
                "GRUB cannot pass the kernel option {argument:?} unchanged: it contains {c}, and GRUB {change}; \
                 leave it out, write double quotes only around a whole value as in name=\"a b\", or boot this machine by PXELINUX"
            )));
        }
    }
    Ok(grub_quoted(word))
}

/// `name="value"` and `"name=value"` without the quotes; `None` for every other argument.
fn unquoted(argument: &str) -> Option<String> {
    let body = argument.strip_suffix('"')?;
    let (name, value) = match body.strip_prefix('"') {
        Some(value) => ("", value),
        None => body.split_once("=\"")?,
    };
    let whole = if body.starts_with('"') { value.to_owned() } else { format!("{name}={value}") };
    (!whole.contains('"') && !whole.is_empty()).then_some(whole)
}

/// A message after PXELINUX's `SAY`.
pub(super) fn pxelinux_text(text: &str) -> String {
    console(text)
}

/// A path for PXELINUX: from the server's root, not below the folder of the boot loader.
pub(super) fn pxelinux_path(path: &str) -> Result<String, RenderError> {
    let path = one_line("the file name", path)?;
    if let Some(c) = path.chars().find(|c| " ,".contains(*c)) {
        return Err(refuse(format!(
            "PXELINUX cannot load {path:?}: its name contains {c:?}; upload it under another name"
        )));
    }
    Ok(format!("/{}", path.trim_start_matches('/')))
}

/// A kernel command line after PXELINUX's `APPEND`.
pub(super) fn pxelinux_arguments(text: &str) -> Result<String, RenderError> {
    one_line("the kernel options", text).map(str::to_owned)
}

/// A message after iPXE's `echo`.
pub(super) fn ipxe_text(text: &str) -> String {
    let text = console(text).replace("${", "$ {");
    ipxe_words(&text)
}

/// A kernel command line after iPXE's `kernel`.
pub(super) fn ipxe_arguments(text: &str) -> Result<String, RenderError> {
    let text = one_line("the kernel options", text)?;
    if let Some(word) = text.split(' ').find(|word| word.contains("${")) {
        return Err(refuse(format!(
            "iPXE cannot pass the kernel option {word:?} unchanged: it replaces ${{…}} by a setting; \
             leave it out, or boot this machine by GRUB or PXELINUX"
        )));
    }
    Ok(ipxe_words(text))
}

fn ipxe_words(text: &str) -> String {
    const SPACE: &str = "${mrp-space:string}";
    let (mut words, mut spaces) = (Vec::new(), 0);
    for word in text.split(' ') {
        if word.is_empty() {
            spaces += 1;
            continue;
        }
        // A space more than the one that iPXE puts between words belongs to the word that follows it.
        let word = match (word, word.strip_prefix('#')) {
            (";", _) => "${mrp-semicolon:string}".to_owned(),
            ("&&", _) => "${mrp-and:string}".to_owned(),
            ("||", _) => "${mrp-or:string}".to_owned(),
            (_, Some(rest)) => format!("${{mrp-hash:string}}{rest}"),
            (word, None) => word.to_owned(),
        };
        words.push(format!("{}{word}", SPACE.repeat(std::mem::take(&mut spaces))));
    }
    words.join(" ")
}

/// A file below a base URL; everything that could mean something to a loader is percent-encoded.
pub(super) fn url(base: &str, path: &str) -> Result<String, RenderError> {
    let path = one_line("the file name", path)?;
    let mut url = format!("{}/", base.trim_end_matches('/'));
    for byte in path.trim_start_matches('/').bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                url.push(char::from(byte))
            }
            byte => url.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
