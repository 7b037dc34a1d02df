//! `mrp plugin new`: a plugin to start from. It is the example of its language in mrp's sources, under another name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use crate::exit::Usage;
use crate::output::Format;

/// Make a plugin to start from: a driver, a simulated BMC, and what to do next
///
/// Examples:
///   mrp plugin new acme --lang python
///   mrp plugin new acme --lang rust --mrp ~/src/mrp
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct New {
    /// Name of the driver, and of the folder that is made: lower-case letters, digits and -
    name: String,
    /// Language
    #[arg(long, value_enum)]
    lang: Language,
    /// For Rust, where mrp-core comes from: the folder of mrp's sources, or the URL of their git repository
    #[arg(long, value_name = "FOLDER|URL", required_if_eq("lang", "rust"))]
    mrp: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Language {
    Rust,
    Python,
}

/// A file of a skeleton: its name and text, in which the example's names stand.
type File = (&'static str, &'static str);

const PYTHON: &[File] = &[
    ("example-python.py", include_str!("../../../../plugins/example-python/example-python.py")),
    ("simulator.py", include_str!("../../../../plugins/example-python/simulator.py")),
    ("bmc.json", include_str!("../../../../plugins/example-python/bmc.json")),
    ("README.md", include_str!("../../../../plugins/example-python/README.md")),
];

const RUST: &[File] = &[
    ("src/lib.rs", include_str!("../../../../plugins/example-rust/src/lib.rs")),
    ("examples/simulator.rs", include_str!("../../../../plugins/example-rust/examples/simulator.rs")),
    ("bmc.json", include_str!("../../../../plugins/example-rust/bmc.json")),
    ("README.md", include_str!("../../../../plugins/example-rust/README.md")),
];

impl New {
    pub(super) fn run(self, output: Format) -> Result<()> {
        check_name(&self.name)?;
        let mut files = match self.lang {
            Language::Python => skeleton(PYTHON, &self.name),
            Language::Rust => skeleton(RUST, &self.name),
        };
        if let Language::Rust = self.lang {
            files.push(("Cargo.toml".into(), manifest(&self.name, self.mrp.as_deref().unwrap_or_default())?));
            files.push((".gitignore".into(), "/target\n".into()));
        }
        let folder = PathBuf::from(&self.name);
        fs::create_dir(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
        for (name, text) in files {
            write(&folder.join(name), &text)?;
        }
        let made = json!({"folder": folder, "driver": self.name});
        output.done(
            &made,
            format!("{}/ is a plugin; {}/README.md says what to do with it", self.name, self.name),
        )
    }
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fine =
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed) && name.len() <= 64;
    if fine && !name.ends_with('-') && !name.contains("--") {
        return Ok(());
    }
    let words = "a driver's name begins with a letter and has lower-case letters, digits and single -";
    Err(Usage(format!("{words}; {name:?} does not")).into())
}

fn skeleton(files: &[File], name: &str) -> Vec<(String, String)> {
    files.iter().map(|(file, text)| (renamed(file, name), renamed(text, name))).collect()
}

/// The example's text under another name: as a word, as a file or crate, as a type.
fn renamed(text: &str, name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    let camel: String = name.split('-').map(capital).collect();
    let snake = name.replace('-', "_");
    let text = text.replace("ExampleRust", &camel).replace("example_rust", &snake);
    text.replace("example-rust", name).replace("example-python", name)
}

fn manifest(name: &str, mrp: &str) -> Result<String> {
    let source = if mrp.contains("://") || mrp.starts_with("git@") {
        format!("git = {}", toml::Value::from(mrp))
    } else {
        let core = Path::new(mrp).join("mrp-core");
        let core = core.canonicalize().with_context(|| format!("--mrp {mrp}: {}", core.display()))?;
        let core = core.to_str().ok_or_else(|| anyhow!("--mrp {mrp}: the path is no UTF-8"))?;
        format!("path = {}", toml::Value::from(core))
    };
    Ok(format!(
        "[package]
name = \"{name}\"
description = \"A BMC driver for mrp, as a plugin\"
version = \"0.1.0\"
edition = \"2024\"
publish = false

[lib]
crate-type = [\"cdylib\"]

[dependencies]
async-trait = \"0.1\"
mrp-core = {{ {source} }}
serde = {{ version = \"1\", features = [\"derive\"] }}
serde_json = \"1\"
tokio = {{ version = \"1\", default-features = false, features = [\"io-util\", \"net\", \"time\"] }}

# A workspace of its own, wherever the folder lies.
[workspace]
"
    ))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.with_context(|| path.display().to_string())?;
    if text.starts_with("#!") {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(path, mode).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_words_crates_and_types() {
        let text = "example-rust: ExampleRustBmc in libexample_rust.so";
        assert_eq!(renamed(text, "acme-9000"), "acme-9000: Acme9000Bmc in libacme_9000.so");
        for wrong in ["", "Acme", "9000", "a/b", "a b", "a_b", "a--b", "a-", "../a", &"a".repeat(65)] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
        assert!(check_name("acme-9000").is_ok());
    }
}
