//! How fast, and at what cost, does TFTP send? mrp beside tftpd-hpa, atftpd and rs-tftpd in the same run.
//!
//! A 50 MB file over loopback in blocks of 1468 bytes, then 1,000 clients at once. MB/s is that of the best of several
//! rounds, CPU seconds are the server's, over all rounds.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use benches::load::{self, Load, Outcome};
use benches::program::{Program, allow_many_files, example, installed, unpacked};

const BLKSIZE: u16 = 1468;
const ROUNDS: usize = 5;

struct Server {
    name: &'static str,
    command: Command,
    address: SocketAddr,
}

fn main() -> io::Result<()> {
    allow_many_files()?;
    let folder = tempfile::tempdir()?;
    for (name, size) in [("50MB", 50_000_000), ("1MB", 1_000_000), ("2kB", 2_000)] {
        let bytes: Vec<u8> =
            (0..size).map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(folder.path().join(name), bytes)?;
    }
    let mut rows = Vec::new();
    for mut server in servers(folder.path())? {
        rows.push((server.name, measure(&mut server)?));
    }
    print(&rows);
    Ok(())
}

fn servers(folder: &Path) -> io::Result<Vec<Server>> {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let folder =
        folder.to_str().ok_or_else(|| io::Error::other("the temporary folder's name is no UTF-8"))?;
    let ours = example("tftp_folder")?;
    let mut with = Command::new(&ours);
    with.args(["127.0.0.1:7701", folder]);
    let mut without = Command::new(installed("setpriv")?);
    without
        .args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"])
        .arg(&ours)
        .args(["127.0.0.1:7702", folder]);
    let mut rs_tftpd = Command::new(env!("CARGO_BIN_EXE_rs_tftpd"));
    rs_tftpd.args(["-i", "127.0.0.1", "-p", "7703", "-d", folder, "-r"]);
    let mut hpa = Command::new(unpacked("tftpd-hpa", "in.tftpd")?);
    hpa.args([
        "--foreground",
        "--listen",
        "--user",
        "root",
        "--address",
        "127.0.0.1:7704",
        "--secure",
        folder,
    ]);
    let mut atftpd = Command::new(unpacked("atftpd", "atftpd")?);
    let quiet = ["--verbose=0", "--logfile", "/dev/null", "--user", "root.root", "--maxthread", "2000"];
    atftpd
        .args(["--daemon", "--no-fork", "--port", "7705", "--bind-address", "127.0.0.1"])
        .args(quiet)
        .arg(folder);
    Ok(vec![
        Server { name: "mrp", command: with, address: address(7701) },
        Server { name: "mrp, no CAP_NET_ADMIN", command: without, address: address(7702) },
        Server { name: "rs-tftpd", command: rs_tftpd, address: address(7703) },
        Server { name: "tftpd-hpa", command: hpa, address: address(7704) },
        Server { name: "atftpd", command: atftpd, address: address(7705) },
    ])
}

/// What one server showed.
struct Row {
    /// MB/s and CPU seconds per GB, for each of [`CASES`].
    sent: Vec<(f64, f64)>,
    small: Outcome,
    large: Outcome,
}

/// Window and clients.
const CASES: [(u16, usize); 6] = [(1, 1), (16, 1), (64, 1), (1, 16), (16, 16), (64, 16)];

fn measure(server: &mut Server) -> io::Result<Row> {
    let program = Program::start(&mut server.command)?;
    let load = |file: &str, clients, windowsize| Load {
        server: server.address,
        file: file.to_owned(),
        clients,
        blksize: BLKSIZE,
        windowsize,
        from: |_| Ipv4Addr::LOCALHOST,
    };
    std::thread::sleep(Duration::from_millis(500));
    let warm = load::run(&load("2kB", 1, 1))?;
    if warm.failed > 0 {
        return Err(io::Error::other(format!("{} at {} does not serve", server.name, server.address)));
    }
    let mut sent = Vec::new();
    for (windowsize, clients) in CASES {
        let rounds = if clients == 1 { ROUNDS } else { 1 };
        let (mut best, mut bytes, before) = (0.0_f64, 0, program.cpu_seconds()?);
        for _ in 0..rounds {
            let outcome = load::run(&load("50MB", clients, windowsize))?;
            best = best.max(outcome.rate());
            bytes += outcome.bytes;
        }
        sent.push((best, (program.cpu_seconds()? - before) / (bytes as f64 / 1e9)));
        eprintln!("{}: window {windowsize}, {clients} clients: {best:.0} MB/s", server.name);
    }
    let small = load::run(&load("2kB", 1_000, 1))?;
    let large = load::run(&load("1MB", 1_000, 16))?;
    Ok(Row { sent, small, large })
}

fn print(rows: &[(&str, Row)]) {
    println!("\nTFTP: 50 MB over loopback, {BLKSIZE}-byte blocks: MB/s (best) / server CPU seconds per GB\n");
    print!("{:22}", "server");
    for (windowsize, clients) in CASES {
        print!("{:>16}", format!("{clients} x w{windowsize}"));
    }
    println!();
    for (name, row) in rows {
        print!("{name:22}");
        for (rate, cpu) in &row.sent {
            // A server whose children end unwaited hides their time.
            let cpu = if *cpu > 0.0 { format!("{cpu:.2}") } else { "-".to_owned() };
            print!("{:>16}", format!("{rate:.0} / {cpu}"));
        }
        println!();
    }
    let peer = rows.iter().find(|(name, _)| *name == "rs-tftpd");
    for (name, row) in rows.iter().filter(|(name, _)| name.starts_with("mrp")) {
        let Some((_, peer)) = peer else { break };
        print!("{:22}", format!("{}: rs-tftpd", if *name == "mrp" { "ratio" } else { "ratio, no cap." }));
        for ((rate, cpu), (peer_rate, peer_cpu)) in row.sent.iter().zip(&peer.sent) {
            print!("{:>16}", format!("{:.1} x / {:.2}", rate / peer_rate, cpu / peer_cpu));
        }
        println!();
    }
    println!("\n1,000 clients at once\n");
    println!(
        "{:22}{:>34}{:>44}",
        "server", "2 kB: seconds / timeouts / failed", "1 MB, w16: MB/s / timeouts / failed / p99 s"
    );
    for (name, Row { small, large, .. }) in rows {
        let small = format!("{:.2} / {} / {}", small.seconds, small.timeouts, small.failed);
        let large = format!("{:.0} / {} / {} / {:.1}", large.rate(), large.timeouts, large.failed, large.p99);
        println!("{name:22}{small:>34}{large:>44}");
    }
}
