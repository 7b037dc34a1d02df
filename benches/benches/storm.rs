//! What if a whole lab boots at once? 1,000 machines by HTTP and 100 by TFTP, each known to mrp by an address of its own, ask for
//! the DHCP decision, boot loader (2 MB), configuration, kernel (10 MB) and initrd (40 MB), over real TCP and UDP on loopback.
//!
//! The peer is nginx giving files of the same sizes to the same HTTP clients in the same run. All clients are one thread of this
//! program (those of TFTP another one); they read what comes and keep nothing.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Instant;

use benches::http::{Client, Request};
use benches::lab::{Database, Lab};
use benches::load::{self, Load};
use benches::nginx::Nginx;
use benches::program::{MemoryWatch, allow_many_files, cpu_seconds_of_all};
use futures_util::future::join_all;

/// Machines that boot by HTTP.
const HTTP: usize = 1_000;
/// Machines that boot by TFTP; their numbers come after those.
const TFTP: usize = 100;
/// Boot loader, kernel, initrd, in bytes.
const SIZES: [usize; 3] = [2_000_000, 10_000_000, 40_000_000];
/// Least share of what nginx gives a second.
const SHARE: f64 = 0.7;
/// Most anonymous memory of the server, in MB.
const MEMORY_MB: f64 = 150.0;

/// What became of clients.
#[derive(Debug, Default)]
struct Outcome {
    seconds: f64,
    bytes: u64,
    failed: usize,
    /// Why the first of them failed.
    why: Option<String>,
    cpu: f64,
    memory: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    allow_many_files()?;
    let nginx = Nginx::start(7720)?;
    let mut lab = Lab::start(Database::Sqlite, [7721, 7722, 7723]).await?;
    lab.grow(HTTP + TFTP).await?;
    let names = lab.arm(SIZES).await?;
    lab.restart(&[("MRP_TFTP__ENABLED", "true"), ("MRP_TFTP__LISTEN", "127.0.0.1:7724")])?;

    let peer = nginx_alone(&nginx).await?;
    eprintln!("nginx: {:.0} MB/s", peer.rate());
    let alone = storm(&lab, &names, None).await?;
    eprintln!("mrp: {:.0} MB/s", alone.rate());
    let tftp = SocketAddr::from((Ipv4Addr::LOCALHOST, 7724));
    let both = storm(&lab, &names, Some(tftp)).await?;

    let [loader, kernel, initrd] = SIZES.map(|size| size / 1_000_000);
    println!(
        "\nA boot storm: decision, boot loader ({loader} MB), configuration, kernel ({kernel} MB), initrd ({initrd} MB)\n"
    );
    println!("{:44}{:>9}{:>10}{:>9}{:>12}{:>10}", "", "seconds", "MB/s", "failed", "CPU s/GB", "MB");
    for (what, outcome) in [
        (format!("nginx, {HTTP} by HTTP"), &peer),
        (format!("mrp, {HTTP} by HTTP"), &alone),
        (format!("mrp, {HTTP} by HTTP and {TFTP} by TFTP"), &both),
    ] {
        let Outcome { seconds, failed, cpu, memory, .. } = outcome;
        println!(
            "{what:44}{seconds:>9.1}{:>10.0}{failed:>9}{:>12.2}{:>10.0}",
            outcome.rate(),
            cpu / (outcome.bytes as f64 / 1e9),
            *memory as f64 / 1e6
        );
        if let Some(why) = &outcome.why {
            println!("    the first that failed: {why}");
        }
    }
    println!();
    let says = |holds: bool| if holds { "holds" } else { "MISSED" };
    let failed = peer.failed + alone.failed + both.failed;
    println!("{:44}{:>9}{:>10}   {}", "failures", 0, failed, says(failed == 0));
    let share = alone.rate() / peer.rate();
    println!("{:44}{SHARE:>9}{share:>10.2}   {}", "share of nginx, by HTTP", says(share >= SHARE));
    let memory = alone.memory.max(both.memory) as f64 / 1e6;
    println!("{:44}{MEMORY_MB:>9}{memory:>10.0}   {}", "anonymous memory, MB", says(memory <= MEMORY_MB));
    Ok(())
}

