//! The configurations that are rendered, read by the boot loaders' own parsers.
//!
//! Needs `grub-script-check` (Debian: grub-common); fails where it is missing. PXELINUX and iPXE have no such program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::process::Command;

use mrp_core::boot::{BootPlan, Dialect, Linux, Transport};
use mrp_core::mac::MacAddr;
use mrp_core::render::Renderer;
use mrp_netboot::render::MiniRenderer;

/// Whether GRUB's parser takes a script, and what it says.
fn grub_reads(script: &str) -> Result<(), String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(script.as_bytes()).unwrap();
    let output = Command::new("grub-script-check").arg(file.path()).output();
    let output = output.expect("grub-script-check is installed (Debian: grub-common)");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

fn plans() -> Vec<BootPlan> {
    let bare = Linux {
        machine: "node-01".into(),
        kernel: "alice/vmlinuz.11223344".into(),
        initrd: None,
        mac: None,
        arguments: String::new(),
        http_base: "http://10.0.0.1:8081/boot".into(),
        transport: Transport::Tftp,
    };
    let awkward = [
        "quiet console=ttyS0,115200n8",
        "a;b & c | d > e < f {g} $h ${i} $(j) `k` #l !m *n ?o [p] ~q %r =s",
        "name=\"a b\" \"other=c d\" if then fi while done function } {",
        "url=http://h/p?a=1&b=2;c",
        "-- init=/bin/sh  two  spaces ",
        "ünïcode=é",
    ];
    let mut plans = vec![BootPlan::Linux(bare.clone())];
    for (arguments, machine) in
        awkward.into_iter().zip(["it's", "\"q\"", "$x", "a\nb", "}", "a;reboot"].into_iter().cycle())
    {
        plans.push(BootPlan::Linux(Linux {
            machine: machine.into(),
            kernel: format!("alice/{machine} kernel").replace('\n', ""),
            initrd: Some("bob/it's an \"initrd\" $x;".into()),
            mac: Some(MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56])),
            arguments: arguments.into(),
            ..bare.clone()
        }));
        plans.push(BootPlan::Linux(Linux { transport: Transport::Http, ..bare.clone() }));
        plans.push(BootPlan::Local { reason: format!("{machine} {arguments}") });
    }
    plans
}

#[tokio::test]
async fn grub_reads_every_configuration() {
    assert!(grub_reads("if true; then echo 'a").is_err(), "a script that is wrong is refused");
    let renderer = MiniRenderer::new(None).unwrap();
    for plan in plans() {
        let script = renderer.boot_config(Dialect::Grub, &plan).unwrap();
        assert_eq!(grub_reads(&script), Ok(()), "{plan:?}\n{script}");
    }
}
