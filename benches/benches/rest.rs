//! What does a request cost? mrp on each database with 10, 10,000 and 100,000 machines, beside nginx giving a file of the same
//! size in the same run to the same client.
//!
//! CPU is that of the server with the processes it starts (the database server's apart), user and system; memory is
//! anonymous memory. Connections are kept. `-- --only one-machine --db sqlite --machines 10,10000` runs a part.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use benches::http::{Client, Request};
use benches::lab::{Database, Lab};
use benches::nginx::Nginx;
use benches::program::{MemoryWatch, allow_many_files, anonymous_memory_of_all, cpu_seconds_of_all};
use serde_json::{Value, json};

/// Connections at once.
const CONNECTIONS: [usize; 2] = [1, 16];
/// How long a case is measured.
const MEASURED: Duration = Duration::from_millis(1_500);
/// How long a case runs before it is measured.
const WARM: Duration = Duration::from_millis(300);
/// How long the peer is measured.
const PEER: Duration = Duration::from_millis(400);
/// How long a case may take in all, with what is not measured of it.
const LONGEST: Duration = Duration::from_secs(6);
/// Most anonymous memory of the server, in MB.
const MEMORY_MB: f64 = 60.0;
/// Longest time that 99 of 100 requests take with 16 connections, in ms.
const P99_MS: f64 = 20.0;
/// What counts as the same cost, measured twice.
const SAME: f64 = 1.25;

/// A question, and the CPU time in ms within which it is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    List(usize),
    OneMachine,
    Reserve,
    GiveBack,
    Dhcp,
    AnswerFile,
}

impl Case {
    /// Reserve brings giving back with it.
    const ALL: [Self; 6] = [
        Self::List(1_000),
        Self::List(10_000),
        Self::OneMachine,
        Self::Dhcp,
        Self::AnswerFile,
        Self::Reserve,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::List(1_000) => "list-1000",
            Self::List(_) => "list-10000",
            Self::OneMachine => "one-machine",
            Self::Reserve => "reserve",
            Self::GiveBack => "give-back",
            Self::Dhcp => "dhcp-decision",
            Self::AnswerFile => "answer-file",
        }
    }

    fn target_ms(self) -> Option<f64> {
        match self {
            Self::List(1_000) => Some(3.0),
            Self::OneMachine | Self::Reserve | Self::Dhcp => Some(0.25),
            Self::AnswerFile => Some(0.5),
            Self::List(_) | Self::GiveBack => None,
        }
    }

    fn is_list(self) -> bool {
        matches!(self, Self::List(_))
    }
}

/// What the command line asks for.
struct Choice {
    only: Option<String>,
    databases: Vec<Database>,
    machines: Vec<usize>,
}

/// One row of the table.
struct Row {
    database: Database,
    machines: usize,
    case: Case,
    connections: usize,
    ours: Figures,
    peer: Figures,
}

/// What was measured of one server.
#[derive(Default)]
struct Figures {
    seconds: f64,
    cpu: f64,
    database_cpu: f64,
    took: Vec<Duration>,
    /// Of the last answer.
    bytes: usize,
    memory: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let choice = Choice::read()?;
    allow_many_files()?;
    let nginx = Nginx::start(7710)?;
    let mut rows = Vec::new();
    for database in &choice.databases {
        let mut lab = Lab::start(*database, [7711, 7712, 7713]).await?;
        for machines in &choice.machines {
            lab.grow(*machines).await?;
            eprintln!(
                "{}, {machines} machines: {} MB at the start",
                database.name(),
                anonymous_memory_of_all(lab.process()) / 1_000_000
            );
            for case in Case::ALL.into_iter().filter(|case| choice.wants(*case, *machines)) {
                for connections in CONNECTIONS {
                    measure(*database, &lab, &nginx, case, connections, &mut rows).await?;
                }
            }
        }
    }
    print_table(&rows);
    print_targets(&rows, &choice.databases);
    Ok(())
}

impl Choice {
    fn read() -> io::Result<Self> {
        let (mut only, mut databases, mut machines) =
            (None, vec![Database::Sqlite, Database::Postgres], vec![10, 10_000, 100_000]);
        let mut arguments = std::env::args().skip(1);
        while let Some(option) = arguments.next() {
            // What cargo passes to every benchmark.
            if option == "--bench" {
                continue;
            }
            let value = arguments.next().unwrap_or_default();
            let known = Case::ALL.iter().any(|case| case.name() == value);
            match (option.as_str(), value.as_str()) {
                ("--only", name) if known => only = Some(name.to_owned()),
                ("--db", "sqlite") => databases = vec![Database::Sqlite],
                ("--db", "postgres") => databases = vec![Database::Postgres],
                ("--machines", list) => {
                    let list: Result<_, _> = list.split(',').map(str::parse).collect();
                    machines = list.map_err(|_| usage())?;
                }
                _ => return Err(usage()),
            }
        }
        Ok(Self { only, databases, machines })
    }

    /// A list has to have so many machines.
    fn wants(&self, case: Case, machines: usize) -> bool {
        let there = match case {
            Case::List(length) => machines >= length,
            _ => true,
        };
        there && self.only.as_deref().is_none_or(|only| only == case.name())
    }
}