impl Outcome {
    /// Megabytes (10^6) a second.
    fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }
}

/// The peer gives files, the small ones too.
async fn nginx_alone(nginx: &Nginx) -> io::Result<Outcome> {
    let [loader, kernel, initrd] = [nginx.add(SIZES[0])?, nginx.add(SIZES[1])?, nginx.add(SIZES[2])?];
    let paths = [nginx.add(100)?, loader, nginx.add(700)?, kernel, initrd];
    let memory = MemoryWatch::start(nginx.id());
    let cpu = cpu_seconds_of_all(nginx.id())?;
    let mut outcome = boot(nginx.address(), |_| paths.to_vec()).await;
    outcome.cpu = cpu_seconds_of_all(nginx.id())? - cpu;
    outcome.memory = memory.most();
    Ok(outcome)
}

/// All machines boot at once.
async fn storm(lab: &Lab, names: &[String; 3], tftp: Option<SocketAddr>) -> io::Result<Outcome> {
    let memory = MemoryWatch::start(lab.process());
    let (cpu, started) = (cpu_seconds_of_all(lab.process())?, Instant::now());
    let files = [names[0].clone(), "grub/grub.cfg".into(), names[1].clone(), names[2].clone()];
    let by_tftp = tftp.map(|server| thread::spawn(move || boot_by_tftp(server, &files)));
    let [loader, kernel, initrd] = names;
    let paths = |machine: usize| {
        let mac = Lab::mac(machine);
        let configuration = format!("/boot/grub/01-{}", mac.replace(':', "-"));
        let [loader, kernel, initrd] = [loader, kernel, initrd].map(|name| format!("/boot/{name}"));
        vec![format!("/dhcp/ipv4?hwaddr={mac}"), loader, configuration, kernel, initrd]
    };
    let mut outcome = boot(lab.machine_door(), paths).await;
    if let Some(clients) = by_tftp {
        let by_tftp = clients.join().map_err(|_| io::Error::other("the TFTP clients panicked"))??;
        outcome.bytes += by_tftp.bytes;
        outcome.failed += by_tftp.failed;
        outcome.seconds = started.elapsed().as_secs_f64();
    }
    outcome.cpu = cpu_seconds_of_all(lab.process())? - cpu;
    outcome.memory = memory.most();
    Ok(outcome)
}

/// Each of the machines that boot by HTTP asks for what it is to ask for, one after another.
async fn boot(server: SocketAddr, paths: impl Fn(usize) -> Vec<String>) -> Outcome {
    let (buffer, bytes) = (RefCell::new(vec![0; 256 << 10]), Cell::new(0));
    let (buffer, bytes, paths) = (&buffer, &bytes, &paths);
    let started = Instant::now();
    let clients = (1..=HTTP).map(|machine| async move {
        let mut client = Client::connect_from(Lab::address(machine), server).await?;
        for path in paths(machine) {
            let length = client.length(&Request::new("GET", &path, None, 200), buffer).await?;
            bytes.set(bytes.get() + length);
        }
        io::Result::Ok(())
    });
    let ended = join_all(clients).await;
    let seconds = started.elapsed().as_secs_f64();
    let errors: Vec<io::Error> = ended.into_iter().filter_map(Result::err).collect();
    let why = errors.first().map(ToString::to_string);
    Outcome { seconds, bytes: bytes.get(), failed: errors.len(), why, ..Outcome::default() }
}

/// The machines that boot by TFTP ask for a file each, and for the next one when all have it.
fn boot_by_tftp(server: SocketAddr, files: &[String]) -> io::Result<load::Outcome> {
    let mut all = load::Outcome::default();
    for file in files {
        let from = |client: usize| Lab::address(HTTP + 1 + client);
        let load = Load { server, file: file.clone(), clients: TFTP, blksize: 1468, windowsize: 16, from };
        let outcome = load::run(&load)?;
        all.bytes += outcome.bytes;
        all.failed += outcome.failed;
    }
    Ok(all)
}
