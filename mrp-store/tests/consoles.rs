//! The record of consoles on disk.

#![allow(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use mrp_core::console::{ConsoleRecord, Frame, FrameContent, RecordPlace};
use mrp_core::id::Timestamp;
use mrp_core::machine::MachineId;
use mrp_store::{ConsoleLimits, FsConsoles};
use tempfile::TempDir;

const MACHINE: MachineId = MachineId::new(7);
/// The smallest segments.
const SMALL: ConsoleLimits = ConsoleLimits { bytes: 512 << 10, age: Some(Duration::from_secs(60)) };

fn output(at: i64, text: impl Into<Bytes>) -> Frame {
    Frame { at: Timestamp(at), content: FrameContent::Output(text.into()) }
}

fn mark(at: i64, text: &str) -> Frame {
    Frame { at: Timestamp(at), content: FrameContent::Mark(text.into()) }
}

fn open(folder: &Path) -> FsConsoles {
    FsConsoles::open(folder, SMALL).unwrap()
}

/// Everything from a time's place on.
async fn all(record: &FsConsoles, since: i64) -> Vec<Frame> {
    let (mut place, mut frames) = (Some(RecordPlace::at(Timestamp(since))), Vec::new());
    while let Some(from) = place {
        let page = record.read(MACHINE, from).await.unwrap();
        frames.extend(page.frames);
        place = page.next;
    }
    frames
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("7")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn size(folder: &Path) -> u64 {
    segments(folder).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[tokio::test]
async fn what_was_appended_is_read_in_its_order_also_by_the_next_process() {
    let folder = TempDir::new().unwrap();
    let frames = [output(10, "one\r\n"), mark(20, "lost"), output(20, &b"\xff\x00"[..]), output(30, "end")];
    {
        let record = open(folder.path());
        for frame in &frames {
            record.append(MACHINE, frame.clone()).await;
            record.append(MachineId::new(8), output(1, "another machine's")).await;
        }
        assert_eq!(all(&record, 0).await, frames);
    }
    let record = open(folder.path());
    assert_eq!(all(&record, 0).await, frames);
    record.append(MACHINE, output(40, "more")).await;
    assert_eq!(all(&record, 25).await.len(), 5, "a time's segment is read from its beginning");
    assert_eq!(segments(folder.path()).len(), 1);
}

#[tokio::test]
async fn the_tail_is_cut_to_the_byte_and_by_time() {
    let folder = TempDir::new().unwrap();
    let record = open(folder.path());
    assert_eq!(record.tail(MACHINE, Timestamp(0), 100).await.unwrap(), []);
    for frame in [output(10, "former holder"), output(20, "abcdef"), mark(25, "lost"), output(30, "ghi")] {
        record.append(MACHINE, frame).await;
    }
    let tail = async |since, bytes| record.tail(MACHINE, Timestamp(since), bytes).await.unwrap();
    assert_eq!(tail(0, 5).await, [output(20, "ef"), mark(25, "lost"), output(30, "ghi")]);
    assert_eq!(tail(20, 1000).await, [output(20, "abcdef"), mark(25, "lost"), output(30, "ghi")]);
    assert_eq!(tail(26, 1000).await, [output(30, "ghi")]);
    assert_eq!(tail(31, 1000).await, []);
}

#[tokio::test]
async fn segments_rotate_and_the_oldest_go() {
    let folder = TempDir::new().unwrap();
    let record = open(folder.path());
    let chunk = vec![b'x'; 10_000];
    for number in 0..200 {
        record.append(MACHINE, output(number, chunk.clone())).await;
        if number % 5 == 0 {
            record.flush().await;
        }
    }
    record.flush().await;
    assert!(segments(folder.path()).len() > 3);
    // The newest segment begins after the oldest was removed.
    assert!(size(folder.path()) <= SMALL.bytes + (64 << 10), "{}", size(folder.path()));
    let frames = all(&record, 0).await;
    let times: Vec<i64> = frames.iter().map(|frame| frame.at.0).collect();
    let first = times[0];
    assert!(first > 0 && times.iter().copied().eq(first..200), "{times:?}");
    // A reader whose segment is removed goes on with the next one.
    let place = RecordPlace { segment: 0, offset: 1000 };
    assert_eq!(record.read(MACHINE, place).await.unwrap().frames[0].at.0, first);
}

#[tokio::test]
async fn a_torn_frame_is_cut_off() {
    let folder = TempDir::new().unwrap();
    {
        let record = open(folder.path());
        record.append(MACHINE, output(10, "whole")).await;
        record.append(MACHINE, output(20, "torn")).await;
        record.flush().await;
    }
    let path = segments(folder.path()).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in 1..21 {
        fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let record = open(folder.path());
        assert_eq!(all(&record, 0).await, [output(10, "whole")]);
        record.append(MACHINE, output(30, "after")).await;
        assert_eq!(all(&record, 0).await, [output(10, "whole"), output(30, "after")], "cut by {cut}");
        record.flush().await;
    }
}

#[tokio::test]
async fn what_is_old_and_what_is_gone_is_removed() {
    let folder = TempDir::new().unwrap();
    let record = open(folder.path());
    let (gone, old) = (MachineId::new(8), MachineId::new(9));
    record.append(gone, output(100_000, "of a machine that is removed")).await;
    record.append(old, output(1000, "long ago")).await;
    record.append(MACHINE, output(1000, vec![b'x'; 60_000])).await;
    record.flush().await;
    record.append(MACHINE, output(50_000, vec![b'y'; 60_000])).await;
    let mut recorded = record.machines().await.unwrap();
    recorded.sort();
    assert_eq!(recorded, [MACHINE, gone, old]);
    record.tidy(Timestamp(100_000), &HashSet::from([gone])).await.unwrap();
    assert!(!folder.path().join("8").exists());
    let times = |frames: Vec<Frame>| frames.iter().map(|frame| frame.at.0).collect::<Vec<_>>();
    assert_eq!(times(all(&record, 0).await), [50_000]);
    assert_eq!(record.tail(old, Timestamp(0), 100).await.unwrap(), []);
    // It goes on.
    record.append(old, output(100_001, "again")).await;
    assert_eq!(times(record.tail(old, Timestamp(0), 100).await.unwrap()), [100_001]);
}

#[tokio::test]
async fn a_disk_that_does_not_take_it_leaves_a_mark() {
    let folder = TempDir::new().unwrap();
    let record = open(folder.path());
    // A file where the machine's folder has to be.
    fs::write(folder.path().join("7"), "").unwrap();
    record.append(MACHINE, output(10, "lost")).await;
    record.flush().await;
    fs::remove_file(folder.path().join("7")).unwrap();
    record.append(MACHINE, output(20, "kept")).await;
    let frames = all(&record, 0).await;
    assert!(
        matches!(&frames[0].content, FrameContent::Mark(text) if text.contains("not recorded")),
        "{frames:?}"
    );
    assert_eq!(frames[1..], [output(20, "kept")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_machines_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let record = open(folder.path());
    let machines = (1..=1000).map(|id| {
        let record = record.clone();
        tokio::spawn(async move {
            for number in 0..20 {
                record.append(MachineId::new(id), output(number, format!("{id}:{number} "))).await;
            }
        })
    });
    for machine in machines.collect::<Vec<_>>() {
        machine.await.unwrap();
    }
    for id in (1..=1000).step_by(37) {
        let frames = record.tail(MachineId::new(id), Timestamp(0), 10_000).await.unwrap();
        let expected: Vec<Frame> = (0..20).map(|number| output(number, format!("{id}:{number} "))).collect();
        assert_eq!(frames, expected);
    }
}
