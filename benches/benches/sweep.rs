//! How long does a look at the power of 10,000 BMCs take, and what do dead ones cost the others? `mrp serve` on SQLite, and
//! `ipmipower` on the same BMCs in the same run.
//!
//! The BMCs are simulators in a process of their own: of each hundred, two are dead and five slow. A sweep is that of the
//! server's polling in the background. The delay of a healthy BMC's command is that of `GET /api/v1/machine/ID/power`, which
//! asks the BMC, while sweeps of ten seconds go on; with dead BMCs and without in turns. Memory is anonymous memory.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use benches::farm::{Farm, PASSWORD, USER};
use benches::http::{Client, Request};
use benches::lab::{Database, Lab};
use benches::program::{
    MemoryWatch, allow_many_files, anonymous_memory_of_all, cpu_seconds_of_all, ended_cpu_seconds, installed,
    write_secret,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};

const BMCS: u32 = 10_000;
/// Of each hundred.
const DEAD: u32 = 2;
const SLOW: u32 = 5;
/// How late the slow ones answer, in ms.
const LATE_MS: u32 = 700;
/// BMCs of one process of `ipmipower`.
const PEER_BMCS: usize = 1_000;
/// How long one may print nothing before the next one is begun.
const PEER_PATIENCE: Duration = Duration::from_secs(3);
const HEALTHY: u32 = BMCS / 100 * (100 - DEAD - SLOW);
/// Longest sweep of the healthy ones.
const SWEEP_SECONDS: f64 = 10.0;
/// Most memory of the server, in MB.
const MEMORY_MB: f64 = 100.0;
/// The delay of 99 of 100 commands, of that without dead BMCs.
const P99_RATIO: f64 = 1.2;
/// How long commands are measured in each turn, and between two of them.
const TURN: Duration = Duration::from_secs(11);
const PAUSE: Duration = Duration::from_millis(3);
/// With dead BMCs and without.
const TURNS: [bool; 4] = [true, false, true, false];

/// What looking at all BMCs once has taken.
struct Sweep {
    name: &'static str,
    healthy_seconds: f64,
    slow_seconds: f64,
    told: u32,
    cpu: f64,
    farm_cpu: f64,
    memory: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    allow_many_files()?;
    let mut farm = Farm::start(BMCS)?;
    let mut lab = Lab::start(Database::Sqlite, [7721, 7722, 7723]).await?;
    lab.grow(BMCS as usize).await?;
    lab.give_bmcs().await?;
    set_dead(&mut farm, true)?;
    let (first, memory) = first_sweep(&mut farm, &mut lab).await?;
    let kept = kept_sessions(&mut farm, &lab, memory).await?;
    let (delays, memory) = delays(&mut farm, &mut lab).await?;
    lab.stop();
    set_dead(&mut farm, true)?;
    let peer = ipmipower(&mut farm, &lab.data())?;
    print(&[first, kept, peer], &delays, memory);
    Ok(())
}

fn set_dead(farm: &mut Farm, dead: bool) -> io::Result<()> {
    let dead = if dead { DEAD } else { 0 };
    farm.order(&format!("faults {dead} {SLOW} {LATE_MS}")).map(drop)
}

fn is_healthy(machine: u32) -> bool {
    (machine - 1) % 100 >= DEAD + SLOW
}

/// Starts the server anew. It opens no consoles, which have a question of their own.
fn poll(lab: &mut Lab, every: &str) -> io::Result<()> {
    lab.restart(&[("MRP_BMC__POLL_EVERY", every), ("MRP_CONSOLE__RECORD", "watched")])
}

/// From the start of a server that knows nothing of its BMCs.
async fn first_sweep(farm: &mut Farm, lab: &mut Lab) -> io::Result<(Sweep, MemoryWatch)> {
    let (farm_cpu, started) = (farm.figures()?.1, SystemTime::now());
    poll(lab, "1s")?;
    let (server, memory) = (lab.process(), MemoryWatch::start(lab.process()));
    let options = SqliteConnectOptions::new().filename(lab.data().join("mrp.db")).read_only(true);
    let mut database = options.connect().await.map_err(io::Error::other)?;
    wait_for(&mut database, HEALTHY).await?;
    let (cpu, farm_cpu) = (cpu_seconds_of_all(server)?, farm.figures()?.1 - farm_cpu);
    wait_for(&mut database, BMCS / 100 * (100 - DEAD)).await?;
    let rows = sqlx::query("SELECT machine_id, at FROM machine_power").fetch_all(&mut database).await;
    let rows = rows.map_err(io::Error::other)?;
    let told: Vec<(u32, i64)> = rows.iter().map(|row| (row.get("machine_id"), row.get("at"))).collect();
    let started = started.duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_millis();
    let since = |last: Option<i64>| (last.unwrap_or_default() as f64 - started as f64) / 1e3;
    let healthy = told.iter().filter(|(machine, _)| is_healthy(*machine)).map(|(_, at)| *at);
    let sweep = Sweep {
        name: "mrp, first contact",
        healthy_seconds: since(healthy.max()),
        slow_seconds: since(told.iter().map(|(_, at)| *at).max()),
        told: told.len() as u32,
        cpu,
        farm_cpu,
        memory: memory.so_far(),
    };
    Ok((sweep, memory))
}

