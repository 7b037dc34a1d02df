//! `plugins/mrp_plugin.h` and [`mrp_core::plugin::abi`] have the same layout and the same numbers: a C program says how its
//! compiler lays the tables out.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

use std::fmt::Write;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use mrp_core::plugin::abi::{ENTRY, MrpBytes, MrpDriverV1, MrpHostV1};
use mrp_core::plugin::{ErrorKind, VERSION};

/// A C expression and what it is in Rust.
macro_rules! layout {
    ($($type:ident { $($field:ident),* })*) => {
        vec![$(
            (concat!("sizeof(", stringify!($type), ")").to_owned(), size_of::<$type>()),
            $((concat!("offsetof(", stringify!($type), ", ", stringify!($field), ")").to_owned(), offset_of!($type, $field)),)*
        )*]
    };
}

#[test]
fn the_header_and_rust_agree() {
    let mut expected = layout! {
        MrpBytes { ptr, len }
        MrpHostV1 { size, version, host, done, console, console_end, log }
        MrpDriverV1 { size, version, driver, describe, call, cancel, console_write, console_break }
    };
    expected.push(("MRP_PLUGIN_VERSION".into(), VERSION as usize));
    expected.push(("MRP_OK".into(), 0));
    for kind in ErrorKind::ALL {
        let name = format!("MRP_{}", serde_json::to_value(kind).unwrap().as_str().unwrap().to_uppercase());
        expected.push((name, usize::try_from(kind as i32).unwrap()));
    }
    let mut source = String::from("#include <stdio.h>\n#include \"mrp_plugin.h\"\n");
    writeln!(source, "const MrpDriverV1 *{ENTRY}(const MrpHostV1 *host) {{ (void)host; return 0; }}")
        .unwrap();
    source.push_str("int main(void) {\n");
    for (expression, _) in &expected {
        writeln!(source, "    printf(\"%zu\\n\", (size_t)({expression}));").unwrap();
    }
    source.push_str("    return 0;\n}\n");
    let folder = tempfile::tempdir().unwrap();
    let (file, program) = (folder.path().join("layout.c"), folder.path().join("layout"));
    std::fs::write(&file, source).unwrap();
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut cc = Command::new("cc");
    let cc = cc
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(plugins)
        .arg(&file)
        .arg("-o")
        .arg(&program);
    assert!(cc.status().unwrap().success());
    let printed = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
    let found: Vec<usize> = printed.lines().map(|line| line.parse().unwrap()).collect();
    for ((expression, rust), c) in expected.iter().zip(&found) {
        assert_eq!(rust, c, "{expression}");
    }
    assert_eq!(expected.len(), found.len());
}