fn usage() -> io::Error {
    let names = Case::ALL.map(Case::name).join("|");
    io::Error::other(format!(
        "usage: rest [--only {names}] [--db sqlite|postgres] [--machines 10,10000,100000]"
    ))
}

/// Measures a case, and nginx with a file as large as the answer.
async fn measure(
    database: Database,
    lab: &Lab,
    nginx: &Nginx,
    case: Case,
    connections: usize,
    rows: &mut Vec<Row>,
) -> io::Result<()> {
    let measured = match case {
        Case::Reserve => reserve(lab, connections).await?,
        _ => vec![(case, read(lab, case, connections).await?)],
    };
    for (case, ours) in measured {
        let file = Request::new("GET", &nginx.add(ours.bytes)?, None, 200);
        let batch = vec![file; if case.is_list() { 16 } else { 512 }];
        let mut client = Client::connect(nginx.address(), connections).await?;
        let mut peer = Figures::default();
        while peer.seconds < PEER.as_secs_f64() {
            peer.run(nginx.id(), None, &mut client, &batch, |_| ()).await?;
        }
        let row = Row { database, machines: lab.machines(), case, connections, ours, peer };
        eprintln!("{} x {connections}: {:.3} ms", case.name(), row.ours.cpu_ms());
        rows.push(row);
    }
    Ok(())
}

/// Cases that change nothing, or as good as nothing.
async fn read(lab: &Lab, case: Case, connections: usize) -> io::Result<Figures> {
    let (door, batch) = requests(lab, case);
    let mut client = Client::connect(door, connections).await?;
    let mut warm = Figures::default();
    while warm.seconds < WARM.as_secs_f64() {
        warm.run(lab.process(), lab.database_process(), &mut client, &batch, |_| ()).await?;
    }
    let (memory, mut figures) = (MemoryWatch::start(lab.process()), Figures::default());
    while figures.seconds < MEASURED.as_secs_f64() {
        figures.run(lab.process(), lab.database_process(), &mut client, &batch, |_| ()).await?;
    }
    figures.memory = memory.most();
    Ok(figures)
}

/// The requests of a case: each for another machine.
fn requests(lab: &Lab, case: Case) -> (SocketAddr, Vec<Request>) {
    let machines = lab.machines();
    let spread = |index: usize, among: usize| index.wrapping_mul(7_919) % among + 1;
    let get = |path: String, token: Option<&str>| Request::new("GET", &path, token, 200);
    let list = |path: &str, token: &str| vec![get(path.to_owned(), Some(token)); 16];
    let machine_door = |batch: Vec<Request>| (lab.machine_door(), batch);
    match case {
        Case::List(1_000) => (lab.people(), list("/api/v1/machine", &lab.alice)),
        Case::List(all) if all == machines => {
            (lab.people(), list("/api/v1/machine?show_all=true", &lab.admin))
        }
        Case::List(_) => (lab.people(), list("/api/v1/machine", &lab.ci)),
        Case::Dhcp => {
            // Every second machine netboots.
            let mac = |index| Lab::mac(spread(index, machines / 2) * 2);
            machine_door((0..512).map(|i| get(format!("/dhcp/ipv4?hwaddr={}", mac(i)), None)).collect())
        }
        Case::AnswerFile => {
            // Those that are held.
            let path = |index| lab.answer_file(spread(index, machines / 2));
            machine_door((0..512).map(|index| get(path(index), None)).collect())
        }
        Case::OneMachine | Case::Reserve | Case::GiveBack => {
            let path = |index| format!("/api/v1/machine/{}", spread(index, machines));
            (lab.people(), (0..512).map(|index| get(path(index), Some(&lab.alice))).collect())
        }
    }
}

/// Reserves free machines and gives them back, in turns.
async fn reserve(lab: &Lab, connections: usize) -> io::Result<Vec<(Case, Figures)>> {
    let token = Some(lab.alice.as_str());
    let body = json!({"query": "", "reason": "bench"});
    let wanted = Request::json("POST", "/api/v1/machine/reservation", token, &body, 200);
    let free = lab.machines() - lab.machines() / 2;
    let reservations = vec![wanted; free.min(256)];
    let mut client = Client::connect(lab.people(), connections).await?;
    let (server, database) = (lab.process(), lab.database_process());
    let mut both = [Figures::default(), Figures::default()];
    let (memory, started, mut warm) = (MemoryWatch::start(server), Instant::now(), true);
    while both[0].seconds < MEASURED.as_secs_f64() && started.elapsed() < LONGEST {
        if warm && started.elapsed() > WARM {
            (both, warm) = ([Figures::default(), Figures::default()], false);
        }
        let [reserved, given_back] = &mut both;
        let mut back = Vec::new();
        let note = |answer: &[u8]| {
            let machine: Value = serde_json::from_slice(answer).unwrap_or_default();
            let path = format!("/api/v1/machine/{}/assignee/self", machine["id"]);
            back.push(Request::new("DELETE", &path, token, 204));
        };
        reserved.run(server, database, &mut client, &reservations, note).await?;
        given_back.run(server, database, &mut client, &back, |_| ()).await?;
    }
    let most = memory.most();
    let [mut reserved, mut given_back] = both;
    (reserved.memory, given_back.memory) = (most, most);
    Ok(vec![(Case::Reserve, reserved), (Case::GiveBack, given_back)])
}

