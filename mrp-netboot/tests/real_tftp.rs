//! TFTP with clients that are not ours: tftp-hpa, atftp and curl. A missing one is a failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use async_trait::async_trait;
use bytes::Bytes;
use mrp_netboot::tftp::{
    Body, OpenError, Opened, Outcome, Progress, Request, Source, TftpConfig, TftpHandle, TftpServer,
};

/// One file, which is no multiple of any block size in use, and past 65535 blocks of 512 bytes.
const LENGTH: usize = (33 << 20) + 77;

struct OneFile(Bytes);

#[async_trait]
impl Source for OneFile {
    type Tag = ();

    async fn open(&self, request: &Request) -> Result<Opened<()>, OpenError> {
        match request.path.as_str() {
            "boot/initrd" => Ok(Opened { body: Body::Bytes(self.0.clone()), tag: () }),
            "boot/secret" => Err(OpenError::AccessDenied("not for this machine".into())),
            _ => Err(OpenError::NotFound),
        }
    }

    fn progress(&self, (): &(), _: &Progress) {}

    fn finished(&self, (): &(), _: &Outcome) {}
}

fn start() -> (TftpHandle, Bytes) {
    let content: Bytes = (0..LENGTH).map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect();
    let config = TftpConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..TftpConfig::default() };
    (TftpServer::bind(config).unwrap().start(OneFile(content.clone())).unwrap(), content)
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Output {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    output
        .unwrap_or_else(|error| panic!("{program} does not run ({error}): install tftp-hpa, atftp and curl"))
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_fetch_a_large_file() {
    let (handle, content) = start();
    let port = handle.local_addr().port().to_string();
    let url = format!("tftp://127.0.0.1:{port}/boot/initrd");
    let hpa = ["-m", "binary", "127.0.0.1", &port, "-c", "get", "boot/initrd", "got"];
    let atftp = ["--get", "-r", "boot/initrd", "-l", "got", "127.0.0.1", &port];
    let with = |options: &[&'static str]| -> Vec<&str> { options.iter().copied().chain(atftp).collect() };
    let clients = [
        ("tftp", hpa.to_vec()),
        ("atftp", with(&[])),
        ("atftp", with(&["--option", "blksize 1428", "--option", "windowsize 16", "--option", "tsize 0"])),
        ("atftp", with(&["--option", "blksize 65464", "--option", "timeout 2"])),
        ("atftp", with(&["--option", "windowsize 64"])),
        ("curl", vec!["-sS", "-o", "got", &url]),
        ("curl", vec!["-sS", "--tftp-blksize", "1468", "-o", "got", &url]),
        ("curl", vec!["-sS", "--tftp-no-options", "-o", "got", &url]),
    ];
    for (program, arguments) in &clients {
        let folder = tempfile::tempdir().unwrap();
        let output = run(program, arguments, folder.path());
        let got = std::fs::read(folder.path().join("got")).unwrap_or_default();
        assert!(output.status.success(), "{program} {arguments:?}: {}", shown(&output));
        assert!(got == content, "{program} {arguments:?} got {} other bytes: {}", got.len(), shown(&output));
    }
    let metrics = handle.metrics().to_string();
    let completed = format!("mrp_tftp_transfers_ended_total{{end=\"completed\"}} {}", clients.len());
    assert!(metrics.lines().any(|line| line == completed), "{metrics}");
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_show_why_they_are_refused() {
    let (handle, _) = start();
    let port = handle.local_addr().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "text").unwrap();
    let hpa = |command: [&str; 3]| {
        shown(&run(
            "tftp",
            &[&["-m", "binary", "127.0.0.1", port.as_str(), "-c"], &command[..]].concat(),
            folder.path(),
        ))
    };
    for (command, expected) in [
        (["get", "nothing", "got"], "file not found"),
        (["get", "boot/secret", "got"], "not for this machine"),
        (["put", "mine", "theirs"], "this server is read-only"),
    ] {
        let said = hpa(command);
        assert!(said.contains(expected), "{command:?}: {said}");
    }
    let url = format!("tftp://127.0.0.1:{port}/nothing");
    let output = run("curl", &["-sS", "-o", "got", &url], folder.path());
    assert_eq!(output.status.code(), Some(68), "curl's code for a missing file: {}", shown(&output));
    handle.stop().await;
}
