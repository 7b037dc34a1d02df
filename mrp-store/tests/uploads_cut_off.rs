//! Uploads of a process that is killed, and of one that may write no more. This program starts itself as that process,
//! so it has a `main` of its own and no test harness.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use mrp_core::blob::{BlobError, BlobStore};
use mrp_store::FsBlobs;
use tempfile::TempDir;

const FOLDER: &str = "MRP_TEST_UPLOAD_INTO";
const MEGABYTE: usize = 1 << 20;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(folder) = std::env::var_os(FOLDER) {
        return runtime.block_on(upload_for_ever(Path::new(&folder)));
    }
    runtime.block_on(a_killed_upload_is_removed_by_the_next_start());
    println!("test a_killed_upload_is_removed_by_the_next_start ... ok");
    runtime.block_on(an_upload_without_space_is_full_and_leaves_nothing());
    println!("test an_upload_without_space_is_full_and_leaves_nothing ... ok");
}

/// The other process: tells each megabyte that was written, and how it ended.
async fn upload_for_ever(folder: &Path) {
    let blobs = FsBlobs::open(folder).await.unwrap();
    let mut writer = blobs.create().await.unwrap();
    let mut out = std::io::stdout();
    loop {
        match writer.write(Bytes::from(vec![7; MEGABYTE])).await {
            Ok(()) => writeln!(out, "written").unwrap(),
            Err(BlobError::Full) => return writeln!(out, "full").unwrap(),
            Err(error) => return writeln!(out, "{error:?}").unwrap(),
        }
        out.flush().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Starts this program as the other process, by a shell that may set a limit first.
fn start(before: &str, folder: &Path) -> (Child, impl Iterator<Item = String> + use<>) {
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("{before} exec \"$0\"")])
        .arg(this)
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map(Result::unwrap))
}

fn incoming(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder.join("incoming")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

async fn a_killed_upload_is_removed_by_the_next_start() {
    let folder = TempDir::new().unwrap();
    let (mut child, mut lines) = start("", folder.path());
    assert_eq!(lines.next().as_deref(), Some("written"));
    FsBlobs::open(folder.path()).await.unwrap();
    assert_eq!(incoming(folder.path()).len(), 1, "the upload of a living process stays");
    assert_eq!(lines.next().as_deref(), Some("written"), "and goes on");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(incoming(folder.path()).len(), 1, "SIGKILL leaves it behind");
    FsBlobs::open(folder.path()).await.unwrap();
    assert_eq!(incoming(folder.path()), Vec::<PathBuf>::new());
}

/// A limit on the size of files stands for a full disk: it needs neither root nor a file system of its own.
async fn an_upload_without_space_is_full_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let (mut child, lines) = start("trap '' XFSZ; ulimit -f 6000;", folder.path());
    let lines: Vec<String> = lines.collect();
    child.wait().unwrap();
    assert_eq!(lines.last().map(String::as_str), Some("full"), "{lines:?}");
    assert!(lines.len() > 1, "some of it was written");
    assert_eq!(incoming(folder.path()), Vec::<PathBuf>::new());
}
