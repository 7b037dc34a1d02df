//! What do 1,000 open consoles cost, and is anything of them lost? `mrp serve` on SQLite records what 1,000 machines print,
//! 1,024 characters a second each, and the record on disk is compared with what they printed.
//!
//! The BMCs are simulators in a process of their own, whose CPU is printed apart. Memory is anonymous memory; that of an
//! idle session is what the server has more when all consoles are open, by their number.

use std::io;
use std::time::{Duration, Instant};

use benches::farm::Farm;
use benches::lab::{Database, Lab};
use benches::program::{MemoryWatch, allow_many_files, anonymous_memory_of_all, cpu_seconds_of_all};
use mrp_bmc::sim::{PRINTED_LINE, printed_line};
use mrp_core::console::{ConsoleRecord, FrameContent, RecordPlace};
use mrp_core::id::Timestamp;
use mrp_core::machine::MachineId;
use mrp_store::{ConsoleLimits, FsConsoles};

const CONSOLES: u32 = 1_000;
const SECONDS: u32 = 15;
/// Most of a core that the server takes.
const CORES: f64 = 0.5;
/// Most memory of an idle session, in kB.
const IDLE_KB: f64 = 32.0;

/// What was measured of the server and of the simulators' process.
struct Figures {
    opened_seconds: f64,
    opened_cpu: f64,
    idle_bytes: f64,
    idle_cores: f64,
    cpu: f64,
    farm_cpu: f64,
    memory: u64,
    unacknowledged: u64,
}

/// What the record has of all machines.
#[derive(Default)]
struct Recorded {
    printed: u64,
    characters: u64,
    /// Machines whose record is not what they printed, and of them those whose record only ends too early.
    wrong: Vec<u32>,
    cut: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    allow_many_files()?;
    let mut farm = Farm::start(CONSOLES)?;
    let mut lab = Lab::start(Database::Sqlite, [7731, 7732, 7733]).await?;
    lab.grow(CONSOLES as usize).await?;
    lab.give_bmcs().await?;
    let figures = measure(&mut farm, &mut lab).await?;
    lab.stop();
    let recorded = read_record(&lab).await?;
    print(&figures, &recorded);
    Ok(())
}

async fn measure(farm: &mut Farm, lab: &mut Lab) -> io::Result<Figures> {
    let restart = |lab: &mut Lab, record| {
        lab.restart(&[("MRP_BMC__POLL_EVERY", "0s"), ("MRP_CONSOLE__RECORD", record)])
    };
    restart(lab, "watched")?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let without = anonymous_memory_of_all(lab.process());
    let started = Instant::now();
    restart(lab, "always")?;
    while farm.order("consoles")? < u64::from(CONSOLES) {
        if started.elapsed() > Duration::from_secs(60) {
            return Err(io::Error::other(format!("{} consoles are open", farm.order("consoles")?)));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let server = lab.process();
    let (opened_seconds, opened_cpu) = (started.elapsed().as_secs_f64(), cpu_seconds_of_all(server)?);
    // The marks of their opening are written, too.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (idle, cpu) = (Instant::now(), cpu_seconds_of_all(server)?);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle_cores = (cpu_seconds_of_all(server)? - cpu) / idle.elapsed().as_secs_f64();
    let idle_bytes = anonymous_memory_of_all(server).saturating_sub(without) as f64 / f64::from(CONSOLES);

    let (memory, farm_cpu) = (MemoryWatch::start(server), farm.figures()?.1);
    let cpu = cpu_seconds_of_all(server)?;
    let unacknowledged = farm.order(&format!("print {SECONDS}"))?;
    let cpu = cpu_seconds_of_all(server)? - cpu;
    let farm_cpu = farm.figures()?.1 - farm_cpu;
    let memory = memory.most();
    Ok(Figures { opened_seconds, opened_cpu, idle_bytes, idle_cores, cpu, farm_cpu, memory, unacknowledged })
}

/// Compares the record of each machine with what it printed: every line, once, in order, and nothing else.
async fn read_record(lab: &Lab) -> io::Result<Recorded> {
    let record = FsConsoles::open(&lab.data().join("consoles"), ConsoleLimits::default())?;
    let lines = u64::from(SECONDS) * 1024 / PRINTED_LINE as u64;
    let mut recorded = Recorded::default();
    for number in 0..CONSOLES {
        let printed: String = (0..lines).map(|line| printed_line(number.into(), line)).collect();
        let (mut shown, mut from) = (Vec::new(), Some(RecordPlace::at(Timestamp(0))));
        while let Some(place) = from {
            let page = record.read(MachineId::new(i64::from(number) + 1), place).await;
            let page = page.map_err(io::Error::other)?;
            for frame in page.frames {
                if let FrameContent::Output(output) = frame.content {
                    shown.extend_from_slice(&output);
                }
            }
            from = page.next;
        }
        recorded.printed += printed.len() as u64;
        recorded.characters += shown.len() as u64;
        if shown != printed.as_bytes() {
            recorded.wrong.push(number + 1);
            recorded.cut += u32::from(printed.as_bytes().starts_with(&shown));
        }
    }
    Ok(recorded)
}

fn print(figures: &Figures, recorded: &Recorded) {
    let cores = figures.cpu / f64::from(SECONDS);
    println!("\n{CONSOLES} consoles, each of which prints 1,024 characters a second for {SECONDS} s\n");
    let row = |what: &str, figure: String| println!("{what:52}{figure:>16}");
    row("until all are open, s", format!("{:.2}", figures.opened_seconds));
    row("CPU until then, s", format!("{:.2}", figures.opened_cpu));
    row("idle: memory of a session, kB", format!("{:.1}", figures.idle_bytes / 1e3));
    row("idle: cores", format!("{:.3}", figures.idle_cores));
    row("printing: cores of the server", format!("{cores:.3}"));
    row("printing: cores of the simulators", format!("{:.3}", figures.farm_cpu / f64::from(SECONDS)));
    row(
        "printing: CPU a kilobyte, us",
        format!("{:.1}", figures.cpu * 1e6 / (recorded.printed as f64 / 1e3)),
    );
    row("printing: memory of the server, MB", format!("{:.1}", figures.memory as f64 / 1e6));
    row("characters printed", recorded.printed.to_string());
    row("characters in the record", recorded.characters.to_string());
    row("characters not acknowledged", figures.unacknowledged.to_string());
    row("consoles whose record is another", recorded.wrong.len().to_string());
    row("of them, such as only end too early", recorded.cut.to_string());
    println!("\nTargets\n");
    let target = |what: &str, most: f64, figure: f64| {
        let says = if figure <= most { "holds" } else { "MISSED" };
        println!("{what:44}{most:>8.2}{figure:>10.2}  {says}");
    };
    target("cores of the server", CORES, cores);
    target("memory of an idle session, kB", IDLE_KB, figures.idle_bytes / 1e3);
    target("consoles whose record is another", 0.0, recorded.wrong.len() as f64);
    if let Some(first) = recorded.wrong.first() {
        println!("the first whose record is another is that of machine {first}");
    }
}