impl Figures {
    /// Sends a batch and adds what it took.
    async fn run(
        &mut self,
        server: u32,
        database: Option<u32>,
        client: &mut Client,
        batch: &[Request],
        mut answered: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let cpu_of = |database: Option<u32>| database.map_or(Ok(0.0), cpu_seconds_of_all);
        let (cpu, database_cpu) = (cpu_seconds_of_all(server)?, cpu_of(database)?);
        let started = Instant::now();
        client
            .run(batch, |took, body| {
                self.took.push(took);
                self.bytes = body.len();
                answered(body);
            })
            .await?;
        self.seconds += started.elapsed().as_secs_f64();
        self.cpu += cpu_seconds_of_all(server)? - cpu;
        self.database_cpu += cpu_of(database)? - database_cpu;
        Ok(())
    }

    fn per_second(&self) -> f64 {
        self.took.len() as f64 / self.seconds
    }

    fn cpu_ms(&self) -> f64 {
        self.cpu * 1e3 / self.took.len() as f64
    }

    fn database_ms(&self) -> f64 {
        self.database_cpu * 1e3 / self.took.len() as f64
    }

    /// Within how many ms so many of a hundred requests were answered.
    fn percentile_ms(&self, percent: usize) -> f64 {
        let mut took = self.took.clone();
        took.sort_unstable();
        let index = (took.len() * percent).div_ceil(100).saturating_sub(1);
        took.get(index).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }

    fn memory_mb(&self) -> f64 {
        self.memory as f64 / 1e6
    }
}

fn print_table(rows: &[Row]) {
    println!(
        "\nHTTP requests; CPU and times in ms, memory is anonymous memory in MB, nginx gives a file of the same size\n"
    );
    println!(
        "{:12}{:>9} {:14}{:>6}{:>10}{:>9}{:>9}{:>11}{:>10}{:>8}{:>10}{:>13}{:>13}{:>11}",
        "database",
        "machines",
        "request",
        "conn.",
        "req/s",
        "p50",
        "p99",
        "CPU/req",
        "database",
        "memory",
        "bytes",
        "nginx req/s",
        "nginx CPU",
        "x its CPU"
    );
    for Row { database, machines, case, connections, ours, peer } in rows {
        println!(
            "{:12}{machines:>9} {:14}{connections:>6}{:>10.0}{:>9.2}{:>9.2}{:>11.3}{:>10.3}{:>8.0}{:>10}{:>13.0}{:>13.4}{:>11.1}",
            database.name(),
            case.name(),
            ours.per_second(),
            ours.percentile_ms(50),
            ours.percentile_ms(99),
            ours.cpu_ms(),
            ours.database_ms(),
            ours.memory_mb(),
            ours.bytes,
            peer.per_second(),
            peer.cpu_ms(),
            ours.cpu_ms() / peer.cpu_ms(),
        );
    }
}

/// Says of each target whether it holds, by the worst row.
fn print_targets(rows: &[Row], databases: &[Database]) {
    println!("\nTargets, by the worst of all rows\n");
    for database in databases {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.database == *database).collect();
        let worst = |what: &str, most: f64, unit: &str, figure: &dyn Fn(&Row) -> Option<f64>| {
            let found = rows.iter().filter_map(|row| Some((figure(row)?, row)));
            if let Some((figure, row)) = found.max_by(|a, b| a.0.total_cmp(&b.0)) {
                let says = if figure <= most { "holds" } else { "MISSED" };
                let at = format!(
                    "{}, {} machines, {} connections",
                    row.case.name(),
                    row.machines,
                    row.connections
                );
                println!(
                    "{:12}{what:44}{most:>8} {unit:4}{figure:>10.3} {unit:4}{says:8}{at}",
                    database.name()
                );
            }
        };
        for case in Case::ALL {
            let Some(target) = case.target_ms() else { continue };
            let of = |row: &Row| (row.case == case).then(|| row.ours.cpu_ms());
            worst(&format!("CPU of {}", case.name()), target, "ms", &of);
        }
        let small =
            |row: &Row| (row.connections == 16 && !row.case.is_list()).then(|| row.ours.percentile_ms(99));
        worst("p99 with 16 connections, but for lists", P99_MS, "ms", &small);
        worst("anonymous memory", MEMORY_MB, "MB", &|row| Some(row.ours.memory_mb()));
        let growth = |row: &Row| {
            let same =
                |few: &&&Row| (few.machines, few.case, few.connections) == (10, row.case, row.connections);
            let few = rows.iter().find(same).filter(|_| row.machines == 100_000)?;
            Some(row.ours.cpu_ms() / few.ours.cpu_ms())
        };
        worst("CPU with 100,000 machines, of that with 10", SAME, "x", &growth);
    }
}