async fn wait_for(database: &mut SqliteConnection, machines: u32) -> io::Result<()> {
    let started = Instant::now();
    loop {
        let row = sqlx::query("SELECT COUNT(*) FROM machine_power").fetch_one(&mut *database).await;
        let told: u32 = row.map_err(io::Error::other)?.get(0);
        if told >= machines {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(90) {
            return Err(io::Error::other(format!("after 90 s the power of {told} machines is known")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sweeps without a pause between them, over sessions that are open. A status is one datagram.
async fn kept_sessions(farm: &mut Farm, lab: &Lab, memory: MemoryWatch) -> io::Result<Sweep> {
    // What is under way with the slow ones comes to its end.
    farm.order("faults 0 0 0")?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (datagrams, farm_cpu) = farm.figures()?;
    let (started, cpu) = (Instant::now(), cpu_seconds_of_all(lab.process())?);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds_of_all(lab.process())? - cpu);
    let (more, more_cpu) = farm.figures()?;
    let sweeps = (more - datagrams) as f64 / f64::from(BMCS);
    Ok(Sweep {
        name: "mrp, kept sessions",
        healthy_seconds: seconds / sweeps,
        slow_seconds: f64::NAN,
        told: BMCS,
        cpu: cpu / sweeps,
        farm_cpu: (more_cpu - farm_cpu) / sweeps,
        memory: memory.most(),
    })
}

/// What commands of healthy BMCs have taken, without dead ones beside them and with; and the memory that the server had.
async fn delays(farm: &mut Farm, lab: &mut Lab) -> io::Result<([Vec<Duration>; 2], u64)> {
    poll(lab, "10s")?;
    let memory = MemoryWatch::start(lab.process());
    let mut client = Client::connect(lab.people(), 1).await?;
    let mut delays = [Vec::new(), Vec::new()];
    let mut healthy = (1..=BMCS).cycle().step_by(7_919).filter(|machine| is_healthy(*machine));
    // The first sweep opens sessions, which is no part of the question.
    set_dead(farm, true)?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    for dead in TURNS {
        set_dead(farm, dead)?;
        let started = Instant::now();
        while started.elapsed() < TURN {
            let machine = healthy.next().unwrap_or(100);
            let path = format!("/api/v1/machine/{machine}/power");
            let request = [Request::new("GET", &path, Some(&lab.admin), 200)];
            let mut told = false;
            let asked = client.run(&request, |took, body| {
                delays[usize::from(dead)].push(took);
                told = String::from_utf8_lossy(body).contains("off");
            });
            asked.await?;
            if !told {
                return Err(io::Error::other(format!("the power of machine {machine} is not told")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    for took in &mut delays {
        took.sort_unstable();
    }
    Ok((delays, memory.most()))
}

/// A process for each thousand BMCs, begun when the healthy ones of the process before have answered: one with a few thousand
/// open files gets no random numbers any more, and ten that begin together drown in datagrams that they lose.
fn ipmipower(farm: &mut Farm, folder: &Path) -> io::Result<Sweep> {
    let configuration = folder.join("freeipmi.conf");
    write_secret(&configuration, &format!("username {USER}\npassword {PASSWORD}\n"))?;
    let hosts: Vec<String> = (0..BMCS).map(|number| Farm::address(number).to_string()).collect();
    let healthy = hosts.iter().zip(1..).filter(|(_, machine)| is_healthy(*machine));
    let healthy: HashSet<&str> = healthy.map(|(host, _)| host.as_str()).collect();
    let (farm_cpu, cpu, started) = (farm.figures()?.1, ended_cpu_seconds()?, Instant::now());
    let memory = MemoryWatch::start(std::process::id());
    let own = anonymous_memory_of_all(std::process::id());
    let (mut told, mut healthy_told, mut healthy_seconds, mut slow_seconds) = (0, 0, f64::NAN, f64::NAN);
    let (sender, lines) = mpsc::channel();
    let mut children = Vec::new();
    let mut take = |line: String, healthy_told: &mut usize| {
        let Some(host) = line.strip_suffix(": off") else { return };
        told += 1;
        slow_seconds = started.elapsed().as_secs_f64();
        if healthy.contains(host) {
            *healthy_told += 1;
            healthy_seconds = slow_seconds;
        }
    };
    for hosts in hosts.chunks(PEER_BMCS) {
        // It writes into a pipe in pieces of 4 KiB otherwise.
        let mut command = Command::new(installed("stdbuf")?);
        command.arg("-oL").arg(installed("ipmipower")?).arg("--config-file").arg(&configuration);
        command.args(["-D", "LAN_2_0", "-I", "17", "-l", "ADMIN", "--stat", "-h", &ranges(hosts)]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("ipmipower has no pipe"))?;
        let sender = sender.clone();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        children.push(child);
        let wanted = healthy_told + hosts.iter().filter(|host| healthy.contains(host.as_str())).count();
        while healthy_told < wanted
            && let Ok(line) = lines.recv_timeout(PEER_PATIENCE)
        {
            take(line, &mut healthy_told);
        }
    }
    drop(sender);
    for line in lines {
        take(line, &mut healthy_told);
    }
    for mut child in children {
        child.wait()?;
    }
    Ok(Sweep {
        name: "ipmipower, 10 processes",
        healthy_seconds,
        slow_seconds,
        told,
        cpu: ended_cpu_seconds()? - cpu,
        farm_cpu: farm.figures()?.1 - farm_cpu,
        // Without the farm's and our own.
        memory: memory.most().saturating_sub(own),
    })
}

/// Addresses as ranges of their last numbers: an argument has at most 128 KiB.
fn ranges(hosts: &[String]) -> String {
    let split = |host: &str| host.rsplit_once('.').map(|(net, last)| (net.to_owned(), last.to_owned()));
    let parts: Vec<(String, String)> = hosts.iter().filter_map(|host| split(host)).collect();
    let nets = parts.chunk_by(|one, other| one.0 == other.0);
    let ranges = nets.map(|net| format!("{}.[{}-{}]", net[0].0, net[0].1, net[net.len() - 1].1));
    ranges.collect::<Vec<_>>().join(",")
}

fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}

fn print(sweeps: &[Sweep], delays: &[Vec<Duration>; 2], memory: u64) {
    println!(
        "\nPower of {BMCS} simulated BMCs, of which {DEAD}% are dead and {SLOW}% answer {LATE_MS} ms late (kept sessions: none)\n"
    );
    println!(
        "{:24}{:>8}{:>18}{:>15}{:>14}{:>18}{:>10}",
        "one sweep", "told", "healthy ones, s", "slow ones, s", "CPU s", "simulators CPU s", "MB"
    );
    for sweep in sweeps {
        println!(
            "{:22}{:>8}{:>18.2}{:>15.2}{:>14.2}{:>18.2}{:>10.1}",
            sweep.name,
            sweep.told,
            sweep.healthy_seconds,
            sweep.slow_seconds,
            sweep.cpu,
            sweep.farm_cpu,
            sweep.memory as f64 / 1e6
        );
    }
    println!(
        "\n{:34}{:>10}{:>10}{:>10}{:>10}",
        "a healthy BMC's command, in ms", "p50", "p99", "longest", "commands"
    );
    for (name, took) in ["no BMC is dead", "with dead BMCs"].iter().zip(delays) {
        println!(
            "{name:34}{:>10.2}{:>10.2}{:>10.2}{:>10}",
            percentile_ms(took, 50),
            percentile_ms(took, 99),
            percentile_ms(took, 100),
            took.len()
        );
    }
    println!("\nTargets\n");
    let target = |what: &str, most: f64, figure: f64| {
        let says = if figure <= most { "holds" } else { "MISSED" };
        println!("{what:44}{most:>8.1}{figure:>10.2}  {says}");
    };
    target("sweep of the healthy ones, s", SWEEP_SECONDS, sweeps[0].healthy_seconds);
    let most = sweeps[..2].iter().map(|sweep| sweep.memory).max().unwrap_or_default().max(memory);
    target("memory of the server, MB", MEMORY_MB, most as f64 / 1e6);
    let ratio = percentile_ms(&delays[1], 99) / percentile_ms(&delays[0], 99);
    target("p99 of a command, x that without dead ones", P99_RATIO, ratio);
}
