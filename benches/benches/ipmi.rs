//! What does a power status of 1,000 BMCs cost? mrp's driver beside `ipmipower` and `ipmitool` in the same run.
//!
//! The BMCs are simulators in a process of their own, whose CPU is printed apart. Both sides use cipher suite 17.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use benches::farm::{Farm, PASSWORD, USER};
use benches::program::{allow_many_files, ended_cpu_seconds, installed, own_cpu_seconds, write_secret};
use mrp_bmc::IpmiBmc;
use mrp_core::bmc::{Bmc, BmcConfig, Node, OpenBmc, Privilege};
use mrp_core::secret::Secret;
use tokio::task::JoinSet;

const BMCS: u32 = 1_000;
/// `ipmitool` is one process a status; so many are enough to know its cost.
const IPMITOOL_BMCS: u32 = 50;

/// What a way to ask costs.
struct Cost {
    name: &'static str,
    statuses: u32,
    seconds: f64,
    client_cpu: f64,
    farm_cpu: f64,
    round_trips: f64,
}

fn main() -> io::Result<()> {
    allow_many_files()?;
    let folder = tempfile::tempdir()?;
    let mut farm = Farm::start(BMCS)?;
    let mut costs = ours(&mut farm)?;
    costs.push(ipmipower(&mut farm, folder.path())?);
    costs.push(ipmitool(&mut farm, folder.path())?);
    print(&costs);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn ours(farm: &mut Farm) -> io::Result<Vec<Cost>> {
    let mut bmcs = Vec::new();
    for index in 0..BMCS {
        let config = BmcConfig {
            address: Farm::address(index).to_string(),
            username: USER.into(),
            password: Secret::new(PASSWORD),
            privilege: Privilege::Admin,
            options: serde_json::Map::new(),
        };
        bmcs.push(Arc::new(IpmiBmc::open(config).await.map_err(io::Error::other)?));
    }
    let mut costs = vec![ask("mrp, first contact", farm, &bmcs).await?];
    costs.push(ask("mrp, kept session", farm, &bmcs).await?);
    for bmc in &bmcs {
        bmc.close().await;
    }
    costs.push(ask("mrp, without a session", farm, &bmcs).await?);
    for bmc in &bmcs {
        bmc.close().await;
    }
    Ok(costs)
}

/// Asks all BMCs at once.
async fn ask(name: &'static str, farm: &mut Farm, bmcs: &[Arc<IpmiBmc>]) -> io::Result<Cost> {
    let before = farm.figures()?;
    let (start, cpu) = (Instant::now(), own_cpu_seconds()?);
    let mut asked = JoinSet::new();
    for bmc in bmcs {
        let bmc = bmc.clone();
        asked.spawn(async move { bmc.power(&Node::default()).await });
    }
    while let Some(answer) = asked.join_next().await {
        answer.map_err(io::Error::other)?.map_err(io::Error::other)?;
    }
    let (seconds, client_cpu) = (start.elapsed().as_secs_f64(), own_cpu_seconds()? - cpu);
    Cost::since(farm, name, BMCS, before, seconds, client_cpu)
}

fn ipmipower(farm: &mut Farm, folder: &Path) -> io::Result<Cost> {
    let configuration = folder.join("freeipmi.conf");
    write_secret(&configuration, &format!("username {USER}\npassword {PASSWORD}\n"))?;
    let hosts: Vec<String> = (0..BMCS).map(|index| Farm::address(index).to_string()).collect();
    let mut command = Command::new(installed("ipmipower")?);
    command.arg("--config-file").arg(&configuration);
    command.args(["-D", "LAN_2_0", "-I", "17", "-l", "ADMIN", "--stat", "-h", &hosts.join(",")]);
    measure("ipmipower", farm, BMCS, || ended(&mut command, BMCS, ": on", ": off"))
}

fn ipmitool(farm: &mut Farm, folder: &Path) -> io::Result<Cost> {
    let password = folder.join("ipmitool-password");
    write_secret(&password, PASSWORD)?;
    let program = installed("ipmitool")?;
    let ask = || {
        (0..IPMITOOL_BMCS).try_for_each(|index| {
            let mut command = Command::new(&program);
            command.args(["-I", "lanplus", "-C", "17", "-U", USER, "-f"]).arg(&password);
            command.args(["-H", &Farm::address(index).to_string(), "chassis", "power", "status"]);
            ended(&mut command, 1, "Power is on", "Power is off")
        })
    };
    measure("ipmitool", farm, IPMITOOL_BMCS, ask)
}

fn measure(
    name: &'static str,
    farm: &mut Farm,
    statuses: u32,
    ask: impl FnOnce() -> io::Result<()>,
) -> io::Result<Cost> {
    let before = farm.figures()?;
    let (start, cpu) = (Instant::now(), ended_cpu_seconds()?);
    ask()?;
    let (seconds, client_cpu) = (start.elapsed().as_secs_f64(), ended_cpu_seconds()? - cpu);
    Cost::since(farm, name, statuses, before, seconds, client_cpu)
}

/// Runs a program to its end, and counts the answers in what it printed.
fn ended(command: &mut Command, expected: u32, on: &str, off: &str) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let answers = text.lines().filter(|line| line.ends_with(on) || line.ends_with(off)).count();
    if answers == expected as usize {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let start: String = text.lines().chain(errors.lines()).take(5).collect::<Vec<_>>().join("; ");
    Err(io::Error::other(format!("{expected} answers expected, {answers} came: {start}")))
}

fn print(costs: &[Cost]) {
    println!(
        "\nPower status of {BMCS} simulated BMCs, cipher suite 17 (ipmitool: of {IPMITOOL_BMCS}, one after the other)\n"
    );
    println!(
        "{:24}{:>12}{:>14}{:>22}{:>26}{:>24}",
        "client",
        "seconds",
        "round trips",
        "client CPU/status",
        "of ipmipower's CPU",
        "simulators' CPU/status"
    );
    let of = |name: &str| costs.iter().find(|cost| cost.name == name).map_or(f64::NAN, Cost::cpu_us);
    for cost in costs {
        println!(
            "{:24}{:>12.2}{:>14.1}{:>19.0} us{:>26.3}{:>21.0} us",
            cost.name,
            cost.seconds,
            cost.round_trips,
            cost.cpu_us(),
            cost.cpu_us() / of("ipmipower"),
            cost.farm_cpu * 1e6 / f64::from(cost.statuses),
        );
    }
}

impl Cost {
    fn since(
        farm: &mut Farm,
        name: &'static str,
        statuses: u32,
        before: (u64, f64),
        seconds: f64,
        client_cpu: f64,
    ) -> io::Result<Self> {
        let after = farm.figures()?;
        let round_trips = (after.0 - before.0) as f64 / f64::from(statuses);
        Ok(Self { name, statuses, seconds, client_cpu, farm_cpu: after.1 - before.1, round_trips })
    }

    fn cpu_us(&self) -> f64 {
        self.client_cpu * 1e6 / f64::from(self.statuses)
    }
}
